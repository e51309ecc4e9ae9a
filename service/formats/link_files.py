"""systemd's .link files that give a network card its name by its MAC address, as Proxmox's pinning writes them.

    pinned_name(data) -> PinnedName | None      what one file says; None: it gives no name, or not by a MAC address

systemd.link(5): of all files in the order of their names the first that matches counts. `MACAddress=` is compared with
the address in use, `PermanentMACAddress=` with the device's own. At boot both are the same: no bond has its ports yet.
"""

import re
from dataclasses import dataclass

from service.formats.read_once import read_once

FOLDER = "/usr/local/lib/systemd/network"
FILES = f"{FOLDER}/*"
"""Where `pve-network-interface-pinning` and Proxmox's installer write (50-pmx-NAME.link, before 9.1.17 50-pve-…)."""
MAX_BYTES = 16 << 10
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,14}")
_MAC = re.compile(r"[0-9a-f]{2}(?::[0-9a-f]{2}){5}")
_MATCHED = frozenset({"MACAddress", "PermanentMACAddress", "Type"})


@dataclass(frozen=True, slots=True)
class PinnedName:
    """The card with one of `macs` (small letters) is called `name` after the next boot."""

    macs: tuple[str, ...]
    name: str


@read_once
def pinned_name(data: bytes) -> PinnedName | None:
    """What one file says. None also for a file that matches by more than an address: nobody can tell for what card."""
    section, name = "", ""
    macs: list[str] = []
    for raw in data[:MAX_BYTES].decode("utf-8", "replace").splitlines():
        line = raw.strip()
        if line.startswith("["):
            section = line
            continue
        key, equals, value = (part.strip() for part in line.partition("="))
        if not equals or line[0] in "#;":
            continue
        if section == "[Match]":
            if key not in _MATCHED or (key == "Type" and value != "ether"):
                return None
            macs += _macs(value) if key != "Type" else []
        elif section == "[Link]" and key == "Name":
            name = value
    return PinnedName(tuple(macs), name) if macs and _NAME.fullmatch(name) else None


def _macs(value: str) -> list[str]:
    words = [word.replace("-", ":").lower() for word in value.split()]
    return [word for word in words if _MAC.fullmatch(word)]
