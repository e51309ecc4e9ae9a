"""How much of a firewall a plan removes: a commit that empties it by mistake needs an approval.

The rules that people wrote are counted, as the commit of the last apply has them and as the new one does. Rules that
follow from other sections go with these, and those that every firewall has say nothing about a commit.
"""

from collections import Counter
from collections.abc import Iterator

from service.kinds.packet_rules.written import Written
from service.model.plans import Plan
from service.model.states import Json
from service.resources.desired import Desired, LastApplied

FEW = 4
"""So many rules may always go."""
SETTING = "PASSERELLE_STOP_RULES"
NO_FIREWALL = frozenset({"forwards", "nat"})
"""Kinds whose rules let through what a line of a spec publishes. They go with the line, and that opens nothing."""


def touches_rules(plan: Plan) -> bool:
    """Whether a plan changes a firewall."""
    return any(_is_firewall(step.fact) for step in plan.steps)


def too_many_rules(before: Written, now: Written, most: int) -> tuple[str, ...]:
    """What needs an approval, in words: the firewall goes as a whole, or more than `FEW` and more than `most` per cent
    of its rules do. The same holds for the entries of a set that rules name before and after it. Each set is counted
    for itself, so a long one hides no rule."""
    if most >= 100:
        return ()
    if before.exists and not now.exists:
        return (f"it removes the whole firewall ({SETTING})",)
    return tuple(_too_many(before, now, most))


def _too_many(before: Written, now: Written, most: int) -> Iterator[str]:
    gone, every = (before.rules - now.rules).total(), before.rules.total()
    if _is_much(gone, every, most):
        yield f"it removes {gone} of {every} firewall rules, more than {most} % ({SETTING})"
    for name in sorted(before.sets.keys() & now.sets.keys()):
        gone, every = len(before.sets[name] - now.sets[name]), len(before.sets[name])
        if _is_much(gone, every, most):
            yield f"it removes {gone} of {every} entries of the firewall's set {name}, more than {most} % ({SETTING})"


def _is_much(gone: int, every: int, most: int) -> bool:
    return gone > FEW and gone * 100 > every * most


def unknown_rules(base: Json, desired: Desired, most: int) -> tuple[str, ...]:
    """The same where the commit of the last apply cannot be read any more. Then only the rules on the host are known,
    with those that nobody wrote: any that are more than `FEW` may be too many."""
    before, now = (_on_host(LastApplied.from_json(stored)) for stored in (base, desired.as_json()))
    gone = (before - now).total()
    if most >= 100 or gone <= FEW:
        return ()
    why = "the commit of the last apply cannot be read, so it is not known how many of them the spec had"
    return (f"it removes {gone} firewall rules, and {why} ({SETTING})",)


def _is_firewall(fact: str) -> bool:
    return fact.startswith("nft:") or (fact.startswith("file:") and fact.endswith(".fw"))


def _on_host(applied: LastApplied) -> Counter[tuple[str, str]]:
    """The rules by where they are: the chain of an nft table, or a part of a file of Proxmox."""
    found: Counter[tuple[str, str]] = Counter()
    for (kind, name, field_name, _), want in applied.wishes.items():
        if kind in NO_FIREWALL:
            continue
        if isinstance(want, list) and (field_name == "rules" or field_name.startswith("group ")):
            found.update((f"{name} {field_name}", str(rule)) for rule in want)
    return found
