"""What sections say to each other without importing each other: collected from all kinds first, then given to all."""

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Network:
    """This host has `address` (CIDR with host bits, as in `10.10.10.1/24`) on `interface`."""

    interface: str
    address: str


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
class Serves:
    """A daemon of ours serves DHCP or DNS on `interface`."""

    protocol: str
    interface: str


Claim: TypeAlias = Network | Reservation | NeedsForwarding | Serves
