"""What a recorded plan puts at risk, for who approves it.

risk_of(plan.body) -> Risk      a plan that an earlier version recorded lacks some parts: they are empty
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Risk:
    """What may go wrong, each in sentences. `management_path`: the plan changes the way by which the service reaches
    the host. Empty where that way is proven to stay (`service/plan/management.py`), also if a step touches its link.
    `links`: who loses the link while it is applied. `cut`: ports that lose their bridge for good. `removed`:
    packages that go. `approvals`: why a token needs the scope approve."""

    management_path: tuple[str, ...] = ()
    links: tuple[str, ...] = ()
    cut: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    approvals: tuple[str, ...] = ()


def risk_of(body: Mapping[str, Any]) -> Risk:
    """The risk of a plan, from its body as it was recorded."""
    steps = body.get("steps", ())
    judged = [*body.get("overridden", ()), *body.get("refusals", ())]
    return Risk(
        management_path=tuple(one["what"] for one in judged if one["rule"] == "management-path"),
        links=tuple(
            f"{step['fact'].partition(':')[2]}: {step['risk']}"
            for step in steps
            if step.get("risk") and step["fact"].startswith("link:")
        ),
        cut=tuple(body.get("summary", {}).get("cut", ())),
        removed=tuple(one["name"] for one in body.get("packages", ()) if one["action"] == "remove"),
        approvals=tuple(body.get("raises", ())),
    )
