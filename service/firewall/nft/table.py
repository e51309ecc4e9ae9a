"""A host's firewall as one nft table of its own, `inet passerelle`; nft_guests.py adds the chains of guests.

    render_table(firewall) -> Table      .load: what `nft -f` takes      .normal: what `nft -j list table` then says

One table for both families; the sets of rules are written out as ranges, longest prefix first, so that an exception is
a hole. The chain `refuse` answers as Proxmox's PVEFW-reject does.

A closed chain ends with a line that drops, and never by its policy alone. While a table replaces another, the kernel
uses the new chain's lines before its policy. Measured on Linux 6.18: the policy is accept until the commit reaches the
chain. In 200 changes under a flood some 20 packets passed.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import ip_network

from service.errors import InputError
from service.firewall.host import CHAIN_OF, DISCOVERY, IGMP, PREROUTING, Closed, Direction, HostFirewall
from service.firewall.nft import parts as nft
from service.firewall.nft.guests import called_chains, from_guests, within_bridges
from service.firewall.nft.parts import Part
from service.firewall.nft.values import FAMILY, TABLE, Expression, NftChain, NftLine, Table
from service.firewall.terms.addresses import BITS, Ranges, merged
from service.firewall.terms.icmp import icmp_type
from service.firewall.terms.macros import MacroRule
from service.firewall.terms.model import FAMILIES, Family, Rule, is_given
from service.firewall.terms.names import ICMP, ICMPV6, TCP, protocol_number
from service.firewall.terms.ports import iptables_ports
from service.firewall.trace.host_chains import accepted
from service.firewall.trace.matching import lines_of
from service.firewall.trace.rule_ranges import address_ranges, set_ranges
from service.firewall.trace.sets import Sets, build_sets

__all__ = ["FAMILY", "TABLE", "NftChain", "NftLine", "Table", "closed_chains", "render_table", "set_ranges"]

REFUSE = "refuse"
LOG_PREFIX = "passerelle: "
_RAW, _MANGLE = (-300, "raw"), (-150, "mangle")

_ICMP_OF: dict[Family, Part] = {4: nft.protocol(ICMP), 6: nft.protocol(ICMPV6)}
"""nft takes these for their family's and does not list `meta nfproto` before them."""


def render_table(firewall: HostFirewall) -> Table:
    """The whole table. Raises InputError for a rule that nft could not take; lint refuses those first."""
    return Table(tuple(_Renderer(firewall, build_sets(firewall.levels)).chains()))


def closed_chains(closed: Sequence[Closed], name: str = PREROUTING) -> Iterator[NftChain]:
    """What nobody may send into these networks from these interfaces.

    Answers to guests of IPv4 go to the host's own address. Those to guests of IPv6 have the guest's address, so only
    new connections are dropped there: after conntrack (priority -200), and before what is published is sent on (-100).
    """
    for family, called, priority in ((4, name, _RAW), (6, f"{name}6", _MANGLE)):
        lines = []
        for one in closed:
            net = ip_network(one.network)
            if net.version == family:
                ends = ((int(net.network_address), int(net.broadcast_address)),)
                within = nft.addresses(6 if family == 6 else 4, "daddr", ends)
                new = (nft.states("new"),) if family == 6 else ()
                lines.append(NftLine((nft.interface("in", one.interface), within, *new, nft.DROP), one.cause))
        if lines:
            yield NftChain(called, tuple(lines), PREROUTING, priority)


