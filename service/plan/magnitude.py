"""How much of a firewall a plan removes: a commit that empties it by mistake needs an approval."""

from collections import Counter

from service.model.plans import Plan
from service.model.states import Json
from service.resources.desired import Desired, LastApplied

FEW = 4
"""So many rules may always go."""
NO_FIREWALL = frozenset({"forwards", "nat"})
"""Kinds whose rules let through what a line of a spec publishes. They go with the line, and that opens nothing."""


def too_many_rules(plan: Plan, base: Json, desired: Desired, most: int) -> tuple[str, ...]:
    """What needs an approval, in words: more than `most` per cent of the rules of the last apply are wanted no more."""
    if most >= 100 or base is None or not any(_is_firewall(step.fact) for step in plan.steps):
        return ()
    before, now = (_rules(LastApplied.from_json(stored)) for stored in (base, desired.as_json()))
    gone, all_rules = (before - now).total(), before.total()
    if gone <= FEW or gone * 100 <= all_rules * most:
        return ()
    return (f"it removes {gone} of {all_rules} firewall rules, more than {most} % (PASSERELLE_STOP_RULES)",)


def _is_firewall(fact: str) -> bool:
    return fact.startswith("nft:") or (fact.startswith("file:") and fact.endswith(".fw"))


def _rules(applied: LastApplied) -> Counter[tuple[str, str]]:
    """The rules by where they are: the chain of an nft table, or a part of a file of Proxmox."""
    found: Counter[tuple[str, str]] = Counter()
    for (kind, name, field_name, _), want in applied.wishes.items():
        if kind in NO_FIREWALL:
            continue
        if isinstance(want, list) and (field_name == "rules" or field_name.startswith("group ")):
            found.update((f"{name} {field_name}", str(rule)) for rule in want)
    return found
