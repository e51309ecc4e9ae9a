"""How ifupdown2 sets the forwarding of an interface that it brings up, as 3.0.0 was seen to do (addons/address.py).

A bridge with an `address` line, or with a VLAN on top of it, gets forwarding switched on. A bridge without either, such
as one with DHCP, gets it switched off. Both happen at boot and at `ifreload`, and `ip-forward` changes neither. Other
interfaces follow their `ip-forward` line. The port of a bridge is left alone.
"""

from dataclasses import dataclass

from service.formats.interfaces.at_boot import meaning, meanings
from service.formats.interfaces.loading import InterfacesConfig
from service.formats.interfaces.meant import TRUE_WORDS, IfaceMeaning


@dataclass(frozen=True, slots=True)
class ForwardingSet:
    """IPv4 forwarding of one interface, as the program sets it. `by_bridge`: because it is a bridge, not by a line.
    `where` is `path:line`."""

    on: bool
    where: str
    by_bridge: bool


def forwarding_set(config: InterfacesConfig, name: str) -> ForwardingSet | None:
    """None where the program leaves it alone."""
    have = meaning(config, name)
    if have is None or not have.at_boot or config.program.is_classic:
        return None
    if have.bridge is not None:
        place = have.places[0]
        on = bool(have.lines("address")) or any(_is_on_top(name, other) for other in meanings(config).values())
        return ForwardingSet(on, f"{place.path}:{place.first_line}", by_bridge=True)
    lines = have.lines("ip-forward")
    if not lines or any(found.bridge and name in found.bridge.ports for found in meanings(config).values()):
        return None
    return ForwardingSet(lines[0].value in TRUE_WORDS, f"{lines[0].path}:{lines[0].line}", by_bridge=False)


def _is_on_top(name: str, other: IfaceMeaning) -> bool:
    """Whether another interface is a VLAN of this one."""
    return other.name.startswith(f"{name}.") or any(o.value == name for o in other.lines("vlan-raw-device"))
