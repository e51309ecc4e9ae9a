"""Whether the firewall lets clients reach what is published."""

import ipaddress
from collections.abc import Iterator, Sequence

from service.firewall.nft.published import NUMBERS, Published
from service.firewall.trace.chains import ACCEPT
from service.firewall.trace.host_trace import HostAnalyser
from service.firewall.trace.node_trace import NodeAnalyser
from service.firewall.trace.packets import first_packet
from service.firewall.trace.verdict import Verdict
from service.kinds.claims import Claim
from service.kinds.published import network_of
from service.spec.findings import Hit, LintRule

FORWARD_BLOCKED = LintRule("firewall.forward-blocked", "error", "the firewall accepts published ports", by_absence=True)
_SOMEBODY = {4: ipaddress.ip_address("192.0.2.1"), 6: ipaddress.ip_address("2001:db8::1")}
"""Somebody outside (RFC 5737, RFC 3849)."""
_BY_DHCP = "192.0.2.2"
"""In place of an address that a DHCP server gives (RFC 5737)."""


def forwards_blocked(
    analyser: HostAnalyser | NodeAnalyser, published: Sequence[Published], claims: Sequence[Claim]
) -> Iterator[Hit]:
    """A finding for each published port that its first client cannot reach."""
    for one in published:
        near = network_of(one.target, claims)
        source = ipaddress.ip_network(one.sources[0]).network_address if one.sources else _SOMEBODY[one.family]
        first, inner = one.ports[0][0], one.inner_ports[0][0]
        proto = NUMBERS[one.proto]
        outer = first_packet(source, ipaddress.ip_address(next(iter(one.addresses), _BY_DHCP)), proto, first)
        sent_on = first_packet(source, ipaddress.ip_address(one.target), proto, inner)
        said = analyser.trace(one.interface, near[0] if near else "", outer, sent_on)
        if said.verdict != ACCEPT:
            where = f"{one.where}: " if one.where else ""
            what = f"{where}{one.proto}/{first} is published for {one.name}, but the firewall blocks it ({_by(said)})"
            yield FORWARD_BLOCKED.hit((), what, _right(said, one, inner))


def _by(said: Verdict) -> str:
    return f"{said.why}, {said.rule}" if said.rule else said.why


def _right(said: Verdict, one: Published, port: int) -> str:
    if "of guest" in said.why or ".firewall" in said.why or "in_" in said.why:
        return f"add {{type: in, action: accept, proto: {one.proto}, dport: {port}}} to the firewall of {one.name}"
    fix = f"{{type: forward, action: accept, dest: {one.target}, proto: {one.proto}, dport: {port}}}"
    if "policy_" in said.why:
        return f"add {fix} to `firewall.rules`, or write `derive: true`"
    return f"put {fix} before that rule"
