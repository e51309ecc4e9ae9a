"""The one function that makes a plan."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from service.model.ceilings import Opening
from service.model.changes import Drift
from service.model.facts import Step
from service.model.observed import HostObserved
from service.model.plans import Plan, Refusal
from service.model.probes import Probe
from service.model.states import Json
from service.plan.diff import drift
from service.plan.effects import beyond, impact, passing
from service.plan.file_changes import file_changes
from service.plan.management import management_refusals
from service.plan.next_boot import next_boot_faults, next_boot_refusals
from service.plan.safety import names_in, not_ifupdown, refusals
from service.plan.way_links import link_refusals
from service.resources.desired import Desired, LastApplied
from service.resources.ending import left_behind, with_ends
from service.resources.resource import Compared, Contribution, Phase, Resource, compare
from service.resources.traits import Ailing, Asked, Proven, Restarting, having

MOST_PROBES = 32
"""Probes that follow from a spec automatically; the host takes 64, with those that the spec names."""
Phased = tuple[int, Step]
"""A step with its phase."""


@dataclass(frozen=True, slots=True)
class Permission:
    """What this revision may do. `management_change` counts only for the commit that introduced it. `may_open` is what
    it may open without an approval, None = anything. `raises_wait`: a change of the management path needs one, too.
    """

    management_change: bool = False
    may_open: tuple[Opening, ...] | None = None
    raises_wait: bool = False


def make_plan(
    desired: Desired,
    base: LastApplied,
    observed: HostObserved,
    *,
    commit: str = "",
    permission: Permission = Permission(),
) -> Plan:
    """Desired × last applied × observed → the smallest ordered change, or the reasons why not.

    Deterministic: equal inputs give an equal plan and digest. The plan is empty when nothing differs in meaning.
    """
    desired_now = with_ends(desired, base)
    compared = compare(desired_now.resources, observed)
    drifts = drift(desired_now, base, compared)
    parts = [resource_type.steps(group, observed) for resource_type, group in by_type(compared)]
    phased = once(chain.from_iterable(part.steps for part in parts))
    steps = tuple(step for _, step in with_restarts(phased, desired_now, observed))
    written = blobs(parts)
    stopping = [
        *chain.from_iterable(part.refusals for part in parts),
        *refusals(drifts, steps, desired_now, observed),
        *not_ifupdown(drifts, steps, desired_now, observed),
        *next_boot_refusals(observed, steps, written),
    ]
    facts = {step.fact for step in steps}
    management = (*management_refusals(desired, base, observed, steps), *link_refusals(observed, steps))
    allowed = management if permission.management_change else ()
    return Plan(
        host=desired.host,
        commit=commit,
        desired_digest=desired.digest,
        drifts=drifts,
        packages=tuple(chain.from_iterable(part.packages for part in parts)),
        guests=tuple(chain.from_iterable(part.guests for part in parts)),
        steps=steps,
        keep=kept(parts, steps),
        checks=tuple(chain.from_iterable(part.checks for part in parts)),
        refusals=tuple(stopping) if permission.management_change else (*stopping, *management),
        notes=(*chain.from_iterable(part.notes for part in parts), *notes(drifts), *impact(desired_now, observed)),
        passing=passing(desired_now, observed, facts),
        cut=tuple(chain.from_iterable(part.cut for part in parts)),
        derived=tuple(desired.derived()),
        overridden=tuple(allowed),
        raises=(
            *(former(compared) if not base.exists else ()),
            *(f"allow_management_change: {refusal.what}" for refusal in allowed if permission.raises_wait),
            *(
                f"beyond PASSERELLE_MAX_OPEN: {what}"
                for what in beyond(desired_now, observed, facts, permission.may_open)
            ),
        ),
        at_boot=next_boot_faults(observed, names_in(desired)),
        left_behind=tuple(left_behind(desired_now, base, observed)),
        files=tuple(file_changes(steps, written, observed)),
        proves=probes(desired, observed, facts),
        ailing=tuple(said for _, one in having(desired, Ailing) for said in one.ailments(observed)),
        blobs=written,
        secrets={mark: secret for part in parts for mark, secret in part.secrets.items()},
    )


def probes(desired: Desired, observed: HostObserved, facts: Collection[str]) -> tuple[Probe, ...]:
    """What has to answer in the end: what a step of this plan makes answer, and what answers before."""
    due = [probe for fact, one in having(desired, Proven) if fact in facts for probe in one.proofs(observed)]
    asked = [probe for _, one in having(desired, Asked) for probe in one.probes()]
    return tuple({probe.name: probe for probe in reversed((*due, *asked))}.values())[::-1][:MOST_PROBES]


def former(compared: Sequence[Compared[Resource]]) -> Iterator[str]:
    """Things of ours on the host that nobody wants, if no apply is known: the host was in Git at an earlier time, or
    another passerelle managed it. Nobody removes them unasked.
    """
    found = [
        difference.resource
        for resource, differences in compared
        for difference in differences
        if difference.op == "extra" and not difference.unknown and not resource.wishes()
    ]
    if found:
        yield f"it removes what passerelle made on this host at an earlier time: {', '.join(dict.fromkeys(found))}"


def once(phased: Iterable[Phased]) -> list[Phased]:
    """In order, each fact once. Two steps for one file: the one that changes its content sets its mode, too."""
    by_fact: dict[str, Phased] = {}
    for entry in sorted(phased, key=lambda entry: (entry[0], entry[1].fact)):
        known = by_fact.get(entry[1].fact)
        if known is not None and entry[1].fact.startswith("leases:"):
            entry = (entry[0], both_leases(known[1], entry[1]))  # noqa: PLW2901
        if known is None or content_of(known[1].after) == content_of(known[1].before):
            by_fact[entry[1].fact] = entry
    return sorted(by_fact.values(), key=lambda entry: (entry[0], entry[1].fact))


def both_leases(one: Step, other: Step) -> Step:
    """The lease file moves, and names go from it: one step."""
    first, second = (step.after if isinstance(step.after, dict) else {} for step in (one, other))
    return replace(one, after={**first, **second}, why=f"{one.why}; {other.why}")


def content_of(value: Json) -> Json:
    """The digest in a file's fact, or the mark of a secret one."""
    return (value.get("sha256") or value.get("mark")) if isinstance(value, dict) else None


