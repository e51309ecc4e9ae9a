"""What interfaces and bridges have in common: addresses, gateways, and the rules for both."""

import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from service.kinds.claims import AddressClaim, Claim, DefaultRoute, Masquerades, Named
from service.kinds.from_elsewhere import claims_from_elsewhere, lint_from_elsewhere
from service.spec.findings import Hit, LintRule
from service.spec.grammar import Address4, Address6, InterfaceAddress
from service.spec.host import HostSpec

_Interface: TypeAlias = ipaddress.IPv4Interface | ipaddress.IPv6Interface
_Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network


class Addressed(BaseModel):
    """An interface of any sort with its addresses."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    addresses: tuple[InterfaceAddress, ...] = Field(
        default=(), max_length=16, description="Own addresses with prefix length, as in 192.0.2.10/24; IPv4 and IPv6."
    )
    gateway: Address4 | None = Field(
        None, description="Next hop of the IPv4 default route, in a subnet of the interface, unless `on_link` is true."
    )
    gateway6: Address6 | None = Field(
        None,
        description="Next hop of the IPv6 default route, in a subnet of the interface, link-local, or with `on_link`.",
    )
    on_link: bool = Field(
        default=False,
        description="The gateways are on the link, though outside of the subnets, as some providers require. "
        "Not needed if all addresses of the family are single ones (/32, /128).",
    )
    dhcp: bool = Field(
        default=False,
        description="The IPv4 address and the default route come from a DHCP server. They are what the host has, and "
        "no drift.",
    )
    ipv6: Literal["auto", "dhcp"] | None = Field(
        None,
        description="IPv6 addresses from elsewhere. auto: by router advertisements (SLAAC). dhcp: by DHCPv6. The "
        "default route is the router's.",
    )
    mtu: int | None = Field(
        None, ge=68, le=65535, description="Largest packet in bytes; by default the value of the device."
    )


@dataclass(frozen=True, slots=True)
class AddressingRules:
    """The rules of one section that holds interfaces, each with the section's name in its id."""

    duplicate_address: LintRule
    overlapping_subnets: LintRule
    gateway_outside_subnet: LintRule
    second_default_route: LintRule
    on_link_alone: LintRule
    from_elsewhere: LintRule

    def all(self) -> tuple[LintRule, ...]:
        """As a table."""
        return (
            self.duplicate_address,
            self.overlapping_subnets,
            self.gateway_outside_subnet,
            self.second_default_route,
            self.on_link_alone,
            self.from_elsewhere,
        )


def addressing_rules(kind: str) -> AddressingRules:
    """The rules under a section's name."""
    return AddressingRules(
        LintRule(
            f"{kind}.duplicate-address", "error", "an address is on one interface once, a /32 or /128 once on each"
        ),
        LintRule(f"{kind}.overlapping-subnets", "error", "two interfaces have no subnet in common"),
        LintRule(
            f"{kind}.gateway-outside-subnet",
            "error",
            "a gateway is another address in a subnet of its interface, or on_link",
        ),
        LintRule(f"{kind}.second-default-route", "error", "there is one default route for each family"),
        LintRule(f"{kind}.on-link-without-gateway", "error", "on_link says something of a gateway"),
        LintRule(
            f"{kind}.static-beside-dhcp", "error", "where a family's addresses come from elsewhere, the spec has none"
        ),
    )


def addressing_claims(
    section: Mapping[str, Addressed], sort: Literal["interface", "bridge", "vlan", "bond"]
) -> Iterator[Claim]:
    """What interfaces of one sort tell the other kinds."""
    for name, item in section.items():
        yield Named(name, sort)
        for address in item.addresses:
            yield AddressClaim(name, address)
        beyond = on_link_gateways(item)
        for family, gateway in ((4, item.gateway), (6, item.gateway6)):
            if gateway:
                yield DefaultRoute(name, family, gateway, on_link=gateway in beyond)
        yield from claims_from_elsewhere(name, dhcp=item.dhcp, is_routed=item.gateway is not None)


def taken_rules(host: HostSpec, claims: Sequence[Claim]) -> tuple[tuple[str, str], ...]:
    """The masquerades (source, out) whose lines in the interfaces files go: the spec has `take_over: [nat]`."""
    if "nat" not in host.take_over:
        return ()
    return tuple(sorted((claim.source, claim.out) for claim in claims if isinstance(claim, Masquerades)))


