"""Reading a host's files out of a folder (a backup, a mounted disk) for adopt. Nothing outside the folder is read.

read_host_tree(root) -> Material          raises InputError where root is not a directory
"""

import os
import re
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

from service.adopt import WATCH, Material
from service.adopt.material import PACKAGES, UNITS
from service.adopt.system import STATUS_FILE
from service.errors import InputError
from service.observe.at_boot import IFUPDOWN2

MAX_FILE_BYTES = 1 << 20
MAX_FILES = 4000
MAX_STATUS_BYTES = 64 << 20
UNIT_FOLDER = "/etc/systemd/system"
ESSENTIAL = "base-files"
"""Each Debian system has it installed (`Essential: yes`, Debian Policy 3.8)."""
WANTS = ("multi-user.target.wants", "sysinit.target.wants", "network-online.target.wants")


def read_host_tree(root: Path) -> Material:
    """Everything that adopt looks at, as far as it is there."""
    if not root.is_dir():
        raise InputError(f"{root} is not a directory", hint="give the folder that holds etc/")
    files: dict[str, bytes] = {}
    unread: dict[str, str] = {}
    for path in sorted(_wanted(root)):
        if len(files) >= MAX_FILES:
            unread[path] = f"more than {MAX_FILES} files"
            break
        try:
            if (data := _read(root, path)) is not None:
                files[path] = data
        except OSError as error:
            unread[path] = error.strerror or "input/output error"
    versions = _versions(root)
    return Material(files, _units(root), _packages(versions), unread, ifupdown2=versions.get(IFUPDOWN2, ""))


def _packages(versions: Mapping[str, str]) -> dict[str, bool]:
    """Whether each package that adopt asks about is installed. A list without an essential package is a part of one,
    and what it leaves out is unknown."""
    is_whole = ESSENTIAL in versions
    return {name: name in versions for name in PACKAGES if is_whole or name in versions}


def _wanted(root: Path) -> Iterator[str]:
    for pattern in {*WATCH.files, "/etc/network/*"}:
        if not pattern.endswith("/*"):
            yield pattern
            continue
        folder = _inside(root, pattern[:-2])
        if folder is not None and folder.is_dir():
            for name in sorted(os.listdir(folder)):  # noqa: PTH208 (names alone)
                if re.fullmatch(r"[A-Za-z0-9._@:+,=%~#-]{1,255}", name) and not name.startswith("."):
                    yield f"{pattern[:-1]}{name}"
    network = _inside(root, "/etc/network")
    if network is not None and network.is_dir():
        for entry in sorted(network.iterdir()):
            if entry.is_dir() and not entry.name.startswith("if-"):
                yield from (f"/etc/network/{entry.name}/{p.name}" for p in sorted(entry.iterdir()))


def _inside(root: Path, path: str) -> Path | None:
    """The place of a host's path: links are followed within the tree only."""
    top = root.resolve()
    here = top
    for part in path.strip("/").split("/"):
        here = here / part
        for _ in range(8):
            if not here.is_symlink():
                break
            target = Path(os.readlink(here))  # noqa: PTH115 (as text)
            here = top.joinpath(*target.parts[1:]) if target.is_absolute() else here.parent / target
        if not here.resolve().is_relative_to(top):
            return None
    return here


def _read(root: Path, path: str) -> bytes | None:
    where = _inside(root, path)
    if where is None or not where.exists() or where.is_dir():
        return None
    opened = os.open(where, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(opened, "rb") as file:
        if not stat.S_ISREG(os.fstat(opened).st_mode):
            raise OSError(22, "it is not a plain file")
        data = file.read(MAX_FILE_BYTES + 1)
    if len(data) > MAX_FILE_BYTES:
        raise OSError(27, f"it has more than {MAX_FILE_BYTES} bytes")
    return data


def _units(root: Path) -> dict[str, str]:
    """What the links in /etc/systemd/system say; nothing where there is no such folder."""
    folder = _inside(root, UNIT_FOLDER)
    if folder is None or not (folder / WANTS[0]).is_dir():
        return {}
    found: dict[str, str] = {}
    for unit in UNITS:
        link = folder / unit
        if link.is_symlink() and os.readlink(link) == "/dev/null":  # noqa: PTH115 (as text)
            found[unit] = "masked"
        else:
            is_on = any((folder / wants / unit).is_symlink() or (folder / wants / unit).exists() for wants in WANTS)
            found[unit] = "enabled" if is_on else "disabled"
    return found


def _versions(root: Path) -> dict[str, str]:
    """The installed packages in dpkg's own list with their versions; none where there is no list."""
    where = _inside(root, STATUS_FILE)
    if where is None or not where.is_file() or where.stat().st_size > MAX_STATUS_BYTES:
        return {}
    text = where.read_text(encoding="utf-8", errors="replace")
    found: dict[str, str] = {}
    for block in text.split("\n\n"):
        name = re.match(r"Package: (\S+)", block)
        if name and re.search(r"^Status: \S+ \S+ installed$", block, re.M):
            version = re.search(r"^Version: (\S{1,200})$", block, re.M)
            found[name[1]] = version[1] if version else ""
    return found
