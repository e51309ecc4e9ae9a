"""What Proxmox's writer demands before it writes, and what it changes on the way: ports and slaves of others.

The reasons are its own, word for word where it gives one. Where several things are wrong it says one of them, by
chance; here it is the first in the order of the file, by the order of its checks.
"""

from collections.abc import Iterator

from service.errors import InputError
from service.formats.pve_interfaces.interface import PveInterface
from service.formats.pve_interfaces.reading import value_words
from service.formats.pve_interfaces.vocabulary import (
    OVS_PORT_KINDS,
    PORT_OPTIONS,
    VLAN_DOT_NAME,
    VLAN_NAME,
    holds,
    number,
)

Interfaces = dict[str, PveInterface]


class WriterRefuses(InputError):  # noqa: N818 (what happened, not what went wrong)
    """Proxmox's writer would not write this file. `line` is where the file first names the interface it is about."""

    def __init__(self, reason: str, line: int, missing: str = "") -> None:
        hint = f"give {missing} a stanza. Only the name of a card needs none, such as eth0, eno1 or enp1s0"
        super().__init__(reason, hint=hint if missing else "")
        self.line = line


def settle(interfaces: Interfaces) -> Interfaces:
    """The interfaces as they are to be written; those given stay as they are. Raises WriterRefuses."""
    settled = {name: interface.copy() for name, interface in interfaces.items()}
    users = _users_of_ports(settled)
    _drop_unused_ovs_ports(settled, users)
    for name, interface in settled.items():
        if interface.kind == "OVSBridge":
            _claim_ovs_ports(name, interface, settled)
    for name, interface in settled.items():
        if interface.kind == "OVSBond":
            _claim_slaves(name, interface, settled, "OVS bond", "ovs_bonds")
    for name, interface in settled.items():
        if interface.kind == "bond":
            _claim_slaves(name, interface, settled, "bond", "slaves")
    _check_vxlans(settled)
    for name, interface in settled.items():
        if interface.kind == "vlan":
            _check_vlan(name, interface, settled)
    _check_uplinks(settled)
    _check_port_options(settled, _check_bridges(settled))
    return settled


def _ports(interface: PveInterface, key: str) -> list[str]:
    """The names in an option, parted by white space."""
    value = interface.settings.get(key)
    return value_words(str(value)) if holds(value) else []


def _users_of_ports(interfaces: Interfaces) -> dict[str, str]:
    """Who uses each port: nobody may be in two bridges or bonds."""
    users: dict[str, str] = {}
    for name, interface in interfaces.items():
        for key in ("bridge_ports", "ovs_ports", "slaves", "ovs_bonds"):
            listed = str(interface.settings.get(key, "")).replace(",", " ").replace(";", " ")
            for port in value_words(listed):
                if users.setdefault(port, name) != name:
                    raise WriterRefuses(f"port '{port}' is already used on interface '{users[port]}'", interface.line)
    return users


def _drop_unused_ovs_ports(interfaces: Interfaces, users: dict[str, str]) -> None:
    """A port that no bridge uses becomes a bare card again; one that something else uses is not a port at all."""
    for name in [name for name, interface in interfaces.items() if interface.kind in OVS_PORT_KINDS]:
        user = interfaces.get(users.get(name, ""))
        if user is None:
            bare = PveInterface(interfaces[name].line, families=["inet"], kind="eth")
            bare.inet.method = "manual"
            interfaces[name] = bare
        elif user.kind != "OVSBridge":
            del interfaces[name]


def _claim_ovs_ports(name: str, bridge: PveInterface, interfaces: Interfaces) -> None:
    """The ports of an Open vSwitch bridge are started by it, and cards among them become ports."""
    for port in _ports(bridge, "ovs_ports"):
        found = interfaces.get(port)
        if found is None:
            raise WriterRefuses(f"OVS bridge '{name}' - unable to find port '{port}'", bridge.line, port)
        if found.kind == "eth":
            found.kind = "OVSPort"
        elif found.kind not in OVS_PORT_KINDS:
            raise WriterRefuses(f"interface '{port}' is not defined as OVS port/bond", found.line)
        found.at_boot = False
        found.settings["ovs_bridge"] = name
        _check_mtu(interfaces, name, port)


def _claim_slaves(name: str, bond: PveInterface, interfaces: Interfaces, what: str, key: str) -> None:
    """The slaves of a bond are started at boot, and must be cards; a bond of the kernel also takes bonds."""
    allowed = "eth or bond" if what == "bond" else "eth"
    slaves = _ports(bond, key)
    for slave in slaves:
        found = interfaces.get(slave)
        kind = found.kind if found is not None else None
        if found is None or kind not in allowed.split(" or "):
            wrong = f"{what} '{name}' - wrong interface type on slave '{slave}' ('{kind or ''}' != '{allowed}')"
            raise WriterRefuses(wrong, bond.line, "" if kind else slave)
        found.at_boot = True
        _check_mtu(interfaces, name, slave)
    primary = bond.settings.get("bond-primary")
    if what == "bond" and slaves and holds(primary) and primary not in slaves:
        raise WriterRefuses(f"bond '{name}' - bond-primary interface is not a slave", bond.line)


def _check_mtu(interfaces: Interfaces, below: str, above: str) -> None:
    """What lies above may not carry more than what lies below; 1500 where nothing is reported, a bond takes any."""
    wanted = interfaces[above].settings.get("mtu", "")
    if not holds(wanted):
        return
    there = interfaces[below].settings.get("mtu", "")
    if not holds(there):
        there = wanted if interfaces[below].kind == "bond" else 1500
    if number(there) < number(wanted):
        raise WriterRefuses(
            f"interface '{below}' - mtu {there} is lower than '{above}' - mtu {wanted}", interfaces[below].line
        )


