"""Runs next to the host-side file on the raced host, of which it knows nothing: the operator's hand and the witness.

    python3 race_host.py ROOT edit|replace|chmod|delete PATH CONTENT MODE   prints what was there and what is now
    python3 race_host.py ROOT watch STOP PATH…                              until the file STOP exists; what it saw

A version of a file is [sha256, mode], null when there is none. Standard library only; prints JSON.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import stat
import sys
import time
from pathlib import Path

TYPE_CHECKING = False  # typing itself would cost every edit some milliseconds
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

STATE = "var/lib/passerelle"
ENDED = ("confirmed", "rolled_back", "rollback_failed", "released", "refused")
ON_TRIAL = ("armed", "applying", "applied", "confirming", "rolling_back")
PAUSE_S = 0.01


def version(fd: int) -> list[str]:
    content = os.pread(fd, 1 << 20, 0)
    return [hashlib.sha256(content).hexdigest(), f"{stat.S_IMODE(os.fstat(fd).st_mode):04o}"]


def version_at(path: Path) -> list[str] | None:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    try:
        return version(fd)
    finally:
        os.close(fd)


def exchange(one: Path, other: Path) -> None:
    """Swap two names atomically; FileNotFoundError when one is not there."""
    renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    if renameat2(-100, os.fsencode(one), -100, os.fsencode(other), 2) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def still_there(path: Path, fd: int) -> bool:
    try:
        return path.stat().st_ino == os.fstat(fd).st_ino
    except FileNotFoundError:
        return False


def in_place(path: Path, change: Callable[[int], object]) -> dict[str, Any]:
    """An editor that keeps the inode looks afterwards whether the file it wrote is still the one with that name."""
    fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
    try:
        before = version(fd)
        change(fd)
        return {"before": before, "after": version(fd), "certain": still_there(path, fd)}
    finally:
        os.close(fd)


def replace(path: Path, content: bytes, mode: int) -> dict[str, Any]:
    """What was there is known exactly: the two change places."""
    own = path.with_name(path.name + ".by-hand")
    own.write_bytes(content)
    own.chmod(mode)
    after = version_at(own)
    while True:
        try:
            exchange(own, path)
            before = version_at(own)
            break
        except FileNotFoundError:
            try:
                path.hardlink_to(own)
                before = None
                break
            except FileExistsError:
                continue
    own.unlink()
    return {"before": before, "after": after, "certain": True}


def delete(path: Path) -> dict[str, Any]:
    own = path.with_name(path.name + ".by-hand")
    path.rename(own)
    before = version_at(own)
    own.unlink()
    return {"before": before, "after": None, "certain": True}


def edit(kind: str, path: Path, content: bytes, mode: int) -> dict[str, Any]:
    try:
        if kind == "edit":  # as long as what is there: no reader sees a part
            return in_place(path, lambda fd: os.pwrite(fd, content, 0))
        if kind == "chmod":
            return in_place(path, lambda fd: os.fchmod(fd, mode))
        if kind == "delete":
            return delete(path)
    except FileNotFoundError:
        if kind == "delete":
            return {"before": None, "after": None, "certain": True}
    return replace(path, content, mode)


def read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None


class Witness:
    """Looks at the records of a host again and again."""

    def __init__(self, root: Path) -> None:
        self.root, self.state = root, root / STATE
        self.ended: dict[str, Any] = {}
        self.before: set[str] = set()
        self.seen: dict[str, Any] = {"two_armed": [], "generations": [], "changed_ends": [], "scans": 0}

    def scan(self) -> None:
        self.seen["scans"] += 1
        folder = self.state / "txn"
        now: set[str] = set()
        for name in os.listdir(folder) if folder.is_dir() else []:
            if name.startswith(".") or name in self.ended:
                continue
            journal = read_json(folder / name / "journal.json")
            if journal is not None and journal["state"] in ON_TRIAL:
                now.add(name)
            elif journal is not None and journal["state"] in ENDED:
                self.keep(name, journal)
        # on trial in this look and in the one before: on trial at the moment between the two
        both = sorted(now & self.before)
        if len(both) > 1 and both not in self.seen["two_armed"]:
            self.seen["two_armed"].append(both)
        self.before = now
        generation = read_json(self.state / "generation")
        if generation and self.seen["generations"][-1:] != [generation["generation"]]:
            self.seen["generations"].append(generation["generation"])

    def keep(self, name: str, journal: dict[str, Any]) -> None:
        folder = self.state / "txn" / name
        snapshot, document = read_json(folder / "old/facts.json"), read_json(folder / "document.json")
        kept = {}
        for found in [one["sha256"] for ones in journal.get("foreign", {}).values() for one in ones if one]:
            kept[found] = (version_at(folder / "foreign" / found) or [""])[0] == found
        facts = (snapshot or {}).get("facts", {})
        steps = (document or {}).get("steps", [])
        self.ended[name] = {"journal": journal, "facts": facts, "steps": steps, "kept": kept}

    def finish(self, paths: list[str]) -> dict[str, Any]:
        for name, record in self.ended.items():
            journal = read_json(self.state / "txn" / name / "journal.json")
            if journal is not None and journal["state"] != record["journal"]["state"]:
                self.seen["changed_ends"].append([name, record["journal"]["state"], journal["state"]])
        real = {path: self.root / path[1:] for path in paths}
        left = {str(one) for path in real.values() for one in path.parent.iterdir() if ".passerelle-" in one.name}
        return {
            **self.seen,
            "transactions": self.ended,
            "files": {path: version_at(at) for path, at in real.items()},
            "armed": (self.state / "armed").exists(),
            "left": sorted(left),
        }


def main() -> None:
    root, verb, first, *rest = sys.argv[1:]
    if verb != "watch":
        path = Path(root) / first[1:]
        print(json.dumps(edit(verb, path, rest[0].encode(), int(rest[1], 8))))
        return
    witness = Witness(Path(root))
    while not Path(first).exists():
        witness.scan()
        time.sleep(PAUSE_S)
    witness.scan()
    print(json.dumps(witness.finish(rest)))


if __name__ == "__main__":
    main()
