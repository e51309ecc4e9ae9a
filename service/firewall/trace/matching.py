"""One rule of a file as steps of the kernel, for one family: what iptables-restore gets and how it takes it.

    Site(...).steps(rule, targets, iface=…) -> [Step]      raises LeftOut

Proxmox leaves out (`LeftOut`) what its compiler stumbles over. What its compiler lets pass and iptables refuses goes
into `refused`: with one such line nothing at all is loaded.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from service.firewall.pve.node import NodeFirewall
from service.firewall.pve.rules import ALIAS, IPSET
from service.firewall.pve.sdn import SDN_SET
from service.firewall.terms.addresses import MaskedNetwork, Span, iptables_network, iptables_span
from service.firewall.terms.icmp import icmp_names, icmp_type
from service.firewall.terms.macros import MacroRule, find_macro
from service.firewall.terms.model import Family, Ignored, Level, Rule, is_given
from service.firewall.terms.names import has_ports, protocol_number
from service.firewall.terms.ports import PortRange, iptables_ports
from service.firewall.trace.chains import ChainStep, Flow
from service.firewall.trace.sets import SDN, Sets

_INDEXED_PORTS = 128  # a rule for more ports is looked up by address, or tried on every packet
MAX_INTERFACE = 15  # IFNAMSIZ without the closing NUL

_NO_NAMES = NodeFirewall(Level("cluster", ""), Level("host", ""))

Test = Callable[[Flow], bool]
Targets = Mapping[str, tuple[str, bool]]
"""Action of a rule → (target, whether the chain is left for good)."""


class LeftOut(Exception):  # noqa: N818 (an answer, not a fault)
    """Proxmox's compiler gives up on the rule, with these words."""


@dataclass(slots=True)
class _Draft:
    """The tests of a step while they are gathered."""

    tests: list[Test] = field(default_factory=list)
    ports: tuple[tuple[int, int], ...] = ()
    sources: tuple[MaskedNetwork, ...] = ()
    dests: tuple[MaskedNetwork, ...] = ()
    proto: int = 0


