"""What apt and dpkg say: which packages are there, and what an installation or a removal would take along."""

from __future__ import annotations

import fcntl
import os
import re
import struct

from service.hostside.commands import run_command, safe_line
from service.hostside.errors import Json, Refused, Trouble, need
from service.hostside.host import Host
from service.hostside.vital import FLAGS, PACKAGE_NAME, package_objections


def package_names(names: Json) -> list[str]:
    need(isinstance(names, list) and len(names) <= 256, "a list of at most 256 packages")
    for name in names:
        need(isinstance(name, str) and bool(re.fullmatch(PACKAGE_NAME, name)), "no package name")
    return list(names)


def simulate(host: Host, what: str, names: list[str]) -> list[list[str]]:
    """What `apt-get install` or `remove` of these would do: [name, new version, old version]. Trouble where it cannot
    be reported. apt takes a name that it does not know for a pattern, so whoever asks compares the names."""
    if pid := dpkg_busy(host):
        raise Trouble(f"process {pid} changes packages on the host at this moment")
    options = [
        "-s",
        "-q",
        "-y",
        "--no-install-recommends",
        "-o",
        "DPkg::Lock::Timeout=5",
        "-o",
        "APT::Get::AutomaticRemove=false",
    ]
    ran = run_command(host, ["apt-get", *options, what, "--", *names], 60.0, group=True)
    if ran.code != 0:
        lines = [line for line in ran.err.splitlines() if line.startswith("E:")]
        raise Trouble(f"apt cannot simulate it: {safe_line(lines[0] if lines else ran.err)}")
    moves = []
    for line in ran.out.splitlines():
        found = re.match(r"(Inst|Remv|Purg) (\S{1,120})(?: \[(\S{1,200})\])?(?: \((\S{1,200}))?", line)
        if found:
            comes = found[1] == "Inst"
            if not re.fullmatch(PACKAGE_NAME + r"(:[a-z0-9-]{1,20})?", found[2]) or (comes and not found[4]):
                raise Trouble("apt's simulation cannot be read")
            moves.append([found[2], found[4] if comes else "", found[3] or ""])
    return moves[:2000]


def dpkg_busy(host: Host) -> int:
    """The process that holds dpkg's or apt's lock, 0 for none. A simulation takes no lock, so it would see half of what
    is being done. The lock is tested and not taken (F_GETLK, fcntl(2)): taking it would disturb others."""
    for name in ("lock-frontend", "lock"):
        try:
            with open(host.path("/var/lib/dpkg/" + name), "rb") as file:
                asked = struct.pack("@hhqqi4x", fcntl.F_WRLCK, 0, 0, 0, 0)
                kind, _, _, _, pid = struct.unpack("@hhqqi4x", fcntl.fcntl(file, fcntl.F_GETLK, asked))
        except OSError:
            continue
        if kind != fcntl.F_UNLCK:
            return int(pid)
    return 0


def unavailable(host: Host, names: list[str], refresh: bool) -> list[str]:
    """Those of some names that apt's lists offer nothing for, by their exact name. Trouble without lists."""
    for last in (not refresh, True):
        shown = run_command(host, ["apt-cache", "policy", "--", *names], 30.0)
        offered = re.findall(r"^(\S+):\n(?:  Installed: .*\n)  Candidate: (?!\(none\))\S", shown.out, re.MULTILINE)
        missing = [name for name in names if name not in offered]
        if not missing or last:
            break
        run_command(host, ["apt-get", *APT_OPTIONS, "update"], 180.0, group=True)
    if missing and host.elsewhere is None and not has_lists(host):
        raise Trouble("apt has no package lists. Fix: run `apt-get update` on the host")
    return missing


def has_lists(host: Host) -> bool:
    """Whether apt has read any archive's list of packages."""
    folder = host.path("/var/lib/apt/lists")
    names = os.listdir(folder) if os.path.isdir(folder) else []
    return any("Packages" in name for name in names)


def package_flags(host: Host, names: list[str]) -> dict[str, list[str]]:
    """What dpkg says of installed packages: essential, protected, important (all: yes), required (its priority)."""
    found: dict[str, list[str]] = {}
    if names:
        form = "${binary:Package}|${Essential}|${Protected}|${Important}|${Priority}\\n"
        for line in run_command(host, ["dpkg-query", "-W", "-f", form, *names]).out.splitlines():
            name, *values = line.split("|")
            found[name] = [
                flag for number, flag in enumerate(FLAGS) if values[number : number + 1] in (["yes"], [flag])
            ]
            found[name.partition(":")[0]] = found[name]
    return found


APT_OPTIONS = [
    *("-y", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=20", "-o", "Acquire::http::Timeout=15"),
    *("-o", "Dpkg::Options::=--force-confdef", "-o", "Dpkg::Options::=--force-confold"),
]


def allowed(host: Host, what: str, names: list[str], promised: Json) -> None:
    """Refused unless a simulation made now says that only what is named and what was promised comes or goes."""
    try:
        if what == "install" and (missing := unavailable(host, names, refresh=True)):
            raise Refused("packages", f"apt knows no package {', '.join(missing)}")
        moves = simulate(host, what, names)
    except Trouble as trouble:
        raise Refused("packages", f"what apt would do cannot be said: {trouble}") from None
    flags = package_flags(host, [move[0] for move in moves if not move[1]])
    if said := package_objections(what, names, moves, flags):
        raise Refused("packages", "; ".join(sentence for _, sentence in said[:4]))
    if isinstance(promised, list) and sorted(moves) != sorted(promised):
        raise Refused("packages", f"apt would {what} other packages now than when the plan was made")


def installed(host: Host, names: list[str]) -> dict[str, bool]:
    """Which packages are installed and configured."""
    found = dict.fromkeys(names, False)
    if names:
        shown = run_command(host, ["dpkg-query", "-W", "-f", "${Package} ${db:Status-Abbrev}\\n", *names])
        for line in shown.out.splitlines():
            name, _, status = line.partition(" ")
            if name in found and status[1:2] == "i":
                found[name] = True
    return found
