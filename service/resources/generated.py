"""Files that Proxmox's SDN generates. passerelle never changes them, and removes nothing that they make."""

from service.formats.interfaces import meanings
from service.model.observed import HostObserved
from service.model.plans import Refusal
from service.model.states import Unknown
from service.observe.at_boot import interfaces_config
from service.observe.derived import derived

SDN_FILE = "/etc/network/interfaces.d/sdn"
"""Written whole at each apply of the SDN (pve-network)."""


@derived
def made_by_sdn(observed: HostObserved) -> frozenset[str]:
    """The interfaces that a stanza of that file is about."""
    config = interfaces_config(observed)
    found = {} if isinstance(config, Unknown) else meanings(config.value)
    return frozenset(name for name, have in found.items() if any(place.path == SDN_FILE for place in have.places))


def not_ours(names: str) -> Refusal:
    """A change of the file would be lost at the next apply of the SDN."""
    return Refusal(
        "not-ours",
        f"Proxmox's SDN rewrites {SDN_FILE}, so a change of {names} there would be lost",
        hint="change it in Proxmox (Datacenter, SDN), and remove it from the spec",
    )
