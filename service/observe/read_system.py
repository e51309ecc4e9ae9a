"""Kernel values, units, listeners, packages and marks: sections → facts. Pure."""

import ast
import ipaddress
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TypeAlias

from service.hostside.canonical import BRIDGED, show_properties, unit_from_show
from service.model.observed import Keeper, Listener, Watch
from service.model.states import Absent, Json, Observed, Seen, Unknown
from service.model.trees import shown
from service.observe.frames import Section
from service.observe.part import LINK_NAME, Part, Reader, Unreadable, succeeded
from service.observe.script import BOOT_ID, OS_RELEASE, sysctl_path

MAX_LISTENERS = 2000
_Process: TypeAlias = tuple[str, int, str, str]
"""Protocol, port, program and number of a process."""
MAX_BANS_TEXT = 1 << 20

_HEADER = re.compile(r"(?:\A|(?<=\n))==> (/[A-Za-z0-9._/@:+,=%-]+) <==\n")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_OS_LINE = re.compile(r'PRETTY_NAME="?([^"\n]{1,100})"?')
_SOCKET = re.compile(r"(tcp|udp)\s+\S+\s+\d+\s+\d+\s+([0-9A-Za-z.:*%\[\]@_-]{1,80}):(\d{1,5})\s+\S+\s*(.*)")
_PROGRAM = re.compile(r'users:\(\("([^"]{1,64})"')
_PID = re.compile(r'"[^"]{1,64}",pid=(\d{1,10}),')
_HEARS = re.compile(r"hears\|(sshd)\|(yes|journalmatch|filter)\|(sshd[a-z-]{0,16})")
_BANS = re.compile(r"\[[A-Za-z0-9_.:/'\[\]{}, -]*\]")
PACKAGE_LINE = re.compile(r"([a-z0-9][a-z0-9.+-]*)\|([a-z])([a-z])(.?)\|([0-9A-Za-z.+:~-]{0,200})")
_KEEPER = re.compile(r"(systemd-networkd|NetworkManager|netplan)\|([^|]*)\|([A-Za-z0-9._@:+,=%/ -]{0,300})")
MAX_KEEPERS = 2000
_TRANSACTION = re.compile(r"[0-9A-Z]{26}")


def read_values(found: Mapping[str, Section], watch: Watch) -> Part:
    """boot id, operating system and the watched sysctls from one `head -v`."""
    section = found["values"]
    if section.status not in (0, 1):
        raise Unreadable(f"`head` {section.complaint()}")
    text, words = section.text(), section.words.decode("utf-8", "replace")
    headers = list(_HEADER.finditer(text))
    ends = [*(header.start() for header in headers[1:]), len(text)]
    values = {header[1]: text[header.end() : end] for header, end in zip(headers, ends, strict=True)}
    facts: dict[str, Observed[Json]] = {}
    for key in watch.sysctls:
        path = sysctl_path(key)
        if path in values:
            facts[f"sysctl:{key}"] = Seen(" ".join(shown(values[path], 400).split()))
        elif f"cannot open '{path}' for reading: No such file or directory" in words:
            # br_netfilter brings these along: without it nothing that is bridged meets the rules, as with 0
            facts[f"sysctl:{key}"] = Seen("0") if key.startswith(BRIDGED) else Absent()
        else:
            facts[f"sysctl:{key}"] = Unknown(f"{path} could not be read")
    boot_id = values.get(BOOT_ID, "").strip()
    system = _OS_LINE.search(values.get(OS_RELEASE, ""))
    return Part(
        facts=facts,
        boot_id=boot_id if _UUID.fullmatch(boot_id) else "",
        os=shown(system[1], 100) if system else "",
    )


