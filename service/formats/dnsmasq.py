"""dnsmasq's configuration: what is in a file, what it means, and our own file's text (dnsmasq(8), 2.90).

    parse(data, path) -> DnsmasqFile(directives, problems)
    canonical_value(key, value, networks) -> str                one value in the form that is compared
    meaning(files, networks) -> {key: (value, …)}               several files together
    taken(paths) -> tuple[str, …]                               the files of a conf-dir that Debian's dnsmasq reads
    read_order(paths) -> tuple[str, …]                          all files that it reads, the main file last
    render(directives) -> bytes                                 InputError for a key or value outside the closed table
    parse_hosts(data, path) -> HostsFile(entries, problems)     a file of a dhcp-hostsdir: `mac,address,name`
    render_hosts(entries) -> bytes

A line is one directive: `key` or `key = value`. `#` starts a comment at the start of a line or after a blank; quotes
hide it; the whole file is refused for one bad line. A newline in a value would be a directive of its own
(`dhcp-script=` runs as root): values are rendered only through the grammar of their key.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, ip_address, ip_interface, ip_network

from service.errors import InputError
from service.formats.dnsmasq_range6 import read_range6
from service.formats.dnsmasq_servers import canonical_address, read_server
from service.formats.dnsmasq_values import FLAGS, LISTS, OPTION_NUMBERS, SINGLE, VALUES, is_ipv4, takes
from service.formats.read_once import read_once
from service.model.trees import quoted

__all__ = [
    "FLAGS",
    "LISTS",
    "OPTION_NUMBERS",
    "SINGLE",
    "VALUES",
    "Directive",
    "DnsmasqFile",
    "HostEntry",
    "HostsFile",
    "canonical_value",
    "lease_time",
    "mac_of",
    "meaning",
    "parse",
    "parse_hosts",
    "read_order",
    "render",
    "render_hosts",
    "taken",
]

MAIN_FILE = "/etc/dnsmasq.conf"
HEADER = "# written by passerelle\n"
MAX_BYTES = 1 << 20
MAX_LINES = 20_000
MAX_LINE_BYTES = 1024
"""dnsmasq reads no more at once; the rest would be a line of its own."""
MAX_PROBLEMS = 100
DEFAULT_LEASE_S = 3600
SHORTEST_LEASE_S = 120

_BLANK = " \t\n\v\f\r"
_ESCAPES = {'"': '"', "t": "\t", "n": "\n", "e": "\x1b", "b": "\b", "r": "\r", "\\": "\\"}
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_MAC = re.compile(r"[0-9A-Fa-f]{1,2}(?::[0-9A-Fa-f]{1,2}){5}")
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class Directive:
    """One line; `value` is empty for a flag, and without quotes and escapes."""

    key: str
    value: str = ""
    line: int = 0


@dataclass(frozen=True, slots=True)
class DnsmasqFile:
    """The directives of a file in order. Problems are `path:line: what`; dnsmasq refuses to start for each of them."""

    path: str
    directives: tuple[Directive, ...] = ()
    problems: tuple[str, ...] = ()

    def values(self, key: str) -> tuple[str, ...]:
        """All values of a key, in order."""
        return tuple(directive.value for directive in self.directives if directive.key == key)


@dataclass(frozen=True, slots=True)
class HostEntry:
    """A guest in a `dhcp-hostsdir` file: MAC in lower case, name, address where it is fixed; `other` as written."""

    mac: str
    name: str = ""
    address: str = ""
    other: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class HostsFile:
    """The entries of a `dhcp-hostsdir` file in order, and what could not be read."""

    entries: tuple[HostEntry, ...] = ()
    problems: tuple[str, ...] = ()


@read_once
def parse(data: bytes, path: str = "") -> DnsmasqFile:
    """Read a configuration file. Never raises."""
    directives: list[Directive] = []
    problems: list[str] = []
    seen: set[str] = set()
    for number, text in _lines(data, path, problems):
        key, equals, value = text.partition("=")
        key, value = key.rstrip(" "), value.lstrip(" ")
        if key in FLAGS and equals:
            problems.append(f"{path}:{number}: {key} takes no value")
        elif key in VALUES and not equals and VALUES[key].needed:
            problems.append(f"{path}:{number}: {key} needs a value")
        elif key in SINGLE and key in seen:
            problems.append(f"{path}:{number}: {key} is given twice")
        seen.add(key)
        directives.append(Directive(key, value, number))
    return DnsmasqFile(path, tuple(directives), tuple(problems[:MAX_PROBLEMS]))


def _lines(data: bytes, path: str, problems: list[str]) -> Iterable[tuple[int, str]]:
    """(number, text) of the lines that say something, comments and quotes taken off."""
    if len(data) > MAX_BYTES or data.count(b"\n") > MAX_LINES:
        problems.append(f"{path}:1: larger than {MAX_BYTES} bytes or {MAX_LINES} lines: not read")
        return
    for number, raw in enumerate(data.split(b"\n"), 1):
        if len(raw) >= MAX_LINE_BYTES:
            problems.append(f"{path}:{number}: longer than the {MAX_LINE_BYTES} bytes that dnsmasq reads at once")
            continue
        text = _unquoted(raw.split(b"\0")[0].decode(errors="surrogateescape"))
        if text is None:
            problems.append(f'{path}:{number}: a " is missing')
        elif text.strip(" "):
            yield number, text.strip(" ")


def _unquoted(line: str) -> str | None:
    """A line as dnsmasq's `read_file` leaves it: blanks made spaces, comment cut, quotes and escapes resolved."""
    out: list[str] = []
    white, i = True, 0
    while i < len(line):
        if line[i] == '"':
            end = i + 1
            while end < len(line) and line[end] != '"':
                escaped = line[end] == "\\" and line[end + 1 : end + 2] in _ESCAPES and end + 1 < len(line)
                out.append(_ESCAPES[line[end + 1]] if escaped else line[end])
                end += 2 if escaped else 1
            if end >= len(line):
                return None
            i = end + 1
            if i == len(line):
                break
        if line[i] in _BLANK:
            out.append(" ")
            white = True
        elif white and line[i] == "#":
            break
        else:
            out.append(line[i])
            white = False
        i += 1
    return "".join(out)


