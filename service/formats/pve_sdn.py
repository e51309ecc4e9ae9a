"""Proxmox's SDN as its files say it: zones, VNets, subnets, and the addresses that its own IPAM gave to guests.

    read_sdn(files) -> Sdn          files by absolute path, as on a node

Sources: pvesdn(1), and pve-network's own sources. `/etc/pve/sdn/{zones,vnets,subnets}.cfg` are section files (a line
`TYPE: ID`, then indented `KEY VALUE` lines). `.running-config` is JSON of the same and says what is in force: an edit
of the files counts only after it was applied. The file that ifupdown reads begins with `#version:N`.
"""

import ipaddress
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

FOLDER = "/etc/pve/sdn"
ZONES, VNETS, SUBNETS = (f"{FOLDER}/{name}.cfg" for name in ("zones", "vnets", "subnets"))
RUNNING = f"{FOLDER}/.running-config"
IPAMS = (f"{FOLDER}/pve-ipam-state.json", "/etc/pve/priv/ipam.db")
"""Where Proxmox 9 and Proxmox 8 keep the addresses of guests."""
INTERFACES = "/etc/network/interfaces.d/sdn"
RULES_FOLDER = f"{FOLDER}/firewall"
LEASES = "/var/lib/misc/dnsmasq.{}.leases"
FILES = (ZONES, VNETS, SUBNETS, RUNNING, *IPAMS)

MAX_SECTIONS = 5000
_HEAD = re.compile(r"([a-z][a-z0-9-]{0,30}):[ \t]*(\S{1,80})[ \t]*")
_LINE = re.compile(r"[ \t]+([a-z][a-z0-9-]{0,60})(?:[ \t]+(.*?))?[ \t]*")
_NAME = re.compile(r"[a-z][a-z0-9]{0,7}", re.IGNORECASE)
_VERSION = re.compile(r"#version:([0-9]{1,9})")
_RANGE = re.compile(r"start-address=([0-9A-Fa-f.:]{2,45}),end-address=([0-9A-Fa-f.:]{2,45})")

Sections = Mapping[str, Mapping[str, object]]
"""Settings by the name of what they are of; `type` is one of them."""


@dataclass(frozen=True, slots=True)
class SdnZone:
    """A zone: `kind` simple, vlan, qinq, vxlan, evpn; `dhcp` is dnsmasq or empty."""

    name: str
    kind: str
    dhcp: str = ""
    bridge: str = ""


@dataclass(frozen=True, slots=True)
class SdnVnet:
    """A VNet: a bridge of that name on every node. `tag` 0: none."""

    name: str
    zone: str
    tag: int = 0
    alias: str = ""


@dataclass(frozen=True, slots=True)
class SdnSubnet:
    """A network of a VNet. `ranges` are pairs of addresses for DHCP; `gateway` is the node's own address, or empty."""

    vnet: str
    cidr: str
    gateway: str = ""
    snat: bool = False
    ranges: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Sdn:
    """What is in force. `version` is that of the file of ifupdown, `applied` that of what was applied, None where it is
    not known. `guests` are the addresses of guests by number. `problems` name what could not be understood."""

    zones: tuple[SdnZone, ...] = ()
    vnets: tuple[SdnVnet, ...] = ()
    subnets: tuple[SdnSubnet, ...] = ()
    guests: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    version: int | None = None
    applied: int | None = None
    problems: tuple[str, ...] = ()

    def zone(self, vnet: str) -> SdnZone | None:
        """The zone of a VNet."""
        name = next((one.zone for one in self.vnets if one.name == vnet), "")
        return next((one for one in self.zones if one.name == name), None)

    def serves_dhcp(self, subnet: SdnSubnet) -> bool:
        """Whether a dnsmasq of Proxmox gives out addresses of it."""
        zone = self.zone(subnet.vnet)
        return bool(subnet.ranges) and zone is not None and zone.dhcp == "dnsmasq"

    @property
    def dhcp_zones(self) -> tuple[str, ...]:
        """The zones that have a dnsmasq of their own."""
        return tuple(sorted(zone.name for zone in self.zones if zone.dhcp == "dnsmasq"))


def read_sdn(files: Mapping[str, bytes]) -> Sdn:
    """What the files say. Files that are not there say nothing. Lines that cannot be understood are problems."""
    problems: list[str] = []
    running = _json(files, RUNNING, problems)
    parts: dict[str, Sections] = {}
    for name, path in (("zones", ZONES), ("vnets", VNETS), ("subnets", SUBNETS)):
        ids = _below(running, name, "ids")
        parts[name] = _checked(ids) if running else _sections(files.get(path, b""), path, problems)
    applied = running.get("version")
    found = _VERSION.match(files.get(INTERFACES, b"")[:40].decode("ascii", "replace"))
    return Sdn(
        zones=tuple(_zones(parts["zones"], problems)),
        vnets=tuple(_vnets(parts["vnets"], problems)),
        subnets=tuple(_subnets(parts["subnets"], problems)),
        guests=_guests(files, problems),
        version=int(found[1]) if found else None,
        applied=applied if isinstance(applied, int) else None,
        problems=tuple(problems),
    )