_PRIVATE = tuple(
    map(
        ipaddress.ip_network,
        ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16", "fc00::/7", "fe80::/10"),
    )
)
"""Networks that many sites have, each its own (RFC 1918, 6598, 3927, 4193, 4291)."""


def wired_networks(host: HostSpec) -> Mapping[_Network, str]:
    """The networks that bridges of a host share with other machines by a physical port, each with its bridge.

    A private network counts only where the service reaches the host by it: elsewhere two sites may each have their own.
    """
    section = host.sections.get("bridges")
    found: dict[_Network, str] = {}
    for name, bridge in section.items() if isinstance(section, Mapping) else ():
        for address in bridge.addresses if bridge.ports else ():
            network = ipaddress.ip_interface(address).network
            is_private = any(_holds(wider, network) for wider in _PRIVATE)
            if not is_private or _is_in(host.connection.address, network):
                found.setdefault(network, name)
    return found


def _is_in(address: str, network: _Network) -> bool:
    try:
        return ipaddress.ip_address(address) in network
    except ValueError:  # a name
        return False


def gateways_of(item: Addressed) -> tuple[str, ...]:
    """The gateways of one interface, of both families."""
    return tuple(gateway for gateway in (item.gateway, item.gateway6) if gateway)


def lint_addressing(section: Mapping[str, Addressed], claims: Sequence[Claim], rules: AddressingRules) -> Iterator[Hit]:
    """Addresses and gateways of one section against those of all. Of two that collide the later one is named."""
    routes = [claim for claim in claims if isinstance(claim, DefaultRoute)]
    yield from _collisions(section, [claim for claim in claims if isinstance(claim, AddressClaim)], rules)
    for name, item in section.items():
        for key, gateway, family in (("gateway", item.gateway, 4), ("gateway6", item.gateway6, 6)):
            if gateway:
                yield from _gateway((name, key), item, gateway, rules)
                yield from _second(name, key, routes, family, rules)
        if item.dhcp:
            yield from _second(name, "dhcp", routes, 4, rules)
        yield from lint_from_elsewhere(name, item, rules.from_elsewhere)
        if item.on_link and not (item.gateway or item.gateway6):
            yield rules.on_link_alone.hit(
                (name, "on_link"),
                f"{name} has `on_link` but no gateway",
                "add `gateway`, or remove `on_link`",
            )


def _collisions(
    section: Mapping[str, Addressed], networks: Sequence[AddressClaim], rules: AddressingRules
) -> Iterator[Hit]:
    parsed = [claim.own for claim in networks]
    duplicates, overlaps = _duplicates(networks, parsed), _overlaps(networks, parsed)
    standing: dict[AddressClaim, list[int]] = {}
    for number, claim in enumerate(networks):
        standing.setdefault(claim, []).append(number)
    for name, item in section.items():
        for index, address in enumerate(item.addresses):
            own = standing[AddressClaim(name, address)].pop(0)
            path = (name, "addresses", index)
            if own in duplicates:
                other = networks[duplicates[own]].interface
                yield rules.duplicate_address.hit(
                    path, f"{parsed[own].ip} is already on {other}", "keep one of the two"
                )
            elif own in overlaps:
                other = networks[overlaps[own]].interface
                yield rules.overlapping_subnets.hit(
                    path,
                    f"{parsed[own].network} overlaps {parsed[overlaps[own]].network} on {other}",
                    "give each interface a subnet of its own",
                )


def _duplicates(networks: Sequence[AddressClaim], parsed: Sequence[_Interface]) -> dict[int, int]:
    """For each address that was there before: the place of the first.

    A single address (/32, /128) may be on several interfaces: Linux takes it as its own on each, and it makes no subnet
    (ip-address(8)). Providers that route to one address have it so on the uplink and on the guests' bridge.
    """
    first: dict[object, int] = {}
    wide: dict[object, int] = {}
    found: dict[int, int] = {}
    for n, own in enumerate(parsed):
        here = first.setdefault((own.ip, networks[n].interface), n)
        anywhere = first.setdefault(own.ip, n)
        earlier = here if here != n else wide.get(own.ip, n) if _is_single(own) else anywhere
        if earlier != n:
            found[n] = earlier
        if not _is_single(own):
            wide.setdefault(own.ip, n)
    return found