def read_units(found: Mapping[str, Section], watch: Watch) -> Part:
    """unit facts from one `systemctl show`, which answers in the order of the names it was given."""
    names = sorted(watch.units)
    if not names:
        return Part()
    section = found["units"]
    if section.status == 124:
        raise Unreadable("`systemctl` did not answer within 8 s")
    blocks = show_properties(succeeded(section, "systemctl show").text())
    if len(blocks) != len(names):
        raise Unreadable(f"`systemctl show` answered for {len(blocks)} units instead of {len(names)}")
    facts: dict[str, Observed[Json]] = {}
    entered: dict[str, float] = {}
    for name, block in zip(names, blocks, strict=True):
        if not {"LoadState", "ActiveState"} <= block.keys():
            facts[f"unit:{name}"] = Unknown(f"`systemctl show` said nothing of the state of {name}")
            continue
        if block.get("Job", "0") not in ("", "0"):
            # at boot a daemon waits its turn: not running yet is not drift
            facts[f"unit:{name}"] = Unknown(f"{name} is just being started or stopped")
            continue
        value = unit_from_show(block)
        facts[f"unit:{name}"] = (
            Absent()
            if value is None
            else Seen({"enabled": shown(value["enabled"], 40), "active": bool(value["active"])})
        )
        since_us = block.get("ActiveEnterTimestampMonotonic", "0")
        if since_us.isdigit() and int(since_us[:18]) > 0:
            entered[name] = int(since_us[:18]) / 1e6
    return Part(facts=facts, entered_s=entered)


def read_listeners(found: Mapping[str, Section], _watch: Watch) -> Part:
    """Every waiting TCP and UDP socket, from `ss`."""
    lines = [line for line in succeeded(found["listeners"], "ss").text().splitlines() if line.strip()]
    if len(lines) > MAX_LISTENERS:
        raise Unreadable(f"`ss` printed {len(lines)} sockets; at most {MAX_LISTENERS} are read")
    sockets: list[tuple[Listener, tuple[str, ...]]] = []
    for line in lines:
        parts = _SOCKET.fullmatch(line)
        if not parts:
            raise Unreadable("`ss` printed a line that is not a socket")
        program = _PROGRAM.match(parts[4])
        one = Listener(parts[1], parts[2], int(parts[3]), shown(program[1], 64) if program else "")
        sockets.append((one, tuple(_PID.findall(parts[4]))))
    ordered = sorted(by_instance(sockets), key=lambda one: (one.port, one.protocol, one.address, one.program))
    return Part(listeners=Seen(tuple(ordered)))


def by_instance(found: Iterable[tuple[Listener, tuple[str, ...]]]) -> set[Listener]:
    """The sockets, each with the number of its process among those of its program on its port, in the order of their
    first sockets. Processes that share a socket, as a daemon and its children do, are one."""
    listed = [(one, [(one.protocol, one.port, one.program, pid) for pid in pids]) for one, pids in found]
    parents = {process: process for _, processes in listed for process in processes}
    for _, processes in listed:
        for process in processes[1:]:
            parents[_first(parents, process)] = _first(parents, processes[0])
    numbers: dict[tuple[str, int, str], dict[object, int]] = {}
    numbered: set[Listener] = set()
    for one, processes in listed:
        known = numbers.setdefault((one.protocol, one.port, one.program), {})
        number = known.setdefault(_first(parents, processes[0]), len(known)) if processes else 0
        numbered.add(replace(one, instance=number))
    return numbered


def _first(parents: dict[_Process, _Process], process: _Process) -> _Process:
    """The process that stands for all that it shares a socket with."""
    while parents[process] != process:
        parents[process] = process = parents[parents[process]]
    return process


def read_bans(found: Mapping[str, Section], watch: Watch) -> Part:
    """fail2ban's jails that are up, and whom they ban: `fail2ban-client banned` prints a list of dicts of lists."""
    if not watch.jails:
        return Part(bans=Unknown("was not looked at"))
    said = succeeded(found["bans"], "fail2ban-client").text().strip()
    if said == "down":
        return Part(bans=Absent())
    text, _, proof = said.partition("\n")
    if len(text) > MAX_BANS_TEXT or not _BANS.fullmatch(text):
        raise Unreadable("`fail2ban-client` printed something that is not a list of jails")
    try:
        listed = ast.literal_eval(text)
    except SyntaxError:
        raise Unreadable("`fail2ban-client` printed something that is not a list of jails") from None
    jails = {str(name): tuple(sorted(map(_banned, banned))) for jail in listed for name, banned in jail.items()}
    if not proof:
        return Part(bans=Seen(jails))
    heard = _HEARS.fullmatch(proof)
    if not heard:
        raise Unreadable("fail2ban gave an unexpected answer about its jails")
    return Part(bans=Seen(jails), deaf={} if heard[2] == "yes" else {heard[1]: (heard[2], heard[3])})


