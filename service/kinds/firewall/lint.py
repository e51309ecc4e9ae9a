"""What is wrong in a firewall beyond its types: rules that Proxmox would refuse, and services that it blocks."""

from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, ip_address
from itertools import chain

from service.firewall.terms.model import Level, Rule
from service.firewall.terms.names import TCP, UDP
from service.firewall.trace.chains import ACCEPT
from service.firewall.trace.host_trace import HostAnalyser
from service.firewall.trace.node_trace import NodeAnalyser
from service.firewall.trace.packets import first_packet
from service.firewall.trace.verdict import Verdict
from service.kinds.claims import AddressClaim, Claim, Masquerades, Named, Reservation, Serves
from service.kinds.packet_rules.grammar import RESERVED_SETS
from service.spec.findings import Hit, LintRule

RULE = LintRule("firewall.rule", "error", "a rule has an effect")
GROUP = LintRule("firewall.group", "error", "a named group exists, and has plain rules")
DHCP_BLOCKED = LintRule(
    "firewall.dhcp-blocked",
    "error",
    "the firewall accepts DHCP on interfaces where the host serves it",
    by_absence=True,
)
DNS_BLOCKED = LintRule(
    "firewall.dns-blocked", "error", "the firewall accepts DNS on interfaces where the host serves it", by_absence=True
)
UNKNOWN_INTERFACE = LintRule(
    "firewall.unknown-interface", "warning", "a rule's interface is in the spec", by_absence=True
)
NEIGHBOURS = LintRule(
    "firewall.neighbours-reach", "error", "neighbours of the uplink do not reach a private network", by_absence=True
)
LEFT_OPEN = LintRule(
    "firewall.neighbours-left-open",
    "warning",
    "a private network is open to neighbours of the uplink only if that is intended",
)
RESERVED = LintRule("firewall.reserved-set", "error", "sets with a special meaning on Proxmox are for Proxmox hosts")
RULES = (RULE, GROUP, DHCP_BLOCKED, DNS_BLOCKED, NEIGHBOURS, LEFT_OPEN, UNKNOWN_INTERFACE, RESERVED)

_Address = IPv4Address | IPv6Address

_NO_ADDRESS = IPv4Address(0)
"""Of a client that has none yet."""
_EVERYBODY = IPv4Address("255.255.255.255")
_NEIGHBOUR = IPv4Address("192.0.2.1")
"""Somebody outside (RFC 5737)."""


def reserved_sets(cluster: Level) -> Iterator[Hit]:
    """Sets of the fleet that would accept nobody, and block nobody, on a host without Proxmox."""
    for name in RESERVED_SETS:
        if name in cluster.ipsets:
            what = f"the name of the set {name} has a special meaning on Proxmox, and none on this host"
            yield RESERVED.hit((), what, "rename the set, and write rules that use it")


def unknown_interfaces(rules: Sequence[Rule], claims: Sequence[Claim]) -> Iterator[Hit]:
    """Rules that wait for packets on an interface of which the spec knows nothing."""
    known = sorted({claim.interface for claim in claims if isinstance(claim, Named)})
    for index, rule in enumerate(rules):
        if rule.iface and rule.iface not in known:
            right = f"name one of {', '.join(known)}" if known else "name one of `interfaces` or `bridges`"
            yield UNKNOWN_INTERFACE.hit(
                ("rules", index, "iface"), f"the spec has no interface or bridge {rule.iface}", right
            )


def blocked(analyser: HostAnalyser | NodeAnalyser, claims: Sequence[Claim]) -> Iterator[Hit]:
    """Services of the host that its own firewall keeps from working."""
    for claim in claims:
        if isinstance(claim, Serves) and claim.protocol == "dhcp":
            yield from _dhcp(analyser, claim.interface, claims)
        elif isinstance(claim, Serves) and claim.protocol == "dns":
            yield from _dns(analyser, claim.interface, claims)
        elif isinstance(claim, Masquerades):
            yield from _neighbours(analyser, claim)


