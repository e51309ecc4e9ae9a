"""Refusals: a plan that would take a network which Proxmox's SDN has on a bridge of its own."""

import ipaddress
from collections.abc import Iterator, Sequence

from service.model.facts import Step
from service.model.observed import HostObserved
from service.model.plans import Refusal
from service.model.states import Json, Seen
from service.observe.pve_node import sdn_of


def sdn_clashes(steps: Sequence[Step], observed: HostObserved) -> Iterator[Refusal]:
    """New addresses in a subnet of a VNet, on another interface: the node would have two ways to the same guests."""
    sdn = sdn_of(observed)
    if not isinstance(sdn, Seen):
        return
    for step in steps:
        name = step.fact.removeprefix("addresses:")
        for address in _new(step) if name != step.fact else ():
            own = ipaddress.ip_interface(address).network
            for subnet in sdn.value.subnets:
                network = ipaddress.ip_network(subnet.cidr)
                if subnet.vnet != name and own.version == network.version and own.overlaps(network):
                    yield Refusal(
                        "sdn-clash",
                        f"{name} would get {address}, and {subnet.cidr} is a network of Proxmox's SDN ({subnet.vnet})",
                        hint="give the interface another network, or change the subnet in Proxmox (Datacenter, SDN)",
                    )


def _new(step: Step) -> list[str]:
    before, after = _texts(step.before), _texts(step.after)
    return [one for one in after if one not in before]


def _texts(value: Json) -> list[str]:
    return [str(one) for one in value] if isinstance(value, list) else []
