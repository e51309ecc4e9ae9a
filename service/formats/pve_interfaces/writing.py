"""Writing: the canonical form, as Proxmox's writer puts it down on every change in its web interface.

Without the comment block that it always writes first; that block is not part of what it reads.
"""

from dataclasses import dataclass

from service.errors import InputError
from service.formats.pve_interfaces.checks import WriterRefuses, settle
from service.formats.pve_interfaces.interface import Family, OtherLine, PveInterface, PveInterfaces
from service.formats.pve_interfaces.open_vswitch import put_options
from service.formats.pve_interfaces.vocabulary import (
    HASHING_BOND_MODES,
    KIND_RANK,
    NO_PLACE,
    OVS_BOND_MODES,
    OVS_PORT_KINDS,
    holds,
    number,
    prefix_length,
)

MAX_CHARACTERS = 4 * 1_048_576
_NEVER_WRITTEN = frozenset({"uplink-id"})


@dataclass(frozen=True, slots=True)
class Canonical:
    """A file in Proxmox's own form, and what it would say about it without refusing."""

    text: bytes
    warnings: tuple[str, ...]


def canonical(read: PveInterfaces) -> Canonical:
    """The file as Proxmox would write it.

    Raises WriterRefuses where Proxmox would not, InputError where that is over 4 MiB: stanzas of the same interface and
    family are each written with all options of the last one.
    """
    interfaces = settle(read.interfaces)
    out: list[str] = []
    warnings: list[str] = []
    waiting = list(reversed(read.other_lines))
    length = 0
    for name in in_written_order(interfaces):
        interface = interfaces[name]
        if flushed := _lines_before(waiting, interface.place or 0):
            out += (*flushed, "")
        if interface.at_boot:
            out.append(f"auto {name}")
        if interface.kind is None:
            reason = f"interface '{name}' has no stanza, but an alias or a VLAN of it does"
            raise WriterRefuses(reason, interface.line)
        _move_comments(interface)
        for index, family in enumerate(interface.families):
            stanza = _stanza(name, interface, family, warnings, first=index == 0)
            length += sum(map(len, stanza))
            if length > MAX_CHARACTERS:
                raise InputError(f"the canonical form of {name} would be longer than {MAX_CHARACTERS} characters")
            out += stanza
    out += (line.text for line in reversed(waiting))
    if not all(line.isascii() or line.startswith("#") for line in out):
        warnings.append("text outside comments that is not ASCII is encoded once more on every write")
    text = "".join(f"{line}\n" for line in out)
    return Canonical(text.encode("utf-8"), tuple(warnings))


def _lines_before(waiting: list[OtherLine], place: int) -> list[str]:
    """Take the other lines that were before this place; `waiting` has the next one last."""
    found: list[str] = []
    while waiting and waiting[-1].place < place:
        found.append(waiting.pop().text)
    return found


def in_written_order(interfaces: dict[str, PveInterface]) -> list[str]:
    """Names by kind, then by place in the file; what is of no known kind only has its place.

    So the two sorts are merged by place alone, which is the order wherever these rules do not contradict each other.
    """
    ranked: list[tuple[int, str]] = []
    unranked: list[tuple[int, str]] = []
    place_of: dict[str, int] = {}
    for name, interface in interfaces.items():
        place_of[name] = place = NO_PLACE if interface.place is None else interface.place
        rank = _rank(name, interfaces)
        if rank is None:
            unranked.append((place, name))
        else:
            ranked.append((rank + place, name))
    ranked.sort(reverse=True)
    unranked.sort(reverse=True)
    order: list[str] = []
    while ranked and unranked:
        name = ranked[-1][1]
        order.append((ranked if (place_of[name], name) < unranked[-1] else unranked).pop()[1])
    return order + [name for _, name in reversed(ranked or unranked)]


def _rank(name: str, interfaces: dict[str, PveInterface]) -> int | None:
    """By the kind of the interface that the name begins with: aliases and dotted VLANs are behind their root."""
    root, *rest = name.replace(":", ".").rstrip(".").split(".")
    found = interfaces.get(root)
    if found is None or found.kind not in KIND_RANK:
        return None
    return KIND_RANK[found.kind] + len(rest)


def _move_comments(interface: PveInterface) -> None:
    """All comments are written with IPv4, unless the only stanza is one for IPv6."""
    if interface.families == ["inet6"]:
        interface.inet6.comments, interface.inet.comments = interface.inet.comments, ""


def _stanza(
    name: str, interface: PveInterface, family: Family | None, warnings: list[str], *, first: bool
) -> list[str]:
    """One stanza with the empty line behind it. Other options than addresses are only in the first one."""
    part = interface.part(family)
    lines = [f"iface {name}" if family is None else f"iface {name} {family} {part.method}"]
    parts = (part,) if family is not None else (interface.inet, interface.inet6)
    for one in parts:
        address = one.address if one.address is not None else one.cidr
        if address is not None and holds(address):
            lines.append(f"\taddress {_with_prefix(address, one.netmask)}")
        if one.gateway is not None and holds(one.gateway):
            lines.append(f"\tgateway {one.gateway}")
    if first:
        if interface.kind in OVS_PORT_KINDS and holds(interface.settings.get("ovs_bridge")):
            lines.insert(0, f"auto {name}")
        lines += (f"\t{line}" for line in _settings(name, interface, warnings))
    for one in parts:
        lines += (f"\t{option}" for option in one.options)
        lines += (f"#{comment}" for comment in one.comments.rstrip("\n").split("\n") if one.comments.strip("\n"))
    return [*lines, ""]