def _banned(text: str) -> str:
    """An address, or a network that is banned as a whole."""
    network = ipaddress.ip_network(text)
    return str(network.network_address) if network.num_addresses == 1 else str(network)


def read_packages(found: Mapping[str, Section], watch: Watch) -> Part:
    """Versions of installed packages. Removed ones whose configuration stayed are Absent."""
    section = found["packages"]
    if section.status not in (0, 1):
        raise Unreadable(f"`dpkg-query` {section.complaint()}")
    packages: dict[str, Observed[str]] = {}
    for line in section.text().splitlines():
        parts = PACKAGE_LINE.fullmatch(line)
        if parts and parts[1] in watch.packages and not isinstance(packages.get(parts[1]), Seen):
            packages[parts[1]] = package_state(parts)
    words = section.words.decode("utf-8", "replace").splitlines()
    for name in watch.packages - packages.keys():
        missing = f"dpkg-query: no packages found matching {name}" in words
        packages[name] = Absent() if missing else Unknown(f"`dpkg-query` said nothing of {name}")
    return Part(packages=packages)


def package_state(parts: re.Match[str]) -> Observed[str]:
    """A state of dpkg-query(1): second letter n, c = not there; i = installed; anything else = on the way."""
    if parts[3] == "i" and parts[4].strip() == "":
        return Seen(parts[5])
    if parts[3] in ("n", "c"):
        return Absent()
    return Unknown(
        f"{parts[1]} is half installed ({parts[2]}{parts[3]}); `dpkg --configure -a` on the host finishes it"
    )


def read_marks(found: Mapping[str, Section], _watch: Watch) -> Part:
    """Left-over files, who else configures interfaces, and the transaction that is armed now."""
    left: list[str] = []
    keepers: list[Keeper] = []
    armed = ""
    for line in succeeded(found["marks"], "sh").text().splitlines():
        word, _, value = line.partition("|")
        if word == "left":
            left.append(shown(value, 400))
        elif word == "keeper":
            if len(keepers) < MAX_KEEPERS and (parts := _KEEPER.fullmatch(value)):
                known = parts[1] == "netplan" or LINK_NAME.fullmatch(parts[2])
                keepers += [Keeper(parts[1], parts[2], parts[3])] if known else []
        elif word == "armed":
            armed = value if _TRANSACTION.fullmatch(value) else "unreadable"
    return Part(left_overs=tuple(left), armed=armed, keepers=Seen(tuple(keepers)))


def _values_unread(why: str, watch: Watch) -> Part:
    return Part(facts={f"sysctl:{key}": Unknown(why) for key in watch.sysctls})


def _units_unread(why: str, watch: Watch) -> Part:
    return Part(facts={f"unit:{name}": Unknown(why) for name in watch.units})


def _packages_unread(why: str, watch: Watch) -> Part:
    return Part(packages={name: Unknown(why) for name in watch.packages})


def _marks_unread(why: str, _watch: Watch) -> Part:
    return Part(left_overs=(f"not known: {why}",), armed="unreadable", keepers=Unknown(why))


READERS = (
    Reader("values", ("values",), read_values, _values_unread),
    Reader("units", ("units",), read_units, _units_unread),
    Reader("bans", ("bans",), read_bans, lambda why, _watch: Part(bans=Unknown(why))),
    Reader("listeners", ("listeners",), read_listeners, lambda why, _watch: Part(listeners=Unknown(why))),
    Reader("packages", ("packages",), read_packages, _packages_unread),
    Reader("marks", ("marks",), read_marks, _marks_unread),
)
