"""What is on a host and what is behind it, as values for a picture and its text: uplinks, bridges, guests, what is
published. `drift` has the fields that differ, in words.

`standing`: seen; missing: looked for and not there; unknown: nobody could look; extra: there, and not in Git.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from service.model.guests import GuestSource, GuestState

Standing = Literal["seen", "missing", "unknown", "extra"]
NodeSort = Literal["host", "uplink", "bridge", "pool", "guest", "forward", "site", "other", "group"]


@dataclass(frozen=True, slots=True)
class Uplink:
    """An interface that the spec names. `gateways` are those of its default routes."""

    name: str
    addresses: tuple[str, ...]
    gateways: tuple[str, ...]
    standing: Standing
    drift: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PoolRange:
    """Addresses that are given out. `leased` and `reserved` are None where the leases could not be read."""

    start: str
    end: str
    size: int
    leased: int | None
    reserved: int | None


@dataclass(frozen=True, slots=True)
class BridgeNode:
    """A bridge. `nat` are the interfaces under whose address its networks leave, `ports` the interfaces in it."""

    name: str
    addresses: tuple[str, ...]
    gateways: tuple[str, ...]
    ports: tuple[str, ...]
    nat: tuple[str, ...]
    pools: tuple[PoolRange, ...]
    standing: Standing
    drift: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class GuestNode:
    """A guest. `bridge` is "" where it is not known, `running` None where that is not known. `state` is that of its
    lease, "unknown" where the leases could not be read."""

    name: str
    mac: str
    address: str
    bridge: str
    running: bool | None
    source: GuestSource
    state: GuestState | Literal["unknown"]
    drift: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ForwardNode:
    """Ports of the host that lead to a guest: `ports` as in a rule, `to_port` 0 keeps the port. `target` is the address
    of `to`, "" where it has none. `sources` () is anybody."""

    interface: str
    proto: str
    ports: str
    to: str
    to_port: int
    target: str
    bridge: str
    section: str
    sources: tuple[str, ...]
    standing: Standing


@dataclass(frozen=True, slots=True)
class SiteNode:
    """A published site: its names, the guest that answers for it, and where the requests go."""

    name: str
    names: tuple[str, ...]
    proxy: str
    upstream: str
    bridge: str


@dataclass(frozen=True, slots=True)
class SdnNetwork:
    """A subnet of a VNet. `gateway` is the node's own address, or "". `snat`: its packets leave under the node's
    address. `dhcp`: a dnsmasq of Proxmox serves it."""

    cidr: str
    gateway: str
    snat: bool
    dhcp: bool


@dataclass(frozen=True, slots=True)
class SdnNode:
    """A VNet of Proxmox's SDN, which passerelle shows and never changes. `clashes` are what the spec wants, too."""

    name: str
    zone: str
    kind: str
    networks: tuple[SdnNetwork, ...]
    clashes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class OutlineItem:
    """One line of the text, and those below it. `sort` and `name` say which object it is about."""

    text: str
    sort: NodeSort
    name: str = ""
    items: tuple["OutlineItem", ...] = ()


@dataclass(frozen=True, slots=True)
class Topology:
    """A host as Git wants it at `commit`, and as it was seen at `at`, None if never. `unknown` is why nothing can be
    said of its state now, "" where it was compared. `elsewhere` are the differences of what is not drawn, by section.
    """

    host: str
    commit: str
    at: datetime | None
    unknown: str
    uplinks: tuple[Uplink, ...]
    bridges: tuple[BridgeNode, ...]
    guests: tuple[GuestNode, ...]
    forwards: tuple[ForwardNode, ...]
    sites: tuple[SiteNode, ...]
    elsewhere: tuple[str, ...] = ()
    sdn: tuple[SdnNode, ...] = ()

    @property
    def unplaced(self) -> frozenset[str]:
        """The bridges of guests, forwards and sites that are not among those drawn; "" where none is known."""
        named = {one.bridge for one in self.guests} | {one.bridge for one in self.forwards}
        return frozenset((named | {one.bridge for one in self.sites}) - {one.name for one in self.bridges})
