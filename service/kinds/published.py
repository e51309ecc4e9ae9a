"""What is published, worked out from what the sections say: for the kinds that have to do with it.

publishes(claims) -> Publishes, …                        what leads to a guest, each with its interface
published_of(claims, host) -> tuple[Published, ...]      those whose interface and target are known, one per family
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
from service.firewall.terms.model import FAMILIES, NOWHERE, Family, Rule, Where
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
    """In the order of the sections, each in both families where both ends have an address. What has something wrong
    with it is left out: lint says so."""
    found = []
    for claim in publishes(claims):
        for family in FAMILIES:
            target = target_of(claim.to, claims, family)
            addresses = addresses_of(claim.interface, claims, family)
            network = network_of(target, claims) if target else None
            sources = sources_of(claim, family)
            is_there = is_reached_at(claim.interface, claims, family)
            if is_there and network and network[0] != claim.interface and sources is not None:
                where = Where(*host.where(claim.path))
                others = () if addresses else others_of(claims)
                found.append(
                    Published(
                        claim.interface, addresses, claim.proto, claim.ports, target, claim.to, network[1],
                        claim.to_port, sources, where, claim.section, others,
                    )
                )  # fmt: skip
    return tuple(found)


def sources_of(claim: Publishes, family: Family) -> tuple[str, ...] | None:
    """The clients of a family: () is anybody, None nobody, where only clients of the other are named."""
    own = tuple(source for source in claim.sources if (":" in source) == (family == 6))
    return own if own or not claim.sources else None


def others_of(claims: Sequence[Claim]) -> tuple[str, ...]:
    """The networks of the host's IPv4 addresses that no DHCP server gives, each alone, and those of its loopback."""
    own = {claim.own.ip for claim in claims if isinstance(claim, AddressClaim)}
    return ("127.0.0.0/8", *(f"{ip}/32" for ip in sorted(own, key=str) if ip.version == 4))


def is_by_dhcp(interface: str, claims: Sequence[Claim]) -> bool:
    """Whether a DHCP server gives the IPv4 address of an interface."""
    return any(isinstance(c, DefaultRoute) and c.interface == interface and not c.gateway for c in claims)


def is_reached_at(interface: str, claims: Sequence[Claim], family: Family) -> bool:
    """Whether clients of a family reach the host on an interface: by its own address, or by one of DHCP."""
    return bool(addresses_of(interface, claims, family)) or (family == 4 and is_by_dhcp(interface, claims))


def addresses_of(interface: str, claims: Sequence[Claim], family: Family = 4) -> tuple[str, ...]:
    """The host's own addresses on an interface. Clients from elsewhere cannot use a link-local one."""
    own = (c.own for c in claims if isinstance(c, AddressClaim) and c.interface == interface)
    return tuple(str(one.ip) for one in own if one.version == family and not (family == 6 and one.ip.is_link_local))


def target_of(to: str, claims: Sequence[Claim], family: Family = 4) -> str:
    """The address of a guest, or the one that is written; "" where there is none of that family."""
    if ":" in to or (to[:1].isdigit() and to.count(".") == 3):
        return to if (":" in to) == (family == 6) else ""
    guest = next((c for c in claims if isinstance(c, Reservation) and c.name == to), None)
    return "" if guest is None else guest.address6 if family == 6 else guest.address


def network_of(address: str, claims: Sequence[Claim]) -> tuple[str, str] | None:
    """(interface, network) in which an address lies: the narrowest."""
    return _nearest(address, tuple((c.interface, c.address) for c in claims if isinstance(c, AddressClaim)))


@lru_cache(maxsize=1024)
def _nearest(address: str, own: tuple[tuple[str, str], ...]) -> tuple[str, str] | None:
    """The same of a host's (interface, address): several rules of lint look for each guest."""
    wanted = ipaddress.ip_address(address)
    networks = ((name, ipaddress.ip_interface(text).network) for name, text in own)
    near = [
        (net.prefixlen, name, str(net)) for name, net in networks if net.version == wanted.version and wanted in net
    ]
    return max(near)[1:] if near else None


def closed_of(claims: Sequence[Claim], published: Sequence[Published]) -> Iterator[Closed]:
    """Networks that leave under another address or hold what is published. Forwarding is on for them, so neighbours
    of the uplink could route into them, and anybody on the internet into those of IPv6.

    Guests of IPv6 leave under their own addresses, so answers come to these; only new connections are dropped there.
    """
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
    bare = Rule(direction, "ACCEPT", source=source, dest=one.target, proto=one.proto, dport=ports, family=one.family)
    return Rule(
        direction, "ACCEPT", source=source, dest=one.target, proto=one.proto, dport=ports, family=one.family,
        comment=cause, text=rule_line(bare), follows=one.where or NOWHERE,
    )  # fmt: skip