def taken(paths: Iterable[str]) -> tuple[str, ...]:
    """The files of /etc/dnsmasq.d that Debian's service reads, in its order: no hidden, back-up or dpkg files."""

    def read(path: str) -> bool:
        name = path.rpartition("/")[2]
        odd = name.startswith(".") or name.endswith("~") or (name.startswith("#") and name.endswith("#"))
        return bool(name) and not odd and not name.endswith((".dpkg-dist", ".dpkg-old", ".dpkg-new"))

    return tuple(sorted(path for path in paths if read(path)))


def read_order(paths: Iterable[str]) -> tuple[str, ...]:
    """All files that Debian's dnsmasq reads, in its order. It is started with the conf-dir as an option, and reads
    /etc/dnsmasq.conf after its options. Seen with 2.90: if a key is in both, the main file's is the second.
    """
    given = tuple(paths)
    main = tuple(path for path in given if path == MAIN_FILE)
    return (*taken(path for path in given if path.rpartition("/")[0] == "/etc/dnsmasq.d"), *main)


def canonical_value(key: str, value: str, networks: Sequence[str] = ()) -> str:
    """One value in the form that is compared. `networks` are the host's own (CIDR): a range without mask has theirs."""
    parts = [part.strip(" ") for part in value.split(",")]
    if key == "dhcp-range":
        return _range(parts, networks)
    if key == "dhcp-option":
        return _option(parts)
    if key == "dhcp-host":
        return ",".join(_host_part(part) for part in parts)
    if key in ("local", "server"):
        return str(read_server(value) or value.lower())
    if key == "listen-address":
        return ",".join(canonical_address(part) or part for part in parts)
    if key in ("domain", "host-record"):
        return ",".join(parts).lower()
    if key in VALUES and VALUES[key].number and re.fullmatch(r"[0-9]{1,9}", value):
        return str(int(value))
    return ",".join(parts)


