"""What sections say to each other without importing each other: collected from all kinds first, then given to all."""

from dataclasses import dataclass
from typing import Literal, TypeAlias


@dataclass(frozen=True, slots=True)
class Named:
    """The spec names this interface; `sort` says as what."""

    interface: str
    sort: Literal["interface", "bridge"]


@dataclass(frozen=True, slots=True)
class Network:
    """This host has `address` (CIDR with host bits, as in `10.10.10.1/24`) on `interface`."""

    interface: str
    address: str


@dataclass(frozen=True, slots=True)
class DefaultRoute:
    """The default route of a family (4 or 6) goes through `gateway` on `interface`."""

    interface: str
    family: int
    gateway: str


@dataclass(frozen=True, slots=True)
class Reservation:
    """A guest known by its MAC: its name, and its address where it is fixed."""

    name: str
    mac: str
    address: str = ""


@dataclass(frozen=True, slots=True)
class NeedsForwarding:
    """Something wants IPv4 packets forwarded. `cause` names it in words."""

    cause: str


@dataclass(frozen=True, slots=True)
class Masquerades:
    """The network `source` leaves through `out` under its address; only answers come back that way."""

    source: str
    out: str


@dataclass(frozen=True, slots=True)
class NeedsLoader:
    """Something has an nft table of its own that the boot loads. `cause` names it in words."""

    cause: str


@dataclass(frozen=True, slots=True)
class Serves:
    """A daemon of ours serves DHCP or DNS on `interface`."""

    protocol: str
    interface: str


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
    | Network
    | DefaultRoute
    | Reservation
    | NeedsForwarding
    | Masquerades
    | NeedsLoader
    | Serves
    | NeedsPackage
    | PackageState
    | NeedsUnit
)
