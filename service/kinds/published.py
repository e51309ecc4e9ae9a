"""What is published, worked out from what the sections say: for the kinds that have to do with it.

publishes(claims) -> Publishes, …                        what leads to a guest, each with its interface
published_of(claims, host) -> tuple[Published, ...]      those whose interface and target are known
closed_of(claims, published) -> Closed, …                networks that nobody may route into from outside
accepted(published, policy_out) -> Rule, …               what a firewall has to let through for them
"""

import ipaddress
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache

from service.firewall.host import Closed
from service.firewall.nft.published import Published, shown_ports
from service.firewall.pve.render import rule_line
from service.firewall.terms.model import NOWHERE, Rule, Where
from service.kinds.claims import AddressClaim, Claim, DefaultRoute, Masquerades, Publishes, Reservation
from service.spec.host import HostSpec

PORTS_IN_A_RULE = 7
"""Proxmox takes 15 numbers in a list of ports, a range counts for two."""


def publishes(claims: Sequence[Claim]) -> Iterator[Publishes]:
    """In the order of the sections. What names no interface is on that of the default route; without one, nowhere."""
    for claim in claims:
        if isinstance(claim, Publishes):
            interface = claim.interface or uplink_of(claims)
            if interface:
                yield claim if claim.interface else replace(claim, interface=interface)


def uplink_of(claims: Sequence[Claim]) -> str:
    """The interface of the IPv4 default route, "" where the spec has none."""
    return next((c.interface for c in claims if isinstance(c, DefaultRoute) and c.family == 4), "")


def published_of(claims: Sequence[Claim], host: HostSpec) -> tuple[Published, ...]:
    """In the order of the sections. What has something wrong with it is left out: lint says so."""
    found = []
    for claim in publishes(claims):
        addresses = addresses_of(claim.interface, claims)
        target = target_of(claim.to, claims)
        network = network_of(target, claims) if target else None
        if addresses and target and network:
            where = Where(*host.where(claim.path))
            found.append(
                Published(
                    claim.interface, addresses, claim.proto, claim.ports, target, claim.to, network[1],
                    claim.to_port, claim.sources, where, claim.section,
                )
            )  # fmt: skip
    return tuple(found)


def addresses_of(interface: str, claims: Sequence[Claim]) -> tuple[str, ...]:
    """The host's own IPv4 addresses on an interface."""
    own = (c.address for c in claims if isinstance(c, AddressClaim) and c.interface == interface)
    return tuple(address.partition("/")[0] for address in own if ":" not in address)


def is_by_dhcp(interface: str, claims: Sequence[Claim]) -> bool:
    """Whether a DHCP server gives the IPv4 address of an interface."""
    return any(isinstance(c, DefaultRoute) and c.interface == interface and not c.gateway for c in claims)


def target_of(to: str, claims: Sequence[Claim]) -> str:
    """The address of a guest, or the one that is written; "" where there is none."""
    if to[:1].isdigit() and to.count(".") == 3:
        return to
    return next((c.address for c in claims if isinstance(c, Reservation) and c.name == to), "")


def network_of(address: str, claims: Sequence[Claim]) -> tuple[str, str] | None:
    """(interface, network) in which an address lies: the narrowest."""
    return _nearest(address, tuple((c.interface, c.address) for c in claims if isinstance(c, AddressClaim)))


@lru_cache(maxsize=1024)
def _nearest(address: str, own: tuple[tuple[str, str], ...]) -> tuple[str, str] | None:
    """The same of a host's (interface, address): several rules of lint look for each guest."""
    wanted = ipaddress.IPv4Address(address)
    networks = ((name, ipaddress.ip_interface(text).network) for name, text in own)
    near = [(net.prefixlen, name, str(net)) for name, net in networks if net.version == 4 and wanted in net]
    return max(near)[1:] if near else None


def closed_of(claims: Sequence[Claim], published: Sequence[Published]) -> Iterator[Closed]:
    """Networks that leave under another address or hold what is published: forwarding is on for them, so neighbours
    of the uplink could route into them."""
    found: dict[tuple[str, str], Closed] = {}
    for source, out in sorted({(claim.source, claim.out) for claim in claims if isinstance(claim, Masquerades)}):
        cause = f"{source} leaves through {out} under the address of {out}, and nobody there may connect to it"
        found[source, out] = Closed(out, source, cause)
    for one in published:
        cause = f"{one.name} in {one.network} can be reached from {one.interface} only by its published ports"
        found.setdefault((one.network, one.interface), Closed(one.interface, one.network, cause))
    yield from found.values()


def accepted(published: Sequence[Published], policy_out: str) -> Iterator[Rule]:
    """The filter sees packets after their destination was changed. `policy_out` is ACCEPT, DROP or REJECT. Two things
    that lead to one port of a guest need one rule."""
    found: dict[str, Rule] = {}
    for rule in _accepted(published, policy_out):
        first = found.setdefault(rule.text, rule)
        if first is not rule:
            found[rule.text] = replace(first, comment=f"{first.comment}; {rule.comment}")
    yield from found.values()


def _accepted(published: Sequence[Published], policy_out: str) -> Iterator[Rule]:
    for one in published:
        cause = f"{one.section}: {one.label()}"
        for start in range(0, len(one.inner_ports), PORTS_IN_A_RULE):
            ports = shown_ports(one.inner_ports[start : start + PORTS_IN_A_RULE])
            yield _rule("forward", one, ports, cause)
            if policy_out != "ACCEPT" and not one.sources:
                yield _rule("out", one, ports, cause)


def _rule(direction: str, one: Published, ports: str, cause: str) -> Rule:
    source = ",".join(one.sources)
    bare = Rule(direction, "ACCEPT", source=source, dest=one.target, proto=one.proto, dport=ports, family=4)
    return Rule(
        direction, "ACCEPT", source=source, dest=one.target, proto=one.proto, dport=ports, family=4,
        comment=cause, text=rule_line(bare), follows=one.where or NOWHERE,
    )  # fmt: skip
