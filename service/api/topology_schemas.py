"""What the API answers about the topology of a host."""

from datetime import datetime
from typing import Literal

from pydantic import Field

from service.api.schemas import Told
from service.model.guests import GuestSource, GuestState
from service.model.topology import NodeSort, Standing

STANDING = "seen; missing: looked for and not there; unknown: nobody could look; extra: there, and not in Git"
DRIFT = "the fields that differ from Git"


class Uplink(Told):
    """An interface that Git names."""

    name: str
    addresses: list[str]
    gateways: list[str] = Field(description="of its default routes")
    standing: Standing = Field(description=STANDING)
    drift: list[str] = Field(description=DRIFT)


class PoolRange(Told):
    """A range of addresses on a bridge."""

    start: str
    end: str
    size: int
    leased: int | None = Field(description="null: the leases could not be read")
    reserved: int | None = Field(description="kept for guests that do not use them now; null as for `leased`")


class BridgeNode(Told):
    """A bridge of the host."""

    name: str
    addresses: list[str]
    gateways: list[str]
    ports: list[str] = Field(description="interfaces in it")
    nat: list[str] = Field(description="interfaces under whose address its networks leave")
    pools: list[PoolRange]
    standing: Standing = Field(description=STANDING)
    drift: list[str] = Field(description=DRIFT)


class GuestNode(Told):
    """A guest."""

    name: str = Field(description="empty where nobody knows it")
    mac: str
    address: str
    bridge: str = Field(description="empty where it is not known")
    running: bool | None = Field(description="null: not known")
    source: GuestSource
    state: GuestState | Literal["unknown"] = Field(
        description="of its lease, as in the list of guests; unknown: the leases could not be read"
    )
    drift: list[str] = Field(description=DRIFT)


class ForwardNode(Told):
    """Ports of the host that lead to a guest."""

    interface: str
    proto: str
    ports: str = Field(description="as in a rule: 80,443,8000:8010")
    to: str = Field(description="a guest, or an address")
    to_port: int = Field(description="the port of the guest; 0: the same")
    target: str = Field(description="the address of `to`; empty where it has none")
    bridge: str = Field(description="the bridge of `to`; empty where it is not known")
    section: str = Field(description="the section of the spec that asks for it")
    sources: list[str] = Field(description="clients that may; empty: everybody")
    standing: Standing = Field(description=STANDING)


class SiteNode(Told):
    """A published site."""

    name: str
    names: list[str]
    proxy: str = Field(description="the guest that answers for it")
    upstream: str
    bridge: str = Field(description="the bridge of `proxy`; empty where it is not known")


class SdnNetwork(Told):
    """A subnet of a VNet."""

    cidr: str
    gateway: str = Field(description="the node's own address in it; empty: none")
    snat: bool = Field(description="its packets leave under the node's address")
    dhcp: bool = Field(description="a dnsmasq of Proxmox serves it")


class SdnNode(Told):
    """A VNet of Proxmox's SDN. passerelle shows it and never changes it."""

    name: str = Field(description="also the name of its bridge")
    zone: str
    kind: str = Field(description="of its zone: simple, vlan, qinq, vxlan or evpn; empty where it is not known")
    networks: list[SdnNetwork]
    clashes: list[str] = Field(description="what the spec wants of it, too, each with its fix")


class OutlineItem(Told):
    """A line of the topology as nested lists, and the lines below it."""

    text: str
    sort: NodeSort
    name: str = Field(description="of the object that the line is about; empty for a group")
    items: list["OutlineItem"]


class FleetHost(Told):
    """A host, and the hosts that it has to do with."""

    host: str
    address: str = Field(description="for SSH")
    through: str = Field(description="the host of the fleet that forwards the connection; empty: none")
    after: list[str] = Field(description="hosts for which it waits with a new revision")
    cluster: str = Field(description="its Proxmox cluster; empty: none")
    peers: list[str] = Field(description="the other hosts of its cluster")
    differences: int | None = Field(description="how much differs from Git; null: it was not compared")


class FleetTopology(Told):
    """The hosts in Git that the token sees, and what connects them."""

    commit: str
    hosts: list[FleetHost]
    outline: OutlineItem = Field(description="the same in words")


class Topology(Told):
    """A host with all that is on it and behind it. What is not known is `unknown` or null, and never left out."""

    host: str
    commit: str
    at: datetime | None = Field(description="when the host was seen; null: never")
    unknown: str = Field(description="why the host was not compared with `commit`; empty: it was")
    uplinks: list[Uplink]
    bridges: list[BridgeNode]
    guests: list[GuestNode]
    forwards: list[ForwardNode]
    sites: list[SiteNode]
    elsewhere: list[str] = Field(description="differences of what is not drawn: section and number")
    sdn: list[SdnNode] = Field(description="VNets of Proxmox's SDN, as they were seen")
    outline: OutlineItem = Field(description="the same in words")
