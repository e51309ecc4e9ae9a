"""Which labs run: a folder each below the runtime folder, alive exactly as long as somebody holds its lock.

    /run/passerelle-lab/NAME/   lock           held by the lab's processes (flock), released by the kernel with them
                                control.sock   how to ask the lab
                                lab.json       its id and image
                                id_ed25519     the key that every host lets in as root
                                inside.log, console-HOST.log

A pid file could lie after a crash; a lock cannot.
"""

import contextlib
import fcntl
import json
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from service.errors import LabError
from service.lab import cgroups
from service.lab.preflight import cgroup2_mount

DEFAULT_RUNTIME = Path("/run/passerelle-lab")
NAME = re.compile(r"[a-z][a-z0-9-]{0,30}")


def runtime_folder() -> Path:
    return Path(os.environ.get("PASSERELLE_LAB_RUNTIME") or DEFAULT_RUNTIME)


@dataclass(frozen=True)
class LabFolder:
    """Where one lab keeps what others must find; the paths need not exist yet."""

    name: str

    def __post_init__(self) -> None:
        if NAME.fullmatch(self.name) is None:
            raise LabError(
                f"{self.name!r} is not a name for a lab", hint="a letter, then letters, digits and dashes: 31 at most"
            )

    @property
    def path(self) -> Path:
        return runtime_folder() / self.name

    @property
    def control(self) -> Path:
        return self.path / "control.sock"

    @property
    def key(self) -> Path:
        return self.path / "id_ed25519"

    @property
    def log(self) -> Path:
        return self.path / "inside.log"

    def facts(self) -> dict[str, str]:
        """What lab.json says; empty when the lab is not there (any more)."""
        try:
            loaded = json.loads((self.path / "lab.json").read_text())
        except (OSError, ValueError):
            return {}
        return {str(k): str(v) for k, v in loaded.items()}


def claim(lab: LabFolder, facts: dict[str, str]) -> int:
    """Take the lab's lock and an empty folder; the open lock, to hand on to the lab's process. LabError if it runs."""
    with _alone():
        _sweep()
        if lab.path.exists():
            raise LabError(
                f"a lab named {lab.name} runs already", hint=f"passerelle lab down --name {lab.name}, or another --name"
            )
        lab.path.mkdir(mode=0o700)
        lock = os.open(lab.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        (lab.path / "lab.json").write_text(json.dumps(facts) + "\n")
        return lock


def is_running(lab: LabFolder) -> bool:
    """Whether any process of the lab is left."""
    with _lock_if_free(lab.path) as free:
        return not free and (lab.path / "lock").exists()


def running() -> list[str]:
    """The names of all labs that run now."""
    if not runtime_folder().is_dir():
        return []
    names = sorted(p.name for p in runtime_folder().iterdir() if NAME.fullmatch(p.name))
    return [name for name in names if is_running(LabFolder(name))]


def sweep() -> None:
    """Remove what dead labs left: their runtime folders and their empty cgroup folders. Living labs are not touched."""
    with _alone():
        _sweep()


def _sweep() -> None:
    living: set[str] = set()
    if runtime_folder().is_dir():
        for path in runtime_folder().iterdir():
            if NAME.fullmatch(path.name) is None:
                continue
            with _lock_if_free(path) as free:
                if free:
                    shutil.rmtree(path, ignore_errors=True)
                elif identity := LabFolder(path.name).facts().get("id"):
                    living.add(identity)
    tree = cgroup2_mount()
    for group in tree.glob(f"{cgroups.PREFIX}*"):
        if group.name.removeprefix(cgroups.PREFIX) not in living and not cgroups.populated(group):
            cgroups.remove(group)


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """One process at a time makes or removes runtime folders."""
    runtime_folder().mkdir(mode=0o700, parents=True, exist_ok=True)
    with (runtime_folder() / ".lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def _lock_if_free(path: Path) -> Iterator[bool]:
    """Hold the lab's lock if nobody else does; False when a lab holds it or there is no lock."""
    try:
        lock = os.open(path / "lock", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        yield False
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield True
    except BlockingIOError:
        yield False
    finally:
        os.close(lock)
