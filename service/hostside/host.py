"""Where things are on this host, and its clock."""

from __future__ import annotations

import json
import os
import time
from typing import Callable, NamedTuple, Optional

from service.hostside.canonical import STATE
from service.hostside.errors import Json

UNITS = "/etc/systemd/system"


class Ran(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


class Host:
    """Where things are: everything below `root`, commands from `bin_dir` alone when it is given.

    `archive` is the file that this process was started from: a transaction keeps a copy of it. `elsewhere` runs
    commands (words, timeout in seconds) for a host that is not this machine: a guest. Its files are out of reach then.
    """

    def __init__(self, root: str = "", bin_dir: Optional[str] = None, archive: str = "") -> None:
        self.root = root.rstrip("/")
        self.bin_dir = bin_dir
        self.archive = archive
        self.verb = ""
        self.elsewhere: Optional[Callable[[list[str], float], Ran]] = None

    def path(self, absolute: str) -> str:
        return self.root + absolute

    def state(self, *names: str) -> str:
        return os.path.join(self.root + STATE, *names)

    def boot_id(self) -> str:
        """Identifies this boot of the kernel; a deadline means nothing in another one."""
        return read_text(self.path("/proc/sys/kernel/random/boot_id"))

    def own_flags(self) -> list[str]:
        """What a process that we start must be instructed to see the same host."""
        flags = ["--root", self.root] if self.root else []
        return flags + (["--bin", self.bin_dir] if self.bin_dir else [])


def boottime_s() -> float:
    """Seconds since boot, suspend included: no clock step changes them."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def read_text(path: str, limit: int = 4096) -> str:
    """The text of a small file, "" when it is not there. The kernel answers ENOMEM to a large read of its own files."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(limit).strip()
    except (FileNotFoundError, NotADirectoryError):
        return ""


def read_json(path: str) -> Json:
    """The value of a JSON file, None when it is not there. ValueError when it is not JSON."""
    try:
        with open(path, "rb") as file:
            return json.loads(file.read())
    except FileNotFoundError:
        return None


def start_time(pid: int) -> str:
    """When a process started, in ticks since boot (proc(5)): with its number it names one process. "" when gone."""
    text = read_text(f"/proc/{pid}/stat")
    return text.rpartition(")")[2].split()[19] if ")" in text else ""
