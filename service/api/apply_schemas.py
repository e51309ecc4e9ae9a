"""What the API answers and takes about plans and applies."""

from datetime import datetime
from typing import Any

from pydantic import Field

from service.api.schemas import Answer, Asked
from service.api.values import Digest, HostName, Ulid
from service.model.axes import Phase
from service.model.risks import risk_of
from service.model.runs import MomentName, PlanRecord, PlanState, StepState, Trigger


class Risk(Answer):
    """What a plan puts at risk, in sentences; all empty where nothing is."""

    management_path: list[str] = Field(
        description="how it changes the way by which the service reaches the host; empty where that way is proven to"
        " stay, also if a step touches its link"
    )
    links: list[str] = Field(description="who loses the link while it is applied")
    cut: list[str] = Field(description="ports that lose their bridge")
    removed: list[str] = Field(description="packages that go")
    approvals: list[str] = Field(description="why an apply of it needs the scope approve")


class Plan(Answer):
    """A plan: what would be done, in order, and why not."""

    id: str
    host: str
    commit: str
    digest: str
    desired_digest: str
    state: PlanState
    created_at: datetime
    risk: Risk
    body: dict[str, Any] = Field(
        description="summary, drifts, packages, guests, steps, keep, checks, refusals, notes, at_boot, left_behind, "
        "reachability, derived, files (path, size, the lines that go and come)"
    )


def plan_out(found: PlanRecord) -> Plan:
    """A recorded plan as it is answered."""
    named = {name: getattr(found, name) for name in Plan.model_fields.keys() - {"risk"}}
    return Plan(**named, risk=Risk.model_validate(risk_of(found.body)))


class Step(Answer):
    """One step of an apply."""

    position: int
    fact: str
    why: str
    state: StepState
    started_at: datetime | None
    ended_at: datetime | None
    error: str


class Probe(Answer):
    """One probe of an apply: `ok`, or why not, or empty if it did not run."""

    name: str
    before: str
    after: str = Field(description="before the confirmation")
    undone: str = Field(description="after a rollback")


class Moment(Answer):
    """Something an apply came to, and when."""

    name: MomentName
    at: datetime


class ListedApply(Answer):
    """One transaction on one host, as a list shows it. Its steps and probes are in `GET /applies/{apply_id}`."""

    id: str
    host: str
    plan_id: str
    commit: str
    author_name: str
    author_email: str
    subject: str
    plan_digest: str
    desired_digest: str
    generation: int
    trigger: Trigger
    requested_by: str
    phase: Phase
    requested_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None
    reverts_at: datetime | None = Field(
        description="when the host rolls back on its own unless the change is confirmed; null before it is armed"
    )
    cause: str
    error: str


class Apply(ListedApply):
    """One transaction on one host, with everything that is known of it."""

    reverts_in_s: int | None = Field(
        default=None, description="seconds until `reverts_at` by the clock of the service; null if nothing is armed"
    )
    moments: list[Moment]
    probes: list[Probe]
    steps: list[Step]


class ApplyAsked(Asked):
    """Which plan to apply: by its id, by its digest or at least its first 12 digits, or by both."""

    host: HostName
    plan_id: Ulid | None = None
    digest: Digest | None = None
