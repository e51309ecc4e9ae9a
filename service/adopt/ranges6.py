"""dnsmasq's IPv6 ranges into the section's `dhcp6`."""

from collections.abc import Mapping

from service.formats.dnsmasq_range6 import read_range6
from service.kinds.dnsmasq.range6 import Dhcp6Range, check_host_part, said_of
from service.model.states import Json

NOT_PLAIN = "not an IPv6 range that follows one bridge (`constructor:BRIDGE`, prefix of 64 bits, no tags)"


def take_range6(value: str, section: dict[str, Json], values: Mapping[str, object]) -> tuple[int, str]:
    """Add the range of a `dhcp-range` to a section. Returns its index, and why it is not taken: then the index is -1.

    `values` are the sections read before, with the bridges. A range that the spec could not say the same way stays out.
    """
    found = read_range6(value)
    if found is None:
        return -1, NOT_PLAIN
    if not _has_address6(found.interface, values):
        return -1, f"{found.interface} has no IPv6 address"
    served, known = section.get("interface"), section.get("dhcp6", [])
    if isinstance(served, list) and found.interface not in served:
        return -1, f"{found.interface} is not among the interfaces that dnsmasq serves"
    if found.end and not found.modes and not section.get("enable_ra"):
        return -1, "without `enable-ra` guests do not ask for a lease"
    said = said_of(found)
    try:
        same = Dhcp6Range.model_validate(said).range6()
    except ValueError:
        return -1, "no spec has such a range"
    if same.modes != found.modes or (found.end and check_host_part(found.end) != found.end):
        return -1, "no spec has these modes together"
    if not isinstance(known, list) or any(isinstance(k, dict) and k["interface"] == found.interface for k in known):
        return -1, f"{found.interface} has another range"
    section["dhcp6"] = [*known, said]
    return len(known), ""


def _has_address6(interface: str, values: Mapping[str, object]) -> bool:
    for key in ("bridges", "interfaces"):
        links = values.get(key)
        link = links.get(interface) if isinstance(links, dict) else None
        addresses = link.get("addresses") if isinstance(link, dict) else None
        if isinstance(addresses, list) and any(":" in str(address) for address in addresses):
            return True
    return False