def _with_prefix(address: str, netmask: str | None) -> str:
    last = address.rpartition("/")[2] if "/" in address else ""
    if (last.isascii() and last.isdecimal()) or netmask is None or not holds(netmask):
        return address
    length = prefix_length(netmask)
    return address if length is None else f"{address}/{length}"


def _settings(name: str, interface: PveInterface, warnings: list[str]) -> list[str]:
    """Options that Proxmox knows: those of the kind in its order, then all others by their own names."""
    left = {key: value for key, value in interface.settings.items() if key not in _NEVER_WRITTEN}
    lines: list[str] = []
    if interface.kind == "bridge":
        lines = _bridge(name, left, warnings)
    elif interface.kind == "bond":
        lines = _bond(left)
    elif interface.kind == "vlan":
        protocol = left.get("vlan-protocol", "")
        if holds(protocol) and protocol not in ("802.1ad", "802.1q"):
            raise WriterRefuses(f"{name}: wrong vlan-protocol {protocol}", interface.line)
    elif interface.kind == "vxlan":
        for key in ("vxlan-id", "vxlan-svcnodeip", "vxlan-physdev", "vxlan-local-tunnelip"):
            if key in left:
                lines.append(f"{key} {left.pop(key)}")
        lines += (f"vxlan-remoteip {end}" for end in interface.remote_ends)
        lines += _given("mtu", left.pop("mtu", ""))
    elif interface.kind == "OVSBridge" or interface.kind in OVS_PORT_KINDS:
        lines = _open_vswitch(interface, left)
    others = [(key, line) for key, value in left.items() for line in _given(key, value)]
    if interface.kind != "vxlan":
        # Proxmox writes the address of a list in its memory here; the values themselves do no harm
        others += (("vxlan-remoteip", f"vxlan-remoteip {end}") for end in interface.remote_ends)
    return lines + [line for _, line in sorted(others, key=lambda pair: pair[0])]


def _given(key: str, value: str | int) -> list[str]:
    return [f"{key} {value}"] if holds(value) else []


def _separated(value: str | int) -> str:
    """Names with one blank between, in place of white space, commas and semicolons."""
    words = str(value).replace(",", " ").replace(";", " ").encode("latin-1").split()
    return b" ".join(words).decode("latin-1")


def _bridge(name: str, left: dict[str, str | int], warnings: list[str]) -> list[str]:
    ports = _separated(left.pop("bridge_ports", ""))
    stp = left.pop("bridge_stp", "off")
    delay = left.pop("bridge_fd", None)
    lines = [f"bridge-ports {ports if holds(ports) else 'none'}", f"bridge-stp {stp}"]
    if delay is not None and stp != "off" and not 2 <= number(delay) <= 30:
        warnings.append(f"'{name}': ignoring 'bridge_fd' value '{delay}', outside of allowed range 2-30")
    elif delay is not None:
        lines.append(f"bridge-fd {delay}")
    vids = left.pop("bridge_vids", "")
    if left.pop("bridge_vlan_aware", None) is not None:
        lines += ("bridge-vlan-aware yes", f"bridge-vids {vids if holds(vids) else '2-4094'}")
    left.pop("bridge-disable-mac-learning", None)
    return lines + _given("mtu", left.pop("mtu", ""))


def _bond(left: dict[str, str | int]) -> list[str]:
    slaves = _separated(left.pop("slaves", ""))
    miimon = left.pop("bond_miimon", "100")
    mode = left.pop("bond_mode", "balance-rr")
    hash_policy = left.pop("bond_xmit_hash_policy", "")
    primary = left.pop("bond-primary", "")
    lines = [f"bond-slaves {slaves if holds(slaves) else 'none'}", f"bond-miimon {miimon}", f"bond-mode {mode}"]
    if mode in HASHING_BOND_MODES:
        lines += _given("bond-xmit-hash-policy", hash_policy)
    if mode == "active-backup":
        lines += _given("bond-primary", primary)
    return lines + _given("mtu", left.pop("mtu", ""))


def _open_vswitch(interface: PveInterface, left: dict[str, str | int]) -> list[str]:
    """A bridge, port, internal port or bond of Open vSwitch. Tag and bond mode go back among its options."""
    lines: list[str] = []
    if (tag := left.pop("ovs_tag", None)) is not None:
        put_options(left, tag=str(tag))
    if interface.kind == "OVSBond":
        mode = left.pop("bond_mode", "")
        mode = mode if holds(mode) else "active-backup"
        if mode not in OVS_BOND_MODES:
            raise WriterRefuses(f"OVS does not support bond mode '{mode}'", interface.line)
        plain = str(mode).removeprefix("lacp-")
        put_options(left, lacp="active" if plain != mode else None, bond_mode=plain)
        lines += _given("ovs_bonds", left.pop("ovs_bonds", ""))
    left.pop("ovs_type", None)
    lines.append(f"ovs_type {interface.kind}")
    if interface.kind == "OVSBridge":
        lines += _given("ovs_ports", left.pop("ovs_ports", ""))
    else:
        lines += _given("ovs_bridge", left.pop("ovs_bridge", ""))
    return lines + _given("ovs_mtu", left.pop("mtu", ""))
