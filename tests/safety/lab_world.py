"""What a lab host is made of, read at its console, and whether two readings are the same."""

import json
import os
import stat
from pathlib import Path
from typing import Any, NamedTuple

from service.lab import Host

# Of passerelle itself: there from the first change on, and it stays.
OWN = {
    "/etc/systemd/system/passerelle-recover.service",
    "/etc/systemd/system/sysinit.target.wants/passerelle-recover.service",
    "/etc/.updated",
    "/etc/.pwd.lock",
}
UNITS = ("named", "old-leases", "dnsmasq", "ssh", "networking", "nftables", "passerelle-nft")
BOOT_ONLY = {"passerelle-nft"}
"""Enabled, and active only after a boot."""
LOOK = f"""
echo '== links'; ip -j -d link show
echo '== addresses'; ip -j addr show
echo '== routes4'; ip -4 -j route show table main
echo '== routes6'; ip -6 -j route show table main
echo '== nft'; nft -j list ruleset
echo '== masquerade'; iptables-save -t nat
echo '== sysctl'; cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv4/conf/*/rp_filter
echo '== packages'; dpkg-query -W -f '${{Package}} ${{db:Status-Abbrev}} ${{Version}}\n'
echo '== units'; systemctl show -p Id,LoadState,UnitFileState,ActiveState {" ".join(UNITS)}
"""


class FileState(NamedTuple):
    """All of a regular file that a transaction has to keep or to set; of a link where it leads."""

    content: bytes
    mode: int
    uid: int
    gid: int


FOLDER = FileState(b"", stat.S_IFDIR, 0, 0)


class World(NamedTuple):
    """What a transaction may touch."""

    files: dict[str, FileState]
    network: dict[str, Any]
    units: dict[str, str]


def host_path(host: Host, path: str) -> Path:
    """A path of the running host as this machine can open it."""
    return Path(f"/proc/{host.console_pid}/root{path}")


def read_file(host: Host, path: str) -> FileState | None:
    place = host_path(host, path)
    try:
        found = place.lstat()
        if stat.S_ISDIR(found.st_mode):
            return FOLDER
        content = bytes(place.readlink()) if stat.S_ISLNK(found.st_mode) else place.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return FileState(content, found.st_mode, found.st_uid, found.st_gid)


def read_etc(host: Host) -> dict[str, FileState]:
    """Every file, link and folder below /etc."""
    top = host_path(host, "")
    found: dict[str, FileState] = {}
    for folder, folders, names in os.walk(top / "etc"):
        here = "/" + str(Path(folder).relative_to(top))
        links = [name for name in folders if (Path(folder) / name).is_symlink()]
        found[here] = FOLDER
        for name in [*names, *links]:
            path = f"{here}/{name}"
            state = None if path in OWN else read_file(host, path)
            if state is not None:
                found[path] = state
    return found


def read_world(host: Host) -> World:
    """Files, network and units, as they are now."""
    parts: dict[str, str] = {}
    for part in host.sh(LOOK, timeout_s=30, check=False).split("== ")[1:]:
        name, _, text = part.partition("\n")
        parts[name] = text
    return World(read_etc(host), _network(parts), _units(parts.get("units", "")))


def _network(parts: dict[str, str]) -> dict[str, Any]:
    nat = [line for line in parts["masquerade"].splitlines() if line.startswith("-A")]
    return {
        "links": dict(sorted(_link(link) for link in _json(parts["links"]) if "ifname" in link)),
        "addresses": {
            link["ifname"]: sorted(
                f"{a['local']}/{a['prefixlen']}" for a in link.get("addr_info", []) if a.get("scope") == "global"
            )
            for link in _json(parts["addresses"])
            if "ifname" in link
        },
        "routes": sorted(
            " ".join(str(route.get(key)) for key in ("dst", "gateway", "dev", "prefsrc", "metric"))
            for route in _json(parts["routes4"]) + _json(parts["routes6"])
            if not str(route.get("dst")).startswith("fe80:")
        ),
        "nft": sorted((_nft(i) for i in _json(parts["nft"])["nftables"] if "metainfo" not in i), key=_table),
        "masquerade": sorted(nat),
        "sysctl": parts["sysctl"].split()[:1],
        "packages": parts["packages"].splitlines(),
    }


def _json(text: str) -> Any:
    return json.loads(text.strip() or "[]")


def _link(link: dict[str, Any]) -> tuple[str, Any]:
    kernel = link.get("linkinfo", {})
    kept = {key: kernel.get("info_data", {}).get(key) for key in ("stp_state", "forward_delay")}
    up = "UP" in link.get("flags", [])
    return link["ifname"], [up, link.get("mtu"), link.get("master"), kernel.get("info_kind"), kept]


def _nft(value: Any) -> Any:
    if isinstance(value, list):
        return [_nft(item) for item in value]
    if isinstance(value, dict):
        return {key: _nft(item) for key, item in value.items() if key not in ("handle", "packets", "bytes")}
    return value


def _table(item: dict[str, Any]) -> tuple[str, str]:
    """Tables have no order among themselves; what is in one keeps its own."""
    kind, body = next(iter(item.items()))
    return body.get("family", ""), body.get("name" if kind == "table" else "table", "")


def _units(text: str) -> dict[str, str]:
    units = {}
    for block in text.split("\n\n"):
        shown = dict(line.partition("=")[::2] for line in block.splitlines())
        name = shown.get("Id", "").removesuffix(".service")
        if name:
            active = "" if name in BOOT_ONLY else shown.get("ActiveState", "")
            units[name] = f"{shown.get('LoadState')} {shown.get('UnitFileState')} {active}".strip()
    return units


def difference(found: World, wanted: World) -> str:
    """In words, "" when there is none."""
    parts = []
    for path in sorted({*found.files, *wanted.files}):
        one, other = found.files.get(path), wanted.files.get(path)
        if one != other:
            parts.append(f"{path}: {told(one)} instead of {told(other)}")
    for key, value in wanted.network.items():
        if found.network[key] != value:
            parts.append(f"{key} {found.network[key]} instead of {value}")
    for name, unit in wanted.units.items():
        if found.units.get(name) != unit:
            parts.append(f"{name} {found.units.get(name)} instead of {unit}")
    return "; ".join(parts)[:3000]


def told(file: FileState | None) -> str:
    if file is None:
        return "nothing"
    return f"{file.content[:60]!r} {file.mode:o} {file.uid}:{file.gid}"


Whole = dict[str, tuple[FileState | None, ...]]
"""The states that a file of a change may be in, by its path."""


def torn(host: Host, whole: Whole) -> str:
    """At any moment each file of the change has one of its whole states; in words what is not so."""
    for path, states in sorted(whole.items()):
        found = read_file(host, path)
        if found not in states:
            return f"{path} is {told(found)} at that moment"
    return ""
