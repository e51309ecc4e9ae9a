"""Proxmox's SDN next to what the spec makes, and where the two are in each other's way. Pure."""

import ipaddress
from collections.abc import Iterator, Sequence

from service.formats.pve_sdn import Sdn
from service.kinds.claims import AddressClaim, Claim, Named, Serves
from service.model.observed import HostObserved
from service.model.states import Seen
from service.model.topology import SdnNetwork, SdnNode
from service.observe.pve_node import sdn_of

PROXMOX = "change it in Proxmox (Datacenter, SDN)"


def sdn_nodes(claims: Sequence[Claim], observed: HostObserved | None) -> tuple[SdnNode, ...]:
    """The VNets that were seen, each with its clashes."""
    found = sdn_of(observed) if observed is not None else None
    if not isinstance(found, Seen):
        return ()
    sdn = found.value
    nodes = []
    for vnet in sdn.vnets:
        zone = sdn.zone(vnet.name)
        own = (one for one in sdn.subnets if one.vnet == vnet.name)
        networks = tuple(SdnNetwork(one.cidr, one.gateway, one.snat, sdn.serves_dhcp(one)) for one in own)
        clashes = tuple(clashes_of(vnet.name, sdn, claims))
        nodes.append(SdnNode(vnet.name, vnet.zone, zone.kind if zone else "", networks, clashes))
    return tuple(nodes)


def clashes_of(vnet: str, sdn: Sdn, claims: Sequence[Claim]) -> Iterator[str]:
    """What of a VNet the spec wants, too: its name, its addresses, and DHCP on its bridge, each with the fix."""
    if any(isinstance(claim, Named) and claim.interface == vnet for claim in claims):
        yield f"the spec has {vnet}, too. Fix: remove it from the spec, or {PROXMOX}"
    if any(isinstance(claim, Serves) and claim.interface == vnet for claim in claims):
        yield f"the spec's dnsmasq serves {vnet}, as Proxmox's may. Fix: remove it from the spec's `dnsmasq`"
    for subnet in sdn.subnets:
        network = ipaddress.ip_network(subnet.cidr)
        for claim in claims if subnet.vnet == vnet else ():
            if not isinstance(claim, AddressClaim) or claim.interface == vnet:
                continue
            own = claim.own
            if own.version == network.version and own.network.overlaps(network):
                what = "address" if str(own.ip) == subnet.gateway else "network"
                yield (
                    f"{claim.interface} has {claim.address}, the same {what} as {subnet.cidr} of {vnet}. "
                    f"Fix: give one of them another network: in the spec, or {PROXMOX}"
                )
