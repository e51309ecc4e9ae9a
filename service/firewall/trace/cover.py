"""Rules that never decide, because an earlier one takes every packet that they would take.

    shadowed(firewall, rules) -> (rule, the earlier rule), …

A rule is a set of boxes: interface, addresses, protocol, ports, ICMP type. It is covered when each of its boxes lies
within one box of one earlier rule. That finds no rule that is covered by several together only: what it says is right,
what it does not say may still be so.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from service.firewall.host import HostFirewall
from service.firewall.terms.addresses import Ranges, merged
from service.firewall.terms.icmp import IcmpType, icmp_type
from service.firewall.terms.macros import MacroRule
from service.firewall.terms.model import FAMILIES, Family, Rule, is_given
from service.firewall.terms.names import ICMP, ICMPV6, protocol_number
from service.firewall.terms.ports import iptables_ports
from service.firewall.trace.matching import lines_of
from service.firewall.trace.rule_ranges import address_ranges
from service.firewall.trace.sets import Sets, build_sets

_INDEXED_PORTS = 32


@dataclass(frozen=True, slots=True)
class Box:
    """What one line of a rule matches in one family; None matches anything, protocol 0 any."""

    family: Family
    iface: str
    proto: int
    sources: Ranges | None
    dests: Ranges | None
    sports: Ranges | None
    dports: Ranges | None
    icmp: IcmpType | None

    def holds(self, other: "Box") -> bool:
        """Whether all that the other matches is matched by this one, too."""
        return (
            self.family == other.family
            and self.iface in ("", other.iface)
            and self.proto in (0, other.proto)
            and _within(other.dports, self.dports)
            and _within(other.sports, self.sports)
            and _within(other.sources, self.sources)
            and _within(other.dests, self.dests)
            and _icmp_within(other.icmp, self.icmp)
        )


@dataclass(slots=True)
class _Seen:
    """Earlier boxes, found by what a later one must have in common with them."""

    ports: dict[tuple[Family, int, int], list[tuple[Box, Rule]]] = field(default_factory=dict)
    others: dict[tuple[Family, int, str], list[tuple[Box, Rule]]] = field(default_factory=dict)

    def add(self, box: Box, rule: Rule) -> None:
        ports = box.dports
        if ports is not None and sum(last - first + 1 for first, last in ports) <= _INDEXED_PORTS:
            for first, last in ports:
                for port in range(first, last + 1):
                    self.ports.setdefault((box.family, box.proto, port), []).append((box, rule))
        else:
            self.others.setdefault((box.family, box.proto, box.iface), []).append((box, rule))

    def holder(self, box: Box) -> Rule | None:
        """The first earlier rule with a box that holds this one."""
        near = list(self.ports.get((box.family, box.proto, box.dports[0][0]), ())) if box.dports else []
        for proto in {0, box.proto}:
            for iface in {"", box.iface}:
                near += self.others.get((box.family, proto, iface), ())
        return next((rule for earlier, rule in near if earlier.holds(box)), None)


def shadowed(firewall: HostFirewall, rules: Sequence[Rule], known: Sets | None = None) -> Iterator[tuple[Rule, Rule]]:
    """Of rules of one direction in the order in which they are tried. `known` are the firewall's sets, where the caller
    has built them."""
    sets = known or build_sets(firewall.levels)
    seen = _Seen()
    for rule in rules:
        found = list(boxes(firewall, sets, rule))
        holders = [seen.holder(box) for box in found]
        if found and all(holders) and holders[0] is not None:
            yield rule, holders[0]
        for box in found:
            seen.add(box, rule)


def boxes(firewall: HostFirewall, sets: Sets, rule: Rule) -> Iterator[Box]:
    """The boxes of a rule that is on and can be compiled."""
    if rule.is_literal:
        yield from _literal_boxes(rule)
    else:
        yield from _boxes(firewall, sets, rule)


@lru_cache(maxsize=4096)
def _literal_boxes(rule: Rule) -> tuple[Box, ...]:
    """Of a rule without names: a rule is compared each time that its file is read, mostly as it was."""
    return tuple(_boxes(None, None, rule))


def _boxes(firewall: HostFirewall | None, sets: Sets | None, rule: Rule) -> Iterator[Box]:
    for family in FAMILIES:
        if rule.works(family):
            for line in lines_of(rule, family):
                box = _box(firewall, sets, rule, line, family)
                if box is not None:
                    yield box


def _box(firewall: HostFirewall | None, sets: Sets | None, rule: Rule, line: MacroRule, family: Family) -> Box | None:
    ends: list[Ranges | None] = []
    for text in (rule.source, rule.dest):
        ranges = address_ranges(firewall, sets, text, family) if is_given(text) else None
        if ranges == ():
            return None
        ends.append(ranges)
    proto = (protocol_number(line.proto) or 0) & 0xFF if is_given(line.proto) else 0
    kind = icmp_type(line.icmp_type or line.dport, family) if proto in (ICMP, ICMPV6) else None
    sports, dports = (
        (None, None) if proto in (ICMP, ICMPV6, 0) else (_ports(line.sport, proto), _ports(line.dport, proto))
    )
    return Box(family, rule.iface, proto, ends[0], ends[1], sports, dports, kind)


def _ports(text: str, proto: int) -> Ranges | None:
    if not is_given(text):
        return None
    found = iptables_ports(text, proto, several="," in text)
    return None if isinstance(found, str) else merged((span.first, span.last) for span in found)


def _within(inner: Ranges | None, outer: Ranges | None) -> bool:
    if outer is None:
        return True
    if inner is None:
        return False
    return all(any(low <= first and last <= high for low, high in outer) for first, last in inner)


def _icmp_within(inner: IcmpType | None, outer: IcmpType | None) -> bool:
    if outer is None or outer.type is None:
        return True
    if inner is None or inner.type != outer.type:
        return False
    return outer.code is None or inner.code == outer.code