def _dhcp(analyser: HostAnalyser | NodeAnalyser, iface: str, claims: Sequence[Claim]) -> Iterator[Hit]:
    said = analyser.trace(iface, "", first_packet(_NO_ADDRESS, _EVERYBODY, UDP, 67, 68))
    if said.verdict != ACCEPT:
        what = f"guests on {iface} get no address, because the firewall blocks udp/67 ({_by(said)})"
        yield _hit(DHCP_BLOCKED, said, what, iface, "udp", 67)
    for own, guest in _pairs(iface, claims, 4):
        said = analyser.trace("", iface, first_packet(own, guest, UDP, 68, 67))
        if said.verdict != ACCEPT:
            what = f"guests on {iface} get no address, because the firewall blocks answers to udp/68 ({_by(said)})"
            fix = f"{{type: out, action: accept, iface: {iface}, proto: udp, sport: 67, dport: 68}}"
            yield DHCP_BLOCKED.hit((), what, _right(said, fix))
        return


def _dns(analyser: HostAnalyser | NodeAnalyser, iface: str, claims: Sequence[Claim]) -> Iterator[Hit]:
    for proto, number in (("udp", UDP), ("tcp", TCP)):
        said = _refused(analyser, iface, claims, number)
        if said is not None:
            what = f"guests on {iface} cannot resolve names, because the firewall blocks {proto}/53 ({_by(said)})"
            yield _hit(DNS_BLOCKED, said, what, iface, proto, 53)


def _refused(analyser: HostAnalyser | NodeAnalyser, iface: str, claims: Sequence[Claim], proto: int) -> Verdict | None:
    """The verdict on the first guest's query, if those of all others are refused, too. The guests of a network with
    IPv4 use that."""
    first: Verdict | None = None
    for family in (4, 6):
        for own, guest in _pairs(iface, claims, family):
            said = analyser.trace(iface, "", first_packet(guest, own, proto, 53))
            if said.verdict == ACCEPT:
                return None
            first = first if first is not None else said
        if first is not None:
            break
    return first


def _neighbours(analyser: HostAnalyser | NodeAnalyser, claim: Masquerades) -> Iterator[Hit]:
    target = IPv4Network(claim.source).network_address + 1
    said = analyser.trace(claim.out, "inside", first_packet(_NEIGHBOUR, target, TCP, 22))
    if said.verdict == ACCEPT:
        what = f"a neighbour on {claim.out} that routes {claim.source} to this host reaches the guests ({_by(said)})"
        fix = f"{{type: forward, action: drop, dest: {claim.source}}}"
        yield NEIGHBOURS.hit((), what, _right(said, fix))


def open_to_neighbours(claims: Sequence[Claim]) -> Iterator[Hit]:
    """Where the firewall sees nothing of what is routed and nothing else closes the networks."""
    for claim in claims:
        if isinstance(claim, Masquerades):
            what = f"a neighbour on {claim.out} that routes {claim.source} to this host reaches the guests"
            yield NEIGHBOURS.hit(
                (), f"{what}, because Proxmox does not filter routed packets", "write `derive: {nat: true}`"
            )


def left_open(claims: Sequence[Claim]) -> Iterator[Hit]:
    """Networks of which the spec says that they stay open: `derive: {nat: open}`."""
    for claim in claims:
        if isinstance(claim, Masquerades):
            what = f"a neighbour on {claim.out} that routes {claim.source} to this host reaches the guests"
            yield LEFT_OPEN.hit(("derive", "nat"), what, "write `nat: true`, which closes the network to neighbours")


def _hit(rule: LintRule, said: Verdict, what: str, iface: str, proto: str, port: int) -> Hit:
    return rule.hit(
        (), what, _right(said, f"{{type: in, action: accept, iface: {iface}, proto: {proto}, dport: {port}}}")
    )


def _right(said: Verdict, fix: str) -> str:
    """The fix. If a policy decided, a rule is missing. If a rule decided, the new one has to be in front of it."""
    if "policy_" in said.why:
        return f"add {fix} to `firewall.rules`, or write `derive: true`"
    return f"put {fix} before that rule"


def _by(said: Verdict) -> str:
    where = f", {said.rule}" if said.rule else ""
    return f"{said.why}{where}"


def _pairs(iface: str, claims: Sequence[Claim], family: int) -> Iterator[tuple[_Address, _Address]]:
    """(the host's address, an address that a guest may have) for some addresses of the interface's network."""
    for claim in claims:
        if not isinstance(claim, AddressClaim) or claim.interface != iface:
            continue
        own, network = claim.own.ip, claim.own.network
        size = network.num_addresses
        if own.version != family or size < 4:
            continue
        usual = (network.network_address + n for n in {1, 2, size // 2, size - 2})
        fixed = (ip_address(c.address) for c in claims if isinstance(c, Reservation) and c.address)
        yield from ((own, guest) for guest in chain(usual, fixed) if guest in network and guest != own)
