"""Interfaces whose addresses come by DHCP or from a router, as keys of a spec."""

from collections.abc import Mapping

from service.formats.interfaces import IfaceMeaning
from service.model.states import Json


def from_elsewhere(have: IfaceMeaning) -> dict[str, Json]:
    """`dhcp` and `ipv6`, where the stanzas say so. Of two methods for IPv6 the one that asks a server counts."""
    found: dict[str, Json] = {}
    if "inet dhcp" in have.dynamic:
        found["dhcp"] = True
    six = [method.partition(" ")[2] for method in have.dynamic if method.startswith("inet6 ")]
    if six:
        found["ipv6"] = "dhcp" if "dhcp" in six else six[0]
    return found


def is_given(address: str, keys: Mapping[str, Json]) -> bool:
    """Whether an address or a gateway is of a family that comes from elsewhere: a spec has none of those then."""
    return "ipv6" in keys if ":" in address else "dhcp" in keys