def _range(parts: list[str], networks: Sequence[str]) -> str:
    """Tags, start, end or mode, mask, broadcast where it is not the network's, lease time in seconds."""
    tags = sorted(part for part in parts if part.startswith(("tag:", "set:", "net:")))
    rest = [part for part in parts if part not in tags]
    start = rest[0] if rest else ""
    if not is_ipv4(start):
        found = read_range6(",".join(parts))
        return str(replace(found, lease=lease_time(found.lease))) if found else ",".join(parts).lower()
    lease = str(DEFAULT_LEASE_S)
    if len(rest) > 2 and "." not in rest[-1]:
        lease = lease_time(rest.pop())
    mask = rest[2] if len(rest) > 2 else ""
    if not mask:
        inside = [ip_interface(n).network for n in networks if ":" not in n]
        mask = next((str(n.netmask) for n in inside if IPv4Address(start) in n), "")
    broadcast = rest[3] if len(rest) > 3 else ""
    if broadcast and is_ipv4(mask) and _natural_broadcast(start, mask) == broadcast:
        broadcast = ""
    return ",".join(part for part in (*tags, start, *rest[1:2], mask, broadcast, *rest[4:], lease) if part)


def _natural_broadcast(start: str, mask: str) -> str:
    try:
        return str(ip_network(f"{start}/{mask}", strict=False).broadcast_address)
    except ValueError:
        return ""


def lease_time(text: str) -> str:
    """`12h` as `43200`; dnsmasq gives no lease below two minutes. What is not a time stays as it is (`infinite`)."""
    match = re.fullmatch(r"([0-9]{1,9})([smhdw]?)", text.lower())
    if match is None:
        return text.lower()
    return str(max(SHORTEST_LEASE_S, int(match[1]) * _UNITS[match[2]]))


def _option(parts: list[str]) -> str:
    """Tags, the option's number, its values with addresses in one spelling."""
    out: list[str] = []
    for position, part in enumerate(parts):
        lower = part.lower()
        if lower.startswith(("tag:", "net:", "encap:", "vi-encap:", "vendor:")):
            out.append(part)
            continue
        name = lower.removeprefix("option:")
        out.append(str(OPTION_NUMBERS.get(name, name)))
        out += [str(ip_address(value)) if is_ipv4(value) else value for value in parts[position + 1 :]]
        break
    return ",".join(out)


def _host_part(part: str) -> str:
    if _MAC.fullmatch(part):
        return ":".join(byte.zfill(2) for byte in part.lower().split(":"))
    return str(ip_address(part)) if is_ipv4(part) else part.lower()


def meaning(files: Iterable[DnsmasqFile], networks: Sequence[str] = ()) -> Mapping[str, tuple[str, ...]]:
    """What the files say together: canonical values by key. Order is kept only where it matters to dnsmasq.

    Lists (`interface=a,b`) are one value each; of a key that counts once the last stays; `server=/x/` is `local=/x/`.
    """
    found: dict[str, list[str]] = {}
    for file in files:
        for directive in file.directives:
            key, value = directive.key, canonical_value(directive.key, directive.value, networks)
            if key == "server" and value.endswith("/"):
                key = "local"
            values = value.split(",") if key in LISTS else [value]
            found[key] = values if key in SINGLE else [*found.get(key, []), *values]
    return {key: _ordered(key, values, strict="strict-order" in found) for key, values in sorted(found.items())}


def _ordered(key: str, values: list[str], *, strict: bool) -> tuple[str, ...]:
    if key == "server" and strict:
        return tuple(values)
    if key == "dhcp-option":  # of one option given twice the order says which one is sent
        return tuple(sorted(dict.fromkeys(values), key=_option_order))
    if key == "domain":
        whole = [value for value in values if "," not in value]
        return tuple(sorted({*whole[-1:], *(value for value in values if "," in value)}))
    return tuple(sorted(set(values)))