def _is_single(own: _Interface) -> bool:
    return own.network.prefixlen == own.max_prefixlen


def _overlaps(networks: Sequence[AddressClaim], parsed: Sequence[_Interface]) -> dict[int, int]:
    """For each address whose subnet another interface has before it: the place of that one.

    Two subnets overlap only if one holds the other, so, sorted, each has what holds it right before it. This takes no
    longer for thousands of addresses than reading them.
    """
    places: dict[_Network, list[int]] = {}
    for number, own in enumerate(parsed):
        # Every interface has the link-local subnet.
        if not own.is_link_local:
            places.setdefault(own.network, []).append(number)
    found: dict[int, int] = {}
    holding: list[_Network] = []
    for subnet in sorted(places, key=lambda s: (s.version, int(s.network_address), s.prefixlen)):
        first = places[subnet][0]
        is_single = subnet.prefixlen == subnet.max_prefixlen
        for other in () if is_single else places[subnet][1:]:
            if networks[other].interface != networks[first].interface:
                found.setdefault(other, first)
        while holding and not _holds(holding[-1], subnet):
            holding.pop()
        for wider in holding:
            for own_place in places[subnet] if is_single else (first,):
                earlier, later = sorted((places[wider][0], own_place))
                if networks[earlier].interface != networks[later].interface:
                    found.setdefault(later, earlier)
        holding.append(subnet)
    return found


def _holds(wider: _Network, subnet: _Network) -> bool:
    return wider.version == subnet.version and subnet.network_address in wider


def _gateway(path: tuple[str | int, ...], item: Addressed, gateway: str, rules: AddressingRules) -> Iterator[Hit]:
    next_hop = ipaddress.ip_address(gateway)
    own = [ipaddress.ip_interface(address) for address in item.addresses]
    family = [address for address in own if address.version == next_hop.version]
    if not family:
        yield rules.gateway_outside_subnet.hit(
            path,
            f"the gateway {gateway} has no address of the same family on this interface",
            "add the host's own address to `addresses`",
        )
        return
    if any(next_hop == address.ip for address in family):
        yield rules.gateway_outside_subnet.hit(
            path, f"the gateway {gateway} is the host's own address", "write the router's address"
        )
        return
    if next_hop.version == 6 and next_hop.is_link_local:
        return
    is_beyond = not any(next_hop in address.network for address in family)
    if not (is_reached(next_hop, family) or (item.on_link and is_beyond)):
        subnets = ", ".join(str(address.network) for address in family)
        fix = "write the router's address in that subnet"
        fix += ", or add `on_link: true` if the router is on the same link" if is_beyond else ""
        yield rules.gateway_outside_subnet.hit(path, f"the gateway {gateway} is outside {subnets}", fix)


def is_reached(next_hop: ipaddress.IPv4Address | ipaddress.IPv6Address, own: Sequence[_Interface]) -> bool:
    """Whether a gateway needs no `on_link`: it is in a subnet of ours, or we have single addresses only, so that
    every gateway is outside. `own` are our addresses of its family."""
    single = all(map(_is_single, own))
    return single or any(_is_host_in(next_hop, address.network) for address in own)


def on_link_gateways(item: Addressed) -> tuple[str, ...]:
    """The gateways of one interface that are outside its subnets and are meant to be."""
    own = [ipaddress.ip_interface(address) for address in item.addresses]
    return tuple(
        gateway
        for gateway in gateways_of(item)
        if not any(ipaddress.ip_address(gateway) in address.network for address in own)
    )


def _is_host_in(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address, network: ipaddress.IPv4Network | ipaddress.IPv6Network
) -> bool:
    """Whether a host may have this address there: neither the network's own nor its broadcast address."""
    if address not in network:
        return False
    if network.version == 6 or network.num_addresses <= 2:
        return True
    return address not in (network.network_address, network.broadcast_address)


def _second(name: str, key: str, routes: list[DefaultRoute], family: int, rules: AddressingRules) -> Iterator[Hit]:
    first = next(route for route in routes if route.family == family)
    if first.interface != name:
        yield rules.second_default_route.hit(
            (name, key),
            f"this is a second IPv{family} default route. The first one uses {first.gateway or 'DHCP'} on "
            f"{first.interface}",
            "keep one of the two",
        )
