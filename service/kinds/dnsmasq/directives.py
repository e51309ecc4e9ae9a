"""From a `dnsmasq` section to dnsmasq(8)'s directives."""

import ipaddress
from collections.abc import Iterator, Sequence

from service.firewall.terms.model import FAMILIES
from service.kinds.claims import AddressClaim, Claim, Publishes, Reservation
from service.kinds.dnsmasq.section import DhcpRange, DnsmasqSection, flags_of
from service.kinds.published import target_of
from service.resources.dnsmasq_elsewhere import Directive

SINGLE_VALUES = (
    "domain", "log_facility", "cache_size", "dns_forward_max", "dhcp_lease_max", "local_ttl", "neg_ttl", "max_ttl",
    "max_cache_ttl", "min_cache_ttl",
)  # fmt: skip
LISTS = ("server", "except_interface", "no_dhcp_interface", "listen_address")


def directives(section: DnsmasqSection, claims: Sequence[Claim]) -> tuple[Directive, ...]:
    """Every directive that the section asks for, and those that follow from it."""
    return tuple(_directives(section, claims))


def _directives(section: DnsmasqSection, claims: Sequence[Claim]) -> Iterator[Directive]:
    for flag in flags_of(section):
        yield dashed(flag), ""
    if section.interface or not section.listen_address:
        for name in section.served_interfaces():
            yield "interface", name
    for key in LISTS:
        for value in dict.fromkeys(getattr(section, key)):  # a doubled value would always be a difference
            yield dashed(key), str(value)
    for domain in dict.fromkeys(section.local):
        yield "local", f"/{domain}/"
    for key in SINGLE_VALUES:
        if (value := getattr(section, key)) is not None:
            yield dashed(key), str(value)
    yield from _dhcp(section)
    for index, entry in enumerate(section.dhcp):
        yield from _range(entry, f"range{index}" if len(section.dhcp) > 1 else "", claims)
    for entry6 in section.dhcp6:
        yield "dhcp-range", str(entry6.range6())
    for name, address in split_names(claims):
        yield "host-record", f"{name},{address}"


def _dhcp(section: DnsmasqSection) -> Iterator[Directive]:
    """What holds for all ranges."""
    if section.names == "declared":
        yield "dhcp-ignore-names", "tag:!known"
    if section.authoritative:
        yield "dhcp-authoritative", ""
    if section.lease_file:
        yield "dhcp-leasefile", section.lease_file


def _range(entry: DhcpRange, tag: str, claims: Sequence[Claim]) -> Iterator[Directive]:
    """One range and its options; with several ranges the options are tied to theirs by a tag."""
    mask = entry.netmask or netmask_of(entry, claims)
    parts = [f"set:{tag}"] if tag else []
    parts += [entry.start, entry.end, *([mask] if mask else []), entry.lease_time]
    yield "dhcp-range", ",".join(parts)
    for number, values in entry.options_by_number().items():
        yield "dhcp-option", ",".join([*([f"tag:{tag}"] if tag else []), str(number), *values])


def split_names(claims: Sequence[Claim]) -> list[tuple[str, str]]:
    """(name, address) of what is published under a name: to guests it is where it really is."""
    found = {
        (name, target_of(c.to, claims, family))
        for c in claims
        if isinstance(c, Publishes)
        for name in c.names
        for family in FAMILIES
    }
    return sorted(pair for pair in found if pair[1])


def netmask_of(entry: DhcpRange, claims: Sequence[Claim]) -> str:
    """The mask of the network that the range's interface has."""
    start = ipaddress.ip_address(entry.start)
    for claim in claims:
        if isinstance(claim, AddressClaim) and claim.interface == entry.interface:
            network = claim.own.network
            if start in network:
                return str(network.netmask)
    return ""


def guests_of(claims: Sequence[Claim]) -> tuple[tuple[str, str, str], ...]:
    """(name, MAC, address or empty) of the guests that dnsmasq has to name."""
    return tuple(sorted((claim.name, claim.mac, claim.address) for claim in claims if isinstance(claim, Reservation)))


def networks_of(claims: Sequence[Claim]) -> tuple[str, ...]:
    """The host's own networks."""
    return tuple(claim.address for claim in claims if isinstance(claim, AddressClaim))


def dashed(key: str) -> str:
    """The directive's own name."""
    return key.replace("_", "-")