@dataclass(slots=True)
class Site:
    """Where a rule is compiled: the family, the file whose names come first (`own`; None for groups) and the sets."""

    firewall: NodeFirewall
    sets: Sets
    family: Family
    own: Level | None
    refused: list[Ignored]
    logs: bool = False

    def steps(
        self, rule: Rule, targets: Targets, *, iface: str = "", group: str = "", name: str = ""
    ) -> list[ChainStep]:
        """The steps of a rule: several for a macro, all or nothing. `iface` is in or out where -i is to be tested,
        `name` what they are called."""
        target, goto = targets.get(rule.action, (rule.action, False))
        refused_before = len(self.refused)
        try:
            drafts = self.drafts(rule, iface)
        except LeftOut:
            del self.refused[refused_before:]
            raise
        self.logs = self.logs or (bool(drafts) and rule.log not in ("", "nolog"))
        return [
            ChainStep(
                target=target,
                tests=tuple(draft.tests),
                goto=goto,
                where=rule.where,
                note=rule.text,
                group=group,
                ports=draft.ports,
                sources=draft.sources,
                dests=draft.dests,
                proto=draft.proto,
                name=name,
            )
            for draft in drafts
        ]

    def drafts(self, rule: Rule, iface: str) -> Sequence[_Draft]:
        """One for each line of a rule. That of a rule without names, which iptables takes, is remembered."""
        if rule.is_literal and rule.iface not in self.firewall.node.altnames:
            found = _literal_drafts(rule, self.family, iface)
            if found is not None:
                return found
        return [self.draft(rule, line, iface) for line in lines_of(rule, self.family)]

    def draft(self, rule: Rule, line: MacroRule, iface: str) -> _Draft:
        """The tests of one line."""
        draft = _Draft()
        if iface and is_given(rule.iface):
            draft.tests.append(self.interface(rule, iface))
        self.add_address(draft, rule, "source", rule.source)
        self.add_address(draft, rule, "dest", rule.dest)
        self.add_protocol(draft, rule, line)
        return draft

    def refuse(self, rule: Rule, words: str) -> Test:
        """Note that iptables refuses the rule set because of this rule."""
        program = "ip6tables" if self.family == 6 else "iptables"
        self.refused.append(Ignored(rule.where, rule.text, f"{program}: {words}", fatal=True))
        return lambda flow: False

    def interface(self, rule: Rule, direction: str) -> Test:
        """The test of -i, with alternative names resolved."""
        name = self.firewall.node.altnames.get(rule.iface, rule.iface)
        if len(name) > MAX_INTERFACE:
            return self.refuse(rule, f"interface name `{name}' must be shorter than IFNAMSIZ ({MAX_INTERFACE})")
        return (lambda flow: flow.iif == name) if direction == "in" else (lambda flow: flow.oif == name)

    def add_address(self, draft: _Draft, rule: Rule, key: str, text: str) -> None:
        """The test of -source or -dest."""
        if not is_given(text):
            return
        ipset, alias = IPSET.fullmatch(text), ALIAS.fullmatch(text)
        if text.startswith("+"):
            if ipset is None:
                raise LeftOut(f"invalid ipset name '{text}'")
            draft.tests.append(self.set_test(rule, key, ipset[1] or "", ipset[2]))
            return
        if alias is None and "-" in text:
            span = iptables_span(text, self.family)
            draft.tests.append(self.refuse(rule, span) if isinstance(span, str) else _within(key, (span,)))
            return
        if alias:
            found = self.firewall.alias(self.own, alias[1] or "", alias[2])
            if found is None:
                raise LeftOut(f"no such alias '{text}'")
            text = found.cidr
        networks = []
        for item in text.split(","):
            network = iptables_network(item, self.family)
            if isinstance(network, str):
                draft.tests.append(self.refuse(rule, network))
                return
            networks.append(network)
        draft.tests.append(_within(key, tuple(networks)))
        if key == "source":
            draft.sources = tuple(networks)
        else:
            draft.dests = tuple(networks)

    def set_test(self, rule: Rule, key: str, prefix: str, name: str) -> Test:
        """The test on a set; which one is decided as Proxmox does: the own file first."""
        if prefix == "sdn/" and self.firewall.sdn is None and SDN_SET.fullmatch(name):
            # its addresses are not known: an accept is not relied on, and a drop may hit anybody
            return lambda flow: rule.action != "ACCEPT"
        if prefix == "sdn/" and name in (self.firewall.sdn or {}):
            scope = SDN
        elif prefix not in ("dc/", "sdn/") and self.own is not None and name in self.own.ipsets:
            scope = self.own.scope_id()
        elif prefix not in ("guest/", "sdn/") and (name in self.firewall.cluster.ipsets or name == "management"):
            scope = "0"
        else:
            raise LeftOut(f"no such ipset '{name}'")
        netset = self.sets.table.get((scope, name, self.family))
        if netset is None:
            return self.refuse(rule, f"Set PVEFW-{scope}-{name}-v{self.family} doesn't exist.")
        holds = netset.holds
        return (lambda flow: holds(flow.source)) if key == "source" else (lambda flow: holds(flow.dest))

    def add_protocol(self, draft: _Draft, rule: Rule, line: MacroRule) -> None:
        """The tests of -p and all that depends on it."""
        if not is_given(line.proto):
            return
        number = protocol_number(line.proto)
        if number is None:
            draft.tests.append(self.refuse(rule, f'unknown protocol "{line.proto}" specified'))
            return
        number &= 0xFF  # iptables keeps eight bits: mptcp (262) becomes tcp
        if number:
            draft.tests.append(lambda flow: flow.proto == number)
            draft.proto = number
        if line.icmp_type:
            self.add_icmp(draft, rule, line)
        if line.dport:
            self.add_dport(draft, rule, line, number)
        if is_given(line.sport):
            ranges = self.ports(rule, line.proto, line.sport, number)
            tests = tuple((span.first, span.last) for span in ranges)
            draft.tests.append(lambda flow: any(first <= flow.sport <= last for first, last in tests))

    def add_icmp(self, draft: _Draft, rule: Rule, line: MacroRule) -> None:
        """The test of -icmp-type."""
        if line.proto not in ("icmp", "icmpv6", "ipv6-icmp"):
            raise LeftOut("'icmp-type' can only be set if 'icmp', 'icmpv6' or 'ipv6-icmp' is specified")
        self._add_icmp_type(draft, rule, line.icmp_type)

    def _add_icmp_type(self, draft: _Draft, rule: Rule, text: str) -> None:
        kind = icmp_type(text, self.family)
        if kind is None:
            draft.tests.append(self.refuse(rule, f"Unknown ICMP type `{text}'"))
        else:
            draft.tests.append(lambda flow: flow.icmp is not None and kind.matches(*flow.icmp))

    def add_dport(self, draft: _Draft, rule: Rule, line: MacroRule, number: int) -> None:
        """The test of -dport, which for ICMP holds a type."""
        if line.proto in ("icmp", "icmpv6"):
            _check_old_icmp_type(line)
            self._add_icmp_type(draft, rule, line.dport)
            return
        if not is_given(line.dport):
            if not has_ports(line.proto):
                raise LeftOut(f"protocol {line.proto} does not have ports")
            return
        ranges = self.ports(rule, line.proto, line.dport, number)
        tests = tuple((span.first, span.last) for span in ranges)
        draft.tests.append(lambda flow: any(first <= flow.dport <= last for first, last in tests))
        if sum(last - first + 1 for first, last in tests) <= _INDEXED_PORTS:
            draft.ports = tuple((number, port) for first, last in tests for port in range(first, last + 1))

    def ports(self, rule: Rule, proto: str, text: str, number: int) -> tuple[PortRange, ...]:
        """The ranges of a list of ports; none if iptables refuses it."""
        if not has_ports(proto):
            raise LeftOut(f"protocol {proto} does not have ports")
        ranges = iptables_ports(text, number, several="," in text)
        if isinstance(ranges, str):
            self.refuse(rule, ranges)
            return ()
        return ranges