@dataclass(frozen=True, slots=True)
class _Renderer:
    firewall: HostFirewall
    sets: Sets

    def chains(self) -> Iterator[NftChain]:
        yield NftChain(REFUSE, tuple(_refuse()))
        yield from closed_chains(self.firewall.closed)
        yield from called_chains(self.firewall, self.guest_rule, nft.jump(REFUSE))
        for direction, name in CHAIN_OF.items():
            policy = self.firewall.policy(direction)
            yield NftChain(
                name, tuple(self.lines(direction)), name, policy="accept" if policy.action == "ACCEPT" else "drop"
            )

    def lines(self, direction: Direction) -> Iterator[NftLine]:
        yield from _everywhere(direction)
        if direction == "in":
            yield from from_guests(self.firewall)
        if direction == "forward":
            yield from within_bridges(self.firewall)
        further = accepted(self.firewall, direction)
        accept = nft.goto(further) if further else nft.ACCEPT
        for rule in self.firewall.rules(direction):
            yield from self.rule(rule, "out" if direction == "out" else "in", accept)
        policy = self.firewall.policy(direction).action
        if policy == "REJECT":
            yield NftLine((nft.jump(REFUSE),), f"policy_{direction}: reject")
        elif policy == "DROP":
            yield NftLine((nft.DROP,), f"policy_{direction}: drop")
        elif policy == "ACCEPT" and further:
            yield NftLine((accept,), f"policy_{direction}: accept")

    def guest_rule(self, rule: Rule, accept: Part) -> Iterator[NftLine]:
        return self.rule(rule, "in", accept)

    def rule(self, rule: Rule, side: str, accept: Part) -> Iterator[NftLine]:
        """The lines of a rule: one where it says the same for IPv4 and IPv6, else one for each."""
        verdict = {"ACCEPT": accept, "DROP": nft.DROP, "REJECT": nft.jump(REFUSE)}[rule.action]
        label = rule.text or rule.action
        for expression in self.expressions(rule, side):
            if rule.log not in ("", "nolog"):
                yield NftLine((*expression, *nft.log(rule.log, LOG_PREFIX)), f"{label} (log)")
            yield NftLine((*expression, verdict), label)

    def expressions(self, rule: Rule, side: str) -> Iterator[Expression]:
        made: dict[Family, list[Expression | None]] = {
            family: [self.expression(rule, line, side, family) for line in lines_of(rule, family)]
            if rule.works(family)
            else []
            for family in FAMILIES
        }
        if made[4] == made[6] and all(e is None or not _names_family(e) for e in made[4]):
            yield from (e for e in made[4] if e is not None)
            return
        for family in FAMILIES:
            for expression in made[family]:
                if expression is not None:
                    yield _said_once(expression, family)

    def expression(self, rule: Rule, line: MacroRule, side: str, family: Family) -> Expression | None:
        """The matches of one line for one family, None where nothing can match."""
        parts: list[Part] = []
        if is_given(rule.iface):
            parts.append(nft.interface(side, rule.iface))
        for text, field in ((rule.source, "saddr"), (rule.dest, "daddr")):
            if is_given(text):
                ranges = self.ranges(text, family)
                if not ranges:
                    return None
                parts += _addresses(family, field, ranges)
        return (*parts, *_transport(line, family))

    def ranges(self, text: str, family: Family) -> Ranges:
        return address_ranges(self.firewall, self.sets, text, family)


def _addresses(family: Family, field: str, ranges: Ranges) -> Iterator[Part]:
    if ranges == ((0, (1 << BITS[family]) - 1),):
        yield nft.family(family)
    else:
        yield nft.addresses(family, field, ranges)


def _transport(line: MacroRule, family: Family) -> Iterator[Part]:
    """The matches on protocol, ports and ICMP type."""
    if not is_given(line.proto):
        return
    number = protocol_number(line.proto)
    if number is None:
        raise InputError(f"there is no protocol {line.proto}")
    number &= 0xFF
    kind = icmp_type(line.icmp_type or line.dport, family) if number in (ICMP, ICMPV6) else None
    if kind is not None and kind.type is not None:
        yield from nft.icmp(family, kind.type, kind.code)
        return
    if number in (ICMP, ICMPV6) or not (is_given(line.dport) or is_given(line.sport)):
        if number:
            yield nft.protocol(number)
        return
    for side, text in (("sport", line.sport), ("dport", line.dport)):
        if is_given(text):
            found = iptables_ports(text, number, several="," in text)
            if isinstance(found, str):
                raise InputError(f"{text}: {found}")
            yield nft.ports(number, side, merged((span.first, span.last) for span in found))


def _names_family(expression: Expression) -> bool:
    return any(part[0].startswith(("ip ", "ip6 ", "icmp ", "icmpv6 ", "meta nfproto ")) for part in expression)


def _said_once(expression: Expression, family: Family) -> Expression:
    """With the family in front, unless something else brings it along."""
    rest = tuple(part for part in expression if part != nft.family(family))
    brings = _names_family(rest) or _ICMP_OF[family] in rest
    return rest if brings else (nft.family(family), *rest)


def _everywhere(direction: Direction) -> Iterator[NftLine]:
    if direction != "forward":
        yield NftLine((nft.interface(direction, "lo"), nft.ACCEPT), "the host speaks to itself")
    yield NftLine((nft.states("invalid"), nft.DROP), "belongs to no connection")
    yield NftLine((nft.states("established", "related"), nft.ACCEPT), "belongs to a connection")
    if direction != "forward":
        yield NftLine((nft.icmpv6_types(DISCOVERY), nft.ACCEPT), "neighbour discovery")
        yield NftLine((nft.protocol(IGMP), nft.ACCEPT), "IGMP")


def _refuse() -> Iterator[NftLine]:
    yield NftLine((nft.packet_types("broadcast", "multicast"), nft.DROP), "a reject never answers broadcasts")
    yield NftLine((nft.protocols(ICMP, ICMPV6), nft.DROP), "a reject never answers ICMP")
    yield NftLine((nft.protocol(TCP), nft.TCP_RESET), "reject")
    yield NftLine((nft.UNREACHABLE,), "reject")
