"""The lab's own corner of the machine's cgroup2 tree: one folder per lab, in it one per host and per guest.

The kernel prints process ids in `cgroup.procs` as those of the reader's pid namespace. So the same question finds a
host's init from inside the lab and from the machine (cgroups(7), pid_namespaces(7)).
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path

PREFIX = "passerelle-lab."


def folder(tree: Path, lab_id: str) -> Path:
    """The lab's folder below the mount point of the cgroup2 tree."""
    return tree / f"{PREFIX}{lab_id}"


def pids(cgroup: Path) -> Iterator[int]:
    """Every process below this cgroup, those of the cgroup itself first; empty when it is gone."""
    with contextlib.suppress(OSError):
        yield from (int(line) for line in (cgroup / "cgroup.procs").read_text().split())
        for child in cgroup.iterdir():
            if child.is_dir():
                yield from pids(child)


def leader(cgroup: Path) -> int | None:
    """The process that is PID 1 of the namespace living in this cgroup, as this process would name it."""
    found: list[tuple[int, int]] = []
    for place in (cgroup / "payload" / "init.scope", cgroup):
        for pid in pids(place):
            with contextlib.suppress(OSError):
                for line in Path(f"/proc/{pid}/status").read_text().splitlines():
                    if line.startswith("NSpid:") and line.split()[-1] == "1":
                        found.append((len(line.split()), pid))
        if found:
            return min(found)[1]
    return None


def populated(cgroup: Path) -> bool:
    """Whether any process lives here or below."""
    try:
        return "populated 1" in (cgroup / "cgroup.events").read_text()
    except OSError:
        return False


def kill(cgroup: Path) -> None:
    """SIGKILL to everything below, at once and without a race (cgroup.kill, Linux 5.14)."""
    with contextlib.suppress(FileNotFoundError):
        (cgroup / "cgroup.kill").write_text("1")


def freeze(cgroup: Path, *, frozen: bool) -> None:
    """Stop or resume everything below: the processes keep their sockets and answer nothing."""
    (cgroup / "cgroup.freeze").write_text("1" if frozen else "0")


def remove(cgroup: Path) -> None:
    """Remove the empty folders of a dead lab; what still holds processes stays."""
    with contextlib.suppress(OSError):
        for child in cgroup.iterdir():
            if child.is_dir():
                remove(child)
        cgroup.rmdir()
