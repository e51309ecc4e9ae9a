"""A port that a rule closes in IPv4 alone: the same port in IPv6 is easily forgotten."""

from collections.abc import Iterator, Sequence
from ipaddress import ip_address

from service.firewall.host import HostFirewall
from service.firewall.nft.published import Published
from service.firewall.terms.model import Family, Rule
from service.firewall.terms.names import PORTS_OF, TCP, UDP
from service.firewall.trace.chains import ACCEPT
from service.firewall.trace.cover import boxes
from service.firewall.trace.host_trace import HostAnalyser
from service.firewall.trace.node_trace import NodeAnalyser
from service.firewall.trace.packets import first_packet
from service.firewall.trace.sets import build_sets
from service.firewall.trace.verdict import Verdict
from service.kinds.claims import Claim, DefaultRoute
from service.kinds.published import addresses_of
from service.spec.findings import Hit, LintRule

OPEN_IN_IPV6 = LintRule(
    "firewall.open-in-ipv6", "warning", "a port that a rule closes in IPv4 is not open in IPv6", by_absence=True
)
_SOMEBODY: dict[Family, str] = {4: "192.0.2.1", 6: "2001:db8::1"}
"""Addresses that nobody has (RFC 5737, RFC 3849)."""


def open_in_ipv6(
    analyser: HostAnalyser | NodeAnalyser,
    firewall: HostFirewall,
    own: Sequence[Rule],
    published: Sequence[Published],
    claims: Sequence[Claim],
) -> Iterator[Hit]:
    """A finding for each rule of IPv4 with a port that somebody outside gets to in IPv6 alone."""
    sets = build_sets(firewall.levels)
    for uplink in sorted({claim.interface for claim in claims if isinstance(claim, DefaultRoute)}):
        four, six = (next(iter(addresses_of(uplink, claims, family)), "") for family in (4, 6))
        if not four or not six:
            continue
        for index, rule in enumerate(own):
            found = list(boxes(firewall, sets, rule)) if rule.type == "in" and rule.iface in ("", uplink) else []
            if any(box.family == 6 for box in found):
                continue
            ports = {(box.proto, first) for box in found if box.proto in (TCP, UDP) for first, _ in box.dports or ()}
            for proto, port in sorted(ports):
                if any(one.takes(6, proto, _number(_SOMEBODY[6]), _number(six), port) for one in published):
                    continue
                said = _asked(analyser, uplink, 6, six, (proto, port))
                if said.verdict == ACCEPT and _asked(analyser, uplink, 4, four, (proto, port)).verdict != ACCEPT:
                    yield _hit(index, f"{PORTS_OF[proto]}/{port}", said)
                    break


def _hit(index: int, name: str, said: Verdict) -> Hit:
    what = f"{name} is closed to everybody in IPv4, but open to everybody in IPv6 ({said.why})"
    right = f"write a rule for {name} in IPv6, too, or one without addresses, which is for both families"
    return OPEN_IN_IPV6.hit(("rules", index), what, right)


def _number(address: str) -> int:
    return int(ip_address(address))


def _asked(
    analyser: HostAnalyser | NodeAnalyser, uplink: str, family: Family, to: str, port: tuple[int, int]
) -> Verdict:
    return analyser.trace(uplink, "", first_packet(ip_address(_SOMEBODY[family]), ip_address(to), *port))
