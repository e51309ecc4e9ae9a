"""The one function that makes a plan."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from service.model.changes import Drift
from service.model.facts import Step
from service.model.observed import HostObserved
from service.model.plans import Plan, Refusal
from service.plan.diff import drift
from service.plan.management import management_refusals
from service.plan.safety import refusals
from service.resources.desired import Desired, LastApplied
from service.resources.resource import Resource, Steps


@dataclass(frozen=True, slots=True)
class Permission:
    """What this revision may do beyond the usual: `management_change` holds only for the commit that introduced the key."""

    management_change: bool = False


def make_plan(
    desired: Desired,
    base: LastApplied,
    observed: HostObserved,
    *,
    commit: str = "",
    permission: Permission = Permission(),  # noqa: B008 (frozen)
) -> Plan:
    """Desired × last applied × observed → the smallest ordered change, or the reasons why not.

    Deterministic: equal inputs give an equal plan and digest. The plan is empty when nothing differs in meaning.
    """
    drifts = drift(desired, base, observed)
    parts = [resource_type.steps(group, observed) for resource_type, group in by_type(desired.resources)]
    phased = sorted(chain.from_iterable(part.steps for part in parts), key=lambda entry: (entry[0], entry[1].fact))
    steps = tuple(step for _, step in phased)
    stopping = [
        *chain.from_iterable(part.refusals for part in parts),
        *refusals(drifts, steps, observed, base),
    ]
    management = management_refusals(desired, base, observed, steps)
    allowed = management if permission.management_change else ()
    return Plan(
        host=desired.host,
        commit=commit,
        desired_digest=desired.digest,
        drifts=drifts,
        packages=tuple(chain.from_iterable(part.packages for part in parts)),
        steps=steps,
        keep=kept(parts, steps),
        checks=tuple(chain.from_iterable(part.checks for part in parts)),
        refusals=tuple(stopping) if permission.management_change else (*stopping, *management),
        notes=(*chain.from_iterable(part.notes for part in parts), *notes(drifts)),
        derived=tuple(desired.derived()),
        overridden=tuple(allowed),
        blobs=blobs(parts),
    )


def by_type(resources: Sequence[Resource]) -> list[tuple[type[Resource], list[Resource]]]:
    """Resources grouped by their type, in the order of first appearance."""
    groups: dict[type[Resource], list[Resource]] = {}
    for resource in resources:
        groups.setdefault(type(resource), []).append(resource)
    return list(groups.items())


def kept(parts: Sequence[Steps], steps: Sequence[Step]) -> tuple[Step, ...]:
    """The facts to keep, without those that a step changes, and none where no step could disturb them."""
    changed = {step.fact for step in steps}
    disturbed = any(fact.startswith(("link:", "addresses:")) for fact in changed)
    return tuple(step for part in parts for step in part.keep if disturbed and step.fact not in changed)


def blobs(parts: Sequence[Steps]) -> dict[str, bytes]:
    """All contents to write."""
    merged: dict[str, bytes] = {}
    for part in parts:
        content: Mapping[str, bytes] = part.blobs
        merged |= content
    return merged


def notes(drifts: Sequence[Drift]) -> tuple[str, ...]:
    """What a person should know that stops nothing: both sides moved."""
    both = [d.difference for d in drifts if d.moved == "both"]
    return tuple(f"{d.resource} {d.field}: Git and the host both moved; Git's value will be set" for d in both)


__all__ = ["Permission", "Refusal", "make_plan"]
