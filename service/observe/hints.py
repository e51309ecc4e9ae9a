"""Hints: a program on a host says that something of a kind has changed, and nothing else. Pure.

    command() -> str                    a shell command that runs it, or says `none` on a host without python3
    order_of(watch) -> bytes            its first line on standard input: what it watches
    Hearing().take(chunk, now_s)        what it said; raises Garbled

All of it is hostile text. A line is one of a few fixed words, or the channel is ended. A hint is never data: it only
makes the service look at that host sooner.
"""

import functools
import importlib.resources
import json
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field

from service.errors import Garbled
from service.model.observed import Watch
from service.observe.script import left_over_paths, split_watched

KINDS = ("network", "rules", "files", "units")
QUIET_S = 300.0
"""The program ends when it hears nothing for so long: its connection may be cut, and sshd may not know it yet."""
GAP_S = 0.25
"""At most one hint of a kind in this time."""
LINE_BYTES = 64
MINUTE_BYTES = 16 << 10
"""The program says at most 4 lines of each kind a second: less than 4 KiB a minute and kind."""
PACKAGES = "/var/lib/dpkg/status"
NOT_SEEN = ("/proc/", "/sys/", "/dev/")
"""No inotify there."""
HINTS = {f"hint {kind}".encode(): kind for kind in KINDS}


@functools.cache
def program() -> str:
    """The text of the program, as it is installed with the service."""
    return (importlib.resources.files("service.hostside") / "hints.py").read_text(encoding="utf-8")


@functools.cache
def command() -> str:
    """Run it with the host's Python, in place of the shell."""
    without = "command -v python3 >/dev/null 2>&1 || { echo none; exit 0; }"
    run = f"{without}; exec python3 -I -S -c {shlex.quote(program())}"
    return f"/bin/sh -c {shlex.quote(run)}"


def order_of(watch: Watch) -> bytes:
    """What to watch: `folders` is {folder: names in it}, `deep` are folders with all names in them and one name one
    level deeper, `units` are names. `quiet_s` and `gap_s` are seconds."""
    files, folders = split_watched(watch.files)
    single = [*files, *left_over_paths(files), *([PACKAGES] if watch.packages else [])]
    names: dict[str, set[str]] = {}
    for path in single:
        if not path.startswith(NOT_SEEN):
            folder, _, name = path.rpartition("/")
            names.setdefault(folder or "/", set()).add(name)
    deep = [[folder, "config" if f"{folder}/*/config" in watch.files else ""] for folder in folders]
    order = {
        "folders": {folder: sorted(names[folder]) for folder in sorted(names)},
        "deep": [one for one in deep if not one[0].startswith(NOT_SEEN)],
        "units": sorted(watch.units), "quiet_s": QUIET_S, "gap_s": GAP_S,
    }  # fmt: skip
    return json.dumps(order).encode() + b"\n"


@dataclass(frozen=True, slots=True)
class Said:
    """`ready`: these kinds are pushed from now on. Otherwise one of them changed."""

    kinds: tuple[str, ...]
    ready: bool = False


@dataclass
class Hearing:
    """Cuts the program's output into lines and knows each of them, or refuses it."""

    _rest: bytes = b""
    _is_ready: bool = False
    _minute_s: float = 0.0
    _bytes: int = field(default=0)

    def take(self, chunk: bytes, now_s: float) -> Iterator[Said]:
        """What the next bytes say, one after the other.

        Garbled for a line that is not one of its words, and for too many bytes in a minute."""
        if now_s - self._minute_s >= 60:
            self._minute_s, self._bytes = now_s, 0
        self._bytes += len(chunk)
        if self._bytes > MINUTE_BYTES:
            raise Garbled(f"the hints of a host were more than {MINUTE_BYTES >> 10} KiB in a minute")
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            yield self._said(line)
        if len(self._rest) > LINE_BYTES:
            raise Garbled("a hint of a host is not one of the words that are known")

    def _said(self, line: bytes) -> Said:
        if self._is_ready and line in HINTS:
            return Said((HINTS[line],))
        words = line.split(b" ") if len(line) <= LINE_BYTES else []
        if not self._is_ready and line == b"none":
            self._is_ready = True
            return Said((), ready=True)
        if not self._is_ready and words[:1] == [b"ready"]:
            kinds = tuple(kind for kind in KINDS if kind.encode() in words[1:])
            if len(kinds) == len(words) - 1:
                self._is_ready = True
                return Said(kinds, ready=True)
        raise Garbled("a hint of a host is not one of the words that are known")
