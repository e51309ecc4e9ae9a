"""What a host is made of, read from its bytes, and whether that is all old or all new. No code of service/ in here."""

import json
import os
import re
import stat
from pathlib import Path
from typing import Any, NamedTuple

# Of passerelle itself: its state, and the unit that is there before the first change and stays.
OWN = re.compile(
    r"etc/systemd(/system(/sysinit\.target\.wants)?)?"
    r"|etc/systemd/system/(sysinit\.target\.wants/)?passerelle-recover\.service(\.new)?"
)


class FileState(NamedTuple):
    """All of a regular file that a transaction has to keep or to set."""

    content: bytes
    mode: int
    uid: int = 0
    gid: int = 0
    xattrs: tuple[tuple[str, bytes], ...] = ()


class World(NamedTuple):
    """What a transaction may touch."""

    files: dict[str, FileState]
    others: tuple[str, ...]  # folders, links and whatever else has a name
    units: dict[str, Any]
    kernel: dict[str, Any]


def read_file(path: Path) -> FileState:
    found = path.lstat()
    xattrs = tuple((name, os.getxattr(path, name)) for name in sorted(os.listxattr(path)))
    return FileState(path.read_bytes(), stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid, xattrs)


def read_tree(root: Path) -> tuple[dict[str, FileState], tuple[str, ...]]:
    """Regular files by their path below the root, and the names of everything else."""
    files: dict[str, FileState] = {}
    others: list[str] = []
    for folder, folders, names in os.walk(root):
        here = Path(folder)
        if here == root:
            folders[:] = [name for name in folders if name not in ("run", "proc", "var")]
        for name in [*folders, *names]:
            path = here / name
            below = str(path.relative_to(root))
            if OWN.fullmatch(below):
                continue
            if stat.S_ISREG(path.lstat().st_mode):
                files["/" + below] = read_file(path)
            else:
                others.append(f"/{below} {oct(path.lstat().st_mode)}")
    return files, tuple(sorted(others))


def read_world(root: Path, model: Path) -> World:
    files, others = read_tree(root)
    units = json.loads((model / "units.json").read_text())
    kernel = json.loads((model / "kernel.json").read_text())
    kernel["addresses"] = {name: sorted(found) for name, found in kernel["addresses"].items() if found}
    kernel["rules"] = sorted(kernel["rules"])
    kernel["nginx"] = json.loads((model / "nginx.json").read_text())
    kernel["forward"] = (root / "proc/sys/net/ipv4/ip_forward").read_text().strip()
    own = {name: unit for name, unit in units.items() if not name.startswith("passerelle-")}
    return World(files, others, own, kernel)


def difference(found: World, wanted: World, kernel: bool) -> str:
    """In words, "" when there is none. `kernel` False leaves the kernel out: it is new after a boot."""
    parts = []
    for path in sorted({*found.files, *wanted.files}):
        one, other = found.files.get(path), wanted.files.get(path)
        if one != other:
            parts.append(f"{path}: {_told(one)} instead of {_told(other)}")
    if found.others != wanted.others:
        parts.append(f"names {sorted({*found.others} ^ {*wanted.others})}")
    if found.units != wanted.units:
        parts.append(f"units {found.units} instead of {wanted.units}")
    if kernel:
        for key, value in wanted.kernel.items():
            if found.kernel.get(key) != value:
                parts.append(f"{key} {found.kernel.get(key)} instead of {value}")
    return "; ".join(parts)


def _told(file: FileState | None) -> str:
    if file is None:
        return "nothing"
    xattrs = f" {dict(file.xattrs)}" if file.xattrs else ""
    return f"{file.content[:40]!r} {file.mode:04o} {file.uid}:{file.gid}{xattrs}"


def torn(root: Path, old: World, new: World, identifier: str) -> str:
    """At any moment each file has one of its two whole states; in words what is not so.

    Besides them there may only be our own temporary files, which no program reads.
    """
    files, _ = read_tree(root)
    temporary = re.compile(rf"(/[^/]+)*/\.[^/]+\.passerelle-{identifier}")
    for path in sorted({*files, *old.files, *new.files}):
        whole = (old.files.get(path), new.files.get(path))
        if files.get(path) not in whole and not temporary.fullmatch(path):
            return f"{path} is {_told(files.get(path))} at that moment"
    return ""


class Verdict(NamedTuple):
    """`kind`: "ok", "mixed", "stuck" or "failed" (what was reported is not what is); `told` says more."""

    kind: str
    told: str = ""


BEFORE_THE_FIRST_STEP = ("staged", "armed", "refused")


def judge(found: World, old: World, new: World, journal: dict[str, Any] | None, armed: bool, booted: bool) -> Verdict:
    """How a host ended, after whatever comes on its own has come.

    `journal` is the record of the transaction (None when there is none). Ended are: confirmed and all new; or all
    old and rolled back, refused, or never begun. A switch that is still armed has not ended.
    """
    state = "nothing" if journal is None else str(journal["state"])
    kernel = not booted
    is_old, is_new = difference(found, old, kernel), difference(found, new, kernel)
    if is_old and is_new:
        return Verdict("mixed", f"journal {state}; against old: {is_old}; against new: {is_new}")
    if state == "confirmed":
        return Verdict("mixed", f"journal confirmed; {is_new}") if is_new else _ended(state, armed)
    if state == "rolled_back" or journal is None:
        if is_old:
            return Verdict("mixed", f"journal {state}; {is_old}")
        if journal is not None and journal.get("verified_old") is False:
            return Verdict("failed", "rolled back and old, but recorded as not verified")
        return _ended(state, armed)
    begun = journal is not None and any(step["state"] != "pending" for step in journal["steps"])
    if state in BEFORE_THE_FIRST_STEP and not begun and not is_old:
        return _ended(state, armed)
    return Verdict("stuck", f"journal {state}{', armed' if armed else ''}; {'new' if is_old else 'old'}")


def _ended(state: str, armed: bool) -> Verdict:
    return Verdict("stuck", f"journal {state} and still armed") if armed else Verdict("ok", state)