def _json(files: Mapping[str, bytes], path: str, problems: list[str]) -> Mapping[str, object]:
    if not files.get(path):
        return {}
    try:
        found = json.loads(files[path])
    except (ValueError, RecursionError):
        problems.append(f"{path}: no JSON")
        return {}
    return found if isinstance(found, dict) else {}


def _below(value: object, *keys: str) -> Mapping[str, object]:
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}


def _checked(ids: Mapping[str, object]) -> Sections:
    return {name: settings for name, settings in list(ids.items())[:MAX_SECTIONS] if isinstance(settings, dict)}


def _sections(data: bytes, path: str, problems: list[str]) -> Sections:
    """The sections of a file; of a key that is written twice, all values are kept as a list."""
    found: dict[str, dict[str, object]] = {}
    current: dict[str, object] | None = None
    for number, line in enumerate(data.decode("utf-8", "replace").splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        head, setting = _HEAD.fullmatch(line), _LINE.fullmatch(line)
        if head and len(found) < MAX_SECTIONS:
            current = found.setdefault(head[2], {"type": head[1]})
        elif setting and current is not None:
            many = current.get(setting[1])
            listed = [*(many if isinstance(many, list) else []), setting[2] or ""]
            current[setting[1]] = listed if setting[1] == "dhcp-range" else listed[0]
        else:
            problems.append(f"{path}:{number}: no line of a section file")
            current = None
    return found


def _zones(sections: Sections, problems: list[str]) -> Iterator[SdnZone]:
    for name, said in _named(sections, "zone", problems):
        yield SdnZone(name, _text(said, "type"), _text(said, "dhcp"), _text(said, "bridge"))


def _vnets(sections: Sections, problems: list[str]) -> Iterator[SdnVnet]:
    for name, said in _named(sections, "VNet", problems):
        text = _text(said, "tag")
        tag = int(text) if text.isdigit() and len(text) < 9 else 0
        yield SdnVnet(name, _text(said, "zone"), tag, _text(said, "alias"))


def _named(sections: Sections, what: str, problems: list[str]) -> Iterator[tuple[str, Mapping[str, object]]]:
    for name, said in sections.items():
        if _NAME.fullmatch(name):
            yield name, said
        else:
            problems.append(f"{name[:40]!r} is not the name of a {what}")


def _text(said: Mapping[str, object], key: str) -> str:
    value = said.get(key)
    return str(value)[:200] if isinstance(value, str | int) and not isinstance(value, bool) else ""


def _subnets(sections: Sections, problems: list[str]) -> Iterator[SdnSubnet]:
    for name, said in sections.items():
        # ZONE-NETWORK-LENGTH: names of zones have no dash in them
        address, _, length = name.partition("-")[2].rpartition("-")
        try:
            network = ipaddress.ip_network(f"{address}/{length}", strict=False)
            gateway = str(ipaddress.ip_address(_text(said, "gateway"))) if _text(said, "gateway") else ""
            ranges = tuple(_ranges(said.get("dhcp-range")))
        except ValueError:
            problems.append(f"{name[:80]!r} is not a subnet")
            continue
        yield SdnSubnet(_text(said, "vnet"), str(network), gateway, _text(said, "snat") == "1", ranges)


def _ranges(said: object) -> Iterator[tuple[str, str]]:
    """Pairs of addresses. Raises ValueError."""
    for text in said if isinstance(said, list) else [said] if said else []:
        pair = _RANGE.fullmatch(str(text))
        if pair is None:
            raise ValueError(text)
        first, last = ipaddress.ip_address(pair[1]), ipaddress.ip_address(pair[2])
        if first.version != last.version or int(first) > int(last):
            raise ValueError(text)
        yield str(first), str(last)


def _guests(files: Mapping[str, bytes], problems: list[str]) -> dict[str, tuple[str, ...]]:
    """Addresses by the number of the guest: zones → subnets → ips → {vmid}."""
    path = next((one for one in IPAMS if one in files), IPAMS[0])
    found: dict[str, list[str]] = {}
    for zone in _below(_json(files, path, problems), "zones").values():
        for subnet in _below(zone, "subnets").values():
            for address, said in _below(subnet, "ips").items():
                vmid = _text(said, "vmid") if isinstance(said, dict) else ""
                if vmid.isdigit() and _is_address(address):
                    found.setdefault(vmid, []).append(str(ipaddress.ip_address(address)))
    return {vmid: tuple(sorted(addresses)) for vmid, addresses in sorted(found.items())}


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
