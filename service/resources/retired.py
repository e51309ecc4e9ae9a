"""What was applied once and is in the spec no more: removed where it is provably ours, which only bridges are.

What was met in files of somebody else and is wanted no more is told to the resources that met it there: `former`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from service.model.states import Json
from service.resources.desired import Desired, LastApplied
from service.resources.dnsmasq_config import OWN_FILE, DnsmasqConfig
from service.resources.links import Link
from service.resources.nat import Rule, SourceNat, label
from service.resources.resource import Resource
from service.resources.stanzas import Stanza

BRIDGES = "bridges"


def retired(desired: Desired, base: LastApplied) -> Iterator[Resource]:
    """Bridges of the last apply that nobody wants now: their stanza and their link go.

    A physical interface, a package or a service that leaves the spec stays as it is: it was there before us.
    """
    wanted = {resource.id for resource in desired.resources}
    for name in sorted(base.named(BRIDGES, "link")):
        if f"link:{name}" not in wanted:
            yield Link(BRIDGES, name, bridge=True, gone=True)
            yield Stanza(BRIDGES, name, gone=True)


def with_former(resources: tuple[Resource, ...], base: LastApplied) -> tuple[Resource, ...]:
    """The resources, knowing what was applied of their sort before and is not wanted now."""
    nats = [resource for resource in resources if isinstance(resource, SourceNat)]
    wanted = {label(rule) for nat in nats for rule in nat.rules}
    rules = tuple(rule_of(name) for name in sorted(base.named("nat", "masquerade")) if name not in wanted)
    moved = rules if any(nat.take_over for nat in nats) else ()
    return tuple(_with_former(resource, rules, moved, base.wishes) for resource in resources)


def _with_former(
    resource: Resource,
    rules: tuple[Rule, ...],
    moved: tuple[Rule, ...],
    wishes: Mapping[tuple[str, str, str, str], Json],
) -> Resource:
    if isinstance(resource, SourceNat) and rules:
        return replace(resource, former=rules)
    if isinstance(resource, Stanza) and moved:
        return replace(resource, taken=(*resource.taken, *moved))
    if isinstance(resource, DnsmasqConfig):
        want = resource.wanted()
        former = tuple(
            (key, str(value))
            for (kind, file, key, _), values in sorted(wishes.items())
            if (kind, file) == (resource.kind, OWN_FILE) and isinstance(values, list)
            for value in values
            if value not in want.get(key, [])
        )
        return replace(resource, former=former) if former else resource
    return resource


def rule_of(name: str) -> Rule:
    """The rule of a label."""
    source, _, out = name.partition(">")
    return source, out