@lru_cache(maxsize=4096)
def _literal_drafts(rule: Rule, family: Family, iface: str) -> tuple[_Draft, ...] | None:
    """Of a rule without names: the same in every firewall. None if iptables refuses it."""
    site = Site(_NO_NAMES, Sets({}, ()), family, None, [])
    drafts = tuple(site.draft(rule, line, iface) for line in lines_of(rule, family))
    return None if site.refused else drafts


def lines_of(rule: Rule, family: Family) -> tuple[MacroRule, ...]:
    """What a rule matches besides addresses and interface: one line, or those of its macro."""
    own = MacroRule(rule.proto, rule.dport, rule.sport, rule.icmp_type)
    if not rule.macro:
        return (own,)
    macro = find_macro(rule.macro)
    if macro is None:
        raise LeftOut(f"unknown macro '{rule.macro}'")
    return tuple(
        MacroRule(
            line.proto or own.proto,
            line.dport or own.dport,
            line.sport or own.sport,
            line.icmp_type or own.icmp_type,
        )
        for line in macro.lines(family)
    )


def _check_old_icmp_type(line: MacroRule) -> None:
    text = line.dport
    if text.isascii() and text.isdigit():
        if len(text.lstrip("0")) > 3 or int(text) > 255:
            raise LeftOut(f"invalid icmp-type '{text}'")
    elif text not in icmp_names(6 if line.proto == "icmpv6" else 4):
        raise LeftOut(f"unknown icmp-type '{text}'")


def _within(key: str, places: tuple[MaskedNetwork | Span, ...]) -> Test:
    if len(places) == 1:
        holds = places[0].holds
        return (lambda flow: holds(flow.source)) if key == "source" else (lambda flow: holds(flow.dest))
    if key == "source":
        return lambda flow: any(place.holds(flow.source) for place in places)
    return lambda flow: any(place.holds(flow.dest) for place in places)
