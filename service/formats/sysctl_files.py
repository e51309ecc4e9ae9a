"""sysctl.d(5): which value the next boot gives a key, and where that is said; our own file's text.

    effective(files, key) -> Setting | None      files = {absolute path: bytes}
    parse(data) -> tuple[Line, ...]
    render(pairs) -> bytes

Files are read by name over all folders, a later name wins; of two files of one name only the one in the folder of
higher rank is read (/etc, /run, /usr/local/lib, /usr/lib). Debian's /etc/sysctl.d/99-sysctl.conf is a link to
/etc/sysctl.conf. A key that is set by its name beats every pattern that takes it in, wherever that stands.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import translate

from service.errors import InputError
from service.formats.read_once import read_once

FOLDERS = ("/etc/sysctl.d", "/run/sysctl.d", "/usr/local/lib/sysctl.d", "/usr/lib/sysctl.d", "/lib/sysctl.d")
"""By rank."""
MAIN_FILE = "/etc/sysctl.conf"
MAIN_LINK = "/etc/sysctl.d/99-sysctl.conf"
HEADER = "# written by passerelle\n"

MAX_LINES = 20_000

_SAME = {"net/ipv4/conf/all/forwarding": "net/ipv4/ip_forward"}
"""Two names of one kernel variable."""


@dataclass(frozen=True, slots=True)
class SysctlLine:
    """One assignment: key with slashes (`net/ipv4/ip_forward`); value None where `-key` exempts it from patterns."""

    key: str
    value: str | None
    line: int


@dataclass(frozen=True, slots=True)
class Setting:
    """A value and the line that gives it."""

    value: str
    path: str
    line: int


def slashed(key: str) -> str:
    """`net.ipv4.conf.eth0/1.forwarding` as a path below /proc/sys: the first separator says which one separates."""
    first = re.search(r"[./]", key)
    if first is None or first[0] == "/":
        return key
    return key.translate({ord("."): "/", ord("/"): "."})


def dotted(path: str) -> str:
    """The other way: a path below /proc/sys as a key with dots."""
    return path.translate({ord("."): "/", ord("/"): "."})


def canonical(key: str) -> str:
    """The one name of a key, with slashes, however it is written."""
    return _SAME.get(slashed(key), slashed(key))


@read_once
def parse(data: bytes) -> tuple[SysctlLine, ...]:
    """The assignments of one file, in order. Lines that are none are left out, as systemd-sysctl does. Never raises."""
    found: list[SysctlLine] = []
    for number, raw in enumerate(data.decode("utf-8", "replace").split("\n")[:MAX_LINES], 1):
        text = raw.strip()
        if not text or text[0] in "#;":
            continue
        key, equals, value = text.partition("=")
        lenient = key.startswith("-")
        name = slashed(key.removeprefix("-").strip())
        if name and (equals or lenient):
            found.append(SysctlLine(_SAME.get(name, name), value.strip() if equals else None, number))
    return tuple(found)


def reading_order(files: Mapping[str, bytes]) -> Iterator[str]:
    """The paths that the boot reads, in its order."""
    chosen: dict[str, str] = {}
    for folder in reversed(FOLDERS):
        for path in files:
            above, _, name = path.rpartition("/")
            if above == folder and name.endswith(".conf"):
                chosen[name] = path
    link = MAIN_LINK.rpartition("/")[2]
    if MAIN_FILE in files and (chosen.get(link) != MAIN_LINK or files[MAIN_LINK] == files[MAIN_FILE]):
        chosen[link] = MAIN_FILE
    for name in sorted(chosen):
        yield chosen[name]


def effective(files: Mapping[str, bytes], key: str) -> Setting | None:
    """What the next boot sets `key` (dotted or slashed) to; None where no file says anything."""
    wanted = canonical(key)
    by_name: Setting | None = None
    by_pattern: Setting | None = None
    exempt = False
    for path in reading_order(files):
        for line in parse(files[path]):
            if line.key == wanted:
                exempt = exempt or line.value is None
                by_name = by_name if line.value is None else Setting(line.value, path, line.line)
            elif line.value is not None and re.search(r"[*?\[]", line.key) and _matches(line.key, wanted):
                by_pattern = Setting(line.value, path, line.line)
    return by_name or (None if exempt else by_pattern)


def _matches(pattern: str, key: str) -> bool:
    """glob(7) on the path: no wildcard goes over a slash."""
    parts, pieces = pattern.split("/"), key.split("/")
    return len(parts) == len(pieces) and all(
        re.fullmatch(translate(part), piece) for part, piece in zip(parts, pieces, strict=True)
    )


def render(pairs: Iterable[tuple[str, str]]) -> bytes:
    """Our own file: dotted keys below `net.`, in order, each once. InputError for anything else."""
    settings: dict[str, str] = {}
    for key, value in pairs:
        if not re.fullmatch(r"net(?:\.[A-Za-z0-9_-]{1,40}){1,8}", key):
            raise InputError(f"{key[:60]!r} is not a sysctl key below net.")
        if not re.fullmatch(r"-?[0-9]{1,19}(?: [0-9]{1,19}){0,3}", value):
            raise InputError(f"{key}: {value[:60]!r} is not a number")
        settings[key] = value
    return (HEADER + "".join(f"{key} = {value}\n" for key, value in sorted(settings.items()))).encode()
