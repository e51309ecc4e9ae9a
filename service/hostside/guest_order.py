"""What is ordered of a guest. Every text of it is checked before it reaches a file or a program."""

from __future__ import annotations

import re
from typing import Callable, NamedTuple

from service.hostside.canonical import LINK_NAME
from service.hostside.errors import Json, need
from service.hostside.facts import is_of
from service.hostside.vital import PACKAGE_NAME

FILES, KEPT = "/etc/passerelle/guests", "/var/lib/passerelle-guests"
MOUNTS = (("etc/passerelle", FILES, "bind,ro,create=dir"), ("var/lib/passerelle-guest", KEPT, "bind,create=dir"))
"""(place in the guest, folder of all guests on the host, options of LXC)."""


class Wanted(NamedTuple):
    """A guest as the spec has it. `vmid`, `storage` and `disk_gib` are of Proxmox; 0 and "" elsewhere."""

    name: str
    mac: str
    bridge: str
    port: str
    autostart: bool
    vmid: int
    storage: str
    disk_gib: int
    packages: tuple[str, ...]

    @property
    def key(self) -> str:
        """As `find_guest` takes it."""
        return f"{self.name}@{self.vmid or self.mac}"


def _text(pattern: str) -> Callable[[Json], bool]:
    return lambda value: isinstance(value, str) and bool(re.fullmatch(pattern, value))


def _whole(*ranges: tuple[int, int]) -> Callable[[Json], bool]:
    return lambda value: is_of(value, int) and any(least <= value <= most for least, most in ranges)


_CHECKS: dict[str, Callable[[Json], bool]] = {
    "name": _text(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"),
    "mac": _text(r"[0-9a-f]{2}(?::[0-9a-f]{2}){5}"),
    "bridge": _text(LINK_NAME),
    "port": _text(rf"|{LINK_NAME}"),
    "autostart": lambda value: isinstance(value, bool),
    "vmid": _whole((0, 0), (100, 999_999_999)),
    "storage": _text(r"|[A-Za-z][A-Za-z0-9_.-]{0,62}"),
    "disk_gib": _whole((0, 65_536)),
    "packages": lambda value: (
        isinstance(value, list) and len(value) <= 64 and all(_text(PACKAGE_NAME)(each) for each in value)
    ),
}


def wanted_of(given: Json) -> Wanted:
    """Checked field by field; BadInput."""
    need(isinstance(given, dict) and set(given) == set(_CHECKS), f"a guest: {{{', '.join(_CHECKS)}}}")
    for field, fits in _CHECKS.items():
        need(fits(given[field]), f"a guest's {field} cannot be {str(given[field])[:80]!r}")
    return Wanted(**{**given, "packages": tuple(given["packages"])})