def _option_order(value: str) -> int:
    number = next((part for part in value.split(",") if part.isdecimal()), "0")
    return int(number[:9])


def render(directives: Iterable[Directive | tuple[str, str]]) -> bytes:
    """Our own file, in the order given. InputError names the key and value that are outside the closed table."""
    lines = [HEADER]
    seen: set[str] = set()
    for item in directives:
        key, value = (item.key, item.value) if isinstance(item, Directive) else item
        _check(key, value)
        if key in SINGLE and key in seen:
            raise InputError(f"dnsmasq: {key} is given twice", hint="dnsmasq takes it once")
        seen.add(key)
        lines.append(f"{key}={value}\n" if value else f"{key}\n")
    return "".join(lines).encode("ascii")


def _check(key: str, value: str) -> None:
    shown = "".join(c if c.isprintable() else "?" for c in value[:80])
    if key in FLAGS:
        if value:
            raise InputError(f"dnsmasq: {key} takes no value, not {shown!r}")
        return
    grammar = VALUES.get(key)
    if grammar is None:
        raise InputError(f"dnsmasq: {quoted(key)} is not a directive that passerelle writes")
    if not takes(key, value):
        raise InputError(f"dnsmasq: {key} cannot be {shown!r}", hint=f"expected: {grammar.expected}")


def parse_hosts(data: bytes, path: str = "") -> HostsFile:
    """Read a file of a `dhcp-hostsdir`: one host a line. Never raises; a line without MAC is a problem."""
    entries: list[HostEntry] = []
    problems: list[str] = []
    for number, text in _lines(data, path, problems):
        mac = name = address = ""
        other: list[str] = []
        for part in (_host_part(part.strip(" ")) for part in text.split(",")):
            if _MAC.fullmatch(part) and not mac:
                mac = part
            elif is_ipv4(part) and not address:
                address = part
            elif re.fullmatch(r"[a-z0-9_][a-z0-9_.-]{0,254}", part) and not name and not _is_lease_time(part):
                name = part
            elif part:
                other.append(part)
        if mac:
            entries.append(HostEntry(mac, name, address, tuple(other)))
        else:
            problems.append(f"{path}:{number}: names no MAC")
    return HostsFile(tuple(entries), tuple(problems[:MAX_PROBLEMS]))


def mac_of(part: str) -> str:
    """The MAC address that a part of a `dhcp-host` is, in lower case; empty for anything else."""
    return _host_part(part) if _MAC.fullmatch(part) else ""


def _is_lease_time(part: str) -> bool:
    return re.fullmatch(r"[0-9]+[smhdw]?|infinite|ignore", part) is not None


def render_hosts(entries: Iterable[HostEntry]) -> bytes:
    """A file of a `dhcp-hostsdir`, by MAC. InputError for what is not a MAC, label or IPv4 address, or is twice."""
    lines: dict[str, str] = {}
    taken_by: dict[str, str] = {}
    for entry in entries:
        mac = _host_part(entry.mac)
        if not _MAC.fullmatch(mac) or len(mac) != 17:
            raise InputError(f"{quoted(entry.mac)} is not a MAC address such as bc:24:11:00:00:01")
        if not _LABEL.fullmatch(entry.name) or _is_lease_time(entry.name) or is_ipv4(entry.name):
            raise InputError(f"{mac}: {quoted(entry.name)} is not a host name that dnsmasq would take as one")
        if entry.address and not is_ipv4(entry.address):
            raise InputError(f"{mac}: {quoted(entry.address)} is not an IPv4 address")
        if entry.other:
            raise InputError(f"{mac}: {quoted(entry.other[0])} is nothing that passerelle writes")
        for word in (mac, entry.name, entry.address):
            if mac in lines or (word and taken_by.setdefault(word, mac) != mac):
                raise InputError(f"{mac}: {word} is given twice")
        lines[mac] = ",".join(word for word in (mac, entry.address, entry.name) if word) + "\n"
    return (HEADER + "".join(lines[mac] for mac in sorted(lines))).encode("ascii")
