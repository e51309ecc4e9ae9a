"""`guests`: the guests by name, known by their MAC address, so that one that sends no name has one too."""

import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from service.firewall.nft.published import shown_ports
from service.firewall.pve.cards import link_local
from service.kinds.addressing import wired_networks
from service.kinds.claims import (
    AddressClaim,
    Claim,
    Filtered,
    KeepsLeases,
    NamesGuests,
    NeedsSysctl,
    NeedsUnit,
    Reservation,
    Serves,
    named_by_settings,
)
from service.kinds.guests_made import RULES as CREATE_RULES
from service.kinds.guests_made import Create, claims_made, desire_made, lint_made
from service.kinds.packet_rules.guest_lint import RULES as FIREWALL_RULES
from service.kinds.packet_rules.guest_lint import lint_firewalls
from service.kinds.packet_rules.section import GuestFirewall
from service.kinds.published import publishes
from service.model.observed import Watch
from service.resources.files import OwnFile
from service.resources.guest_names import GuestNames
from service.resources.guests_known import GUESTS_FILE
from service.resources.resource import Phase, Resource
from service.spec.findings import Hit, LintRule
from service.spec.grammar import Address4, Address6, HostName, InterfaceName, Mac
from service.spec.host import HostSpec


class Guest(BaseModel):
    """One guest of this host."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    mac: Mac = Field(description="The MAC address of the guest's interface; from the guest's settings.")
    address: Address4 | None = Field(None, description="Its IPv4 address, reserved for it; may lie in the DHCP range.")
    address6: Address6 | None = Field(None, description="Its IPv6 address, for its firewall; nothing gives it out.")
    port: InterfaceName | None = Field(
        None, description="Its link in the host, a port of the bridge, as in veth100i0: a stronger proof than its MAC."
    )
    vmid: int | None = Field(
        None, ge=100, le=999_999_999, description="Its number on Proxmox, for its firewall's file."
    )
    firewall: GuestFirewall | None = Field(None, description="Rules of its own.")
    create: Create | None = Field(None, description="passerelle creates the guest where it does not exist.")


BRIDGED = ("net.bridge.bridge-nf-call-iptables", "net.bridge.bridge-nf-call-ip6tables")
"""What goes from port to port of a bridge meets the rules, too (br_netfilter). On Proxmox pve-firewall sets them."""

GuestsSection: TypeAlias = Annotated[Mapping[HostName, Guest], Field(max_length=4096)]

DUPLICATE_MAC = LintRule("guests.duplicate-mac", "error", "a MAC address belongs to one guest")
DUPLICATE_ADDRESS = LintRule("guests.duplicate-address", "error", "an address is reserved for one guest")
NAME_IS_HOST = LintRule("guests.name-is-host", "error", "a guest has another name than its host")
ADDRESS_IS_OWN = LintRule("guests.address-is-own", "error", "a guest's address is not the host's own")
ADDRESS_OUTSIDE = LintRule(
    "guests.address-outside-networks", "error", "a guest's address lies in a network of the host", by_absence=True
)
NO_DHCP = LintRule("guests.no-dhcp", "warning", "the host runs a DHCP server for the guests", by_absence=True)
MAC_ON_TWO_HOSTS = LintRule("guests.mac-on-two-hosts", "warning", "a MAC address belongs to a guest of one host")
MAC_IN_ONE_NETWORK = LintRule("guests.mac-in-one-network", "error", "a MAC address is in a network once")


class Guests:
    """Guests by name: MAC address, and a reserved address where one is given."""

    name = "guests"
    section: Any = GuestsSection
    rules: tuple[LintRule, ...] = (
        DUPLICATE_MAC,
        DUPLICATE_ADDRESS,
        NAME_IS_HOST,
        ADDRESS_IS_OWN,
        ADDRESS_OUTSIDE,
        NO_DHCP,
        MAC_ON_TWO_HOSTS,
        MAC_IN_ONE_NETWORK,
        *FIREWALL_RULES,
        *CREATE_RULES,
    )

    def lint(self, section: GuestsSection, host: HostSpec, claims: Sequence[Claim]) -> Iterator[Hit]:
        own = [claim.own for claim in claims if isinstance(claim, AddressClaim)]
        subnets = _Subnets([one for one in own if isinstance(one, ipaddress.IPv4Interface)])
        by_mac: dict[str, str] = {}
        by_address: dict[str, str] = {}
        for name, guest in section.items():
            if name == host.name:
                yield NAME_IS_HOST.hit((name,), f"{name} is the host's own name", "give the guest another name")
            first = by_mac.setdefault(guest.mac, name)
            if first != name:
                yield DUPLICATE_MAC.hit(
                    (name, "mac"), f"{guest.mac} already belongs to {first}", "correct one of the two"
                )
            if guest.address is None:
                continue
            first = by_address.setdefault(guest.address, name)
            if first != name:
                yield DUPLICATE_ADDRESS.hit(
                    (name, "address"), f"{guest.address} is already reserved for {first}", "choose another address"
                )
            yield from subnets.lint((name, "address"), guest.address)
        yield from lint_firewalls(section, host, claims)
        yield from lint_made(section, host, claims)
        if section and not any(isinstance(c, Serves) and c.protocol == "dhcp" for c in claims):
            yield NO_DHCP.hit((), "this host runs no DHCP server for these guests", "add `dnsmasq` with a `dhcp` range")

    def lint_fleet(self, hosts: Mapping[str, HostSpec]) -> Iterator[tuple[str, Hit]]:
        first_seen: dict[str, tuple[str, str]] = {}
        in_network: dict[tuple[str, object], tuple[str, str, str]] = {}
        for spec in hosts.values():
            section = spec.sections.get(self.name)
            wired = wired_networks(spec)
            for name, guest in section.items() if isinstance(section, Mapping) else ():
                first = first_seen.setdefault(guest.mac, (spec.name, name))
                shared = None
                for network, bridge in wired.items():
                    if _may_be_in(guest, network):
                        found = in_network.setdefault((guest.mac, network), (spec.name, name, bridge))
                        shared = shared or (None if found[0] == spec.name else (network, bridge, found))
                if shared is not None:
                    network, bridge, (host, other, its) = shared
                    what = (
                        f"{guest.mac} is also the MAC address of {other} on {host}, and both are in {network} "
                        f"(by {its} of {host} and {bridge} of {spec.name})"
                    )
                    right = "give one of them another MAC address, or remove the guest from the host that it left"
                    yield spec.name, MAC_IN_ONE_NETWORK.hit((name, "mac"), what, right)
                elif first[0] != spec.name:
                    host, other = first
                    what = f"{guest.mac} is also the MAC address of {other} on {host}"
                    right = "correct one of the two, unless one is a copy or the guest is moving to the other host"
                    yield spec.name, MAC_ON_TWO_HOSTS.hit((name, "mac"), what, right)

    def claims(self, section: GuestsSection) -> Iterator[Claim]:
        yield NamesGuests()
        yield from claims_made(section)
        for name, guest in section.items():
            yield Reservation(
                name, guest.mac, guest.address or "", guest.address6 or "", guest.port or "", guest.vmid or 0
            )
            if guest.firewall is not None and guest.firewall.enable:
                given = (guest.address, guest.address6, link_local(guest.mac))
                addresses = tuple(dict.fromkeys(address for address in given if address))
                yield Filtered(name, guest.mac, addresses, guest.port or "", guest.firewall, guest.vmid)
                for key in BRIDGED:
                    yield NeedsSysctl(key, "1", "guests have firewalls of their own", platform="debian")

    def desire(
        self,
        section: GuestsSection | None,
        host: HostSpec,
        claims: Sequence[Claim],
    ) -> Iterator[Resource]:
        yield from desire_made(self.name, section or {}, host, claims)
        kept = next((claim.path for claim in claims if isinstance(claim, KeepsLeases)), "")
        if not any(isinstance(c, NeedsUnit) and c.unit == "dnsmasq.service" for c in claims):
            yield OwnFile(self.name, GUESTS_FILE, None, "dhcp-hosts", phase=Phase.DAEMON_FILE)
        elif section is None:
            yield GuestNames(self.name, (), lease_file=kept, gone=True)
        else:
            rows = tuple((name, guest.mac, guest.address or "") for name, guest in section.items())
            bridges, take_over = named_by_settings(claims), self.name in host.take_over
            published = tuple((c.to, f"{c.proto}/{shown_ports(c.ports)} on {c.interface}") for c in publishes(claims))
            yield GuestNames(
                self.name, rows, take_over=take_over, bridges=bridges, lease_file=kept, published=published
            )

    def watch(self) -> Watch:
        return Watch()


def _may_be_in(guest: Guest, network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> bool:
    """Whether a guest may be in a network: one with a fixed address of its family is where that is."""
    fixed = guest.address if network.version == 4 else guest.address6
    return fixed is None or ipaddress.ip_address(fixed) in network


class _Subnets:
    """The host's IPv4 subnets, found by an address in as many looks as they have different prefix lengths."""

    def __init__(self, own: Sequence[ipaddress.IPv4Interface]) -> None:
        self._own = {interface.ip for interface in own}
        self._subnets = {(i.network.prefixlen, int(i.network.network_address)): i.network for i in own}
        self._lengths = sorted({length for length, _ in self._subnets})

    def lint(self, path: tuple[str | int, ...], address: str) -> Iterator[Hit]:
        """What is wrong with a guest's address."""
        wanted = ipaddress.IPv4Address(address)
        if wanted in self._own:
            yield ADDRESS_IS_OWN.hit(path, f"{address} is the host's own address", "choose another address")
            return
        keys = ((length, int(wanted) >> (32 - length) << (32 - length)) for length in self._lengths)
        inside = [self._subnets[key] for key in keys if key in self._subnets]
        if not inside:
            known = ", ".join(str(network) for network in list(self._subnets.values())[:8]) or "none"
            yield ADDRESS_OUTSIDE.hit(
                path,
                f"{address} is outside every network of this host",
                f"write an address in one of its networks: {known}",
            )
        elif any(wanted in (n.network_address, n.broadcast_address) for n in inside if n.num_addresses > 2):
            yield ADDRESS_OUTSIDE.hit(
                path, f"{address} is the network or broadcast address of its subnet", "choose another address"
            )