def with_restarts(phased: Sequence[Phased], desired: Desired, observed: HostObserved) -> list[Phased]:
    """The same, and a restart of every running daemon whose file changes: it reads the file only at its start."""
    changed = {
        step.fact.removeprefix("file:") for _, step in phased if content_of(step.after) != content_of(step.before)
    }
    by_fact = {step.fact: (phase, step) for phase, step in phased}
    for fact, daemon in having(desired, Restarting):
        phase, planned = by_fact.get(fact, (Phase.UNIT_UP, None))
        step = daemon.restarted(changed, planned, observed)
        if step is not None:
            by_fact[step.fact] = (phase, step)
    return sorted(by_fact.values(), key=lambda entry: entry[0])


def by_type(compared: Sequence[Compared[Resource]]) -> list[tuple[type[Resource], list[Compared[Resource]]]]:
    """Resources with their differences, grouped by their type, in the order of first appearance."""
    groups: dict[type[Resource], list[Compared[Resource]]] = {}
    for one in compared:
        groups.setdefault(type(one[0]), []).append(one)
    return list(groups.items())


def kept(parts: Sequence[Contribution], steps: Sequence[Step]) -> tuple[Step, ...]:
    """The facts to keep, without those that a step changes or takes along, and none where no step could disturb
    them."""
    changed = {step.fact for step in steps}
    changed |= {f"addresses:{fact[5:]}" for fact in (s.fact for s in steps if s.after is None) if fact[:5] == "link:"}
    disturbed = any(fact.startswith(("link:", "addresses:")) for fact in changed)
    return tuple(step for part in parts for step in part.keep if disturbed and step.fact not in changed)


def blobs(parts: Sequence[Contribution]) -> dict[str, bytes]:
    """All contents to write."""
    merged: dict[str, bytes] = {}
    for part in parts:
        content: Mapping[str, bytes] = part.blobs
        merged |= content
    return merged


def notes(drifts: Sequence[Drift]) -> tuple[str, ...]:
    """What a person should know that stops nothing: both sides changed."""
    both = [d.difference for d in drifts if d.moved == "both"]
    return tuple(
        f"{d.resource} {d.field}: both Git and the host have changed it. The value of Git will be set" for d in both
    )


__all__ = ["Permission", "Refusal", "make_plan"]
