"""From the sections to the levels of the firewall's model, each rule read as Proxmox would read its line.

    host_level(section, host, cluster) -> (Level, problems)        guest_level(name, section, host, cluster) -> the same

A problem is (path in the section, what is wrong, the fix). A rule with a problem has no effect and is a finding.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import NamedTuple

from service.firewall.pve.options import BadLine
from service.firewall.pve.render import rule_line
from service.firewall.pve.rules import Scope, read_rule
from service.firewall.terms.model import NOWHERE, Level, Rule, Where, names_nothing
from service.kinds.packet_rules.section import (
    FirewallRule,
    FirewallSection,
    GuestFirewall,
)
from service.spec.findings import Path
from service.spec.host import HostSpec, Shared, SharedFile

KEY = "firewall"
Problem = tuple[Path, str, str]

_PARAMETERS = ("macro", "source", "dest", "proto", "dport", "sport", "icmp_type")


@dataclass(slots=True)
class RuleReading:
    """Rules as they are read, with what is wrong in them. `top` leads from the file's top to where paths start."""

    place: HostSpec | Shared | SharedFile
    scope: Scope
    top: Path = (KEY,)
    problems: list[Problem] = field(default_factory=list)

    def rules(self, written: Sequence[FirewallRule], path: Path) -> tuple[Rule, ...]:
        return tuple(self.rule(rule, (*path, index)) for index, rule in enumerate(written))

    def rule(self, written: FirewallRule, path: Path) -> Rule:
        if names_nothing(written.source or "") and names_nothing(written.dest or ""):
            rule, problems = _literal(_Words(*(getattr(written, name) for name in _Words._fields)), self.scope.env)
        else:
            rule, problems = _read(written, self.scope)
        self.problems += [((*path, name), words, right) for name, words, right in problems]
        return replace(rule, where=Where(*self.place.where((*self.top, *path))))


class _Words(NamedTuple):
    """A rule as it is written."""

    type: str
    action: str
    macro: str | None
    source: str | None
    dest: str | None
    proto: str | None
    dport: str | None
    sport: str | None
    icmp_type: str | None
    iface: str | None
    log: str | None
    enable: bool
    comment: str | None


@lru_cache(maxsize=4096)
def _literal(written: _Words, env: str) -> tuple[Rule, tuple[tuple[str, str, str], ...]]:
    """A rule that names no alias and no set: it says the same in every scope of its sort. After a commit most rules
    are as they were."""
    return _read(written, Scope(env, {}, {}))


def _read(written: FirewallRule | _Words, scope: Scope) -> tuple[Rule, tuple[tuple[str, str, str], ...]]:
    """(the rule without its place, (key, what is wrong, the fix) …)."""
    is_group = written.type == "group"
    asked = Rule(written.type, written.action if is_group else written.action.upper())
    if not is_group:
        asked = replace(
            asked,
            macro=written.macro or "",
            source=written.source or "",
            dest=written.dest or "",
            proto=written.proto or "",
            dport=written.dport or "",
            sport=written.sport or "",
            icmp_type=written.icmp_type or "",
        )
    problems = list(_own_problems(written))
    try:
        rule = read_rule(rule_line(asked), scope, NOWHERE)
    except BadLine as error:
        rule, problems = asked, [*problems, ("source", str(error), "")]
    known = {name for name, _, _ in problems}
    problems += [(n, words, "") for name, words in rule.errors if (n := name.replace("-", "_")) not in known]
    shown = rule_line(replace(asked, iface=written.iface or ""))
    made = replace(
        rule,
        iface=written.iface or "",
        log=written.log or "",
        enable=written.enable,
        comment=written.comment or "",
        errors=tuple((name, words) for name, words, _ in problems),
        text=shown,
    )
    return made, tuple(problems)


def _own_problems(rule: FirewallRule | _Words) -> Iterator[tuple[str, str, str]]:
    """What this platform refuses beyond Proxmox."""
    if rule.type == "group":
        for name in (*_PARAMETERS, "log"):
            if getattr(rule, name) is not None:
                yield name, f"a rule of type group takes no {name}", "put it into the rules of the group"
    elif rule.action not in ("accept", "drop", "reject"):
        yield "action", f"{rule.action} is not an action", "write accept, drop or reject"
    if rule.type == "forward" and rule.action == "reject":
        yield "action", "a rule of type forward cannot reject", "write drop"
    if rule.type == "forward" and rule.iface is not None:
        yield "iface", "a rule of type forward takes no interface", "write `source` or `dest` instead"
    if rule.dport is not None and rule.proto in ("icmp", "icmpv6", "ipv6-icmp"):
        yield "dport", "ICMP has no ports", "write `icmp_type` instead"


def _scope(host: HostSpec, cluster: Level) -> Scope:
    """The datacenter's names. Where there may be an SDN, its sets are known by their form."""
    return Scope("cluster", cluster.aliases, cluster.ipsets, sdn=None if host.platform == "proxmox" else ())


def host_level(section: FirewallSection, host: HostSpec, cluster: Level) -> tuple[Level, list[Problem]]:
    """The level of a host, whose rules use the datacenter's names."""
    reading = RuleReading(host, _scope(host, cluster))
    rules = reading.rules(section.rules, ("rules",))
    return Level("host", host.file, rules=rules), [*reading.problems, *unknown_groups(section, cluster)]


def guest_level(name: str, section: GuestFirewall, host: HostSpec, cluster: Level) -> tuple[Level, list[Problem]]:
    """The level of a guest, whose rules use the datacenter's names. Paths of problems start in its `firewall`."""
    reading = RuleReading(host, _scope(host, cluster), ("guests", name, KEY))
    rules = reading.rules(section.rules, ("rules",))
    problems = [*reading.problems, *unknown_groups(section, cluster)]
    for index, rule in enumerate(section.rules):
        if rule.type == "forward":
            problems.append((("rules", index, "type"), "a guest does not forward packets", "write in or out"))
        if rule.iface is not None:
            problems.append((("rules", index, "iface"), "a rule of a guest takes no interface", "remove `iface`"))
    return Level("guest", host.file, vmid=name, rules=rules), problems


def unknown_groups(section: FirewallSection | GuestFirewall, cluster: Level) -> Iterator[Problem]:
    for index, rule in enumerate(section.rules):
        if rule.type == "group" and rule.action not in cluster.groups:
            known = ", ".join(sorted(cluster.groups)) or "none yet"
            yield (
                ("rules", index, "action"),
                f"no group is named {rule.action}",
                f"name one of the groups ({known}), or add it to fleet.yaml or groups/",
            )
