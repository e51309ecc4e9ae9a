"""A guest's own settings on a Proxmox node: /etc/pve/lxc/VMID.conf and /etc/pve/qemu-server/VMID.conf.

    parse(data, path) -> PveGuest

`key: value` lines; only what is before the first section counts: `[pve:pending]` holds changes that wait for a
restart, every other section is a snapshot of the past. `#` lines are the guest's description.
"""

import re
from dataclasses import dataclass
from ipaddress import IPv4Interface
from typing import Literal

FOLDERS = ("/etc/pve/lxc", "/etc/pve/qemu-server")
MAX_BYTES = 1 << 20
MAX_CARDS = 32
MAX_PROBLEMS = 20

_PATH = re.compile(r"/etc/pve/(?:nodes/[A-Za-z0-9-]{1,63}/)?(lxc|qemu-server)/([1-9][0-9]{2,8})\.conf")
_LINE = re.compile(r"([A-Za-z][A-Za-z0-9_.-]{0,63}):\s*(.*)")
_CARD = re.compile(r"net([0-9]{1,2})")
_MAC = re.compile(r"[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){5}")
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_BRIDGE = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,14}")


@dataclass(frozen=True, slots=True)
class PveCard:
    """One network card: `mac` in lower case; `address` in CIDR form, `dhcp`, or empty where nothing is reported."""

    number: int
    mac: str
    bridge: str = ""
    address: str = ""
    line: int = 0


@dataclass(frozen=True, slots=True)
class PveGuest:
    """One guest. `name` is its host name's first label, CT<id> or VM <id> where it has none; `pending` are the keys of
    changes that wait. Problems are `path:line: what`."""

    vmid: int
    sort: Literal["lxc", "qemu"]
    path: str
    name: str = ""
    is_named: bool = False
    cards: tuple[PveCard, ...] = ()
    is_template: bool = False
    pending: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    line: int = 1


def is_guest_file(path: str) -> bool:
    """Whether the path is that of a guest's settings."""
    return _PATH.fullmatch(path) is not None


def parse(data: bytes, path: str) -> PveGuest:
    """Read one guest's file. Never raises."""
    match = _PATH.fullmatch(path)
    sort: Literal["lxc", "qemu"] = "qemu" if match and match[1] == "qemu-server" else "lxc"
    vmid = int(match[2]) if match else 0
    problems: list[str] = []
    if len(data) > MAX_BYTES:
        return PveGuest(vmid, sort, path, problems=(f"{path}:1: larger than {MAX_BYTES} bytes: not read",))
    values: dict[str, tuple[str, int]] = {}
    pending: list[str] = []
    section = ""
    for number, raw in enumerate(data.decode("utf-8", "replace").split("\n"), 1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        if line.startswith("["):
            section = line.strip("[]").lower()
            continue
        pair = _LINE.fullmatch(line)
        if pair is None:
            if not section and len(problems) < MAX_PROBLEMS:
                problems.append(f"{path}:{number}: is not a `key: value` line")
        elif not section:
            values.setdefault(pair[1], (pair[2], number))
        elif section in ("pve:pending", "pending"):
            pending += pair[2].split(",") if pair[1] == "delete" else [pair[1]]
    cards = _cards(values, path, sort, problems)
    said, line_of_name = values.get("hostname" if sort == "lxc" else "name", ("", 1))
    label = said.split(".")[0].lower()
    is_named = _NAME.fullmatch(label) is not None
    if said and not is_named:
        problems.append(f"{path}:{line_of_name}: the name is not valid in DNS")
    return PveGuest(
        vmid, sort, path, label if is_named else f"{'ct' if sort == 'lxc' else 'vm'}{vmid}", is_named, tuple(cards),
        values.get("template", ("0", 0))[0] == "1", tuple(dict.fromkeys(pending))[:MAX_CARDS],
        tuple(problems[:MAX_PROBLEMS]), line_of_name,
    )  # fmt: skip


def settings(data: bytes) -> dict[str, str]:
    """What counts now, key by key: what is before the first section."""
    lines = data[:MAX_BYTES].decode("utf-8", "replace").split("\n[")[0].split("\n")
    found = (_LINE.fullmatch(line.strip()) for line in lines)
    return {pair[1]: pair[2] for pair in reversed([pair for pair in found if pair is not None])}


def _cards(values: dict[str, tuple[str, int]], path: str, sort: str, problems: list[str]) -> list[PveCard]:
    cards: list[PveCard] = []
    for key, (value, line) in values.items():
        number = _CARD.fullmatch(key)
        if number is None or int(number[1]) >= MAX_CARDS:
            continue
        options = [part.partition("=")[::2] for part in value.split(",")]
        pairs = {name.strip(): text.strip() for name, text in options}
        mac = next((t for n, t in pairs.items() if n in ("hwaddr", "macaddr")), "")
        if not mac and sort == "qemu":  # the first is MODEL=MAC
            mac = next((t for t in pairs.values() if _MAC.fullmatch(t)), "")
        bridge = pairs.get("bridge", "")
        if not _MAC.fullmatch(mac) or (bridge and not _BRIDGE.fullmatch(bridge)):
            problems.append(f"{path}:{line}: {key} names no usable {'bridge' if _MAC.fullmatch(mac) else 'MAC'}")
            continue
        config = values.get(f"ipconfig{number[1]}", ("", 0))[0] if sort == "qemu" else value
        cards.append(PveCard(int(number[1]), mac.lower(), bridge, _address(config, path, line, problems), line))
    return sorted(cards, key=lambda card: card.number)


def _address(config: str, path: str, line: int, problems: list[str]) -> str:
    said = next((part.strip()[3:] for part in config.split(",") if part.strip().startswith("ip=")), "")
    if said in ("", "dhcp", "manual"):
        return "dhcp" if said == "dhcp" else ""
    try:
        return str(IPv4Interface(said)) if "/" in said else str(IPv4Interface(f"{said}/32"))
    except ValueError:
        problems.append(f"{path}:{line}: ip= is not an IPv4 address")
        return ""