def _check_vxlans(interfaces: Interfaces) -> None:
    """One interface a number, one way of finding the other ends."""
    owners: dict[str | int, str] = {}
    for name, interface in interfaces.items():
        settings = interface.settings
        number_of_it = settings.get("vxlan-id", "")
        if interface.kind == "vxlan" and owners.setdefault(number_of_it, name) != name:
            reason = f"iface {name} - duplicate vxlan-id {number_of_it} already used in {owners[number_of_it]}"
            raise WriterRefuses(reason, interface.line)
        by_service_node = "vxlan-svcnodeip" in settings
        if by_service_node + ("vxlan-local-tunnelip" in settings) + bool(interface.remote_ends) > 1:
            # the reason says vxlan-localtunnelip, the option is vxlan-local-tunnelip
            reason = "vxlan-svcnodeip, vxlan-remoteip and vxlan-localtunnelip are mutually exclusive"
            raise WriterRefuses(f"iface {name} - {reason}", interface.line)
        if by_service_node != ("vxlan-physdev" in settings):
            reason = "vxlan-svcnodeip and vxlan-physdev must be define together"
            raise WriterRefuses(f"iface {name} - {reason}", interface.line)


def _check_vlan(name: str, vlan: PveInterface, interfaces: Interfaces) -> None:
    """Number and parent of a VLAN; what its name says already is not written again, and wins over its options."""
    settings = vlan.settings
    parent, vlan_id = str(settings["vlan-raw-device"]), str(settings.get("vlan-id", ""))
    if dotted := VLAN_DOT_NAME.fullmatch(name):
        parent, vlan_id = dotted[1], dotted[2]
        settings.pop("vlan-raw-device")
        settings.pop("vlan-id", None)
    elif numbered := VLAN_NAME.fullmatch(name):
        vlan_id = numbered[1]
        settings.pop("vlan-id", None)
    elif not holds(vlan_id):
        raise WriterRefuses(f"vlan '{name}' - missing vlan-id option", vlan.line)
    if number(vlan_id) > 4094:
        raise WriterRefuses(f"vlan '{name}' - vlan-id {vlan_id} should be <= 4094", vlan.line)
    below = interfaces.get(parent)
    if below is None:
        raise WriterRefuses(f"vlan '{name}' - unable to find parent '{parent}'", vlan.line, parent)
    if below.kind not in ("eth", "bridge", "bond", "vlan"):
        reason = f"wrong interface type on parent '{parent}' ('{below.kind or ''}' != 'eth|bond|bridge|vlan' )"
        raise WriterRefuses(f"vlan '{name}' - {reason}", vlan.line, "" if below.kind else parent)
    _check_mtu(interfaces, parent, name)


def _check_uplinks(interfaces: Interfaces) -> None:
    owners: dict[str | int, str] = {}
    for name, interface in interfaces.items():
        uplink = interface.settings.get("uplink-id", "")
        if not holds(uplink):
            continue
        reason = f"iface '{name}' - uplink-id {uplink} is"
        if interface.kind not in ("eth", "bond"):
            raise WriterRefuses(f"{reason} only allowed on physical and linux bond interfaces", interface.line)
        if owners.setdefault(uplink, name) != name:
            raise WriterRefuses(f"{reason} already assigned on '{owners[uplink]}'", interface.line)


def _bridges(interfaces: Interfaces) -> Iterator[tuple[str, PveInterface]]:
    return ((name, interface) for name, interface in interfaces.items() if interface.kind == "bridge")


def _check_bridges(interfaces: Interfaces) -> dict[str, PveInterface]:
    """The bridge of each port. A VLAN in dotted form may be a port without a stanza of its own."""
    bridge_of: dict[str, PveInterface] = {}
    known = dict(interfaces)
    for name, bridge in _bridges(interfaces):
        for port in _ports(bridge, "bridge_ports"):
            if port not in known and (dotted := VLAN_DOT_NAME.fullmatch(port)):
                known[port] = PveInterface(bridge.line, kind="vlan")
                parent = known.setdefault(dotted[1], PveInterface(bridge.line))
                if "mtu" in parent.settings:
                    known[port].settings["mtu"] = parent.settings["mtu"]
            if port not in known:
                raise WriterRefuses(f"bridge '{name}' - unable to find bridge port '{port}'", bridge.line, port)
            there = known[port]
            if any(
                part.method == "static" and part.address != unset
                for part, unset in ((there.inet, "0.0.0.0"), (there.inet6, "::"))  # noqa: S104
            ):
                reason = f"iface {port} - ip address can't be set on interface if bridged in {name}"
                raise WriterRefuses(reason, there.line)
            _check_mtu(known, port, name)
            bridge_of[port] = bridge
    return bridge_of


def _check_port_options(interfaces: Interfaces, bridge_of: dict[str, PveInterface]) -> None:
    for name, interface in interfaces.items():
        for key in PORT_OPTIONS:
            if holds(interface.settings.get(key)) and name not in bridge_of:
                reason = "bridge port specific options can be used only on interfaces attached to a bridge"
                raise WriterRefuses(f"iface {name} - {key}: {reason}", interface.line)
        if holds(interface.settings.get("bridge-access")) and "bridge_vlan_aware" not in bridge_of[name].settings:
            reason = "bridge-access option can be only used if interface is in a vlan aware bridge"
            raise WriterRefuses(f"iface {name} - {reason}", interface.line)
