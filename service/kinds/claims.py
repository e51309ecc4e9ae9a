"""What sections say to each other without importing each other: collected from all kinds first, then given to all."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Interface, IPv6Interface, ip_interface
from typing import Literal, TypeAlias

from service.kinds.packet_rules.section import GuestFirewall
from service.spec.findings import Path


@dataclass(frozen=True, slots=True)
class Named:
    """The spec names this interface; `sort` says as what."""

    interface: str
    sort: Literal["interface", "bridge", "vlan", "bond"]


@dataclass(frozen=True, slots=True)
class AddressClaim:
    """This host has `address` (CIDR with host bits, as in `10.10.10.1/24`) on `interface`."""

    interface: str
    address: str

    @property
    def own(self) -> IPv4Interface | IPv6Interface:
        """The address and its network as values: most questions about a host ask for them, so they are read once."""
        return _interface(self.address)


@lru_cache(maxsize=4096)
def _interface(address: str) -> IPv4Interface | IPv6Interface:
    return ip_interface(address)


@dataclass(frozen=True, slots=True)
class DefaultRoute:
    """The default route of a family (4 or 6) goes through `gateway` on `interface`; `on_link`: outside its subnets.

    `gateway` "": a DHCP server gives the address and the route, and the spec says neither.
    """

    interface: str
    family: int
    gateway: str
    on_link: bool = False


@dataclass(frozen=True, slots=True)
class Reservation:
    """A guest known by its MAC: its name, its addresses where they are fixed, its link in the host, its number on
    Proxmox (0: not said)."""

    name: str
    mac: str
    address: str = ""
    address6: str = ""
    port: str = ""
    vmid: int = 0


@dataclass(frozen=True, slots=True)
class Filtered:
    """A guest has rules of its own. `addresses` are all that it may use, `port` is its link in the host or "",
    `vmid` its number on Proxmox."""

    guest: str
    mac: str
    addresses: tuple[str, ...]
    port: str
    section: GuestFirewall
    vmid: int | None = None


@dataclass(frozen=True, slots=True)
class Creates:
    """passerelle makes this guest where it is not there, and looks into it. `bridge` is "" for the one that its address
    or the DHCP server is in; `vmid` is its number on Proxmox, 0 elsewhere."""

    guest: str
    mac: str
    bridge: str = ""
    vmid: int = 0


@dataclass(frozen=True, slots=True)
class NeedsInGuest:
    """A guest cannot do its work without this Debian package. `cause` names what needs it in words."""

    guest: str
    package: str
    cause: str


@dataclass(frozen=True, slots=True)
class NeedsSysctl:
    """Something wants a kernel setting. `cause` names it in words; `platform` is where it has to be made, "" = any."""

    key: str
    value: str
    cause: str
    platform: str = ""


@dataclass(frozen=True, slots=True)
class NeedsForwarding:
    """Something wants IPv4 packets forwarded. `cause` names it in words; `to` is the guest or the address that they
    lead to, "" where that is not one. One without IPv4 needs nothing. IPv6: service/kinds/on_the_way6.py."""

    cause: str
    to: str = ""


@dataclass(frozen=True, slots=True)
class Masquerades:
    """The network `source` leaves through `out` under its address; only answers come back that way."""

    source: str
    out: str


@dataclass(frozen=True, slots=True)
class Publishes:
    """Ports of the host's addresses on `interface` lead to `to`, a guest's name or an address.

    `path` is the place in the host's file that asks for it, its first part the section. `interface` "" is that of the
    IPv4 default route: `publishes` in published.py fills it in. `ports` are closed ranges, `to_port` 0 keeps the port,
    `sources` () = anybody.
    """

    path: Path
    interface: str
    proto: str
    ports: tuple[tuple[int, int], ...]
    to: str
    to_port: int = 0
    sources: tuple[str, ...] = ()
    names: tuple[str, ...] = ()

    @property
    def section(self) -> str:
        """The section that asks for it."""
        return str(self.path[0])


@dataclass(frozen=True, slots=True)
class Reaches:
    """Connections from `source` to `to` have to pass the firewalls of guests, and the host's where it routes them.

    Both are a guest's name or an IPv4 address; "" is anybody, HOST the host itself. `ports` are closed ranges. `cause`
    names in words what needs it; `path` is its place in the host's file.
    """

    source: str
    to: str
    proto: str
    ports: tuple[tuple[int, int], ...]
    cause: str
    path: Path


HOST = "@"
"""In `Reaches`: the host's address in the network of the other side."""


@dataclass(frozen=True, slots=True)
class Proxies:
    """A guest answers on 80 and 443 for sites: (its name, all its names) for each."""

    guest: str
    sites: tuple[tuple[str, tuple[str, ...]], ...]


@dataclass(frozen=True, slots=True)
class Filters:
    """A firewall of ours decides about packets to, from and through the host."""


@dataclass(frozen=True, slots=True)
class NeedsLoader:
    """Something has an nft table of its own that the boot loads. `cause` names it; `platform` empty = on all."""

    cause: str
    platform: str = ""


@dataclass(frozen=True, slots=True)
class Serves:
    """A daemon of ours serves DHCP or DNS on `interface`."""

    protocol: str
    interface: str


@dataclass(frozen=True, slots=True)
class KeepsLeases:
    """A DHCP server of ours keeps its leases in this file."""

    path: str


@dataclass(frozen=True, slots=True)
class NamesGuests:
    """The spec has guests."""


@dataclass(frozen=True, slots=True)
class GuestDomain:
    """The guests' names are also in this domain: dev is dev.DOMAIN."""

    domain: str


@dataclass(frozen=True, slots=True)
class NamesBySettings:
    """Whether guests that the spec does not name are named by their own settings."""

    wanted: bool


@dataclass(frozen=True, slots=True)
class Pool:
    """Addresses `start` to `end` are given out on `interface`."""

    interface: str
    start: str
    end: str


@dataclass(frozen=True, slots=True)
class NeedsPackage:
    """Something cannot work without this Debian package. `cause` names it in words."""

    package: str
    cause: str


@dataclass(frozen=True, slots=True)
class PackageState:
    """What the spec says of a Debian package."""

    package: str
    state: Literal["present", "absent"]


@dataclass(frozen=True, slots=True)
class NeedsUnit:
    """Something cannot work unless this systemd unit runs. `cause` names it in words."""

    unit: str
    cause: str


Claim: TypeAlias = (
    Named
    | AddressClaim
    | DefaultRoute
    | Reservation
    | Filtered
    | Creates
    | NeedsInGuest
    | NeedsSysctl
    | NeedsForwarding
    | Masquerades
    | Publishes
    | Reaches
    | Proxies
    | Filters
    | NeedsLoader
    | Serves
    | KeepsLeases
    | NamesGuests
    | GuestDomain
    | NamesBySettings
    | Pool
    | NeedsPackage
    | PackageState
    | NeedsUnit
)


def named_by_settings(claims: Sequence[Claim]) -> tuple[str, ...]:
    """The bridges whose guests are named by their own settings: if the spec has guests at all."""
    if not any(isinstance(claim, NamesGuests) for claim in claims) or NamesBySettings(wanted=False) in claims:
        return ()
    served = (claim.interface for claim in claims if isinstance(claim, Serves) and claim.protocol == "dhcp")
    return tuple(dict.fromkeys(served))
