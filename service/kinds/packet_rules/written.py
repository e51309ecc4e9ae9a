"""The rules of a host's firewall that people wrote and that have an effect, to compare two specs.

    written_of(spec, claims) -> Written

Rules that follow from other sections are not among them, nor those that every firewall has. Groups are written out
where they are used: a rule that moves into a group, or to fleet.yaml, is still there. A rule that is off has no effect,
and neither has one that names an empty set.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from service.firewall.pve.render import rule_line
from service.firewall.pve.rules import IPSET
from service.firewall.terms.model import IPSet, Level, Rule
from service.kinds.claims import Claim, Filtered
from service.kinds.packet_rules.grammar import RESERVED_SETS
from service.kinds.packet_rules.levels import KEY, guest_level, host_level
from service.kinds.packet_rules.section import FirewallSection
from service.kinds.packet_rules.shared import shared_level, shared_section
from service.spec.host import HostSpec


@dataclass(frozen=True)
class Written:
    """`rules` by (guest, or "" for the host; the rule as Proxmox spells it). `sets` has the entries of each set that
    rules name. Not `exists`: the spec has no firewall."""

    rules: Counter[tuple[str, str]] = field(default_factory=Counter)
    sets: Mapping[str, frozenset[str]] = field(default_factory=dict)
    exists: bool = True


def written_of(spec: HostSpec, claims: Sequence[Claim]) -> Written:
    """What people wrote in the levels of the datacenter, the host and its guests."""
    section = spec.sections.get(KEY)
    if not isinstance(section, FirewallSection):
        return Written(exists=False)
    cluster, _ = shared_level(shared_section(spec), spec.shared)
    level, _ = host_level(section, spec, cluster)
    found = [("", rule) for rule in _in_effect((*level.rules, *cluster.rules), cluster)]
    for claim in claims:
        if isinstance(claim, Filtered):
            of_guest, _ = guest_level(claim.guest, claim.section, spec, cluster)
            found += ((claim.guest, rule) for rule in _in_effect(of_guest.rules, cluster))
    named = {name for _, rule in found for name in _sets_of(rule)}
    own = RESERVED_SETS if spec.platform == "proxmox" else ()
    sets = {name: _entries(cluster.ipsets.get(name)) for name in sorted({*named, *own})}
    holding = {name for name, entries in sets.items() if any(not entry.startswith("!") for entry in entries)}
    rules = Counter((whose, _line(rule)) for whose, rule in found if holding.issuperset(_sets_of(rule)))
    return Written(rules, sets)


def _in_effect(rules: Sequence[Rule], cluster: Level) -> Iterator[Rule]:
    """The rules that are on and without errors, groups written out."""
    for rule in rules:
        group = cluster.groups.get(rule.action) if rule.type == "group" else None
        if not rule.works(0):
            continue
        if rule.type != "group":
            yield rule
        elif group is not None:
            yield from (replace(one, iface=rule.iface or one.iface) for one in group.rules if one.works(0))


def _sets_of(rule: Rule) -> Iterator[str]:
    for text in (rule.source, rule.dest):
        if (found := IPSET.fullmatch(text)) and found[1] != "sdn/":
            yield found[2]


def _entries(ipset: IPSet | None) -> frozenset[str]:
    return frozenset(f"{'!' if entry.nomatch else ''}{entry.cidr}" for entry in ipset.entries) if ipset else frozenset()


def _line(rule: Rule) -> str:
    """The rule without what decides about no packet."""
    return rule_line(replace(rule, comment="", log=""))
