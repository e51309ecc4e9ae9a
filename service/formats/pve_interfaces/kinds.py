"""What each interface is, by its options and then by its name, and its addresses in prefix form.

Nothing here looks at the machine: what is called like a network card counts as one.
"""

from service.formats.pve_interfaces.interface import FamilyPart, Kind, PveInterface
from service.formats.pve_interfaces.open_vswitch import take_option
from service.formats.pve_interfaces.vocabulary import (
    ALIAS_NAME,
    BOND_NAME,
    CARD_NAME,
    PREFIXED,
    VLAN_DOT_NAME,
    VLAN_NAME,
    holds,
    prefix_length,
)


def describe(interfaces: dict[str, PveInterface]) -> None:
    """Fill in what follows from all that was read: kinds, defaults, addresses, and a loopback if the file has none."""
    if "lo" not in interfaces:
        interfaces["lo"] = loopback = PveInterface(1, place=1, at_boot=True)
        loopback.inet.method = "loopback"
    for name in sorted(interfaces):
        interface = interfaces[name]
        interface.kind = _kind(name, interface, interfaces)
        _settle_addresses(interface.inet, "32", netmask_follows=True)
        _settle_addresses(interface.inet6, "128", netmask_follows=False)
        interface.inet.comments += interface.inet6.comments
        interface.inet6.comments = ""
        interface.families = interface.families or ["inet"]


def _kind(name: str, interface: PveInterface, interfaces: dict[str, PveInterface]) -> Kind:
    settings = interface.settings
    ovs_type = settings.get("ovs_type")
    if "bridge_ports" in settings:
        if settings.setdefault("bridge_stp", "off") == "off":
            settings.setdefault("bridge_fd", 0)
        return "bridge"
    if ovs_type == "OVSBridge":
        return "OVSBridge"
    if BOND_NAME.fullmatch(name):
        return _bond_kind(interface)
    if found := ALIAS_NAME.fullmatch(name):
        interface.rootless = _is_missing(found[1], interface, interfaces)
        return "alias"
    if (found := VLAN_DOT_NAME.fullmatch(name)) or holds(settings.get("vlan-raw-device")):
        if found and not holds(settings.get("vlan-raw-device")):
            settings["vlan-raw-device"] = found[1]
        vlan_id = found[2] if found else vlan[1] if (vlan := VLAN_NAME.fullmatch(name)) else ""
        if holds(vlan_id):
            settings["vlan-id"] = vlan_id
        interface.rootless = _is_missing(str(settings["vlan-raw-device"]), interface, interfaces)
        return "vlan"
    if CARD_NAME.fullmatch(name):
        return "eth" if not holds(ovs_type) else _ovs_kind(interface, "OVSPort")
    if name == "lo":
        return "loopback"
    if holds(settings.get("vxlan-id")):
        return "vxlan"
    if ovs_type is not None:
        return _ovs_kind(interface, "OVSIntPort")
    return "dummy" if settings.get("link-type") == "dummy" else "unknown"


def _is_missing(root: str, interface: PveInterface, interfaces: dict[str, PveInterface]) -> bool:
    """Whether the interface below is nowhere in the file; it is noted then as one that is only needed."""
    below = interfaces.setdefault(root, PveInterface(interface.line, rootless=True))
    return below.rootless is True


def _ovs_kind(interface: PveInterface, expected: Kind) -> Kind:
    """A port of an Open vSwitch bridge; any other type on such a name is not understood."""
    if interface.settings.get("ovs_type") != expected:
        return "unknown"
    tag = take_option(interface.settings, "tag")
    if tag is not None:
        interface.settings["ovs_tag"] = tag
    return expected


def _bond_kind(interface: PveInterface) -> Kind:
    """A bond of the kernel, or of Open vSwitch: the mode of the latter is one of its options."""
    settings = interface.settings
    ovs_type = settings.get("ovs_type")
    if ovs_type != "OVSBond":
        return "unknown" if holds(ovs_type) else "bond"
    mode = take_option(settings, "bond_mode")
    lacp = take_option(settings, "lacp")
    if (mode == "balance-slb" and lacp == "active") or mode == "balance-tcp":
        mode = f"lacp-{mode}"
    if mode is None:
        settings.pop("bond_mode", None)
    else:
        settings["bond_mode"] = mode
    return _ovs_kind(interface, "OVSBond")


def _settle_addresses(part: FamilyPart, whole: str, *, netmask_follows: bool) -> None:
    """Bring address and netmask into prefix form; an address without any netmask counts as one of a single host."""
    part.method = part.method or "manual"
    address = part.address
    if address is None or not holds(address):
        return
    if PREFIXED.fullmatch(address):
        part.cidr = address
        before, _, netmask = address.rpartition("/")
        part.address, part.netmask = (before, netmask) if before else (None, None)
        return
    length = prefix_length(part.netmask) if part.netmask is not None and holds(part.netmask) else None
    part.cidr = f"{address}/{length or whole}"
    if length is not None and netmask_follows:
        part.netmask = length
