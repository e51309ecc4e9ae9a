"""sysctl.d(5): which value the next boot gives a key, and where that is reported; our own file's text.

    effective(files, key) -> Setting | None      files = {absolute path: bytes}
    Settings(files).effective(key)               the same for many keys
    parse(data) -> tuple[Line, ...]
    render(pairs) -> bytes

Files are read by name over all folders, and a later name wins. Of two files of one name only the one in the folder of
higher rank is read (/etc, /run, /usr/local/lib, /usr/lib). Debian 12's /etc/sysctl.d/99-sysctl.conf is a link to
/etc/sysctl.conf. A key that is set by its name beats every pattern that matches it, before or after it.

What systemd-sysctl 252 and 257 were seen to do, as sysctl-order.sh in findings/ shows:

- a key that is given the same value again keeps its first place in the order, another value moves it to the end;
- `net.ipv4.ip_forward` and `net.ipv4.conf.all.forwarding` are one variable under two names: neither name protects the
  other from a pattern or a later line;
- a new value of that variable sets `conf.default` and every interface, of IPv4 and of IPv6, over earlier values. The
  value that it already has is not written, and sets none;
- udev writes the lines about one interface again when it appears, so they hold;
- an interface that appears later, and that no line is about, gets the value of `conf.default`.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import translate

from service.errors import InputError
from service.formats.read_once import read_once
from service.model.trees import quoted

FOLDERS = ("/etc/sysctl.d", "/run/sysctl.d", "/usr/local/lib/sysctl.d", "/usr/lib/sysctl.d", "/lib/sysctl.d")
"""By rank."""
MAIN_FILE = "/etc/sysctl.conf"
MAIN_LINK = "/etc/sysctl.d/99-sysctl.conf"
HEADER = "# written by passerelle\n"

MAX_LINES = 20_000

ALL_FORWARDING = {
    "net/ipv4/ip_forward": "net/ipv4/conf",
    "net/ipv4/conf/all/forwarding": "net/ipv4/conf",
    "net/ipv6/conf/all/forwarding": "net/ipv6/conf",
}
"""Keys that turn forwarding on and off for a whole host, with the folder of its interfaces."""
_GLOB = re.compile(r"[*?\[]")
_OF_LINK = re.compile(r"(net/ipv[46]/conf)/([^/]+)/([^/]+)")


@dataclass(frozen=True, slots=True)
class SysctlLine:
    """One assignment: key with slashes (`net/ipv4/ip_forward`); value None where `-key` exempts it from patterns."""

    key: str
    value: str | None
    line: int


@dataclass(frozen=True, slots=True, order=True)
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
    """The one name of a variable, with slashes, however its key is written."""
    path = slashed(key)
    return "net/ipv4/ip_forward" if path == "net/ipv4/conf/all/forwarding" else path


@read_once
def parse(data: bytes) -> tuple[SysctlLine, ...]:
    """The assignments of one file, in order. Other lines are left out, as systemd-sysctl does. Never raises."""
    found: list[SysctlLine] = []
    for number, raw in enumerate(data.decode("utf-8", "replace").split("\n")[:MAX_LINES], 1):
        text = raw.strip()
        if not text or text[0] in "#;":
            continue
        key, equals, value = text.partition("=")
        lenient = key.startswith("-")
        name = slashed(key.removeprefix("-").strip())
        if name and (equals or lenient):
            found.append(SysctlLine(name, value.strip() if equals else None, number))
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
    return Settings(files).effective(key)


Write = tuple[int, str, Setting]
"""Its place in the order, the key's path, and what is written."""


class Settings:
    """The lines of all files in the order in which systemd-sysctl writes them: for many questions about one host."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        order: dict[str, tuple[str | None, Setting]] = {}
        for path in reading_order(files):
            for line in parse(files[path]):
                if line.key in order and order[line.key][0] == line.value:
                    continue
                order.pop(line.key, None)
                order[line.key] = (line.value, Setting(line.value or "", path, line.line))
        numbered = [(number, key, value, setting) for number, (key, (value, setting)) in enumerate(order.items())]
        self._by_name = {key: (number, value, setting) for number, key, value, setting in numbered}
        self._patterns = [
            (number, key, setting)
            for number, key, value, setting in numbered
            if value is not None and _GLOB.search(key)
        ]

    def effective(self, key: str) -> Setting | None:
        """What the next boot sets a key (dotted or slashed) to; None where no file says anything."""
        wanted = canonical(key)
        of_link = _OF_LINK.fullmatch(wanted)
        if wanted in ALL_FORWARDING or (of_link and of_link[3] == "forwarding"):
            return self._forwarding(wanted, of_link[2] if of_link else "all")
        own = self.said(wanted)
        if own is None and of_link and of_link[2] not in ("all", "default"):
            return self.said(f"{of_link[1]}/default/{of_link[3]}")
        return own

    def said(self, key: str) -> Setting | None:
        """The value that lines give a key under this name or by a pattern, without what follows from other keys."""
        writes = self._writes(slashed(key))
        return writes[-1][2] if writes else None

    def _writes(self, path: str) -> list[Write]:
        """What is written under one name, in order."""
        named = self._by_name.get(path)
        if named is not None:
            number, value, setting = named
            return [] if value is None else [(number, path, setting)]
        return [(number, path, setting) for number, pattern, setting in self._patterns if _matches(pattern, path)]

    def _forwarding(self, wanted: str, link: str) -> Setting | None:
        """Forwarding of the host (`all`), of interfaces to come (`default`) or of one interface, write by write."""
        folder = "net/ipv6/conf" if wanted.startswith("net/ipv6") else "net/ipv4/conf"
        names = {path: "all" for path, known in ALL_FORWARDING.items() if known == folder}
        names |= {f"{folder}/{name}/forwarding": name for name in ("default", link) if name != "all"}
        now: dict[str, Setting] = {}
        own: Setting | None = None
        for _, written, setting in sorted(write for path in names for write in self._writes(path)):
            name = names[written]
            if name == "all" and setting.value != (now["all"].value if "all" in now else "0"):
                now = dict.fromkeys(names.values(), setting)
            now[name] = setting
            own = setting if name == link else own
        if link in ("all", "default"):
            return now.get(link)
        return own or now.get("default")


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
        if not re.fullmatch(r"net(?:\.[A-Za-z0-9_/-]{1,40}){1,8}", key):
            raise InputError(f"{quoted(key)} is not a sysctl key below net.")
        if not re.fullmatch(r"-?[0-9]{1,19}(?: [0-9]{1,19}){0,3}", value):
            raise InputError(f"{key}: {quoted(value)} is not a number")
        settings[key] = value
    return (HEADER + "".join(f"{key} = {value}\n" for key, value in sorted(settings.items()))).encode()
