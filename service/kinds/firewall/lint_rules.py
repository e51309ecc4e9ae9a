"""Rules without an effect, and rules that open more than people expect."""

import ipaddress
from collections.abc import Iterator, Sequence

from service.firewall.host import HostFirewall
from service.firewall.nft.published import NUMBERS, Published
from service.firewall.terms.model import Rule
from service.firewall.terms.names import TCP, UDP
from service.firewall.trace.chains import ACCEPT
from service.firewall.trace.cover import boxes
from service.firewall.trace.host_trace import HostAnalyser
from service.firewall.trace.node_trace import NodeAnalyser
from service.firewall.trace.packets import first_packet
from service.firewall.trace.sets import build_sets
from service.firewall.trace.verdict import Verdict
from service.kinds.claims import AddressClaim, Claim, DefaultRoute, Serves
from service.spec.findings import Hit, LintRule

SHADOWED = LintRule("firewall.shadowed", "warning", "every rule decides at least one packet", by_absence=True)
DUPLICATE = LintRule("firewall.duplicate-rule", "warning", "a rule is not repeated", by_absence=True)
OPEN_RESOLVER = LintRule(
    "firewall.open-resolver", "warning", "the host's resolver is not for everybody", by_absence=True
)
NEIGHBOURS_MANAGE = LintRule(
    "firewall.neighbours-manage", "warning", "the provider's whole network cannot log in", by_absence=True
)
STALE_PORT = LintRule("firewall.stale-port", "warning", "a port that is forwarded to a guest is not opened on the host")
RULES = (SHADOWED, DUPLICATE, OPEN_RESOLVER, NEIGHBOURS_MANAGE, STALE_PORT)

MANAGEMENT_PORTS = (22, 8006)
_SOMEBODY = ipaddress.IPv4Address("192.0.2.1")
"""Somebody outside (RFC 5737)."""


def too_open(analyser: HostAnalyser | NodeAnalyser, claims: Sequence[Claim]) -> Iterator[Hit]:
    """Ports of the uplink that are open to more addresses than people expect."""
    for route in claims:
        if not isinstance(route, DefaultRoute) or route.family != 4:
            continue
        for network in claims:
            if not isinstance(network, AddressClaim) or network.interface != route.interface:
                continue
            if isinstance(network.own, ipaddress.IPv4Interface):
                yield from _resolver(analyser, route.interface, network.own, claims)
                yield from _management(analyser, route, network.own)


def _resolver(
    analyser: HostAnalyser | NodeAnalyser, uplink: str, own: ipaddress.IPv4Interface, claims: Sequence[Claim]
) -> Iterator[Hit]:
    if any(isinstance(claim, Serves) and claim.protocol == "dns" for claim in claims):
        said = _asked(analyser, uplink, _SOMEBODY, own, UDP, 53)
        if said.verdict == ACCEPT:
            what = f"this host is an open resolver: anybody may send DNS queries to {uplink} ({said.why}{_at(said)})"
            yield OPEN_RESOLVER.hit((), what, "accept udp/53 from your own networks only")


def _management(
    analyser: HostAnalyser | NodeAnalyser, route: DefaultRoute, own: ipaddress.IPv4Interface
) -> Iterator[Hit]:
    near = own.network
    neighbours = [near.network_address + n for n in (2, near.num_addresses - 2) if near.num_addresses > 4]
    others = [one for one in neighbours if one != own.ip and str(one) != route.gateway]
    for port in MANAGEMENT_PORTS:
        if _asked(analyser, route.interface, _SOMEBODY, own, TCP, port).verdict == ACCEPT:
            continue
        said = [_asked(analyser, route.interface, one, own, TCP, port) for one in others]
        if said and all(one.verdict == ACCEPT for one in said):
            what = (
                f"every host in {near}, the provider's network on {route.interface}, may connect to tcp/{port} "
                f"({said[0].why}{_at(said[0])})"
            )
            right = "accept only the addresses that you connect from"
            if "set management" in said[0].why:
                right = "define the alias local_network in fleet.yaml as the address that you connect from"
            yield NEIGHBOURS_MANAGE.hit((), what, right)


def stale_ports(firewall: HostFirewall, published: Sequence[Published], own: Sequence[Rule]) -> Iterator[Hit]:
    """Rules that open ports of the host which nobody reaches any more: all of them lead to a guest."""
    if not published:
        return
    sets = build_sets(firewall.levels)
    sent = {
        (one.interface, NUMBERS[one.proto], port)
        for one in published
        if not one.sources
        for first, last in one.ports
        for port in range(first, min(last, first + 4096) + 1)
    }
    interfaces = {one.interface for one in published}
    for index, rule in enumerate(own):
        found = list(boxes(firewall, sets, rule)) if rule.type == "in" and rule.action == "ACCEPT" else []
        if not found or rule.dest or any(not box.dports for box in found):
            continue
        near = {rule.iface} if rule.iface else interfaces
        ports = {(box.proto, port) for box in found for first, last in box.dports or () for port in (first, last)}
        if near and all((name, *port) in sent for name in near for port in ports):
            by = " and ".join(f"`{section}`" for section in dict.fromkeys(one.section for one in published))
            what = f"the rule opens {_shown(ports)} on the host, but {by} sends these ports to a guest first"
            yield STALE_PORT.hit(("rules", index), what, "remove the rule, and use the firewall of the guest")


def _shown(ports: set[tuple[int, int]]) -> str:
    names = {number: name for name, number in NUMBERS.items()}
    return ", ".join(f"{names.get(proto, proto)}/{port}" for proto, port in sorted(ports))


def _asked(
    analyser: HostAnalyser | NodeAnalyser,
    uplink: str,
    source: ipaddress.IPv4Address,
    own: ipaddress.IPv4Interface,
    proto: int,
    port: int,
) -> Verdict:
    return analyser.trace(uplink, "", first_packet(source, own.ip, proto, port))


def _at(said: Verdict) -> str:
    return f", {said.rule}" if said.rule and said.rule.line else ""
