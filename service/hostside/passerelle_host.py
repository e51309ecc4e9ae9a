"""The one file of passerelle that runs on hosts: the dead-man's switch and the transaction.

    python3 -I -S passerelle_host.py [--root DIR] [--bin DIR] VERB [ARGUMENT…]

Run as root; Python >= 3.9 and its standard library only. A transaction is a list of steps `fact: before ->
after`. Apply sets every fact to `after`; rollback sets every fact to its snapshot, whatever state it is in now.
Both can be cut anywhere and started again. Before the first step a journal, two wakers (a process that watches the
boot clock, a timer of systemd's) and a unit that runs before networking are in place, so that a killed process, a cut
connection, a passed deadline or a power cut all end in the old state, and only a confirmation over a new connection
keeps the new one. All of that is proven when it is armed, after the steps, and again before a confirmation counts.
Kernel facts are set with `ip` and `nft` directly: ifreload and ifup detach guests' ports and repeat post-up lines.

Facts (`TYPE:NAME`; canonical JSON, None is "not there"; a wanted value may name fewer fields than a captured one):

    file:/abs/path      {"sha256", "mode": "0644", "uid", "gid"}; captured also "size", "xattrs": {name: base64}
    link:NAME           {"type": "bridge"|"other", "up", "mtu", "master"}, bridges also "stp", "forward_delay_s",
                        "ports": [{"name", "up"}]: each wanted port is there (ports that came are guests')
    addresses:NAME      ["10.10.10.1/24", …] sorted, scope global, without dynamic ones
    routes:default      [{"family": 4|6, "via": "198.51.100.1"|null, "dev"}] sorted, table main, without proto ra
    sysctl:KEY          "1" (net.* only; net.bridge.* are "0" without the module br_netfilter)
    nft:FAMILY TABLE    {"normal": […]}, wanted also {"load": "table … {…}"}; tables passerelle and passerelle_* only
    masquerade:SRC>OUT  number of such rules in iptables' nat POSTROUTING
    unit:NAME           {"enabled": "enabled"|"disabled"|"masked"|…, "active": bool}
    package:NAME        {"version"}; a Debian package goes (None), and comes back from a copy that is made before
    leases:/abs/path    dnsmasq's lease file. Captured {"named": ["MAC NAME", …]}; wanted {"from": a path that it was
                        at until now, "unnamed": ["MAC NAME", …] that go}: it moves all the time, only these count

Verbs (JSON lines on stdout, the last one is {"event": "result", …}; exit 0 clean answer, 2 bad input, 1 crash):

    begin <doc   run ID   confirm ID [--console]   rollback ID [REASON]   expire ID   watch ID
    extend ID SECONDS [GENERATION]   boot   status [ID] [--verify]   capture <["fact", …]
    packages <{"install", "promised", "timeout_s"}   weigh {"install", "remove", "units", "refresh"}
    release ID REASON   prove ID
    probe <[{"kind", "name", "address", …}]

Sections: 1 durable files, 2 commands, 3 facts, 4 journal and lock, 5 transaction, 6 verbs, 7 probes, 8 main.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import ctypes
import errno
import fcntl
import hashlib
import ipaddress
import json
import os
import re
import shlex
import shutil
import signal
import socket
import stat
import struct
import subprocess
import sys
import threading
import time
from typing import Any, Callable, Iterator, NamedTuple, Optional

FORMAT = 1  # of the document and of the journal
DOCUMENT_LIMIT_BYTES = 8 << 20
FILE_LIMIT_BYTES = 8 << 20
KEPT_TRANSACTIONS = 20
COMMAND_TIMEOUT_S = 20.0
LOCK_PATIENCE_S = 10.0
RESCUE_PATIENCE_S = 2.0  # how long a rollback waits for another verb before it kills it
RESTORE_PATIENCE_S = 30.0  # and for another rollback that is at work: units take their time
WATCH_EVERY_S = 1.0  # how often the watcher reads the journal: its deadline may have been moved, or it has ended
WAKING_S = 15.0  # how long a watcher may take to start on a loaded host before the switch counts as not armed
STILL_THERE_S = 5.0  # and to be started again by systemd, when something has killed it
PROOF_PAUSES_S = (0.0, 0.3, 1.0, 2.0)  # before each look at what carries the switch, once the change is made
OFF_S = 1.0  # a timer that would fire so much before or after the deadline is not the one that was armed
PAUSES_S = (0.0, 0.1, 0.4, 1.0, 1.5, 2.0)  # before each try of a verification: units and DAD need time
STATE = "/var/lib/passerelle"
UNITS = "/etc/systemd/system"
RECOVER_UNIT = "passerelle-recover.service"
RECOVER_TEXT = """\
# Written by passerelle: brings back the old network if the host went down in the middle of a change.
# Whoever kills the first try, the second one finishes what it began; nothing is left to do for the others.
[Unit]
Description=passerelle: undo an unconfirmed change before networking starts
DefaultDependencies=no
Conflicts=shutdown.target
After=local-fs.target systemd-remount-fs.service
Before=sysinit.target shutdown.target network-pre.target networking.service systemd-networkd.service
Before=systemd-sysctl.service nftables.service passerelle-nft.service
ConditionPathExists=/var/lib/passerelle/armed

[Service]
Type=oneshot
ExecStart=-/usr/bin/timeout -s KILL 40 /usr/bin/python3 -I -S /var/lib/passerelle/boot.py boot
ExecStart=-/usr/bin/timeout -s KILL 40 /usr/bin/python3 -I -S /var/lib/passerelle/boot.py boot
ExecStart=/usr/bin/timeout -s KILL 40 /usr/bin/python3 -I -S /var/lib/passerelle/boot.py boot
TimeoutStartSec=150
OOMScoreAdjust=-900
OOMPolicy=continue

[Install]
WantedBy=sysinit.target
"""
# The states of a journal. Terminal before anything is armed: refused (a conflict leaves no journal at all).
ENDED = ("confirmed", "rolled_back", "rollback_failed", "released", "refused")
RESTORE_ORDER = ("file", "link", "addresses", "routes", "sysctl", "nft", "masquerade", "unit")
NETWORK = ("link", "addresses", "routes", "sysctl", "nft", "masquerade")
WAYS_IN = ("ssh.service", "sshd.service", "ssh.socket")
SYSTEMD = ("systemctl", "systemd-run")
BUS_LOST = re.compile(  # what they say when systemd executes itself anew (daemon-reexec) while they talk to it
    "disconnected from message bus|D-Bus connection terminated|Transport endpoint is not connected"
    "|Connection (reset by peer|refused|timed out)|Broken pipe"
)
BUS_PAUSES_S = (0.1, 0.2, 0.4, 0.8, 1.0, 1.0, 1.0)
# Named points for fault injection; N is the step's number. Those of a restore at boot begin with "boot-".
POINTS = (
    ("locked", "observed", "staged", "checked", "journal-armed", "armed", "proven")
    + ("step-N-before", "step-N-after", "verifying", "applied")
    + ("confirm-locked", "confirm-verified", "on-confirm-N", "confirmed", "disarmed")
    + ("restore-begin", *("restore-" + kind for kind in RESTORE_ORDER), "restore-verify", "restored")
    + ("boot-restore-begin", "boot-restore-file", "boot-restore-unit", "boot-restored")
)

Json = Any


class BadInput(Exception):  # noqa: N818
    """What came in cannot be used. The message says where and why."""


class Trouble(Exception):  # noqa: N818
    """The host did not do what was asked of it. The message can be shown to people."""


class Foreign(Trouble):
    """A file was changed by someone else: theirs stays, nothing of ours was written."""


class Refused(Exception):  # noqa: N818
    """Nothing was changed. `reason` is a fixed word: fenced, armed, quarantined, space, check, conflict, …"""

    def __init__(self, reason: str, error: str, **more: Json) -> None:
        super().__init__(error)
        self.answer: dict[str, Json] = {"state": "refused", "reason": reason, "error": error, **more}


# ---------------------------------------------------------------------------------------------- 1 durable files


class Host:
    """Where things are: everything below `root`, commands from `bin_dir` alone when it is given."""

    def __init__(self, root: str = "", bin_dir: Optional[str] = None) -> None:
        self.root = root.rstrip("/")
        self.bin_dir = bin_dir
        self.verb = ""

    def path(self, absolute: str) -> str:
        return self.root + absolute

    def state(self, *names: str) -> str:
        return os.path.join(self.root + STATE, *names)

    def boot_id(self) -> str:
        """Identifies this boot of the kernel; a deadline means nothing in another one."""
        return read_text(self.path("/proc/sys/kernel/random/boot_id"))

    def own_flags(self) -> list[str]:
        """What a process that we start must be told to see the same host."""
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
    """The value of a JSON file, None when it is not there. ValueError when it is no JSON."""
    try:
        with open(path, "rb") as file:
            return json.loads(file.read())
    except FileNotFoundError:
        return None


def as_bytes(value: Json) -> bytes:
    """The canonical JSON of a value."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def sync_folder(path: str) -> None:
    """Make renames and unlinks in a folder survive a power cut (where the file system can)."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS):
            raise
    finally:
        os.close(fd)


def worded(host: Host, error: BaseException) -> str:
    """An error in words for people; those of the disk say what is the matter with it."""
    code = error.errno if isinstance(error, OSError) else None
    if code == errno.EROFS:
        return "the disk is read-only; the kernel's log (dmesg) may say why"
    if code not in (errno.ENOSPC, errno.EDQUOT):
        return str(error)
    try:
        room = os.statvfs(host.path(os.path.dirname(STATE)))
    except OSError:
        return "the disk is full"
    if room.f_ffree == 0:
        return "the disk has no inode left: too many files; delete some"
    return f"the disk is full ({room.f_bavail * room.f_frsize >> 10} KiB free); free some room"


def remove(path: str) -> None:
    """Unlink and sync; nothing to do is fine."""
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        os.unlink(path)
        sync_folder(os.path.dirname(path))


def write_new(path: str, content: bytes, mode: int = 0o600, attributes: Optional[dict[str, Json]] = None) -> None:
    """A new file with its owner and extended attributes, on disk when this returns. Replaces a left-over of ours."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(fd, rest) :]
        wanted = attributes or {}
        found = os.fstat(fd)
        owner = (wanted.get("uid", 0), wanted.get("gid", 0))
        if attributes is not None and owner != (found.st_uid, found.st_gid):
            os.fchown(fd, *owner)
        for name, value in (wanted.get("xattrs") or {}).items():
            os.setxattr(fd, name, base64.b64decode(value))
        if mode != stat.S_IMODE(found.st_mode):
            os.fchmod(fd, mode)
        os.fsync(fd)
    except BaseException:
        os.close(fd)
        with contextlib.suppress(OSError):
            os.unlink(path)
        raise
    os.close(fd)


def write_atomic(path: str, content: bytes, mode: int = 0o600) -> None:
    """Replace a file of our own state: after a crash it has the old or the new content, never a part."""
    write_new(path + ".new", content, mode)
    os.rename(path + ".new", path)
    sync_folder(os.path.dirname(path))


def make_folders(path: str) -> list[str]:
    """mkdir -p with 0755, synced; the folders that were made, outermost first."""
    missing = []
    while not os.path.isdir(path):
        missing.append(path)
        path = os.path.dirname(path)
    for folder in reversed(missing):
        os.mkdir(folder, 0o755)
        sync_folder(os.path.dirname(folder))
    return missing[::-1]


def exchange(one: str, other: str) -> bool:
    """Swap two names atomically (renameat2(2), RENAME_EXCHANGE); False where the file system cannot."""
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if renameat2 is None:
        return False
    at_cwd, rename_exchange = -100, 2
    if renameat2(at_cwd, os.fsencode(one), at_cwd, os.fsencode(other), rename_exchange) == 0:
        return True
    code = ctypes.get_errno()
    if code in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):
        return False
    raise OSError(code, os.strerror(code), other)


# --------------------------------------------------------------------------------------------------- 2 commands


class Ran(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


def run_command(
    host: Host, argv: list[str], timeout_s: float = COMMAND_TIMEOUT_S, text: str = "", group: bool = False
) -> Ran:
    """Run a program by name. Trouble when it is not installed or takes too long; its exit code is the caller's.

    What systemd was asked while it executed itself anew is asked again. `text` is its standard input, held in memory
    as a file: a reader never sees a part of it, whoever is killed when.
    `group` gives it a process group of its own (programs that start others).
    """
    ran = _run_once(host, argv, timeout_s, text, group)
    for pause_s in BUS_PAUSES_S if argv[0] in SYSTEMD else ():
        if ran.code == 0 or not BUS_LOST.search(ran.err):
            break
        time.sleep(pause_s)
        ran = _run_once(host, argv, timeout_s, text, group)
        if argv[0] == "systemd-run" and "already loaded" in ran.err:  # what was asked first has been done
            ran = Ran(0, "", "")
    return ran


def _run_once(host: Host, argv: list[str], timeout_s: float, text: str, group: bool) -> Ran:
    search = host.bin_dir or "/usr/sbin:/usr/bin:/sbin:/bin"
    program = shutil.which(argv[0], path=search)
    if program is None:
        raise Trouble(f"{argv[0]} is not installed")
    stdin = os.memfd_create("passerelle") if text else os.open(os.devnull, os.O_RDONLY)
    environment = {"PATH": search, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}
    try:
        if text:
            os.write(stdin, text.encode())
            os.lseek(stdin, 0, os.SEEK_SET)
        process = subprocess.Popen(
            [program, *argv[1:]],
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
            cwd="/",
            start_new_session=group,
        )
    finally:
        os.close(stdin)
    try:
        out, err = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        if group:
            os.killpg(process.pid, signal.SIGKILL)
        process.kill()
        process.communicate()
        raise Trouble(f"{argv[0]} did not end within {timeout_s:.0f} s") from None
    return Ran(process.returncode, out.decode("utf-8", "replace"), err.decode("utf-8", "replace"))


def must(host: Host, argv: list[str], **options: Json) -> str:
    """Run a program that has to succeed; its standard output."""
    ran = run_command(host, argv, **options)
    if ran.code != 0:
        raise Trouble(f"{' '.join(argv[:6])} failed ({ran.code}): {safe_line(ran.err)}")
    return ran.out


def safe_line(text: str, limit: int = 300) -> str:
    """The last line of what a program said, without control characters, bounded: fit for a message."""
    lines = [line for line in text.splitlines() if line.strip()]
    return "".join(c if c.isprintable() else "?" for c in (lines[-1] if lines else "no message"))[:limit]


def json_output(host: Host, argv: list[str]) -> Json:
    """What a program prints as JSON."""
    out = must(host, argv)
    try:
        return json.loads(out or "[]")
    except ValueError:
        raise Trouble(f"{' '.join(argv)} printed no JSON") from None


# ------------------------------------------------------------------------------ 3 facts: names and canonical forms

BRIDGED = "net.bridge."  # settings that come with the module br_netfilter; without it they are as 0
_NAME = r"[A-Za-z0-9_][A-Za-z0-9_.:-]{0,14}"
_SOURCE = r"[0-9a-fA-F.:]{2,45}/[0-9]{1,3}"
FACT_NAMES = {
    "file": r"(/[A-Za-z0-9._@%+:,=~-]+)+",
    "link": _NAME,
    "addresses": _NAME,
    "routes": "default",
    "sysctl": r"net(\.[A-Za-z0-9_/@:-]+)+",
    "nft": r"(ip|ip6|inet|bridge|arp|netdev) passerelle(_[A-Za-z0-9_]{1,40})?",
    "masquerade": _SOURCE + ">" + _NAME,
    "unit": r"[A-Za-z0-9_][A-Za-z0-9:_.@\\-]{0,199}\.(service|timer|socket|path|target)",
    "leases": r"(/[A-Za-z0-9._@%+:,=~-]+)+",
    "package": r"[a-z0-9][a-z0-9+.-]{1,99}",
}
LEASES_DAEMON = "dnsmasq.service"  # while it runs, nobody else writes the lease file
LEASE_NAME = r"[0-9a-f:-]{1,60} [A-Za-z0-9_.-]{1,255}"


def split_fact(fact: Json) -> tuple[str, str]:
    """(type, name) of a fact id; BadInput when it is none."""
    if not isinstance(fact, str) or len(fact) > 1024:
        raise BadInput(f"a fact is a short text, not {str(fact)[:40]!r}")
    kind, _, name = fact.partition(":")
    if kind not in FACT_NAMES or not re.fullmatch(FACT_NAMES[kind], name):
        raise BadInput(f"{fact!r} is no fact: TYPE:NAME with TYPE one of {', '.join(FACT_NAMES)}")
    if kind in ("file", "leases") and (set(name.split("/")) & {".", ".."} or (name + "/").startswith(STATE + "/")):
        raise BadInput(f"{fact!r} is no place for a file of ours")
    if kind == "sysctl" and set(sysctl_path(name).split("/")[1:]) & {"", ".", ".."}:
        raise BadInput(f"{fact!r} names no kernel setting")
    return kind, name


def sysctl_path(key: str) -> str:
    """The file of a kernel setting; in a key "/" stands for a dot inside a name (sysctl.d(5))."""
    return "/proc/sys/" + key.translate(str.maketrans("./", "/."))


def same(fact: str, wanted: Json, captured: Json) -> bool:
    """Is what was captured what is wanted? Only what `wanted` names is compared. Pure."""
    kind = fact.partition(":")[0]
    if kind == "addresses":
        return sorted(wanted or []) == sorted(captured or [])
    if kind == "leases":
        return not set((wanted or {}).get("unnamed", [])) & set((captured or {}).get("named", []))
    if wanted is None or captured is None:
        return wanted is None and captured is None
    if kind == "routes":
        return _sorted_routes(wanted) == _sorted_routes(captured)
    if kind == "sysctl":
        return str(wanted).split() == str(captured).split()
    if kind == "masquerade":
        return bool(wanted == captured)
    if kind == "link":
        ports = {port["name"]: port["up"] for port in captured.get("ports", [])}
        if any(p["name"] not in ports or (p.get("up") and not ports[p["name"]]) for p in wanted.get("ports", [])):
            return False
    uncompared = ("ports", "load")
    return all(captured.get(key) == value for key, value in wanted.items() if key not in uncompared)


def links_from_json(links: list[dict[str, Json]]) -> dict[str, dict[str, Json]]:
    """Link facts by name from `ip -d -j link show`. Pure."""
    facts: dict[str, dict[str, Json]] = {}
    ports: dict[str, list[dict[str, Json]]] = {}
    for link in links:
        if "ifname" not in link:  # some versions of ip print empty objects
            continue
        details = link.get("linkinfo", {})
        bridge = details.get("info_kind") == "bridge"
        up = "UP" in link.get("flags", [])
        fact = {"type": "bridge" if bridge else "other", "up": up, "mtu": link.get("mtu"), "master": link.get("master")}
        if bridge:
            kernel = details.get("info_data", {})
            delay_s = kernel.get("forward_delay", 0) / 100
            fact["stp"] = bool(kernel.get("stp_state"))
            fact["forward_delay_s"] = int(delay_s) if delay_s == int(delay_s) else delay_s
            fact["ports"] = ports.setdefault(link["ifname"], [])
        if link.get("master"):
            ports.setdefault(link["master"], []).append({"name": link["ifname"], "up": up})
        facts[link["ifname"]] = fact
    for members in ports.values():
        members.sort(key=lambda port: str(port["name"]))
    return facts


def _static_addresses(link: dict[str, Json]) -> list[dict[str, Json]]:
    found = [a for a in link.get("addr_info", []) if a.get("scope") == "global" and not a.get("dynamic")]
    return [a for a in found if a.get("family") in ("inet", "inet6") and "local" in a]


def addresses_from_json(links: list[dict[str, Json]]) -> dict[str, list[str]]:
    """Address facts by link name from `ip -j addr show`. Pure. An address counts once, whatever its peers: ifreload of
    ifupdown2 3.0.0 leaves it there with the old peer and adds the new one."""
    return {
        link["ifname"]: sorted({f"{a['local']}/{a['prefixlen']}" for a in _static_addresses(link)})
        for link in links
        if "ifname" in link
    }


def _sorted_routes(routes: list[dict[str, Json]]) -> list[dict[str, Json]]:
    named = [{"family": r["family"], "via": r.get("via"), "dev": r["dev"]} for r in routes]
    return sorted(named, key=lambda r: (r["family"], r["via"] or "", r["dev"]))


def default_routes_from_json(routes4: list[dict[str, Json]], routes6: list[dict[str, Json]]) -> list[dict[str, Json]]:
    """The fact routes:default from `ip -4 -j route show table main` and the same with -6. Pure."""
    found = []
    for family, routes in ((4, routes4), (6, routes6)):
        for route in routes:
            if route.get("dst") != "default" or route.get("protocol") == "ra" or "type" in route:
                continue
            for hop in route.get("nexthops") or [route]:
                via = hop.get("gateway") or (hop.get("via") or {}).get("host")
                if "dev" in hop:
                    found.append({"family": family, "via": via, "dev": hop["dev"]})
    return _sorted_routes(found)


NFT_CODES = {
    "icmp": {
        "net-unreachable": 0, "host-unreachable": 1, "prot-unreachable": 2, "port-unreachable": 3, "frag-needed": 4,
        "net-prohibited": 9, "host-prohibited": 10, "admin-prohibited": 13,
    },
    "icmpv6": {
        "no-route": 0, "admin-prohibited": 1, "addr-unreachable": 3, "port-unreachable": 4, "policy-fail": 5,
        "reject-route": 6,
    },
}  # fmt: skip
"""Names that nft before 1.1 lists for codes of ICMP, whatever the type; since then it lists numbers."""


def nft_normal(objects: list[dict[str, Json]]) -> list[dict[str, Json]]:
    """The normal form of a table: the list below "nftables" of `nft -j list table` without what changes by itself.

    Left out: metainfo, handles, counters' and quotas' values, elements of sets whose elements time out. What versions
    of nft spell in several ways is spelled in one. Pure.
    """
    normal = []
    for item in objects:
        for kind, body in item.items():
            if kind == "metainfo" or not isinstance(body, dict):
                continue
            body = {key: _nft_value(value) for key, value in body.items() if key != "handle"}
            if kind in ("counter", "quota"):
                body = {key: value for key, value in body.items() if key not in ("packets", "bytes", "used")}
            if kind in ("set", "map") and "elem" in body:
                flags = body.get("flags") or []
                if "timeout" in flags or "dynamic" in flags:
                    del body["elem"]
                elif isinstance(body["elem"], list):
                    body["elem"] = sorted(body["elem"], key=as_bytes)
            normal.append({kind: body})
    return normal


def _nft_value(value: Json) -> Json:
    if isinstance(value, list):
        return [_nft_value(item) for item in value]
    if not isinstance(value, dict):
        return value
    cleaned: dict[str, Json] = {}
    for key, inner in value.items():
        if key == "counter" and isinstance(inner, dict):
            cleaned[key] = None
        elif key == "quota" and isinstance(inner, dict):
            cleaned[key] = {name: v for name, v in inner.items() if not name.startswith("used")}
        elif key == "set" and isinstance(inner, list):
            cleaned[key] = sorted((_nft_value(item) for item in inner), key=as_bytes)
        elif key == "match" and isinstance(inner, dict):
            cleaned[key] = _nft_value({**inner, "right": _nft_numbers(inner.get("left"), inner.get("right"))})
        elif key == "vmap" and isinstance(inner, dict):
            cleaned[key] = _nft_value({**inner, "data": _nft_numbers(inner.get("key"), inner.get("data"))})
        elif key == "flags" and isinstance(inner, str):  # one flag alone is a list since nft 1.1.7
            cleaned[key] = [inner]
        elif key == "&" and isinstance(inner, list):  # flags to look at: a list until nft 1.0.6
            cleaned[key] = [_nft_value({"|": one} if isinstance(one, list) else one) for one in inner]
        else:
            cleaned[key] = _nft_value(inner)
    return cleaned


def _nft_numbers(left: Json, right: Json) -> Json:
    """`right` as it is compared with `left`, with numbers for the names of ICMP's codes."""
    if not isinstance(left, dict) or not isinstance(right, (dict, list, str)):
        return right
    if isinstance(right, dict):
        places = left.get("concat")
        if isinstance(places, list) and isinstance(right.get("concat"), list):
            pairs = zip(places, right["concat"])  # noqa: B905 (not in 3.9)
            return {**right, "concat": [_nft_numbers(one, value) for one, value in pairs]}
        return {key: _nft_numbers(left, value) for key, value in right.items()}
    if isinstance(right, list):
        return [_nft_numbers(left, item) for item in right]
    payload = left.get("payload")
    if not isinstance(payload, dict) or payload.get("field") != "code":
        return right
    return NFT_CODES.get(str(payload.get("protocol")), {}).get(right, right)


def _masquerade_rules(save: str) -> list[tuple[str, list[str]]]:
    """("SRC>OUT", the rule's words) of each plain masquerade rule in the text of iptables-save -t nat."""
    found = []
    for line in save.splitlines():
        if "MASQUERADE" not in line:  # splitting a line costs more than all else here
            continue
        try:
            words = shlex.split(line.replace("\\'", "'"))  # it also escapes what a shell would not
        except ValueError:
            continue
        if words[:2] != ["-A", "POSTROUTING"]:
            continue
        options: dict[str, str] = {}
        rest = words[2:]
        while len(rest) >= 2 and rest[0].startswith("-"):
            if rest[:2] != ["-m", "comment"]:
                options[rest[0]] = rest[1]
            rest = rest[2:]
        options.pop("--comment", None)
        if not rest and set(options) == {"-s", "-o", "-j"} and options["-j"] == "MASQUERADE":
            with contextlib.suppress(ValueError):
                source = ipaddress.ip_network(options["-s"], strict=False)
                found.append((f"{source}>{options['-o']}", words[2:]))
    return found


def masquerade_counts(save: str) -> dict[str, int]:
    """{"SRC>OUT": number of rules} from the text of `iptables-save -t nat`, by meaning. Pure."""
    counts: dict[str, int] = {}
    for name, _ in _masquerade_rules(save):
        counts[name] = counts.get(name, 0) + 1
    return counts


def unit_from_show(properties: dict[str, str]) -> Optional[dict[str, Json]]:
    """A unit fact from `systemctl show -p LoadState,UnitFileState,ActiveState`; None when there is no such unit."""
    if properties.get("LoadState", "not-found") == "not-found":
        return None
    enabled = properties.get("UnitFileState") or ("masked" if properties["LoadState"] == "masked" else "")
    return {"enabled": enabled, "active": properties.get("ActiveState") in ("active", "reloading")}


def show_properties(text: str) -> list[dict[str, str]]:
    """The blocks of `systemctl show -p … UNIT UNIT…`, in the order of the units. Pure."""
    blocks = [block for block in text.split("\n\n") if block.strip()]
    return [dict(line.partition("=")[::2] for line in block.splitlines()) for block in blocks]


# --------------------------------------------------------------------------------------- 3 facts: capturing them


def read_file(path: str) -> tuple[Optional[dict[str, Json]], bytes]:
    """(file fact, content) read through one descriptor, so that both are of the same file."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return None, b""
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):
            return {"type": "symlink" if error.errno == errno.ELOOP else "special"}, b""
        raise
    found = os.fstat(fd)
    if not stat.S_ISREG(found.st_mode):
        os.close(fd)
        return {"type": "dir" if stat.S_ISDIR(found.st_mode) else "special"}, b""
    with os.fdopen(fd, "rb") as file:
        content = file.read(FILE_LIMIT_BYTES + 1)
        if len(content) > FILE_LIMIT_BYTES:
            raise Trouble(f"{path} is larger than {FILE_LIMIT_BYTES >> 20} MiB")
        try:
            names = sorted(os.listxattr(fd))
        except OSError:  # a file system without them
            names = []
        xattrs = {name: base64.b64encode(os.getxattr(fd, name)).decode() for name in names}
    fact = {
        "sha256": hashlib.sha256(content).hexdigest(),
        "mode": f"{stat.S_IMODE(found.st_mode):04o}",
        "uid": found.st_uid,
        "gid": found.st_gid,
        "size": found.st_size,
        "xattrs": xattrs,
    }
    return fact, content


class Seen:
    """One look at the host. Each source is read once, when the first fact of it is asked for."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.sources: dict[str, Json] = {}

    def source(self, name: str, read: Callable[[], Json]) -> Json:
        if name not in self.sources:
            self.sources[name] = read()
        return self.sources[name]

    def ip(self, *words: str) -> list[dict[str, Json]]:
        found = self.source(" ".join(words), lambda: json_output(self.host, ["ip", "-j", *words]))
        return list(found)

    def links(self) -> dict[str, dict[str, Json]]:
        return links_from_json(self.ip("-d", "link", "show"))

    def routes(self, family: int) -> list[dict[str, Json]]:
        return self.ip(f"-{family}", "route", "show", "table", "main")

    def masquerades(self, source: str) -> str:
        program = "ip6tables-save" if ":" in source else "iptables-save"
        return str(self.source(program, lambda: must(self.host, [program, "-t", "nat"])))

    def units(self, names: list[str]) -> dict[str, Optional[dict[str, Json]]]:
        if not names:
            return {}
        wanted = ["systemctl", "show", "-p", "LoadState,UnitFileState,ActiveState", "--", *names]
        blocks = show_properties(must(self.host, wanted))
        if len(blocks) != len(names):
            raise Trouble("systemctl show answered for another number of units than asked")
        return {name: unit_from_show(block) for name, block in zip(names, blocks)}  # noqa: B905 (not in 3.9)


def capture(host: Host, facts: list[str]) -> dict[str, Json]:
    """What the host has now, for each fact. Trouble when something cannot be read: unknown is not absent."""
    seen = Seen(host)
    names = [fact.partition(":")[2] for fact in facts if fact.startswith("unit:")]
    units = seen.units(list(dict.fromkeys(names)))
    values: dict[str, Json] = {}
    for fact in dict.fromkeys(facts):
        kind, name = split_fact(fact)
        values[fact] = units[name] if kind == "unit" else _CAPTURES[kind](seen, name)
    return values


def _capture_link(seen: Seen, name: str) -> Json:
    return seen.links().get(name)


def _capture_addresses(seen: Seen, name: str) -> Json:
    return addresses_from_json(seen.ip("addr", "show")).get(name)


def _capture_routes(seen: Seen, _name: str) -> Json:
    return default_routes_from_json(seen.routes(4), seen.routes(6))


def _capture_sysctl(seen: Seen, name: str) -> Json:
    try:
        with open(seen.host.path(sysctl_path(name)), encoding="utf-8") as file:
            return " ".join(file.read(4096).split())
    except FileNotFoundError:
        return "0" if name.startswith(BRIDGED) else None


def _capture_nft(seen: Seen, name: str) -> Json:
    family, table = name.split(" ")
    tables = seen.source("tables", lambda: json_output(seen.host, ["nft", "-j", "list", "tables"])["nftables"])
    if not any(t.get("table", {}).get("family") == family and t["table"].get("name") == table for t in tables):
        return None
    listed = json_output(seen.host, ["nft", "-j", "list", "table", family, table])
    load = must(seen.host, ["nft", "-s", "list", "table", family, table])
    return {"normal": nft_normal(listed["nftables"]), "load": load}


def _capture_masquerade(seen: Seen, name: str) -> Json:
    source, _, out = name.partition(">")
    return masquerade_counts(seen.masquerades(source)).get(_masquerade_name(source, out), 0)


def _capture_package(seen: Seen, name: str) -> Json:
    """dpkg-query(1): second letter of the state n or c is "not there"; a half one has no version."""
    shown = run_command(seen.host, ["dpkg-query", "-W", "-f", "${db:Status-Abbrev}|${Version}\\n", name])
    if shown.code not in (0, 1):
        raise Trouble(f"dpkg-query does not tell about {name}: {safe_line(shown.err)}")
    state, _, version = (shown.out.splitlines() or ["un"])[0].partition("|")
    if state[1:2] in ("n", "c"):
        return None
    return {"version": version if state[1:].strip() == "i" else f"{version} half installed ({state.strip()})"}


def _capture_leases(seen: Seen, name: str) -> Json:
    fact, content = read_file(seen.host.path(name))
    if fact is None or "type" in fact:
        return None
    named = [f"{words[1]} {words[3]}" for words in lease_lines(content) if len(words) == 5 and words[3] != "*"]
    return {"named": sorted(set(named))}


def lease_lines(content: bytes) -> list[list[str]]:
    """The words of each line of dnsmasq's lease file: EXPIRY MAC ADDRESS NAME CLIENT-ID. Pure."""
    return [line.split(" ") for line in content.decode("utf-8", "surrogateescape").split("\n")]


def _masquerade_name(source: str, out: str) -> str:
    try:
        return f"{ipaddress.ip_network(source, strict=False)}>{out}"
    except ValueError:
        raise BadInput(f"{source!r} is no network") from None


_CAPTURES: dict[str, Callable[[Seen, str], Json]] = {
    "file": lambda seen, name: read_file(seen.host.path(name))[0],
    "link": _capture_link,
    "addresses": _capture_addresses,
    "routes": _capture_routes,
    "sysctl": _capture_sysctl,
    "nft": _capture_nft,
    "masquerade": _capture_masquerade,
    "leases": _capture_leases,
    "package": _capture_package,
}


def capture_detail(host: Host, facts: dict[str, Json]) -> dict[str, Json]:
    """What a restore needs beyond the facts to bring back exactly what was there.

    {"routes": [[family, [words of ip route]], …] every static route of table main,
     "addresses": {name: {address: [words]}}, "mac": {bridge: address}}. A snapshot adds
    {"changed": {path: [sha256, mtime in ns]}} of its files.
    """
    detail: dict[str, Json] = {"routes": [], "addresses": {}, "mac": {}}
    if not any(fact.partition(":")[0] in ("link", "addresses", "routes") for fact in facts):
        return detail
    seen = Seen(host)
    for family in (4, 6):
        for route in seen.routes(family):
            own = route.get("protocol") == "kernel" and route.get("dst") != "default"  # follows from an address
            if not own and route.get("protocol") != "ra" and "type" not in route:
                detail["routes"].append([family, _route_words(route)])
    for link in seen.ip("addr", "show"):
        words = {f"{a['local']}/{a['prefixlen']}": _address_words(a) for a in _static_addresses(link)}
        detail["addresses"][link.get("ifname", "")] = words
    for link in seen.ip("-d", "link", "show"):
        if link.get("linkinfo", {}).get("info_kind") == "bridge":
            detail["mac"][link["ifname"]] = link.get("address")
    return detail


def _route_words(route: dict[str, Json]) -> list[str]:
    words = [str(route["dst"])]
    hops = route.get("nexthops")
    for hop in hops or [route]:
        if hops:
            words.append("nexthop")
        if "gateway" in hop:
            words += ["via", hop["gateway"]]
        elif "via" in hop:
            words += ["via", hop["via"]["family"], hop["via"]["host"]]
        if "dev" in hop:
            words += ["dev", hop["dev"]]
        words += ["weight", str(hop["weight"])] if hops and "weight" in hop else []
        words += ["onlink"] if "onlink" in hop.get("flags", []) else []
    for key, option in (("protocol", "proto"), ("scope", "scope"), ("prefsrc", "src"), ("metric", "metric")):
        if key in route:
            words += [option, str(route[key])]
    return words


def _peer_words(address: dict[str, Json]) -> list[str]:
    """The other end of a point-to-point address (`pointopoint`): without it ip(8) does not find the address."""
    return ["peer", f"{address['address']}/{address['prefixlen']}"] if "address" in address else []


def _address_words(address: dict[str, Json]) -> list[str]:
    words = _peer_words(address)
    words += ["broadcast", address["broadcast"]] if "broadcast" in address else []
    words += ["label", address["label"]] if "label" in address else []
    words += ["metric", str(address["metric"])] if "metric" in address else []
    return words + [flag for flag in ("nodad", "noprefixroute") if address.get(flag)]


# ---------------------------------------------------------------------------------------- 3 facts: setting them


class Setter:
    """Brings facts to values. State-based: what is so already is left alone; can be cut and started again anywhere.

    `contents` gives the bytes of a file value by its sha256; `tag` names our temporary files; `detail` is that of
    `capture_detail`. After files below /etc/systemd/system changed, systemd reads its units again before the next one.
    `taken` is told (fact, path) of each file that made way for another one, while it is still there.
    """

    def __init__(self, host: Host, contents: Callable[[str], bytes], tag: str, detail: dict[str, Json]) -> None:
        self.host = host
        self.contents = contents
        self.tag = tag
        self.detail = detail
        self.reload_due = False
        self.no_block = False
        self.unsure: set[str] = set()  # units whose enablement was cut half way: systemd sees less of it than there is
        self.taken: Callable[[str, str], None] = lambda _fact, _path: None

    def set(self, fact: str, value: Json, restart: bool = False) -> None:
        """Trouble or OSError when the host does not do it."""
        kind, name = split_fact(fact)
        if kind == "file":
            self.file(name, value)
        elif kind == "link":
            self.link(name, value)
        elif kind == "addresses":
            self.addresses(name, value or [])
        elif kind == "routes":
            self.routes(value or [])
        elif kind == "sysctl":
            self.sysctl(name, value)
        elif kind == "nft":
            self.nft(name, value)
        elif kind == "masquerade":
            self.masquerade(name, value or 0)
        elif kind == "leases":
            self.leases(name, value or {})
        elif kind == "package":
            remove_package(self.host, name)
            self.reload_due = True
        else:
            self.unit(name, value, restart)

    def temporary(self, path: str) -> str:
        folder, name = os.path.split(path)
        return os.path.join(folder, f".{name[:180]}.passerelle-{self.tag}")

    def file(self, name: str, value: Json, expected: Json = Ellipsis) -> None:
        """Write, replace or delete a file; with `expected`, only if it is still that (else Foreign).

        What has to go changes places with what comes, atomically, and is looked at before it is deleted: an edit in
        the last moment is put back, or kept by `taken`.
        """
        path = self.host.path(name)
        temporary = self.temporary(path)
        found, _ = read_file(path)
        if found is not None and "type" in found:
            raise Trouble(f"{name} is not a regular file")
        if expected is not Ellipsis and found != expected:
            raise Foreign(f"{name} was changed by someone else")
        if value is None and found is None:
            with contextlib.suppress(OSError):
                remove(temporary)
            return
        self.reload_due = self.reload_due or name.startswith(UNITS + "/")
        if value is None:
            os.rename(path, temporary)
            self._let_go(name, temporary, expected, lambda: os.link(temporary, path))
            sync_folder(os.path.dirname(path))
            return
        make_folders(os.path.dirname(path))
        old = found or {"mode": "0644", "uid": 0, "gid": 0, "xattrs": {}}
        wanted = {**old, **value}
        write_new(temporary, self.contents(value["sha256"]), int(wanted["mode"], 8), wanted)
        if old.get("sha256") == value["sha256"]:
            # the same text: only mode or owner change, and no daemon has to read it again
            then = os.stat(path)
            os.utime(temporary, ns=(then.st_atime_ns, then.st_mtime_ns))
        digest, changed_ns = self.detail.get("changed", {}).get(name, ("", 0))
        if digest == value["sha256"]:  # the old file is back: it did not change after its daemon started
            os.utime(temporary, ns=(changed_ns, changed_ns))
        if found is None:
            self._create(temporary, path, name)
        elif exchange(temporary, path):
            self._let_go(name, temporary, expected, lambda: exchange(temporary, path), value)
        else:  # a file system that cannot exchange
            if expected is Ellipsis:
                self.taken("file:" + name, path)
            os.rename(temporary, path)
        sync_folder(os.path.dirname(path))

    def _let_go(
        self, name: str, temporary: str, expected: Json, put_back: Callable[[], object], ours: Json = None
    ) -> None:
        """Delete what made way and lies at `temporary` now, if it is what was expected; else Foreign, and it is back.

        Whoever writes a third file meanwhile keeps the place: what was put back is left at `temporary` for `taken`.
        """
        found, _ = read_file(temporary)
        if expected is Ellipsis:
            self.taken("file:" + name, temporary)
        elif found != expected:
            with contextlib.suppress(FileExistsError, FileNotFoundError):
                put_back()
                if ours is not None and not same("file:" + name, ours, read_file(temporary)[0]):
                    put_back()
                else:
                    os.unlink(temporary)
            raise Foreign(f"{name} was changed by someone else")
        os.unlink(temporary)

    def _create(self, temporary: str, path: str, name: str) -> None:
        try:
            os.link(temporary, path)  # fails when someone made the file meanwhile; rename would replace it
        except FileExistsError:
            os.unlink(temporary)
            raise Foreign(f"{name} was made by someone else") from None
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL):
                raise
            os.rename(temporary, path)
            return
        os.unlink(temporary)

    def ip(self, *words: str) -> None:
        must(self.host, ["ip", *words])

    def link(self, name: str, wanted: Json) -> None:
        links = Seen(self.host).links()
        now = links.get(name)
        if wanted is None:
            if now is None:
                return
            if now["type"] != "bridge":
                raise Trouble(f"{name} is no bridge: not ours to delete")
            self.ip("link", "del", "dev", name, "type", "bridge")
            return
        if now is None:
            if wanted.get("type") != "bridge":
                raise Trouble(f"there is no link {name}")
            mac = self.detail["mac"].get(name)
            self.ip("link", "add", "name", name, *(["address", mac] if mac else []), "type", "bridge")
            now = {"type": "bridge", "up": False, "mtu": 1500, "master": None, "ports": []}
        if wanted.get("type", now["type"]) != now["type"]:
            raise Trouble(f"{name} is of type {now['type']}, not {wanted['type']}")
        self._bridge_options(name, wanted, now)
        if "master" in wanted and wanted["master"] != now["master"]:
            self.ip("link", "set", "dev", name, *(["master", wanted["master"]] if wanted["master"] else ["nomaster"]))
        there = {port["name"]: port["up"] for port in now.get("ports", [])}
        for port in wanted.get("ports", []):
            if port["name"] not in links:  # a guest that stopped meanwhile
                continue
            if port["name"] not in there:
                self.ip("link", "set", "dev", port["name"], "master", name)
            if port.get("up") and not links[port["name"]]["up"]:
                self.ip("link", "set", "dev", port["name"], "up")
        if "mtu" in wanted:  # last but one: the kernel moves a bridge's MTU when ports come
            self.ip("link", "set", "dev", name, "mtu", str(wanted["mtu"]))
        if "up" in wanted and wanted["up"] != now["up"]:
            self.ip("link", "set", "dev", name, "up" if wanted["up"] else "down")

    def _bridge_options(self, name: str, wanted: Json, now: Json) -> None:
        options = []
        if "forward_delay_s" in wanted and wanted["forward_delay_s"] != now.get("forward_delay_s"):
            options.append(["forward_delay", str(round(wanted["forward_delay_s"] * 100))])
        if "stp" in wanted and wanted["stp"] != now.get("stp"):
            options.append(["stp_state", "1" if wanted["stp"] else "0"])
        if not wanted.get("stp"):  # a delay below 2 s is only taken while STP is off
            options.reverse()
        for option in options:
            self.ip("link", "set", "dev", name, "type", "bridge", *option)

    def addresses(self, name: str, wanted: list[str]) -> None:
        seen = Seen(self.host).ip("addr", "show")
        now = addresses_from_json(seen).get(name)
        if now is None:
            if wanted:
                raise Trouble(f"there is no link {name} to give an address to")
            return
        for address in wanted:
            if address not in now:
                self._add_address(name, address)
        static = [a for link in seen if link.get("ifname") == name for a in _static_addresses(link)]
        for entry in static:
            address = f"{entry['local']}/{entry['prefixlen']}"
            if address not in wanted:
                ran = run_command(self.host, ["ip", "addr", "del", address, "dev", name, *_peer_words(entry)])
                if ran.code != 0 and "Cannot assign" not in ran.err:  # gone with its primary
                    raise Trouble(f"ip addr del {address} dev {name} failed: {safe_line(ran.err)}")
        left = addresses_from_json(Seen(self.host).ip("addr", "show")).get(name, [])
        for address in wanted:
            if address not in left:  # the kernel deletes the secondaries of a primary with it
                self._add_address(name, address)

    def _add_address(self, name: str, address: str) -> None:
        words = self.detail["addresses"].get(name, {}).get(address, [])
        self.ip("addr", "add", address, "dev", name, *words)

    def routes(self, wanted: list[dict[str, Json]]) -> None:
        for family in (4, 6):
            goal = [r for r in _sorted_routes(wanted) if r["family"] == family]
            kept = [words for number, words in self.detail["routes"] if number == family and words[0] == "default"]
            verb = "replace"
            for route in goal:
                if route not in _capture_routes(Seen(self.host), "default"):
                    self.ip(f"-{family}", "route", verb, *self._default_words(route, kept))
                verb = "append"
            seen = Seen(self.host)
            for route in seen.routes(family):
                found = default_routes_from_json([route], []) if family == 4 else default_routes_from_json([], [route])
                if found and any(hop not in goal for hop in found):
                    self.ip(f"-{family}", "route", "del", *_route_words(route))
                    if len(found) > 1:  # one route with several hops: take all, put back the wanted ones
                        for hop in found:
                            if hop in goal:
                                self.ip(f"-{family}", "route", "append", *self._default_words(hop, kept))

    def _default_words(self, route: dict[str, Json], kept: list[list[str]]) -> list[str]:
        via = ["via", route["via"]] if route["via"] else []
        plain = ["default", *via, "dev", route["dev"]]
        for words in kept:
            if words[: len(plain)] == plain:
                return words
        return [*plain, "onlink"] if via else plain  # as ifupdown2 does: a gateway may be outside the prefix

    def other_routes(self) -> None:
        """Set again the static routes that went with an address or a link. Best effort: no fact names them."""
        there = {(f, tuple(_route_words(r))) for f in (4, 6) for r in Seen(self.host).routes(f)}
        for family, words in self.detail["routes"]:
            if words[0] != "default" and (family, tuple(words)) not in there:
                run_command(self.host, ["ip", f"-{family}", "route", "replace", *words])

    def sysctl(self, name: str, value: Json) -> None:
        path = self.host.path(sysctl_path(name))
        if name.startswith(BRIDGED) and not os.path.exists(path):
            if value == "0":
                return
            must(self.host, ["modprobe", "br_netfilter"])
        if value is None:
            if os.path.exists(path):
                raise Trouble(f"{name} is the kernel's and cannot be deleted")
            return
        with open(path, "r+b", buffering=0) as file:
            file.write(str(value).encode() + b"\n")

    def nft(self, name: str, value: Json) -> None:
        load = (value or {}).get("load", "")
        if value is not None and not load:
            raise Trouble(f"table {name} has nothing to load")
        must(self.host, ["nft", "-f", "-"], text=f"table {name}\ndelete table {name}\n{load}\n")

    def masquerade(self, name: str, wanted: int) -> None:
        source, _, out = name.partition(">")
        program = "ip6tables" if ":" in source else "iptables"
        canonical = _masquerade_name(source, out)
        rules = [w for n, w in _masquerade_rules(Seen(self.host).masquerades(source)) if n == canonical]
        for words in rules[wanted:]:
            must(self.host, [program, "-w", "5", "-t", "nat", "-D", "POSTROUTING", *words])
        for _ in range(wanted - len(rules)):
            plain = ["-s", source, "-o", out, "-j", "MASQUERADE"]
            must(self.host, [program, "-w", "5", "-t", "nat", "-A", "POSTROUTING", *plain])

    def reload(self) -> None:
        """Let systemd read its units again if files of them changed."""
        if self.reload_due:
            self.systemctl("daemon-reload")
            self.reload_due = False

    def systemctl(self, *words: str) -> None:
        blocking = ["--no-block"] if self.no_block and words[0] in ("start", "stop", "restart") else []
        if words[0] in ("start", "restart"):
            # several applies in a few seconds are no crash loop: systemd would refuse the sixth start (StartLimitBurst)
            run_command(self.host, ["systemctl", "reset-failed", *words[1:]])
        must(self.host, ["systemctl", *blocking, *words], timeout_s=90.0)

    def unit(self, name: str, wanted: Json, restart: bool) -> None:
        self.reload()
        now = Seen(self.host).units([name])[name]
        if wanted is None:
            if now is not None and now["active"]:
                self.systemctl("stop", name)
            self._forget_unit(name)
            return
        if now is None:
            raise Trouble(f"there is no unit {name}")
        self._enablement(name, wanted.get("enabled"), now["enabled"])
        if "active" not in wanted:
            return
        if not wanted["active"]:
            if now["active"] or self.no_block:
                self.systemctl("stop", name)
        elif restart and now["active"]:
            self.systemctl("restart", name)
        elif not now["active"] or self.no_block:
            self.systemctl("start", name)

    def _enablement(self, name: str, wanted: Json, now: str) -> None:
        if wanted is None or (wanted == now and name not in self.unsure):
            return
        if now == "masked" and wanted != now:
            self.systemctl("unmask", name)
            now = (Seen(self.host).units([name])[name] or {}).get("enabled", "")
        if wanted in ("enabled", "disabled", "masked") and (wanted != now or name in self.unsure):
            self.systemctl({"enabled": "enable", "disabled": "disable", "masked": "mask"}[wanted], name)

    def leases(self, name: str, wanted: Json) -> None:
        """Change the lease file while dnsmasq does not run, and start it again: then it reads all its files anew."""
        active = (Seen(self.host).units([LEASES_DAEMON])[LEASES_DAEMON] or {}).get("active")
        write_atomic(self._mark("leases-paused"), b"active" if active else b"")
        if active:
            self.systemctl("stop", LEASES_DAEMON)
        if "from" in wanted:
            fact, content = read_file(self.host.path(wanted["from"]))
            if fact is not None and "type" not in fact:
                self._write_leases(name, content, fact)
                write_atomic(self._mark("leases-carried"), b"")
        unnamed = set(wanted.get("unnamed", []))
        fact, content = read_file(self.host.path(name))
        if unnamed and fact is not None and "type" not in fact:
            lines = [
                [*words[:3], "*", words[4]] if len(words) == 5 and f"{words[1]} {words[3]}" in unnamed else words
                for words in lease_lines(content)
            ]
            text = "\n".join(" ".join(words) for words in lines)
            self._write_leases(name, text.encode("utf-8", "surrogateescape"), fact)
        if active:
            self.systemctl("start", LEASES_DAEMON)

    def leases_back(self, name: str, wanted: Json, was_there: bool) -> None:
        """Undo `leases`: what was given out meanwhile is kept, where it was before. Names come from other files."""
        paused = self._mark("leases-paused")
        if not os.path.exists(paused):
            return
        if not self.no_block and read_text(paused):
            self.systemctl("stop", LEASES_DAEMON)
        if os.path.exists(self._mark("leases-carried")):
            fact, content = read_file(self.host.path(name))
            if fact is not None and "type" not in fact:
                try:
                    self._write_leases(wanted["from"], content, fact)
                except OSError as error:
                    if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                        raise
                    os.rename(self.host.path(name), self.host.path(wanted["from"]))  # a full disk has room for this
            remove(self._mark("leases-carried"))
        if not was_there and "from" in wanted:
            remove(self.host.path(name))
        if not self.no_block and read_text(paused):
            self.systemctl("start", LEASES_DAEMON)
        remove(paused)

    def _write_leases(self, name: str, content: bytes, fact: dict[str, Json]) -> None:
        path = self.host.path(name)
        make_folders(os.path.dirname(path))
        write_new(self.temporary(path), content, int(fact["mode"], 8), fact)
        os.rename(self.temporary(path), path)
        sync_folder(os.path.dirname(path))

    def _mark(self, name: str) -> str:
        return self.host.state("txn", self.tag, name)

    def _forget_unit(self, name: str) -> None:
        """Remove what `enable` made: systemctl cannot any more once the unit's file is gone."""
        top = self.host.path(UNITS)
        for folder in sorted(os.listdir(top)) if os.path.isdir(top) else []:
            link = os.path.join(top, folder, name)
            if folder.endswith((".wants", ".requires")) and os.path.islink(link):
                remove(link)
                self.reload_due = True


# ---------------------------------------------------------------------------------------- 4 journal, lock, points


class UnknownFormat(Trouble):
    """A journal of a later version (or a damaged one): nothing of it is touched."""


def point(host: Host, name: str) -> None:
    """A named point, where a test may stop this process (SIGSTOP) to kill it or to pull the plug.

    Only on a host that is marked for tests by the file /run/passerelle-test; the point is named by the environment's
    PASSERELLE_STOP_AT or by that file's content. For points of a boot, when /run is new, the file
    /var/lib/passerelle/test-stop-at names the point; it is used up when it stops the process.
    """
    once = host.state("test-stop-at")
    marked = os.path.exists(host.path("/run/passerelle-test"))
    here = marked and name in (os.environ.get("PASSERELLE_STOP_AT"), read_text(host.path("/run/passerelle-test")))
    if not here and os.path.exists(once) and read_text(once) == name:
        os.unlink(once)
        here = True
    if here:
        with open(host.path("/run/passerelle-point"), "w", encoding="utf-8") as file:
            file.write(f"{name}\n")
        os.kill(os.getpid(), signal.SIGSTOP)


def start_time(pid: int) -> str:
    """When a process started, in ticks since boot (proc(5)): with its number it names one process. "" when gone."""
    text = read_text(f"/proc/{pid}/stat")
    return text.rpartition(")")[2].split()[19] if ")" in text else ""


def noted_holder(host: Host) -> tuple[int, str]:
    """(process, verb) that the lock's holder noted in it; (0, "") when that process is gone."""
    words = read_text(host.state("lock")).split()
    if len(words) == 3 and words[0].isdigit() and start_time(int(words[0])) == words[1]:
        return int(words[0]), words[2]
    return 0, ""


def lock_holder(host: Host) -> int:
    """The process that holds the lock, 0 when unknown: from its own note, else from the kernel's (proc(5), locks)."""
    noted, _ = noted_holder(host)
    if noted:
        return noted
    lock = os.stat(host.state("lock"))
    for line in read_text("/proc/locks", 1 << 16).splitlines():
        found = re.fullmatch(rf"[0-9]+: FLOCK +ADVISORY +WRITE +([0-9]+) +[0-9a-f]+:[0-9a-f]+:{lock.st_ino} .*", line)
        if found and "passerelle" in read_text(f"/proc/{found.group(1)}/cmdline") and has_open(found.group(1), lock):
            return int(found.group(1))
    return 0


def has_open(pid: str, file: os.stat_result) -> bool:
    """Does a process have this very file open? Another file system has a file of the same number."""
    folder = f"/proc/{pid}/fd"
    with contextlib.suppress(OSError):
        for fd in os.listdir(folder):
            with contextlib.suppress(OSError):
                if os.path.samestat(os.stat(os.path.join(folder, fd)), file):
                    return True
    return False


def kill_holder(host: Host) -> None:
    """Kill the process that holds the lock, with the commands it has started."""
    pid = lock_holder(host)
    if pid in (0, 1, os.getpid()):
        return
    with contextlib.suppress(ProcessLookupError):
        if os.getpgid(pid) == pid:
            os.killpg(pid, signal.SIGKILL)
        else:
            os.kill(pid, signal.SIGKILL)


@contextlib.contextmanager
def locked(host: Host, patience_s: float = LOCK_PATIENCE_S, rescue: bool = False) -> Iterator[None]:
    """Hold the host's one lock (flock(2), freed by the kernel when the holder dies).

    A rescue does not wait for ever: it kills a run at once, another rescue after RESTORE_PATIENCE_S, any other holder
    and whoever is stopped after `patience_s`; a hung or stopped process must not keep a host in a state that nobody
    confirmed. Refused (reason=locked) otherwise.
    """
    make_folders(host.path(os.path.dirname(STATE)))
    with contextlib.suppress(FileExistsError):
        os.mkdir(host.state(), 0o700)
    try:
        fd = os.open(host.state("lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno != errno.EROFS:
            raise
        fd = os.open(host.state("lock"), os.O_RDONLY | os.O_CLOEXEC)
    try:
        began_s = patient_s = time.monotonic()
        holders = -1
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                now_s, limit_s = time.monotonic(), patience_s
                holder, verb = noted_holder(host)
                if holder != holders:  # each has its own time: one that has just come must not pay for the last one
                    holders, patient_s = holder, now_s
                if rescue and verb == "rescue" and not re.search(r"\) [Tt] ", read_text(f"/proc/{holder}/stat")):
                    limit_s = max(patience_s, RESTORE_PATIENCE_S)
                if rescue and (verb == "run" or now_s - patient_s > limit_s):
                    kill_holder(host)
                    patient_s = now_s
                if now_s - began_s > limit_s + (5 if rescue else 0):
                    raise Refused("locked", "another passerelle process holds this host's lock; try again") from None
            time.sleep(0.02)
        with contextlib.suppress(OSError):  # a full disk must not stop a rescue
            os.ftruncate(fd, 0)
            verb = "rescue" if rescue else host.verb or "-"
            os.pwrite(fd, f"{os.getpid()} {start_time(os.getpid())} {verb}".encode(), 0)
        yield
    finally:
        os.close(fd)


class Transaction:
    """One transaction's folder: its journal (the truth about it), document, snapshot and bytes."""

    def __init__(self, host: Host, identifier: str) -> None:
        self.host = host
        self.id = identifier
        self.folder = host.state("txn", identifier)
        self.journal: dict[str, Json] = {}

    def load(self) -> "Transaction":
        """Read the journal. BadInput when there is none, UnknownFormat when it is not of ours."""
        try:
            journal = read_json(os.path.join(self.folder, "journal.json"))
        except ValueError:
            raise UnknownFormat(f"the journal of {self.id} is damaged; nothing of it was touched") from None
        if journal is None:
            raise BadInput(f"there is no transaction {self.id} on this host")
        if not isinstance(journal, dict) or journal.get("format") != FORMAT:
            raise UnknownFormat(f"the journal of {self.id} has a format that is not known here; nothing was touched")
        self.journal = journal
        return self

    def save(self, **changes: Json) -> None:
        self.journal.update(changes)
        write_atomic(os.path.join(self.folder, "journal.json"), as_bytes(self.journal))

    def try_save(self, **changes: Json) -> None:
        """Save if the disk lets us: a restore goes on without."""
        with contextlib.suppress(OSError):
            self.save(**changes)

    @property
    def state(self) -> str:
        return str(self.journal.get("state"))

    @property
    def steps(self) -> list[dict[str, Json]]:
        return list(self.journal["steps"])

    def document(self) -> dict[str, Json]:
        return dict(read_json(os.path.join(self.folder, "document.json")))

    def snapshot(self) -> dict[str, Json]:
        """{"facts": {fact: value}, "detail": …, "folders": [those that the files will need]}."""
        return dict(read_json(os.path.join(self.folder, "old", "facts.json")))

    def setter(self, age: str, detail: dict[str, Json]) -> Setter:
        """Sets values whose bytes are below `old` or `new`."""

        def contents(sha256: str) -> bytes:
            with open(os.path.join(self.folder, age, sha256), "rb") as file:
                content = file.read()
            if hashlib.sha256(content).hexdigest() != sha256:
                raise Trouble(f"the kept bytes {sha256[:12]} of {self.id} are damaged")
            return content

        return Setter(self.host, contents, self.id, detail)

    @property
    def deadline_s(self) -> float:
        """When the time to confirm is over, on the boot clock of the boot that armed it."""
        return float(self.journal.get("deadline_boottime_s") or 0)

    def past_deadline(self) -> bool:
        """Is the time to confirm over? A reboot ends it as well."""
        if self.journal.get("boot_id") != self.host.boot_id():
            return True
        return boottime_s() >= self.deadline_s

    def answer(self, **more: Json) -> dict[str, Json]:
        """The result line for this transaction."""
        kept = ("id", "state", "cause", "error", "verified_old", "generation")
        return {**{key: self.journal.get(key) for key in kept}, "steps": self.steps, **more}


def transactions(host: Host) -> list[str]:
    """The ids of all transactions on this host, oldest first (a ULID sorts by its time)."""
    try:
        names = os.listdir(host.state("txn"))
    except FileNotFoundError:
        return []
    return sorted(name for name in names if re.fullmatch(r"[0-9A-Z]{26}", name))


def armed_id(host: Host) -> str:
    """The id of the armed transaction, "" when there is none."""
    return read_text(host.state("armed"))


def quarantined(host: Host) -> str:
    """The id of a transaction whose rollback failed and that nobody has released yet."""
    for identifier in reversed(transactions(host)):
        with contextlib.suppress(BadInput, Trouble):
            if Transaction(host, identifier).load().state == "rollback_failed":
                return identifier
    return ""


def discard(host: Host, identifier: str) -> None:
    """Delete a transaction's folder: first its name, so that no half of it is ever taken for a whole."""
    trash = host.state("txn", ".trash-" + identifier)
    shutil.rmtree(trash, ignore_errors=True)
    with contextlib.suppress(OSError):  # where nothing can be written, whoever begins next does it
        os.rename(host.state("txn", identifier), trash)
    shutil.rmtree(trash, ignore_errors=True)


def tidy(host: Host) -> None:
    """Finish what a killed process left: under the lock, before anything new begins."""
    finish_packages(host)
    armed = armed_id(host)
    if armed and not re.fullmatch(r"[0-9A-Z]{26}", armed):
        raise Refused("journal-format", f"{STATE}/armed holds no transaction id; a person has to look")
    names = os.listdir(host.state("txn")) if os.path.isdir(host.state("txn")) else []
    for name in names:
        if name.startswith(".trash-"):
            shutil.rmtree(host.state("txn", name), ignore_errors=True)
    for identifier in transactions(host):
        try:
            transaction = Transaction(host, identifier).load()
        except BadInput:  # cut while staging
            if identifier != armed:
                discard(host, identifier)
            continue
        except UnknownFormat as error:
            if identifier == armed:
                raise Refused("journal-format", str(error)) from None
            continue
        if identifier == armed and transaction.state in ENDED and transaction.state != "rollback_failed":
            disarm(host, identifier)
        elif transaction.state == "staged" and identifier != armed:
            discard(host, identifier)
        elif transaction.state not in ENDED and (identifier != armed or transaction.past_deadline()):
            restore(transaction, "never armed" if identifier != armed else "deadline")
    ended = [i for i in transactions(host) if i != armed_id(host)]
    for identifier in ended:
        with contextlib.suppress(BadInput, UnknownFormat):
            if Transaction(host, identifier).load().state in ("confirmed", "rolled_back"):
                forget_copies(host.state("txn", identifier))
    for identifier in ended[: max(0, len(ended) - KEPT_TRANSACTIONS)]:
        with contextlib.suppress(BadInput, UnknownFormat):
            if Transaction(host, identifier).load().state != "rollback_failed":
                discard(host, identifier)


# -------------------------------------------------------------------------------------- 5 transaction: the document

_DOCUMENT = {
    "format": int,
    "id": str,
    "generation": int,
    "controller": str,
    "plan_digest": str,
    "confirm_timeout_s": int,
    "steps": list,
    "keep": list,
    "checks": list,
    "blobs": dict,
}
_STEP = {"fact": str, "before": object, "after": object, "why": str, "restart": bool, "on_confirm": bool, "risk": str}
CHECKS = ("dnsmasq", "nft", "sshd")


def need(condition: bool, message: str) -> None:
    if not condition:
        raise BadInput(message)


def _is(value: Json, kind: type) -> bool:
    return isinstance(value, kind) and (kind is not int or not isinstance(value, bool))


def check_document(document: Json) -> dict[str, bytes]:
    """BadInput unless this is a transaction; the decoded blobs by their sha256."""
    need(isinstance(document, dict), "the document is no JSON object")
    need(document.get("format") == FORMAT, f"format: {FORMAT} is the one that is known here")
    for key in document:
        need(key in _DOCUMENT, f"{str(key)[:40]!r} is no key of a transaction")
    document.setdefault("keep", [])
    document.setdefault("checks", [])
    document.setdefault("blobs", {})
    for key, kind in _DOCUMENT.items():
        need(key in document and _is(document[key], kind), f"{key}: must be there, of type {kind.__name__}")
    need(bool(re.fullmatch(r"[0-9A-HJKMNP-TV-Z]{26}", document["id"])), "id: must be a ULID")
    need(0 < document["generation"] < 1 << 62, "generation: must be a positive number")
    need(1 <= document["confirm_timeout_s"] <= 3600, "confirm_timeout_s: 1 to 3600")
    for key in ("controller", "plan_digest"):
        need(bool(re.fullmatch(r"[\x21-\x7e]{1,200}", document[key])), f"{key}: 1 to 200 printable characters")
    need(0 < len(document["steps"]) + len(document["keep"]) <= 5000, "steps: 1 to 5000")
    blobs = _check_blobs(document["blobs"])
    for where, entries in (("steps", document["steps"]), ("keep", document["keep"])):
        for number, step in enumerate(entries):
            _check_step(step, f"{where}[{number}]", blobs, where == "keep")
    stepped = {step["fact"] for step in document["steps"]}
    for step in document["keep"]:
        need(step["fact"] not in stepped, f"keep: {step['fact']} is changed by a step")
    for check in document["checks"]:
        shape = isinstance(check, list) and len(check) == 2 and all(isinstance(word, str) for word in check)
        need(shape and check[0] in CHECKS, f"checks: [program, fact's name] with a program of {', '.join(CHECKS)}")
    return blobs


def _check_blobs(encoded: dict[str, Json]) -> dict[str, bytes]:
    blobs = {}
    for name, text in encoded.items():
        try:
            content = base64.b64decode(text, validate=True)
        except (TypeError, ValueError, binascii.Error):
            raise BadInput(f"blobs: {name[:12]} is not base64") from None
        need(hashlib.sha256(content).hexdigest() == name, f"blobs: {name[:12]} is not the sha256 of its bytes")
        blobs[name] = content
    need(sum(map(len, blobs.values())) <= DOCUMENT_LIMIT_BYTES, "blobs: more than 8 MiB")
    return blobs


def _check_step(step: Json, where: str, blobs: dict[str, bytes], keep: bool) -> None:
    need(isinstance(step, dict), f"{where}: must be an object")
    for key, value in step.items():
        need(
            key in _STEP and _is(value, _STEP[key]), f"{where}.{str(key)[:40]}: not a key of a step, or of another type"
        )
    for key in ("fact", "before", "after"):
        need(key in step, f"{where}.{key}: must be there")
    step.setdefault("why", "")
    step.setdefault("restart", False)
    step.setdefault("on_confirm", False)
    kind, _ = split_fact(step["fact"])
    for key in ("before", "after"):
        need(step[key] is None or _value_fits(kind, step[key]), f"{where}.{key}: no value of a {kind} fact")
    if keep:
        need(as_bytes(step["before"]) == as_bytes(step["after"]), f"{where}: what is kept has one value")
    elif kind == "file" and step["after"] is not None:
        need(step["after"].get("sha256") in blobs, f"{where}.after: its bytes are not among the blobs")
    elif kind == "package":
        need(step["after"] is None and step["before"] is not None, f"{where}: a package only goes in a transaction")
    elif kind == "nft" and step["after"] is not None:
        start = "table " + step["fact"].partition(":")[2] + " {"
        load = step["after"].get("load", "")
        need(load.startswith(start) and "include" not in load, f"{where}.after.load: must be {start!r} … '}}'")


def _value_fits(kind: str, value: Json) -> bool:
    if kind == "addresses":
        return isinstance(value, list) and all(_is_address(item) for item in value)
    if kind == "routes":
        return isinstance(value, list) and all(_is_route(item) for item in value)
    if kind == "sysctl":
        return isinstance(value, str) and bool(re.fullmatch(r"[\x20-\x7e]{1,400}", value))
    if kind == "masquerade":
        return _is(value, int) and 0 <= value <= 100
    fields: dict[str, dict[str, Callable[[Json], bool]]] = {
        "file": {
            "sha256": lambda v: isinstance(v, str) and bool(re.fullmatch("[0-9a-f]{64}", v)),
            "mode": lambda v: isinstance(v, str) and bool(re.fullmatch("[0-7]{4}", v)),
            "uid": lambda v: _is(v, int) and v >= 0,
            "gid": lambda v: _is(v, int) and v >= 0,
            "size": lambda v: _is(v, int),
            "xattrs": lambda v: isinstance(v, dict),
        },
        "link": {
            "type": lambda v: v in ("bridge", "other"),
            "up": lambda v: isinstance(v, bool),
            "mtu": lambda v: _is(v, int) and 68 <= v <= 65535,
            "master": lambda v: v is None or _is_link_name(v),
            "stp": lambda v: isinstance(v, bool),
            "forward_delay_s": lambda v: not isinstance(v, bool) and isinstance(v, (int, float)) and 0 <= v <= 30,
            "ports": lambda v: isinstance(v, list) and all(_is_port(port) for port in v),
        },
        "nft": {"normal": lambda v: isinstance(v, list), "load": lambda v: isinstance(v, str)},
        "unit": {
            "enabled": lambda v: isinstance(v, str) and bool(re.fullmatch("[a-z-]{0,40}", v)),
            "active": lambda v: isinstance(v, bool),
        },
        "leases": {
            "from": lambda v: isinstance(v, str) and bool(re.fullmatch(FACT_NAMES["file"], v)) and "/../" not in v,
            "unnamed": lambda v: isinstance(v, list) and all(_is_lease_name(item) for item in v),
        },
        "package": {"version": lambda v: isinstance(v, str) and bool(re.fullmatch("[0-9A-Za-z.+:~-]{1,200}", v))},
    }
    checks = fields[kind]
    return isinstance(value, dict) and all(key in checks and checks[key](item) for key, item in value.items())


def _is_lease_name(value: Json) -> bool:
    return isinstance(value, str) and bool(re.fullmatch(LEASE_NAME, value))


def _is_link_name(value: Json) -> bool:
    return isinstance(value, str) and bool(re.fullmatch(_NAME, value))


def _is_port(value: Json) -> bool:
    return isinstance(value, dict) and set(value) <= {"name", "up"} and _is_link_name(value.get("name"))


def _is_ip(value: Json) -> bool:
    if not isinstance(value, str) or not re.fullmatch("[0-9a-fA-F.:]{2,45}", value):
        return False
    with contextlib.suppress(ValueError):
        return bool(ipaddress.ip_address(value))
    return False


def _is_address(value: Json) -> bool:
    address, _, length = value.partition("/") if isinstance(value, str) else ("", "", "")
    return _is_ip(address) and bool(re.fullmatch("[0-9]{1,3}", length))


def _is_route(value: Json) -> bool:
    if not isinstance(value, dict) or set(value) != {"family", "via", "dev"} or value["family"] not in (4, 6):
        return False
    return _is_link_name(value["dev"]) and (value["via"] is None or _is_ip(value["via"]))


# ------------------------------------------------------------------------------------ 5 transaction: before the change


def gate(host: Host, document: dict[str, Json]) -> None:
    """Refused unless this transaction may begin now."""
    bad = quarantined(host)
    if bad:
        raise Refused("quarantined", f"the rollback of {bad} failed; a person has to look and release it", id=bad)
    armed = armed_id(host)
    if armed:
        raise Refused("armed", f"transaction {armed} is armed; confirm it or roll it back first", armed=armed)
    if os.path.exists(host.state("txn", document["id"])):
        state = Transaction(host, document["id"]).load().state
        raise Refused("known", f"transaction {document['id']} was here before and is {state}", known=state)
    try:
        stored = read_json(host.state("generation")) or {"generation": 0, "controller": ""}
        last, controller = int(stored["generation"]), str(stored["controller"])
    except (ValueError, KeyError, TypeError):
        raise Refused("generation", f"{STATE}/generation is damaged; a person has to look") from None
    if document["generation"] <= last:
        message = f"generation {document['generation']} is not above {last}, given to {controller}"
        raise Refused("fenced", message, generation=last, controller=controller)


def implied_facts(steps: list[dict[str, Json]]) -> list[str]:
    """Facts that a step may take along though no step names them: they belong into the snapshot as well."""
    facts: list[str] = []
    for step in steps:
        kind, name = split_fact(step["fact"])
        if kind in ("link", "addresses", "routes"):
            facts.append("routes:default")
        if kind in ("link", "addresses"):
            facts += ["link:" + name, "addresses:" + name]
        if kind == "link":
            ports = [
                port["name"] for value in (step["before"], step["after"]) for port in (value or {}).get("ports", [])
            ]
            facts += ["link:" + port for port in ports]
    return facts


def observe(host: Host, document: dict[str, Json]) -> dict[str, Json]:
    """What the host has now of all that is named or implied. Refused (conflict) when it is not what was planned for."""
    entries = document["steps"] + document["keep"]
    try:
        implied = implied_facts(document["steps"]) + package_units(host, packages_of(document))
        found = capture(host, [entry["fact"] for entry in entries] + implied)
    except (Trouble, OSError) as error:
        raise Refused("unknown", f"this host cannot be read: {error}") from None
    first: dict[str, dict[str, Json]] = {}
    for entry in entries:
        first.setdefault(entry["fact"], entry)
    differing = []
    for fact, entry in first.items():
        value = found[fact]
        if fact.startswith("file:") and isinstance(value, dict) and "type" in value:
            raise Refused("not-regular", f"{fact[5:]} is not a regular file ({value['type']})")
        if not same(fact, entry["before"], value):
            differing.append({"fact": fact, "expected": entry["before"], "found": value})
    if differing:
        names = ", ".join(item["fact"] for item in differing[:5])
        conflict = Refused("conflict", f"the host is not as planned for: {names}", conflicts=differing[:200])
        conflict.answer["state"] = "conflict"
        raise conflict
    return found


def stage(host: Host, document: dict[str, Json], blobs: dict[str, bytes], found: dict[str, Json]) -> Transaction:
    """Snapshot, new bytes, room for a rollback, journal: all on disk. Refused, and cleaned, when it cannot be."""
    transaction = Transaction(host, document["id"])
    try:
        _stage(transaction, document, blobs, found)
    except (OSError, Trouble) as error:
        discard(host, transaction.id)
        code = error.errno if isinstance(error, OSError) else 0
        reason = {errno.ENOSPC: "space", errno.EDQUOT: "space", errno.EROFS: "read-only"}.get(code or 0, "stage")
        raise Refused(
            reason, f"nothing was changed, the snapshot could not be written: {worded(host, error)}"
        ) from None
    except Refused:
        discard(host, transaction.id)
        raise
    return transaction


def _stage(
    transaction: Transaction, document: dict[str, Json], blobs: dict[str, bytes], found: dict[str, Json]
) -> None:
    host, folder = transaction.host, transaction.folder
    make_folders(host.state("txn"))
    for name in ("", "new", "old", "reserve"):
        os.mkdir(os.path.join(folder, name), 0o700)
    for sha256, content in blobs.items():
        write_new(os.path.join(folder, "new", sha256), content)
    size = 0
    changed: dict[str, Json] = {}  # when the files were last changed
    for fact, value in found.items():
        if fact.startswith("file:") and value is not None:
            again, content = read_file(host.path(fact[5:]))
            if again != value:
                raise Refused("conflict", f"{fact[5:]} is being changed by someone else")
            size += len(content)
            changed[fact[5:]] = [value["sha256"], os.stat(host.path(fact[5:])).st_mtime_ns]
            write_new(os.path.join(folder, "old", value["sha256"]), content)
    for step in document["steps"]:
        if step["fact"].startswith("leases:"):
            places = [step["fact"][7:], (step["after"] or {}).get("from", step["fact"][7:])]
            size += sum(os.path.getsize(host.path(place)) for place in places if os.path.isfile(host.path(place)))
    folders = [os.path.dirname(f[5:]) for f, value in found.items() if f.startswith("file:") and value is None]
    missing = sorted({parent for folder_ in folders for parent in _missing(host, folder_)})
    for name in packages_of(document):
        size += keep_package(host, name, os.path.join(folder, "old"))
    snapshot = {"facts": found, "detail": {**capture_detail(host, found), "changed": changed}, "folders": missing}
    write_new(os.path.join(folder, "old", "facts.json"), as_bytes(snapshot))
    # Room and inodes that a rollback frees before it needs them; random, so that no file system stores it in nothing.
    write_new(os.path.join(folder, "reserve", "room"), os.urandom(size + (256 << 10)))
    for number in range(len(document["steps"]) + 4):
        write_new(os.path.join(folder, "reserve", str(number)), b"")
    with open(os.path.abspath(__file__), "rb") as own:
        write_new(os.path.join(folder, "passerelle_host.py"), own.read(), 0o700)
    kept = {key: value for key, value in document.items() if key != "blobs"}
    write_new(os.path.join(folder, "document.json"), as_bytes(kept))
    for name in ("new", "old", "reserve", ""):
        sync_folder(os.path.join(folder, name))
    sync_folder(host.state("txn"))
    names = ("fact", "why", "restart", "on_confirm")
    steps = [{**{key: step[key] for key in names}, "state": "pending"} for step in document["steps"]]
    for step in steps:
        step.update(started_s=None, ended_s=None, error=None)
    transaction.save(
        **{key: document[key] for key in ("format", "id", "generation", "controller", "plan_digest")},
        state="staged",
        cause=None,
        error=None,
        point=None,
        verified_old=None,
        boot_id=host.boot_id(),
        deadline_boottime_s=None,
        created=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        steps=steps,
        peer=os.environ.get("SSH_CONNECTION", "").split()[:2],
        timers=0,
    )


def _missing(host: Host, folder: str) -> list[str]:
    missing = []
    while not os.path.isdir(host.path(folder)):
        missing.append(folder)
        folder = os.path.dirname(folder)
    return missing


def check(transaction: Transaction, document: dict[str, Json]) -> None:
    """The programs' own syntax checks on the staged bytes. Their words are not repeated: they may quote other files."""
    host = transaction.host
    for step in document["steps"]:
        kind, name = split_fact(step["fact"])
        if kind == "unit" and not same(step["fact"], step["after"], step["before"]) and (why := power_unit(name)):
            raise Refused("vital", f"{name} is not switched by anybody's spec: {why}")
    if packages_of(document):
        allowed(host, "remove", packages_of(document), None)
    after = {step["fact"]: step["after"] for step in document["steps"]}
    for program, name in document["checks"]:
        value = after.get(("nft:" if program == "nft" else "file:") + name)
        if value is None:
            continue
        text = ""
        if program == "nft":
            argv = ["nft", "-c", "-f", "-"]
            text = f"table {name}\ndelete table {name}\n{value['load']}\n"
        else:
            staged = os.path.join(transaction.folder, "new", value["sha256"])
            argv = (
                ["dnsmasq", "--test", "--conf-file=" + staged] if program == "dnsmasq" else ["sshd", "-t", "-f", staged]
            )
            if program == "sshd":
                argv[0] = transaction.host.bin_dir + "/sshd" if transaction.host.bin_dir else "/usr/sbin/sshd"
        ran = run_command(transaction.host, argv, text=text)
        if ran.code != 0:
            line = re.search(r"\bline ([0-9]{1,6})\b|:([0-9]{1,6}):", ran.err + ran.out)
            number = int(line.group(1) or line.group(2)) if line else None
            where = f", line {number}" if number else ""
            raise Refused("check", f"{program} does not accept {name}{where}", program=program, line=number)


def install_boot_unit(host: Host) -> None:
    """The unit that undoes an armed change before networking starts, enabled. Writes only what differs."""
    unit, link = host.path(f"{UNITS}/{RECOVER_UNIT}"), host.path(f"{UNITS}/sysinit.target.wants/{RECOVER_UNIT}")
    changed = False
    if read_file(unit)[1] != RECOVER_TEXT.encode():
        make_folders(os.path.dirname(unit))
        write_atomic(unit, RECOVER_TEXT.encode(), 0o644)
        changed = True
    if not os.path.islink(link):
        make_folders(os.path.dirname(link))
        os.symlink(f"{UNITS}/{RECOVER_UNIT}", link)
        sync_folder(os.path.dirname(link))
        changed = True
    if changed:
        must(host, ["systemctl", "daemon-reload"], timeout_s=60.0)


def timer_name(transaction: Transaction) -> str:
    return f"passerelle-expire-{transaction.id}-{transaction.journal['timers']}"


def watch_name(identifier: str) -> str:
    return f"passerelle-watch-{identifier}"


def start_timer(transaction: Transaction, deadline_s: float) -> None:
    """A transient timer that lets the transaction expire. systemd's own accuracy of 1 min is far too coarse.

    Its time is absolute: OnStartupSec counts from when systemd was started, which stays as it is. OnActiveSec would be
    counted anew at each daemon-reload and daemon-reexec (seen with systemd 252 and 257), and the rollback would never
    come on a host that reloads often. A timer elapses once: whoever kills what it started (SIGKILL, memory), systemd
    starts that again.
    """
    host = transaction.host
    began_us = must(host, ["systemctl", "show", "--value", "-p", "UserspaceTimestampMonotonic"]).strip()
    if not began_us.isdigit():
        raise Trouble("systemd does not say when it was started")
    after_us = round((deadline_s - suspended_s()) * 1e6) - int(began_us)
    argv = ["systemd-run", "--quiet", "--collect", f"--unit={timer_name(transaction)}", f"--on-startup={after_us}us"]
    argv += ["--timer-property=AccuracySec=100ms", "--timer-property=RemainAfterElapse=no"]
    argv += ["--property=OOMScoreAdjust=-900", "--property=Restart=on-abnormal", "--property=RestartSec=1"]
    must(host, argv + own_command(transaction, "expire"))


def start_watch(transaction: Transaction) -> None:
    """The other waker: a process of its own that needs nothing of systemd any more once it runs."""
    argv = ["systemd-run", "--quiet", "--collect", f"--unit={watch_name(transaction.id)}"]
    argv += ["--property=OOMScoreAdjust=-900", "--property=Restart=on-abnormal", "--property=RestartSec=100ms"]
    argv += ["--property=StartLimitIntervalSec=0"]
    must(transaction.host, argv + own_command(transaction, "watch"))


def own_command(transaction: Transaction, verb: str) -> list[str]:
    """The command line of a verb on this transaction, by the copy of this file that armed it."""
    host = transaction.host
    copy = os.path.join(transaction.folder, "passerelle_host.py")
    return ["/usr/bin/python3", "-I", "-S", copy, *host.own_flags(), verb, transaction.id]


def watcher(transaction: Transaction) -> tuple[int, float]:
    """(process, deadline that it waits for) as the watcher noted them; (0, 0) when it is gone, stopped or never was."""
    words = read_text(os.path.join(transaction.folder, "watch")).split()
    if len(words) != 3 or not words[0].isdigit() or start_time(int(words[0])) != words[1]:
        return 0, 0.0
    if re.search(r"\) [TtZX] ", read_text(f"/proc/{words[0]}/stat")):
        return 0, 0.0
    return int(words[0]), float(words[2])


class Carriers:
    """What would bring an armed transaction back, as it is now. Each proof returns what it has seen, or is Trouble."""

    def __init__(self, transaction: Transaction) -> None:
        self.transaction = transaction
        self.host = transaction.host
        self.timer_unit = timer_name(transaction) + ".timer"
        names = (self.timer_unit, RECOVER_UNIT, *WAYS_IN)
        shown = "LoadState,UnitFileState,ActiveState,NeedDaemonReload,Before,DropInPaths,NextElapseUSecMonotonic"
        rows = show_properties(must(self.host, ["systemctl", "show", "-p", shown, "--", *names]))
        if len(rows) != len(names):
            raise Trouble("systemd does not tell about all units")
        self.units = {name: rows[number] for number, name in enumerate(names)}

    def timer(self) -> str:
        """Runs, and fires at the deadline."""
        unit = self.units[self.timer_unit]
        at_s = span_s(unit.get("NextElapseUSecMonotonic", ""))
        if unit.get("ActiveState") != "active" or not at_s:
            raise Trouble("the timer is not running")
        off_s = at_s + suspended_s() - self.transaction.deadline_s
        if self.transaction.journal.get("watched") and abs(off_s) > OFF_S:
            raise Trouble(f"the timer would fire {abs(off_s):.0f} s {'after' if off_s > 0 else 'before'} the deadline")
        return f"{self.timer_unit} runs"

    def watch(self, patience_s: float = STILL_THERE_S) -> str:
        """A process of ours waits for this very deadline, on the boot clock."""
        if not self.transaction.journal.get("watched"):
            return "armed by an earlier version, which had none"
        deadline_s = self.transaction.deadline_s
        ends_s = min(boottime_s() + patience_s, deadline_s)
        while True:
            pid, until_s = watcher(self.transaction)
            if pid and until_s == deadline_s:
                return f"process {pid} waits for the deadline"
            if boottime_s() > ends_s:
                raise Trouble("the watcher waits for another deadline" if pid else "the watcher is not running")
            time.sleep(0.02)

    def boot_unit(self) -> str:
        """As written, read by systemd, enabled, ordered before whatever sets up the network, with what it runs."""
        host, unit = self.host, self.units[RECOVER_UNIT]
        if read_file(host.path(f"{UNITS}/{RECOVER_UNIT}"))[1] != RECOVER_TEXT.encode():
            raise Trouble(f"{UNITS}/{RECOVER_UNIT} is not as it was written")
        wanted = {"LoadState": "loaded", "UnitFileState": "enabled", "NeedDaemonReload": "no"}
        for name, value in wanted.items():
            if unit.get(name) != value:
                raise Trouble(f"{RECOVER_UNIT}: {name} is {unit.get(name) or 'not told'}, not {value}")
        if not os.path.islink(host.path(f"{UNITS}/sysinit.target.wants/{RECOVER_UNIT}")):
            raise Trouble(f"{RECOVER_UNIT} is not enabled on the disk")
        for path in unit.get("DropInPaths", "").split():
            if f"/{RECOVER_UNIT}.d/" in path:
                raise Trouble(f"{path} changes {RECOVER_UNIT}")
        late = {"network-pre.target", "networking.service", "sysinit.target"} - set(unit.get("Before", "").split())
        if late:
            raise Trouble(f"{RECOVER_UNIT} is not ordered before {', '.join(sorted(late))}")
        for program in ("/usr/bin/python3", "/usr/bin/timeout"):
            if not os.access(host.path(program), os.X_OK):
                raise Trouble(f"{program} is gone: {RECOVER_UNIT} runs it")
        with open(os.path.join(self.transaction.folder, "passerelle_host.py"), "rb") as own:
            if read_file(host.state("boot.py"))[1] != own.read():
                raise Trouble(f"{STATE}/boot.py is another file than the one that armed this")
        if armed_id(host) != self.transaction.id:
            raise Trouble(f"{STATE}/armed does not name {self.transaction.id}")
        return f"{RECOVER_UNIT} is enabled and comes before networking"

    def sshd(self) -> dict[str, Json]:
        """What lets people in, to be compared later: the units of sshd, and whether sshd would start."""
        units = {name: [self.units[name].get(key, "") for key in ("ActiveState", "UnitFileState")] for name in WAYS_IN}
        path = self.host.bin_dir + "/sshd" if self.host.bin_dir else "/usr/sbin/sshd"
        try:
            starts = run_command(self.host, [path, "-t"]).code == 0
        except Trouble:
            starts = False
        return {"units": units, "starts": starts}

    def way_in(self) -> str:
        """The SSH server runs, starts and is enabled as far as it was when this was armed."""
        before = self.transaction.journal.get("way_in")
        if before is None:
            return "armed by an earlier version, which did not look"
        now = self.sshd()
        for name, (active, enabled) in before["units"].items():
            now_active, now_enabled = now["units"][name]
            if active == "active" and now_active not in ("active", "reloading", "activating"):
                raise Trouble(f"{name} does not run any more: nobody could log in")
            if enabled in ("enabled", "alias", "static") and now_enabled != enabled:
                raise Trouble(f"{name} is {now_enabled or 'gone'}, it was {enabled}: nobody could log in after a boot")
        if before["starts"] and not now["starts"]:
            raise Trouble("sshd would not start any more: `sshd -t` fails")
        return "sshd as before"

    def proofs(self) -> list[dict[str, Json]]:
        """[{"name", "ok", "told"}] of all pieces."""
        found: list[dict[str, Json]] = []
        pieces: dict[str, Callable[[], str]] = {
            "timer": self.timer,
            "watcher": self.watch,
            "boot unit": self.boot_unit,
            "way in": self.way_in,
        }
        for name, prove in pieces.items():
            try:
                found.append({"name": name, "ok": True, "told": prove()})
            except (Trouble, OSError) as error:
                found.append({"name": name, "ok": False, "told": str(error)[:300]})
        return found


def prove_switch(transaction: Transaction) -> None:
    """Trouble, with all that is missing, unless everything that would bring this back is in place.

    Asked again for a few seconds: others may be restarting sshd or reloading systemd at this moment.
    """
    lost: list[str] = []
    for pause_s in PROOF_PAUSES_S:
        time.sleep(pause_s)
        lost = [proof["told"] for proof in Carriers(transaction).proofs() if not proof["ok"]]
        if not lost:
            return
    raise Trouble("; ".join(lost))


def span_s(text: str) -> float:
    """A time span as systemctl shows it (`1h 2min 3.5s`; systemd.time(7)), in seconds; 0 for none or never."""
    scale = {"us": 1e-6, "ms": 1e-3, "s": 1, "min": 60, "h": 3600, "d": 86400, "w": 604800}
    scale.update(month=2629800, y=31557600)
    parts = re.findall(r"([0-9]+(?:\.[0-9]+)?)([a-z]+)", text)
    return sum(float(number) * scale.get(unit, 0) for number, unit in parts)


def suspended_s() -> float:
    """How far the boot clock is ahead of the monotonic one, which systemd's timers use."""
    return boottime_s() - time.clock_gettime(time.CLOCK_MONOTONIC)


def arm(transaction: Transaction, confirm_timeout_s: float) -> None:
    """Journal, both wakers, armed file, each proven. Refused, and disarmed again, when one of them is missing."""
    host = transaction.host
    try:
        install_boot_unit(host)
        with open(os.path.join(transaction.folder, "passerelle_host.py"), "rb") as own:
            write_atomic(host.state("boot.py"), own.read(), 0o700)
        deadline_s = round(boottime_s() + confirm_timeout_s, 3)
        transaction.save(state="armed", deadline_boottime_s=deadline_s, watched=True)
        point(host, "journal-armed")
        start_watch(transaction)
        start_timer(transaction, deadline_s)
        write_atomic(host.state("armed"), transaction.id.encode() + b"\n")
        point(host, "armed")
        carriers = Carriers(transaction)
        if carriers.units[RECOVER_UNIT].get("NeedDaemonReload") == "yes":  # somebody has changed a file it goes by
            must(host, ["systemctl", "daemon-reload"], timeout_s=60.0)
            carriers = Carriers(transaction)
        transaction.save(way_in=carriers.sshd())
        carriers.watch(WAKING_S)
        prove_switch(transaction)
        point(host, "proven")
    except (OSError, Trouble) as error:
        transaction.try_save(state="refused", error=f"could not be armed: {worded(host, error)}")
        disarm(host, transaction.id)
        raise Refused("arm", f"nothing was changed, the switch could not be armed: {worded(host, error)}") from None


def disarm(host: Host, identifier: str) -> None:
    """The journal has ended: take the armed file away, then the wakers. Those that wake now find nothing to do."""
    if armed_id(host) == identifier:
        remove(host.state("armed"))
    point(host, "disarmed")
    if host.verb in ("watch", "expire"):
        return  # a waker that is at work has woken on time, and so does the other one: both end by themselves
    with contextlib.suppress(Trouble, OSError):
        wakers = [f"passerelle-expire-{identifier}-*.timer", watch_name(identifier) + ".service"]
        run_command(host, ["systemctl", "stop", *wakers])


# ------------------------------------------------------------------------------- 5 transaction: apply, verify, restore


def differences(host: Host, wanted: dict[str, Json]) -> list[dict[str, Json]]:
    """Of the wanted facts those that the host does not have."""
    found = capture(host, list(wanted))
    return [
        {"fact": fact, "expected": value, "found": found[fact]}
        for fact, value in wanted.items()
        if not same(fact, value, found[fact])
    ]


def wait_until(host: Host, wanted: dict[str, Json]) -> list[dict[str, Json]]:
    """The differences that stay over all tries; [] as soon as there are none."""
    left: list[dict[str, Json]] = []
    for pause_s in PAUSES_S:
        time.sleep(pause_s)
        left = differences(host, wanted)
        if not left:
            break
    return left


def wanted_after(document: dict[str, Json], on_confirm: bool) -> dict[str, Json]:
    """What the host must have after the steps (with or without those of the confirmation)."""
    wanted = {step["fact"]: step["after"] for step in document["keep"]}
    wanted.update({s["fact"]: s["after"] for s in document["steps"] if on_confirm or not s["on_confirm"]})
    return wanted


class Steps:
    """Does the steps of a transaction, each written into the journal before and after."""

    def __init__(self, transaction: Transaction) -> None:
        self.transaction = transaction
        self.document = transaction.document()
        snapshot = transaction.snapshot()
        self.old = snapshot["facts"]
        self.setter = transaction.setter("new", snapshot["detail"])
        self.named = [step["fact"] for step in self.document["steps"]]
        self.network_moved = any(
            entry["state"] != "pending" and entry["fact"].startswith(("link:", "addresses:", "routes:"))
            for entry in transaction.steps
        )

    def do(self, number: int) -> None:
        step, entry = self.document["steps"][number], self.transaction.journal["steps"][number]
        fact, host = step["fact"], self.transaction.host
        point(host, f"on-confirm-{number}" if step["on_confirm"] else f"step-{number}-before")
        entry.update(state="doing", started_s=round(boottime_s(), 3))
        self.transaction.save()
        try:
            now = capture(host, [fact])[fact]
            first = fact not in self.named[:number]
            if not self._expected(number, now, first):
                raise Foreign(f"{fact} was changed by someone else since the snapshot")
            blind = fact.startswith("nft:") and "normal" not in (step["after"] or {"normal": None})
            blind = blind or fact.startswith("leases:")  # the daemon has to start anew in any case
            if blind or not same(fact, step["after"], now):
                if fact.startswith("file:"):
                    self.setter.file(fact[5:], step["after"], expected=self.old[fact] if first else now)
                else:
                    self.setter.set(fact, step["after"], step["restart"])
            elif step["restart"]:
                self.setter.set(fact, step["after"], True)
            if fact.startswith(("link:", "addresses:", "routes:")):
                self.network_moved = True
                self.keep()
        except (Trouble, OSError) as error:
            entry.update(error=worded(host, error), ended_s=round(boottime_s(), 3))
            if isinstance(error, Foreign):
                entry["state"] = "pending"  # not ours, so not to be undone either
            raise
        entry.update(state="done", ended_s=round(boottime_s(), 3))
        self.transaction.save()
        if not step["on_confirm"]:
            point(host, f"step-{number}-after")

    def _expected(self, number: int, now: Json, first: bool) -> bool:
        step = self.document["steps"][number]
        kind = step["fact"].partition(":")[0]
        if same(step["fact"], step["before"], now) or same(step["fact"], step["after"], now):
            return True
        if kind in ("unit", "leases"):  # they move by themselves, and with others
            return True
        if kind == "file" and not first:  # as the step before left it
            last = max(n for n in range(number) if self.named[n] == step["fact"])
            return same(step["fact"], self.document["steps"][last]["after"], now)
        return (kind in NETWORK and kind != "nft" and self.network_moved) or not first

    def keep(self) -> None:
        """Set again what the kernel took along. A file that is kept is never written: it is someone else's change."""
        kept = {s["fact"]: s["after"] for s in self.document["keep"] if s["fact"].partition(":")[0] in NETWORK}
        for item in differences(self.transaction.host, kept):
            value = self.old[item["fact"]] if item["fact"].startswith("nft:") else item["expected"]
            self.setter.set(item["fact"], value)
        self.setter.other_routes()


def failed(transaction: Transaction, cause: str, error: str) -> dict[str, Json]:
    """Keep the first error, restore at once."""
    if not transaction.journal.get("error"):
        transaction.journal["error"] = error[:1000]
    return restore(transaction, cause)


def told(left: list[dict[str, Json]]) -> str:
    return "not as wanted: " + ", ".join(item["fact"] for item in left[:10])


def try_gateways(host: Host) -> None:
    """Trouble where this host has a gateway's address: the gateway is answered until it forgets us, then never again.

    What the kernel remembers of its gateways is forgotten: it would carry a confirmation over a way that is no more
    (ip-neighbour(8)).
    """
    seen = Seen(host)
    routes = default_routes_from_json(seen.routes(4), seen.routes(6))
    own = {item.partition("/")[0] for items in addresses_from_json(seen.ip("addr", "show")).values() for item in items}
    for route in routes:
        if route["via"] in own:
            raise Trouble(f"{route['via']} is the gateway and one of this host's own addresses as well")
    for dev in sorted({route["dev"] for route in routes}):
        run_command(host, ["ip", "neigh", "flush", "dev", dev])


def apply_steps(transaction: Transaction) -> dict[str, Json]:
    """All steps that do not wait for the confirmation, then the proof that the host has what was wanted."""
    host = transaction.host
    try:
        transaction.save(state="applying")
        steps = Steps(transaction)
        for number, step in enumerate(steps.document["steps"]):
            if not step["on_confirm"]:
                steps.do(number)
        steps.setter.reload()
    except (Trouble, BadInput, OSError, ValueError, KeyError, TypeError) as error:
        return failed(transaction, "step failed", worded(host, error))
    try:
        point(host, "verifying")
        steps.keep()
        if steps.network_moved:
            try_gateways(host)
        left = wait_until(host, wanted_after(steps.document, on_confirm=False))
        if left:
            return failed(transaction, "verify failed", told(left))
    except (Trouble, OSError) as error:
        return failed(transaction, "verify failed", worded(host, error))
    try:
        prove_switch(transaction)
        transaction.save(state="applied")
    except (Trouble, OSError) as error:
        return failed(transaction, "switch lost", worded(host, error))
    point(host, "applied")
    return transaction.answer()


def restore(transaction: Transaction, cause: str, at_boot: bool = False) -> dict[str, Json]:
    """Bring back the snapshot of all that this transaction may have moved, and prove that it is back.

    Can be cut and started again anywhere. At boot the kernel is fresh: files and units only. Needs no room on the disk,
    no network, no packages; one fact that resists does not keep the others from being restored.
    """
    host = transaction.host
    prefix = "boot-" if at_boot else ""
    if not transaction.journal.get("cause"):
        transaction.journal["cause"] = cause
    shutil.rmtree(os.path.join(transaction.folder, "reserve"), ignore_errors=True)
    cut = ("doing", "done") if transaction.state == "rolling_back" else ("doing",)
    began = {"verb": host.verb, "boottime_s": round(boottime_s(), 3), "state": transaction.state}
    transaction.journal.setdefault("restore_began", began)
    transaction.try_save(state="rolling_back")
    point(host, prefix + "restore-begin")
    snapshot = transaction.snapshot()
    facts = _to_restore(transaction, snapshot["facts"], at_boot)
    setter = transaction.setter("old", snapshot["detail"])
    setter.no_block = at_boot
    setter.unsure = {e["fact"][5:] for e in transaction.steps if e["fact"].startswith("unit:") and e["state"] in cut}
    setter.taken = lambda fact, path: _keep_foreign(transaction, snapshot, fact, path)
    errors: list[str] = []
    left: list[dict[str, Json]] = []
    for attempt, pause_s in enumerate(PAUSES_S):
        time.sleep(pause_s)
        errors = _restore_round(transaction, setter, facts, attempt == 0)
        errors += _sweep(transaction, setter, snapshot)
        point(host, prefix + "restore-verify")
        try:
            left = differences(host, _comparable(host, facts, at_boot))
        except (Trouble, OSError) as error:
            errors.append(str(error))
            continue
        if not left and not errors:
            break
    if left or errors:
        problem = "; ".join([told(left)] * bool(left) + errors)[:1000]
        transaction.save(state="rollback_failed", verified_old=False, rollback_error=problem)
        return transaction.answer(rollback_error=problem)
    for entry in transaction.journal["steps"]:
        entry["state"] = "undone" if entry["state"] != "pending" else "pending"
    seen_all = not at_boot or all(fact.startswith("file:") for fact in snapshot["facts"])
    transaction.save(state="rolled_back", verified_old=True if seen_all else None)
    point(host, prefix + "restored")
    disarm(host, transaction.id)
    return transaction.answer()


def _to_restore(transaction: Transaction, old: dict[str, Json], at_boot: bool) -> dict[str, Json]:
    """Which facts of the snapshot: files, tables and units that a step has begun, and all else that may go along."""
    begun = {entry["fact"] for entry in transaction.steps if entry["state"] != "pending"}
    if not begun:
        return {}
    kinds = ("file", "unit") if at_boot else RESTORE_ORDER
    own = ("file", "nft") if any(fact.startswith("package:") for fact in begun) else ("file", "nft", "unit")
    return {
        fact: value
        for fact, value in old.items()
        if fact.partition(":")[0] in kinds and (fact in begun or fact.partition(":")[0] not in own)
    }


def _comparable(host: Host, facts: dict[str, Json], at_boot: bool) -> dict[str, Json]:
    """The restored facts as far as they can be compared: guests that went away since are no difference."""
    there = Seen(host).links() if any(fact.startswith("link:") for fact in facts) else {}
    wanted = {}
    for fact, value in facts.items():
        kind, name = split_fact(fact)
        if at_boot and kind != "file":
            continue
        if kind == "link" and value is not None:
            if value["type"] != "bridge" and name not in there:
                continue
            value = {**value, "ports": [p for p in value.get("ports", []) if p["name"] in there]}
        wanted[fact] = value
    return wanted


def _restore_round(transaction: Transaction, setter: Setter, facts: dict[str, Json], first: bool) -> list[str]:
    """Set every fact once, in the order that lets them hold; what went wrong."""
    host, errors = transaction.host, []
    restarts = {e["fact"] for e in transaction.steps if e["restart"] and e["state"] != "pending"} if first else set()

    def attempt(what: Callable[[], None]) -> None:
        try:
            what()
        except (Trouble, BadInput, OSError, ValueError, KeyError) as error:
            errors.append(str(error))

    def put_back(fact: str, value: Json) -> None:
        if fact.startswith("file:"):  # what an apply that was killed had taken away for a moment
            setter.taken(fact, setter.temporary(host.path(fact[5:])))
        now = capture(host, [fact])[fact]
        if fact.startswith("file:") and now is None:
            setter.taken(fact, host.path(fact[5:]))
        moved = fact.startswith("unit:") and (setter.no_block or fact[5:] in setter.unsure)
        if fact in restarts or moved or not same(fact, value, now):
            setter.set(fact, value, fact in restarts)
        if fact.startswith("unit:") and value is not None and not value["active"]:
            # a start of ours that failed would stay in systemd's list of failed units, which people watch
            run_command(host, ["systemctl", "reset-failed", fact[5:]])

    for fact, value in facts.items():  # a unit that was not there must go while its file still is
        if fact.startswith("unit:") and value is None:
            attempt(lambda fact=fact: put_back(fact, None))  # type: ignore[misc]
    for kind in RESTORE_ORDER:
        if kind == "unit":
            for fact, value in _units_before_packages(transaction, facts):
                attempt(lambda fact=fact, value=value: put_back(fact, value))  # type: ignore[misc]
            attempt(lambda: _restore_packages(transaction, setter))
            attempt(lambda: _restore_leases(transaction, setter))
        mine = [(fact, value) for fact, value in facts.items() if fact.partition(":")[0] == kind]
        if kind == "link":  # bridges first, for others to be put into; what was not there is deleted last
            mine.sort(key=lambda item: (item[1] is None, (item[1] or {}).get("type") != "bridge"))
        for fact, value in mine:
            attempt(lambda fact=fact, value=value: put_back(fact, value))  # type: ignore[misc]
        if kind == "file":
            attempt(setter.reload)
        if kind == "routes" and mine:
            attempt(setter.other_routes)
        if mine and not (setter.no_block and kind not in ("file", "unit")):
            point(host, ("boot-" if setter.no_block else "") + "restore-" + kind)
    attempt(setter.reload)
    return errors


def _units_before_packages(transaction: Transaction, facts: dict[str, Json]) -> list[tuple[str, Json]]:
    """Where packages have to come back, the units that steps name and that are there come first: dpkg takes its time,
    and sshd may be one of them."""
    begun = {entry["fact"] for entry in transaction.steps if entry["state"] != "pending"}
    named = [fact for fact in facts if fact.startswith("unit:") and fact in begun and facts[fact] is not None]
    if not any(fact.startswith("package:") for fact in begun):
        return []
    there = capture(transaction.host, named)
    return [(fact, facts[fact]) for fact in named if there[fact] is not None]


def _restore_packages(transaction: Transaction, setter: Setter) -> None:
    """Bring packages back from the copies that were made of them: after the network, before the units."""
    begun = [e["fact"] for e in transaction.steps if e["fact"].startswith("package:") and e["state"] != "pending"]
    old, now = transaction.snapshot()["facts"], capture(transaction.host, begun)
    gone = [fact[8:] for fact in begun if not same(fact, old[fact], now[fact])]
    if gone:
        bring_back(transaction.host, [kept_file(os.path.join(transaction.folder, "old"), name) for name in gone])
        setter.reload_due = True
        setter.reload()
        left = capture(transaction.host, begun)
        if bad := [fact for fact in begun if not same(fact, old[fact], left[fact])]:
            raise Trouble(f"not as before: {', '.join(bad)}")


def _restore_leases(transaction: Transaction, setter: Setter) -> None:
    """Bring leases back to where dnsmasq looks for them with its old files."""
    for number, entry in enumerate(transaction.steps):
        if entry["fact"].startswith("leases:") and entry["state"] != "pending":
            there = transaction.snapshot()["facts"].get(entry["fact"]) is not None
            setter.leases_back(entry["fact"][7:], transaction.document()["steps"][number]["after"] or {}, there)


def _keep_foreign(transaction: Transaction, snapshot: dict[str, Json], fact: str, path: str) -> None:
    """Someone edited a file while the change was on trial: the journal says so, their bytes are kept beside it.

    `path` has what is about to be deleted; null in the journal is a file that they deleted. OSError, and nothing is
    deleted, when it cannot be kept.
    """
    now, content = read_file(path)
    old = snapshot["facts"][fact]
    ours = [old, *(step["after"] for step in transaction.document()["steps"] if step["fact"] == fact)]
    entry = None
    if now is None:
        if None in ours or path != transaction.host.path(fact[5:]):
            return
    elif "sha256" not in now:
        return
    else:
        entry = {key: now[key] for key in ("sha256", "mode", "uid", "gid")}
        unnamed = old or {"mode": "0644", "uid": 0, "gid": 0}
        if any(one is not None and all(entry[key] == {**unnamed, **one}[key] for key in entry) for one in ours):
            return
    foreign = transaction.journal.setdefault("foreign", {}).setdefault(fact, [])
    if entry in foreign:
        return
    if entry is not None:
        make_folders(os.path.join(transaction.folder, "foreign"))
        write_new(os.path.join(transaction.folder, "foreign", entry["sha256"]), content)
        sync_folder(os.path.join(transaction.folder, "foreign"))
    foreign.append(entry)
    transaction.save()


def _sweep(transaction: Transaction, setter: Setter, snapshot: dict[str, Json]) -> list[str]:
    """Remove our temporary files and the folders that we made, if they are empty; what went wrong."""
    host, errors = transaction.host, []
    for entry in transaction.steps:
        left = setter.temporary(host.path(entry["fact"][5:])) if entry["fact"].startswith("file:") else ""
        try:
            if os.path.lexists(left):
                setter.taken(entry["fact"], left)
                remove(left)
        except OSError as error:
            errors.append(str(error))
    begun = any(entry["state"] != "pending" for entry in transaction.steps)
    for folder in sorted(snapshot["folders"], reverse=True) if begun else []:
        try:
            os.rmdir(host.path(folder))
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTEMPTY, errno.ENOTDIR):
                errors.append(str(error))
    return errors


# --------------------------------------------------------------------------------------------------------- 6 verbs


def emit(**line: Json) -> None:
    """One JSON line on stdout. A connection that has gone stops nothing."""
    data = json.dumps(line, sort_keys=True).encode() + b"\n"
    with contextlib.suppress(OSError):
        while data:
            data = data[os.write(1, data) :]


def read_input() -> Json:
    """The JSON value on stdin, bounded. BadInput."""
    limit = 2 * DOCUMENT_LIMIT_BYTES
    raw = sys.stdin.buffer.read(limit + 1)
    need(len(raw) <= limit, f"stdin: more than {limit >> 20} MiB")
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        raise BadInput("stdin: no JSON") from None


def find(host: Host, identifier: str) -> Transaction:
    need(bool(re.fullmatch(r"[0-9A-Z]{26}", identifier)), "a transaction's id is a ULID")
    return Transaction(host, identifier).load()


def verb_begin(host: Host) -> dict[str, Json]:
    document = read_input()
    blobs = check_document(document)
    with locked(host):
        tidy(host)
        gate(host, document)
        point(host, "locked")
        found = observe(host, document)
        point(host, "observed")
        transaction = stage(host, document, blobs, found)
        point(host, "staged")
        try:
            check(transaction, document)
            kept = {"generation": document["generation"], "controller": document["controller"]}
            write_atomic(host.state("generation"), as_bytes(kept))
        except (Refused, Trouble, OSError) as error:
            discard(host, transaction.id)
            if isinstance(error, Refused):
                raise
            raise Refused("check", f"nothing was changed: {worded(host, error)}") from None
        point(host, "checked")
        arm(transaction, document["confirm_timeout_s"])
    emit(
        event="state", state="armed", id=transaction.id, deadline_boottime_s=transaction.journal["deadline_boottime_s"]
    )
    argv = ["systemd-run", "--quiet", "--collect", f"--unit=passerelle-apply-{transaction.id}"]
    argv += ["--property=OOMScoreAdjust=-900"]
    if "PASSERELLE_STOP_AT" in os.environ and os.path.exists(host.path("/run/passerelle-test")):
        argv.append("--setenv=PASSERELLE_STOP_AT=" + os.environ["PASSERELLE_STOP_AT"])
    try:
        must(host, argv + own_command(transaction, "run"))
    except (Trouble, OSError) as error:
        with locked(host, RESCUE_PATIENCE_S, rescue=True):
            transaction.load()
            return (
                transaction.answer() if transaction.state in ENDED else failed(transaction, "step failed", str(error))
            )
    return follow(transaction)


def follow(transaction: Transaction) -> dict[str, Json]:
    """Print each step as the journal has it, until the run ends. The run does not need us."""
    told_states: dict[int, str] = {}
    asked = time.monotonic()
    dead = 0
    while True:
        transaction.load()
        for number, step in enumerate(transaction.steps):
            if step["state"] != "pending" and told_states.get(number) != step["state"]:
                told_states[number] = step["state"]
                emit(event="step", number=number, **step)
        if transaction.state in (*ENDED, "applied", "confirming"):
            return transaction.answer()
        if time.monotonic() - asked > 1:
            asked = time.monotonic()
            unit = f"passerelle-apply-{transaction.id}.service"
            with contextlib.suppress(Trouble):
                ran = run_command(transaction.host, ["systemctl", "is-active", "--quiet", unit])
                dead = dead + 1 if ran.code != 0 else 0
        if dead >= 2 or transaction.past_deadline():  # the timer does it too; the first one does it
            return rescue(transaction, "deadline" if transaction.past_deadline() else "run died")
        time.sleep(0.03)


def rescue(transaction: Transaction, cause: str) -> dict[str, Json]:
    """Restore now, whoever holds the lock, unless the transaction has ended. A waker notes that it has woken."""
    waker, woke_s = transaction.host.verb, round(boottime_s(), 3)
    with locked(transaction.host, RESCUE_PATIENCE_S, rescue=True):
        transaction.load()
        if waker in ("watch", "expire") and transaction.state not in ("confirmed", "released", "refused"):
            transaction.try_save(woke={waker: woke_s, **transaction.journal.get("woke", {})})
        if transaction.state in ENDED and transaction.state != "rollback_failed":
            if armed_id(transaction.host) == transaction.id:
                disarm(transaction.host, transaction.id)
            return transaction.answer()
        return restore(transaction, cause)


def verb_run(host: Host, identifier: str) -> dict[str, Json]:
    with locked(host):
        transaction = find(host, identifier)
        if transaction.state != "armed" or armed_id(host) != identifier:
            return transaction.answer()
        if transaction.past_deadline():
            return restore(transaction, "deadline")
        return apply_steps(transaction)


def verb_confirm(host: Host, identifier: str, console: bool) -> dict[str, Json]:
    transaction = find(host, identifier)
    if transaction.state in ("staged", "armed", "applying"):
        return transaction.answer(state="applying")
    with locked(host):
        transaction.load()
        point(host, "confirm-locked")
        if transaction.state in ENDED:
            if armed_id(host) == identifier and transaction.state != "rollback_failed":
                disarm(host, identifier)
            return transaction.answer()
        if transaction.state not in ("applied", "confirming") or transaction.past_deadline():
            transaction.journal["confirms"] = confirms(transaction) + 1
            return restore(transaction, "deadline")
        _refuse_old_connection(transaction, console)
        return _confirm(transaction)


def _refuse_old_connection(transaction: Transaction, console: bool) -> None:
    """An old connection that still works proves nothing: packet filters keep what is established."""
    began, now = transaction.journal.get("peer"), os.environ.get("SSH_CONNECTION", "").split()[:2]
    if began and now == began:
        raise Refused("same-connection", "confirm over a new connection: this one is as old as the change")
    if began and not now and not console:
        raise Refused("no-connection", "not over SSH: this proves nothing; --console if you mean it")


def confirms(transaction: Transaction) -> int:
    """How many confirmations have come in, those that came too late as well."""
    return int(transaction.journal.get("confirms") or 0)


def _lost(transaction: Transaction) -> str:
    """What of the switch is gone by now, "" when all is there."""
    try:
        prove_switch(transaction)
    except Trouble as error:
        return str(error)
    return ""


def _confirm(transaction: Transaction) -> dict[str, Json]:
    host = transaction.host
    try:
        transaction.save(state="confirming", confirms=confirms(transaction) + 1)
        steps = Steps(transaction)
        left = wait_until(host, wanted_after(steps.document, on_confirm=False))
        if left:
            return failed(transaction, "verify failed", told(left))
        point(host, "confirm-verified")
        late = [n for n, step in enumerate(steps.document["steps"]) if step["on_confirm"]]
        for number in late:
            steps.do(number)
        steps.setter.reload()
        if late:
            left = wait_until(host, wanted_after(steps.document, on_confirm=True))
            if left:
                return failed(transaction, "verify failed", told(left))
        lost = _lost(transaction)
        if lost:
            return failed(transaction, "switch lost", lost)
        transaction.save(state="confirmed")
    except (Trouble, OSError, ValueError, KeyError) as error:
        return failed(transaction, "confirm failed", worded(host, error))
    point(host, "confirmed")
    disarm(host, transaction.id)
    shutil.rmtree(os.path.join(transaction.folder, "reserve"), ignore_errors=True)
    forget_copies(transaction.folder)
    return transaction.answer()


def verb_expire(host: Host, identifier: str) -> dict[str, Json]:
    """The timer's verb."""
    transaction = find(host, identifier)
    if transaction.state not in ENDED and not transaction.past_deadline():
        return transaction.answer()  # extended: a later timer is running
    return expire(transaction)


def verb_watch(host: Host, identifier: str) -> dict[str, Json]:
    """The watcher: waits for the deadline in the journal, on the boot clock, and then does what the timer does.

    It asks nobody but the kernel: no reload of systemd and no step of the wall clock moves it, and a moved deadline
    (`extend`) is read from the journal. Ends when the transaction does.
    """
    transaction = find(host, identifier)
    noted_s = None
    while transaction.state not in ENDED:
        left_s = transaction.deadline_s - boottime_s()
        if left_s <= 0 or transaction.past_deadline():
            return expire(transaction)
        if transaction.deadline_s != noted_s:
            noted_s = transaction.deadline_s
            note = f"{os.getpid()} {start_time(os.getpid())} {noted_s}"
            with contextlib.suppress(OSError):  # unproven, so nothing is confirmed; it still watches
                write_new(os.path.join(transaction.folder, "watch.new"), note.encode())
                os.rename(os.path.join(transaction.folder, "watch.new"), os.path.join(transaction.folder, "watch"))
        time.sleep(min(left_s, WATCH_EVERY_S))
        with contextlib.suppress(OSError, UnknownFormat):  # then it goes by what it has read before
            transaction.load()
    return transaction.answer()


def expire(transaction: Transaction) -> dict[str, Json]:
    """The deadline has passed. Maybe nobody comes after us before the next boot: not given up at the first trouble."""
    for pause_s in (0.5, 1, 2, 4, 8):
        try:
            return rescue(transaction, "deadline")
        except (Refused, Trouble, OSError) as error:
            if isinstance(error, UnknownFormat):
                raise
            time.sleep(pause_s)
    return rescue(transaction, "deadline")


def verb_rollback(host: Host, identifier: str, reason: str) -> dict[str, Json]:
    transaction = find(host, identifier)
    if transaction.state in ("confirmed", "released", "refused"):
        raise Refused(transaction.state, f"{identifier} is {transaction.state}; there is nothing to roll back")
    return rescue(transaction, "asked" + (": " + safe_line(reason, 200) if reason else ""))


def verb_extend(host: Host, identifier: str, seconds: str, generation: str) -> dict[str, Json]:
    """Move the deadline of a change that nobody undid yet. With a generation: only if the change was begun with it."""
    need(bool(re.fullmatch("[0-9]{1,4}", seconds)) and 1 <= int(seconds) <= 3600, "extend: 1 to 3600 seconds")
    with locked(host):
        transaction = find(host, identifier)
        if generation and generation != str(transaction.journal.get("generation")):
            raise Refused("holder", f"{identifier} has another generation; only who began it moves its deadline")
        if transaction.state not in ("armed", "applying", "applied") or transaction.past_deadline():
            raise Refused("ended", f"{identifier} is {transaction.state}; its deadline cannot be moved any more")
        old = timer_name(transaction)
        transaction.journal["timers"] += 1
        deadline_s = round(boottime_s() + int(seconds), 3)
        try:
            start_timer(transaction, deadline_s)  # first the new one: there is never none
            transaction.save(deadline_boottime_s=deadline_s)  # the watcher reads it from there
        except (Trouble, OSError) as error:
            raise Refused("arm", f"the old deadline stays: {error}") from None
        with contextlib.suppress(Trouble):
            run_command(host, ["systemctl", "stop", old + ".timer"])
        return transaction.answer(deadline_boottime_s=transaction.journal["deadline_boottime_s"])


def verb_boot(host: Host) -> dict[str, Json]:
    """Before networking starts: the files of an armed change go back. The kernel is fresh, so nothing else is to do."""
    with locked(host, RESCUE_PATIENCE_S, rescue=True):
        with contextlib.suppress(OSError, Trouble):
            finish_packages(host)
        armed = armed_id(host)
        if not armed:
            return {"state": "nothing"}
        transaction = find(host, armed)
        if transaction.state in ENDED and transaction.state != "rollback_failed":
            disarm(host, armed)
            return transaction.answer()
        return restore(transaction, "boot", at_boot=transaction.journal.get("boot_id") != host.boot_id())


def verb_status(host: Host, identifier: str, verify: bool) -> dict[str, Json]:
    if identifier and verify:
        with locked(host):
            transaction = find(host, identifier)
            if transaction.state == "rolled_back" and not transaction.journal.get("verified_old"):
                facts = transaction.snapshot()["facts"]
                left = differences(host, _comparable(host, facts, at_boot=False))
                transaction.save(verified_old=not left)
                return transaction.answer(differs=[item["fact"] for item in left])
    journals: list[Json] = []
    for name in [identifier] if identifier else reversed(transactions(host)[-KEPT_TRANSACTIONS:]):
        try:
            journals.append((find(host, name) if identifier else Transaction(host, name).load()).journal)
        except UnknownFormat as error:
            journals.append({"id": name, "state": "unknown", "error": str(error)})
        except BadInput:
            if identifier:
                raise
    try:
        stored = read_json(host.state("generation")) or {}
    except ValueError:
        stored = {"generation": None, "controller": None}
    return {
        "state": journals[0]["state"] if identifier else "ok",
        "generation": stored.get("generation", 0),
        "controller": stored.get("controller"),
        "armed": armed_id(host) or None,
        "quarantined": quarantined(host) or None,
        "boottime_s": round(boottime_s(), 3),
        "boot_id": host.boot_id(),
        "journals": journals,
    }


def verb_capture(host: Host) -> dict[str, Json]:
    facts = read_input()
    need(isinstance(facts, list) and len(facts) <= 5000, 'stdin: a list of facts, like ["link:vmbr0"]')
    return {"state": "ok", "facts": capture(host, facts)}


def verb_release(host: Host, identifier: str, reason: str) -> dict[str, Json]:
    need(bool(reason.strip()), "release: say why, it is kept in the journal")
    with locked(host):
        transaction = find(host, identifier)
        if transaction.state not in ("rollback_failed", "released"):
            raise Refused("state", f"{identifier} is {transaction.state}, not rollback_failed")
        transaction.save(state="released", released=safe_line(reason))
        disarm(host, identifier)
        return transaction.answer()


# ------------------------------------------------------- 6 what the switch, the way in and the boot hang on

# Which packages stay, and why: by name. What they depend on is told by a simulation, as it takes one of these along.
KEPT_PACKAGES = (
    (r"openssh-(server|sftp-server|client)|dropbear(-.*)?|tinysshd", "the host is reached through it"),
    (
        r"python3|python3-minimal|(lib)?python3[.][0-9]+(-minimal|-stdlib)?|libpython3-stdlib",
        "changes are undone with it",
    ),
    (
        r"ifupdown2|ifupdown|ifupdown-.*|bridge-utils|vlan|ifenslave|isc-dhcp-client|dhcpcd.*|udhcpc|wpasupplicant"
        r"|ppp|pppoe(conf)?|resolvconf|openresolv|ethtool|netbase|netplan[.]io|network-manager|systemd-resolved"
        r"|openvswitch-.*",
        "the network may be brought up with it",
    ),
    (r"wireguard.*|openvpn|tinc|strongswan.*|tailscale|zerotier-one|nebula", "the way in may lead through its tunnel"),
    (r"iproute2", "the network is read and changed with it"),
    (
        r"systemd|systemd-sysv|libsystemd.*|libnss-systemd|libpam-systemd|dbus(-.*)?",
        "it holds the timer that undoes a change",
    ),
    (
        r"init|udev|kmod|sysvinit-core|runit-init|openrc|linux-(image|modules|base).*|(pve|proxmox)-.*|libpve-.*|grub.*"
        r"|systemd-boot.*|shim.*|efibootmgr|initramfs-tools.*|dracut.*|firmware-.*|lvm2|mdadm|cryptsetup.*|dmsetup"
        r"|thin-provisioning-tools|e2fsprogs|btrfs-progs|xfsprogs|zfs.*|libzfs.*|multipath-tools.*|open-iscsi"
        r"|cloud-(init|guest|initramfs)[a-z-]*",
        "the host may boot with it",
    ),
    (r"apt|apt-utils|dpkg|debconf|debian-archive-keyring|perl-base|gpgv", "packages are installed with it"),
    (
        r"base-files|base-passwd|bash|dash|coreutils|util-linux|mount|login|passwd|libc6|libc-bin|libpam.*|procps|sudo",
        "a login needs it",
    ),
)
# What comes up with the next boot, or brings the network up in its own way, is not brought by a spec.
NEVER_COMES = (
    (
        r"network-manager.*|netplan.*|connman.*|cloud-init.*|ifupdown.*|dhcpcd.*|wicked.*|systemd-resolved",
        "it would bring the network up in its own way",
    ),
    (
        r"init|sysvinit-core|runit-init|openrc|systemd-sysv|linux-image.*|(pve|proxmox)-(default-)?kernel.*|grub.*"
        r"|systemd-boot.*|shim.*|initramfs-tools.*|dracut.*|live-boot.*|kexec-tools",
        "the next boot would be another one",
    ),
)
FLAGS = ("essential", "protected", "important", "required")
PACKAGE_LIMIT_BYTES = 512 << 20
DPKG_TIMEOUT_S = 60.0
PACKAGE_NAME = r"[a-z0-9][a-z0-9+.-]{1,99}"

# Units that no spec switches: on or off, by name.
POWER_UNITS = (
    r"(systemd-)?(poweroff|reboot|halt|kexec|soft-reboot|suspend|hibernate|hybrid-sleep|suspend-then-hibernate)"
    r"|rescue|rescue-ssh|emergency|initrd-.*|debug-shell|plymouth-.*|system-update.*|packagekit-offline-update|umount"
    r"|systemd-(?!timesyncd$|resolved$|oomd$|journal-(upload|remote|gatewayd)$).*"
)
SWITCH_UNITS = r"passerelle|passerelle-(?!nft$).*"  # the loader of our tables is a part of what is changed
WAY_IN_UNITS = (
    r"ssh|sshd|ssh@.*|sshd@.*|sshd-.*|dropbear|passerelle-nft|networking|ifup@.*|ifupdown.*|systemd-networkd.*|NetworkManager.*"
    r"|connman|wicked.*|netplan.*|dhcpcd.*|dhclient.*|wpa_supplicant.*|openvswitch-switch|ovs-.*|wg-quick@.*|openvpn.*"
    r"|strongswan.*|ipsec|tailscaled|zerotier-one|tinc.*|nebula.*"
)
BOOT_UNITS = (
    r"dbus|dbus-broker|udev|kmod|procps|lvm2-.*|blk-availability|mdadm.*|mdmonitor.*|zfs-.*|cryptdisks.*|multipathd?"
    r"|open-iscsi|iscsid|cloud-.*|pve.*|proxmox-.*|corosync|getty@.*|serial-getty@.*|console-getty|container-getty@.*"
)
WELL_KNOWN_UNITS = ("dnsmasq.service", "named.service", "fail2ban.service", "nftables.service")
"""What the kinds of a spec need, or have to see off: Debian's own units, known to hang on nothing of these."""
VITAL_UNITS = frozenset(
    "ssh.service sshd.service ssh.socket networking.service systemd-networkd.service NetworkManager.service "
    "dbus.service dbus.socket passerelle-recover.service sysinit.target basic.target local-fs.target "
    "local-fs-pre.target remote-fs.target network-pre.target network.target network-online.target multi-user.target "
    "graphical.target default.target sockets.target timers.target paths.target getty.target "
    "systemd-journald.service systemd-udevd.service systemd-logind.service".split()
)
EARLY_TARGETS = frozenset(
    "sysinit.target basic.target local-fs.target local-fs-pre.target remote-fs.target remote-fs-pre.target "
    "network-pre.target network.target network-online.target initrd.target ssh.service sshd.service ssh.socket "
    "networking.service systemd-networkd.service NetworkManager.service".split()
)
FINAL_TARGETS = frozenset(
    "shutdown.target final.target umount.target poweroff.target reboot.target halt.target kexec.target rescue.target "
    "emergency.target suspend.target hibernate.target sleep.target soft-reboot.target exit.target initrd.target "
    "systemd-poweroff.service systemd-reboot.service systemd-halt.service systemd-kexec.service rescue.service "
    "emergency.service".split()
)
UNIT_PROPERTIES = (
    "Id Names LoadState ActiveState UnitFileState SourcePath RequiredBy RequisiteOf BoundBy ConsistsOf UpheldBy "
    "WantedBy Requires Requisite BindsTo Wants Upholds Conflicts ConflictedBy Before OnSuccess OnFailure "
    "PropagatesStopTo SuccessAction FailureAction StartLimitAction JobTimeoutAction"
).split()
INSTALL_KEYS = ("WantedBy", "RequiredBy", "UpheldBy", "Alias", "Also")


def named_in(table: tuple[tuple[str, str], ...], name: str) -> str:
    """The reason that a table has for a name, "" for none."""
    return next((why for pattern, why in table if re.fullmatch(pattern, name)), "")


def kept_package(name: str, flags: tuple[str, ...] = ()) -> str:
    """Why a package has to stay, by its name and what dpkg says of it; "" where nothing is known against it."""
    plain = name.partition(":")[0]
    marked = [flag for flag in FLAGS if flag in flags]
    return named_in(KEPT_PACKAGES, plain) or (f"dpkg has it as {marked[0]}" if marked else "")


def package_objections(
    what: str, named: list[str], moves: list[list[str]], flags: dict[str, list[str]]
) -> list[tuple[str, str]]:
    """What speaks against a simulated run of apt-get: (rule, sentence). `moves` are [name, new version, old version]:
    no new version where it goes, no old one where it comes. Pure."""
    said: list[tuple[str, str]] = []
    for name, version, old in moves:
        kept = kept_package(name, tuple(flags.get(name, ())))
        because = f": {kept}" if kept else ""
        if what == "install" and not version:
            said.append(("beyond-named", f"to install {', '.join(named)}, apt would remove {name}{because}"))
        elif what == "install" and old and name not in named:
            said.append(
                ("beyond-named", f"to install {', '.join(named)}, apt would change {name} from {old} to {version}")
            )
        elif what == "install" and (comes := named_in(NEVER_COMES, name.partition(":")[0])):
            said.append(("vital", f"{name} would be installed: {comes}"))
        elif what == "remove" and version:
            said.append(("beyond-named", f"to remove {', '.join(named)}, apt would install {name} {version}"))
        elif what == "remove" and name not in named:
            said.append(("beyond-named", f"with {', '.join(named)}, apt would remove {name} as well{because}"))
        elif what == "remove" and kept:
            said.append(("vital", f"{name} would be removed: {kept}"))
    missing = sorted(set(named) - {move[0] for move in moves})
    if missing:
        said.append(("no-way", f"apt would not {what} {', '.join(missing)}"))
    return said


def power_unit(name: str) -> str:
    """Why nobody's spec switches this unit, in either direction; "" for others."""
    stem = name.removesuffix(".service")
    if re.fullmatch(SWITCH_UNITS, stem):
        return "it is a part of passerelle's switch, which undoes changes"
    return "it is systemd's own: it ends, isolates or starts the host" if re.fullmatch(POWER_UNITS, stem) else ""


def way_in_unit(name: str) -> str:
    """Why this unit stays as it is; "" for others."""
    stem = name.removesuffix(".service")
    if re.fullmatch(WAY_IN_UNITS, stem):
        return "the host is reached through it, or may be"
    return "the boot or the console needs it" if re.fullmatch(BOOT_UNITS, stem) else ""


def unit_objections(name: str, state: str, shown: dict[str, str]) -> list[str]:
    """What speaks against bringing a unit to `enabled`, `disabled` or `masked`, in words. Pure.

    `shown` are `UNIT_PROPERTIES` of systemctl-show(1) and, as `[Install] WantedBy` and so on, what its file says there.
    """
    words = {key: set(value.split()) for key, value in shown.items()}
    known = name in WELL_KNOWN_UNITS
    said = [why for why in (power_unit(name), way_in_unit(name)) if why][:1]
    if (real := shown.get("Id", "")) != name:
        said.append(f"it is another name of {real}" if real else "systemd does not say what it is")
    file = shown.get("UnitFileState", "")
    scripted = file == "generated" and shown.get("SourcePath", "").startswith("/etc/init.d/")
    if file in ("masked", "masked-runtime") and state != "masked" and not known:
        said.append("it is masked, so what it does cannot be seen")
    elif file not in ("enabled", "enabled-runtime", "disabled", "masked", "masked-runtime") and not (
        scripted and state == "masked"
    ):
        said.append(f"it has no [Install] section (systemd: {file or 'no unit file'})")
    held = set().union(
        *(words.get(key, set()) for key in ("RequiredBy", "RequisiteOf", "BoundBy", "ConsistsOf", "UpheldBy"))
    )
    if state != "enabled" and held:
        said.append(f"{', '.join(sorted(held)[:4])} cannot run without it")
    early = (words.get("WantedBy", set()) | words.get("[Install] WantedBy", set())) & EARLY_TARGETS
    if early and not known:
        said.append(f"it is a part of the boot ({', '.join(sorted(early)[:4])})")
    others = set().union(*(words.get(f"[Install] {key}", set()) for key in ("RequiredBy", "UpheldBy", "Alias", "Also")))
    if vital := others & (VITAL_UNITS | FINAL_TARGETS):
        said.append(f"its [Install] section names {', '.join(sorted(vital)[:4])}")
    if state == "enabled":
        said += _start_objections(words, shown, known)
    return said


def _start_objections(words: dict[str, set[str]], shown: dict[str, str], known: bool) -> list[str]:
    """What speaks against starting a unit now and at every boot."""
    said = []
    keys = ("Requires", "Requisite", "BindsTo", "Wants", "Upholds", "OnSuccess", "OnFailure", "PropagatesStopTo")
    pulled = set().union(*(words.get(key, set()) for key in keys))
    if final := pulled & FINAL_TARGETS:
        said.append(f"it leads to {', '.join(sorted(final)[:4])}")
    if stops := (words.get("Conflicts", set()) | words.get("ConflictedBy", set())) & VITAL_UNITS:
        said.append(f"its start stops {', '.join(sorted(stops)[:4])}")
    actions = ("SuccessAction", "FailureAction", "StartLimitAction", "JobTimeoutAction")
    if ends := sorted({shown.get(key, "") for key in actions} - {"", "none"}):
        said.append(f"its end would {', '.join(ends)} the host")
    if (before := words.get("Before", set()) & (EARLY_TARGETS | {"passerelle-recover.service"})) and not known:
        said.append(f"{', '.join(sorted(before)[:4])} would wait for it at boot")
    return said


def verb_weigh(host: Host, text: str) -> dict[str, Json]:
    """What would come and go with packages, and what hangs on units: asked before a plan is made. Nothing is changed
    but apt's lists, with `refresh`, where they do not know a name."""
    try:
        order = json.loads(text)
    except ValueError:
        raise BadInput("weigh takes one word of JSON") from None
    fields = {"install", "remove", "units", "refresh"}
    need(isinstance(order, dict) and set(order) <= fields, "one word: {install, remove, units, refresh}")
    install, unwanted = package_names(order.get("install", [])), package_names(order.get("remove", []))
    units = order.get("units", [])
    need(isinstance(units, list) and len(units) <= 256, "units: a list of at most 256")
    for name in units:
        need(isinstance(name, str) and bool(re.fullmatch(FACT_NAMES["unit"], name)), "no unit's name")
    refresh = order.get("refresh") is True
    answer: dict[str, Json] = {"state": "weighed", "unavailable": []}
    for what, names in (("install", install), ("remove", unwanted)):
        try:
            if names and what == "install":
                answer["unavailable"] = unavailable(host, names, refresh)
            skip = not names or (what == "install" and answer["unavailable"])
            answer[what] = {"moves": [] if skip else simulate(host, what, names)}
        except Trouble as trouble:
            answer[what] = {"unknown": str(trouble)}
    gone = [move[0] for what in ("install", "remove") for move in answer[what].get("moves", []) if not move[1]]
    answer["flags"] = package_flags(host, gone)
    answer["units"] = {name: unit_ties(host, name) for name in units}
    return answer


def package_names(names: Json) -> list[str]:
    need(isinstance(names, list) and len(names) <= 256, "a list of at most 256 packages")
    for name in names:
        need(isinstance(name, str) and bool(re.fullmatch(PACKAGE_NAME, name)), "no package name")
    return list(names)


def simulate(host: Host, what: str, names: list[str]) -> list[list[str]]:
    """What `apt-get install` or `remove` of these would do: [name, new version, old version]. Trouble where it cannot
    be told. apt takes a name that it does not know for a pattern, so whoever asks compares the names."""
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
    is being done. The lock is asked for and not taken (F_GETLK, fcntl(2)): taking it would disturb others."""
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
    if missing and not has_lists(host):
        raise Trouble("apt has no package lists; run `apt-get update` on the host")
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


def unit_ties(host: Host, name: str) -> dict[str, str]:
    """What hangs on a unit, as `unit_objections` takes it; {} where systemd does not say."""
    shown = run_command(host, ["systemctl", "show", "-p", ",".join(UNIT_PROPERTIES), "--", name])
    blocks = show_properties(shown.out) if shown.code == 0 else []
    if len(blocks) != 1:
        return {}
    found = {key: value[:8000] for key, value in blocks[0].items() if key in UNIT_PROPERTIES}
    section = ""
    for line in run_command(host, ["systemctl", "cat", "--", name]).out.splitlines():
        section = line.strip() if line.startswith("[") else section
        key, _, value = line.partition("=")
        if section == "[Install]" and key.strip() in INSTALL_KEYS:
            full = f"[Install] {key.strip()}"
            found[full] = f"{found.get(full, '')} {value.strip()}".strip()[:8000]
    return found


# ------------------------------------------------------------------------------------------- 6 verbs: packages

POLICY = "/usr/sbin/policy-rc.d"  # asked by invoke-rc.d and deb-systemd-invoke before they start a service
POLICY_ASIDE = "/usr/sbin/policy-rc.d.before-passerelle"
APT_OPTIONS = [
    *("-y", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=20", "-o", "Acquire::http::Timeout=15"),
    *("-o", "Dpkg::Options::=--force-confdef", "-o", "Dpkg::Options::=--force-confold"),
]


def verb_packages(host: Host) -> dict[str, Json]:
    order = read_input()
    need(
        isinstance(order, dict) and set(order) <= {"install", "timeout_s", "promised"},
        "stdin: {install, timeout_s, promised}",
    )
    install = package_names(order.get("install", []))
    timeout_s = float(order.get("timeout_s", 600))
    with locked(host):
        tidy(host)
        if armed_id(host):
            raise Refused("armed", f"transaction {armed_id(host)} is armed; packages come before")
        results: dict[str, Json] = {}
        disabled: list[str] = []
        before = installed(host, install)
        missing = [name for name in install if not before[name]]
        results.update({name: {"state": "present"} for name in install if before[name]})
        if missing:
            allowed(host, "install", missing, order.get("promised"))
            begin_packages(host)
            try:
                error = apt_install(host, missing, order.get("promised"), timeout_s)
            finally:
                disabled = finish_packages(host, ours=True)
            now = installed(host, missing)
            for name in missing:
                results[name] = {"state": "installed"} if now[name] else {"state": "failed", "reason": error}
        bad = any(result["state"] == "failed" for result in results.values())
        return {"state": "failed" if bad else "done", "packages": results, "units_disabled": disabled}


def packages_of(document: dict[str, Json]) -> list[str]:
    """The packages that a transaction removes, in its order."""
    return [step["fact"][8:] for step in document["steps"] if step["fact"].startswith("package:")]


def package_units(host: Host, names: list[str]) -> list[str]:
    """The unit facts that go with packages: they come back as they were."""
    if not names:
        return []
    listed = must(host, ["dpkg-query", "-L", *names]).splitlines()
    found = [re.fullmatch(r"(?:/usr)?/lib/systemd/system/([^/@]+)", line) for line in listed]
    units = ["unit:" + match[1] for match in found if match and re.fullmatch(FACT_NAMES["unit"], match[1])]
    return [fact for fact in dict.fromkeys(units) if fact.endswith((".service", ".socket", ".timer", ".path"))]


def kept_file(folder: str, name: str) -> str:
    return os.path.join(folder, f"package-{name}.deb")


def forget_copies(folder: str) -> None:
    """Nothing comes back from them any more."""
    old = os.path.join(folder, "old")
    for name in os.listdir(old) if os.path.isdir(old) else []:
        if name.endswith(".deb"):
            remove(os.path.join(old, name))


def keep_package(host: Host, name: str, folder: str) -> int:
    """Pack an installed package as it is, so that it can come back without a network; the bytes of the copy.

    apt's own archive is mostly empty, and a mirror may be out of reach when the package is missed. Refused where it
    cannot be packed: then it is not removed either.
    """
    size = 1024 * int(must(host, ["dpkg-query", "-W", "-f", "${Installed-Size}", name]) or 0)
    room = os.statvfs(folder)
    if size > PACKAGE_LIMIT_BYTES or room.f_bavail * room.f_frsize < 3 * size + (64 << 20):
        raise Refused("space", f"there is no room for a copy of {name}, {size >> 20} MiB, to bring it back from")
    tree, copy = os.path.join(folder, "packing"), kept_file(folder, name)
    shutil.rmtree(tree, ignore_errors=True)
    try:
        listed = must(host, ["dpkg-query", "-L", name]).splitlines()
        if not all(line.startswith("/") and (line == "/." or os.path.normpath(line) == line) for line in listed):
            raise Trouble(f"{name} has files that another package put aside")
        parents = {parent for line in listed for parent in (os.path.dirname(line), line if line == "/." else "")}
        os.makedirs(tree, 0o755)
        for line in listed:
            _pack(host.path(line), tree + line, line in parents)
        os.mkdir(os.path.join(tree, "DEBIAN"), 0o755)
        for item in must(host, ["dpkg-query", "--control-list", name]).split():
            source = must(host, ["dpkg-query", "--control-path", name, item]).strip()
            target = os.path.join(tree, "DEBIAN", os.path.basename(item))
            shutil.copyfile(source, target)
            os.chmod(target, 0o755 if item in ("preinst", "postinst", "prerm", "postrm", "config") else 0o644)
        status = re.sub(
            r"^(Status|Conffiles|Config-Version|Triggers-[A-Za-z]+):.*\n(?:[ \t].*\n)*",
            "",
            must(host, ["dpkg-query", "-s", name]).rstrip("\n") + "\n",
            flags=re.MULTILINE,
        )
        write_new(os.path.join(tree, "DEBIAN", "control"), status.encode(), 0o644)
        must(host, ["dpkg-deb", "-Znone", "--nocheck", "--build", tree, copy], timeout_s=120.0)
    except OSError as error:
        raise Trouble(f"{name} cannot be packed: {error}") from None
    finally:
        shutil.rmtree(tree, ignore_errors=True)
    with open(copy, "rb") as made:
        os.fsync(made.fileno())
    return os.path.getsize(copy)


def _pack(source: str, target: str, is_parent: bool) -> None:
    """One path of a package into its tree. What was deleted by hand stays deleted."""
    if not os.path.lexists(source):
        return
    found = os.stat(source) if is_parent else os.lstat(source)
    if stat.S_ISDIR(found.st_mode):
        os.makedirs(target, exist_ok=True)
    elif stat.S_ISREG(found.st_mode):
        shutil.copyfile(source, target)
    elif stat.S_ISLNK(found.st_mode):
        os.symlink(os.readlink(source), target)
    else:
        raise Trouble(f"{source} is no file")
    os.chown(target, found.st_uid, found.st_gid, follow_symlinks=False)
    if not stat.S_ISLNK(found.st_mode):
        os.chmod(target, stat.S_IMODE(found.st_mode))
        os.utime(target, ns=(found.st_atime_ns, found.st_mtime_ns))


def remove_package(host: Host, name: str) -> None:
    """dpkg takes what it is told, by its exact name, and nothing else; apt would look for a way."""
    must(host, ["dpkg", "--remove", "--", name], timeout_s=DPKG_TIMEOUT_S, group=True)


def bring_back(host: Host, copies: list[str]) -> None:
    """Install packages from copies: no network, no question, no service that starts by itself."""
    begin_packages(host)
    try:
        argv = ["dpkg", "--force-confdef", "--force-confold", "--install", *copies]
        must(host, argv, timeout_s=DPKG_TIMEOUT_S, group=True)
    finally:
        finish_packages(host, ours=True)


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


def apt_install(host: Host, names: list[str], promised: Json, timeout_s: float) -> str:
    """apt-get without questions, which removes nothing; "" or why it failed. Its lists are renewed once when what they
    offer is gone."""
    error = ""
    for attempt in (1, 2):
        try:
            argv = ["apt-get", *APT_OPTIONS, "--no-remove", "install", "--", *names]
            ran = run_command(host, argv, timeout_s, group=True)
        except Trouble as trouble:
            return str(trouble)
        if ran.code == 0:
            return ""
        lines = [line for line in ran.err.splitlines() if line.startswith("E:")]
        error = safe_line(lines[-1] if lines else ran.err)
        stale = any(
            word in ran.err for word in ("Unable to locate", "404", "no installation candidate", "Failed to fetch")
        )
        if attempt == 2 or not stale:
            break
        with contextlib.suppress(Trouble):
            run_command(host, ["apt-get", *APT_OPTIONS, "update"], timeout_s, group=True)
        allowed(host, "install", names, promised)
    return error


def enabled_units(host: Host) -> list[str]:
    out = must(host, ["systemctl", "list-unit-files", "--no-legend", "--plain", "--state=enabled"])
    return sorted(line.split()[0] for line in out.splitlines() if line.split())


def begin_packages(host: Host) -> None:
    """Keep what is installed from starting: a policy that forbids while this process lives, and a note for after us."""
    pid = os.getpid()
    note = {"pid": pid, "start": start_time(pid), "enabled": enabled_units(host)}
    write_atomic(host.state("packages.json"), as_bytes(note))
    policy, aside = host.path(POLICY), host.path(POLICY_ASIDE)
    if os.path.lexists(policy) and not os.path.lexists(aside):
        os.rename(policy, aside)
    text = (
        "#!/bin/sh\n# Written by passerelle: no service starts while packages are being installed.\n"
        f"{{ read -r stat </proc/{pid}/stat; }} 2>/dev/null\n"
        f'case "$stat" in *" {note["start"]} "*) exit 101 ;; esac\n'
        f'[ -x {POLICY_ASIDE} ] && exec {POLICY_ASIDE} "$@"\nexit 0\n'
    )
    make_folders(os.path.dirname(policy))
    write_atomic(policy, text.encode(), 0o755)


def finish_packages(host: Host, ours: bool = False) -> list[str]:
    """After an installation, also one that was cut: units that came enabled are disabled, the policy is taken away."""
    try:
        note = read_json(host.state("packages.json"))
    except ValueError:
        note = {"pid": 0, "start": "", "enabled": None}
    if note is None:
        return []
    if not ours and note["start"] and start_time(int(note["pid"])) == note["start"]:
        return []
    came = [unit for unit in enabled_units(host) if unit not in note["enabled"]] if note["enabled"] is not None else []
    came = [unit for unit in came if re.fullmatch(FACT_NAMES["unit"], unit) and unit != RECOVER_UNIT]
    if came:
        must(host, ["systemctl", "disable", "--now", *came], timeout_s=90.0)
    policy, aside = host.path(POLICY), host.path(POLICY_ASIDE)
    if b"Written by passerelle" in read_file(policy)[1]:
        remove(policy)
    if os.path.lexists(aside):
        os.rename(aside, policy)
        sync_folder(os.path.dirname(policy))
    remove(host.state("packages.json"))
    return came


# ---------------------------------------------------------------------------------------------------- 7 probes

PROBES_AT_MOST = 64
PROBE_TIMEOUT_S = 10.0
_PROBE_KINDS = ("tcp", "http", "icmp", "dns")
_PROBE = {
    "kind": str,
    "name": str,
    "address": str,
    "port": int,
    "path": str,
    "status": int,
    "asked": str,
    "timeout_s": float,
}
_QUERY_TYPES = {"A": 1, "NS": 2, "AAAA": 28}
_REPLY_CODES = {1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN", 4: "NOTIMP", 5: "REFUSED"}
_NETWORK_ERRORS = {
    errno.ECONNREFUSED: "connection refused",
    errno.EHOSTUNREACH: "no answer",
    errno.ENETUNREACH: "no route",
    errno.ETIMEDOUT: "no answer",
}
Probe = dict[str, Json]


def check_probes(probes: Json) -> list[Probe]:
    """BadInput unless these are probes, each with all keys: "port" is for tcp, http and dns (0: 53), "path" for http,
    "status" too (0: 200 to 399), "asked" is the Host header of http and the name of dns."""
    need(isinstance(probes, list) and len(probes) <= PROBES_AT_MOST, f"probes: a list of at most {PROBES_AT_MOST}")
    for number, probe in enumerate(probes):
        where = f"probes[{number}]"
        need(isinstance(probe, dict) and set(probe) == set(_PROBE), f"{where}: keys {', '.join(_PROBE)}")
        for key, kind in _PROBE.items():
            need(_is(probe[key], kind) or (kind is float and _is(probe[key], int)), f"{where}.{key}: {kind.__name__}")
        need(probe["kind"] in _PROBE_KINDS, f"{where}.kind: one of {', '.join(_PROBE_KINDS)}")
        need(_is_ip(probe["address"]), f"{where}.address: an IP address")
        need(0 <= probe["port"] <= 65535 and 0 <= probe["status"] <= 599, f"{where}: port or status out of bounds")
        need(0 < probe["timeout_s"] <= PROBE_TIMEOUT_S, f"{where}.timeout_s: above 0, at most {PROBE_TIMEOUT_S:.0f}")
        need(bool(re.fullmatch(r"[\x20-\x7e]{1,400}", probe["name"])), f"{where}.name: printable characters")
        need(bool(re.fullmatch(r"(/[\x21-\x7e]*)?", probe["path"])), f"{where}.path: begins with /")
        need(bool(re.fullmatch(r"[A-Za-z0-9._-]{0,253}", probe["asked"])), f"{where}.asked: a name")
    return list(probes)


def usual_probes(host: Host) -> list[Probe]:
    """What every host is asked: does the default gateway of each family answer as a neighbour, does each resolver of
    /etc/resolv.conf (resolv.conf(5): the first three) answer for the root's name servers."""
    probes: list[Probe] = []
    seen = Seen(host)
    for route in default_routes_from_json(seen.routes(4), seen.routes(6)):
        name = f"gateway IPv{route['family']}"
        if route["via"] and name not in [probe["name"] for probe in probes]:
            probes.append({"kind": "gateway", "name": name, "address": route["via"], "dev": route["dev"]})
    lines = read_text(host.path("/etc/resolv.conf"), 1 << 16).splitlines()
    words = [line.split() for line in lines]
    resolvers = [found[1] for found in words if len(found) > 1 and found[0] == "nameserver"]
    for resolver in list(dict.fromkeys(resolvers))[:3]:
        if re.fullmatch(r"[0-9a-fA-F.:]{2,45}(%[A-Za-z0-9_.-]{1,15})?", resolver):
            probes.append({"kind": "resolver", "name": f"dns {resolver}", "address": resolver, "asked": "", "port": 53})
    return [{"timeout_s": 4.0, **probe} for probe in probes]


def ask_all(probes: list[Probe], host: Host) -> list[Probe]:
    """Ask all at once: [{"name", "ok", "told"}]. Ends with the slowest; `told` says why one is not ok."""
    answers: list[Probe] = [{"name": probe["name"], "ok": False, "told": "no answer"} for probe in probes]

    def ask(number: int) -> None:
        probe = probes[number]
        try:
            told = _ASKED[probe["kind"]](probe, host)
        except OSError as error:
            late = isinstance(error, (socket.timeout, TimeoutError))
            told = "no answer" if late else _NETWORK_ERRORS.get(error.errno or 0, os.strerror(error.errno or 0))
        except (Trouble, ValueError, struct.error) as error:
            told = safe_line(str(error), 200)
        answers[number].update(ok=not told, told=told)

    asking = [threading.Thread(target=ask, args=(number,), daemon=True) for number in range(len(probes))]
    for thread in asking:
        thread.start()
    for thread in asking:
        thread.join(PROBE_TIMEOUT_S + 5)
    return [dict(answer) for answer in answers]


def _left_s(ends_s: float) -> float:
    left_s = ends_s - time.monotonic()
    if left_s <= 0:
        raise socket.timeout()
    return left_s


def _ask_tcp(probe: Probe, _host: Host) -> str:
    socket.create_connection((probe["address"], probe["port"]), timeout=probe["timeout_s"]).close()
    return ""


def _ask_http(probe: Probe, _host: Host) -> str:
    """One GET; the first line of the answer is read, the rest is not, and no redirection is followed."""
    ends_s = time.monotonic() + probe["timeout_s"]
    address = probe["address"]
    name = probe["asked"] or (f"[{address}]" if ":" in address else address)
    with socket.create_connection((address, probe["port"]), timeout=probe["timeout_s"]) as sock:
        request = f"GET {probe['path'] or '/'} HTTP/1.0\r\nHost: {name}\r\nUser-Agent: passerelle\r\n\r\n"
        sock.sendall(request.encode("ascii"))
        answer = b""
        while b"\n" not in answer and len(answer) < 1024:
            sock.settimeout(_left_s(ends_s))
            chunk = sock.recv(256)
            if not chunk:
                break
            answer += chunk
    found = re.fullmatch(rb"HTTP/1\.[01] ([0-9]{3})(?: [^\r\n]*)?\r?", answer.partition(b"\n")[0])
    if found is None:
        return "the answer is not HTTP"
    status = int(found.group(1))
    fine = status == probe["status"] if probe["status"] else 200 <= status <= 399
    return "" if fine else f"status {status}"


def _ask_icmp(probe: Probe, _host: Host) -> str:
    """One echo request (RFC 792, RFC 4443), sent again after half the time. A datagram socket where the kernel lets us
    (icmp(7), ping_group_range), else a raw one."""
    six = ":" in probe["address"]
    family, protocol = (socket.AF_INET6, socket.IPPROTO_ICMPV6) if six else (socket.AF_INET, socket.IPPROTO_ICMP)
    try:
        sock = socket.socket(family, socket.SOCK_DGRAM, protocol)
    except PermissionError:
        sock = socket.socket(family, socket.SOCK_RAW, protocol)
    token = os.urandom(16)
    body = struct.pack("!BBHHH", 128 if six else 8, 0, 0, os.getpid() & 0xFFFF, 1) + token
    if not six:  # the kernel fills in the checksum of ICMPv6 itself
        total = sum(struct.unpack(f"!{len(body) // 2}H", body))
        total = (total & 0xFFFF) + (total >> 16)
        body = body[:2] + struct.pack("!H", ~(total + (total >> 16)) & 0xFFFF) + body[4:]
    with sock:
        ends_s = time.monotonic() + probe["timeout_s"]
        for part in (0.5, 1.0):
            sock.sendto(body, (probe["address"], 0))
            turn_s = ends_s - probe["timeout_s"] * (1 - part)
            while time.monotonic() < turn_s:
                sock.settimeout(max(0.01, turn_s - time.monotonic()))
                with contextlib.suppress(socket.timeout):
                    answer = sock.recv(2048)
                    head = (answer[0] & 15) * 4 if sock.type == socket.SOCK_RAW and not six else 0
                    if answer[head + 8 :] == token and answer[head : head + 1] == (b"\x81" if six else b"\x00"):
                        return ""
    return "no answer"


def _ask_dns(probe: Probe, _host: Host) -> str:
    """A query over UDP (RFC 1035 §4). With a name: it has an address. Without: a resolver that does its work."""
    address, name = probe["address"], probe["asked"]
    kinds = ("A", "AAAA") if name else ("NS",)
    told = "no answer"
    for kind in kinds:
        code, count = _dns_query(address, probe["port"] or 53, name, kind, probe["timeout_s"] / len(kinds))
        told = _REPLY_CODES.get(code, f"code {code}") if code else f"{name} has no address"
        if (code == 0 and count) if name else code != 2:
            return ""
        if code:
            break
    return told


def _dns_query(address: str, port: int, name: str, kind: str, timeout_s: float) -> tuple[int, int]:
    """(reply code, number of answers). Sent again after half the time."""
    labels = [label.encode("ascii") for label in name.strip(".").split(".") if label]
    question = b"".join(bytes([len(label)]) + label for label in labels) + b"\0"
    ident = os.urandom(2)
    query = ident + struct.pack("!HHHHH", 0x0100, 1, 0, 0, 0) + question + struct.pack("!HH", _QUERY_TYPES[kind], 1)
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as sock:
        info = socket.getaddrinfo(address, port, type=socket.SOCK_DGRAM, flags=socket.AI_NUMERICHOST)
        sock.connect(info[0][4])
        began_s = time.monotonic()
        for part in (0.5, 1.0):
            sock.send(query)
            while time.monotonic() < began_s + timeout_s * part:
                sock.settimeout(max(0.01, began_s + timeout_s * part - time.monotonic()))
                with contextlib.suppress(socket.timeout):
                    answer = sock.recv(4096)
                    if len(answer) >= 12 and answer[:2] == ident and answer[2] & 0x80:
                        return answer[3] & 15, int(struct.unpack("!H", answer[6:8])[0])
    raise socket.timeout()


def _ask_gateway(probe: Probe, host: Host) -> str:
    """Does the gateway answer as a neighbour now (ip-neighbour(8))? What the kernel knows of before is asked anew."""
    via, dev = probe["address"], probe["dev"]
    where = ["to", via, "dev", dev]
    ends_s = time.monotonic() + probe["timeout_s"]
    asked = False
    while True:
        found = json_output(host, ["ip", "-j", "neigh", "show", *where])
        entry = found[0] if found else {}
        states = entry.get("state") or []
        if "PERMANENT" in states or "NOARP" in states or (asked and "REACHABLE" in states):
            return ""
        if asked and "FAILED" in states:
            return f"{via} on {dev} does not answer"
        if not asked:
            known = entry.get("lladdr")
            probed = known and run_command(
                host, ["ip", "neigh", "change", via, "lladdr", str(known), "dev", dev, "nud", "probe"]
            )
            if not probed or probed.code != 0:
                _wake_neighbour(via, dev)
            asked = True
        if time.monotonic() > ends_s:
            return f"{via} on {dev} does not answer"
        time.sleep(0.05)


def _wake_neighbour(via: str, dev: str) -> None:
    """A datagram to the discard port (RFC 863): the kernel has to ask for the neighbour first."""
    family = socket.AF_INET6 if ":" in via else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock, contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, dev.encode() + b"\0")
        zone = socket.if_nametoindex(dev) if family == socket.AF_INET6 else 0
        sock.sendto(b"", (via, 9, 0, zone) if family == socket.AF_INET6 else (via, 9))


_ASKED: dict[str, Callable[[Probe, Host], str]] = {
    "tcp": _ask_tcp,
    "http": _ask_http,
    "icmp": _ask_icmp,
    "dns": _ask_dns,
    "resolver": _ask_dns,
    "gateway": _ask_gateway,
}


def verb_probe(host: Host) -> dict[str, Json]:
    """Ask around from here: the usual ones, and those given. Nothing is changed."""
    probes = check_probes(read_input())
    return {"state": "ok", "probes": ask_all([*usual_probes(host), *probes], host)}


def verb_prove(host: Host, identifier: str) -> dict[str, Json]:
    """What would bring this armed transaction back, piece by piece: [{"name", "ok", "told"}]. Nothing is changed."""
    transaction = find(host, identifier)
    return {"state": transaction.state, "proofs": Carriers(transaction).proofs()}


# ------------------------------------------------------------------------------------------------------------ 8 main


def dispatch(host: Host, words: list[str]) -> dict[str, Json]:
    """Run one verb; its result."""
    flags = {word for word in words if word in ("--console", "--verify")}
    verb, *rest = [word for word in words if word not in flags] or [""]
    first = rest[0] if rest else ""
    host.verb = verb
    if verb not in ("capture", "status", "probe", "prove", "weigh"):
        with contextlib.suppress(OSError):
            os.setsid()  # a group of our own, so that whoever must end us ends our commands as well
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    reason = " ".join(rest[1:])
    verbs: dict[str, Callable[[], dict[str, Json]]] = {
        "begin": lambda: verb_begin(host),
        "run": lambda: verb_run(host, first),
        "confirm": lambda: verb_confirm(host, first, "--console" in flags),
        "rollback": lambda: verb_rollback(host, first, reason),
        "expire": lambda: verb_expire(host, first),
        "watch": lambda: verb_watch(host, first),
        "extend": lambda: verb_extend(host, first, *(rest[1:3] + ["", ""])[:2]),
        "boot": lambda: verb_boot(host),
        "status": lambda: verb_status(host, first, "--verify" in flags),
        "capture": lambda: verb_capture(host),
        "packages": lambda: verb_packages(host),
        "weigh": lambda: verb_weigh(host, first),
        "release": lambda: verb_release(host, first, reason),
        "probe": lambda: verb_probe(host),
        "prove": lambda: verb_prove(host, first),
    }
    need(verb in verbs, f"no verb {verb[:40]!r}; one of {', '.join(verbs)}")
    return verbs[verb]()


def main(argv: list[str]) -> int:
    """0 a clean answer, 2 bad input, 1 a crash; the last line on stdout is the result."""
    words, root, bin_dir = list(argv), "", None
    while words[:1] in (["--root"], ["--bin"]) and len(words) > 1:
        if words[0] == "--root":
            root = os.path.abspath(words[1])
        else:
            bin_dir = os.path.abspath(words[1])
        words = words[2:]
    os.umask(0o022)
    try:
        result, code = dispatch(Host(root, bin_dir), words), 0
    except Refused as refused:
        result, code = refused.answer, 0
    except BadInput as error:
        result, code = {"state": "invalid", "error": str(error)}, 2
    except (Trouble, OSError) as error:
        result, code = {"state": "error", "error": str(error)}, 1
    except Exception as error:  # noqa: BLE001 (the last line must be a result, whatever happened)
        result, code = {"state": "error", "error": f"{type(error).__name__}: {error}"}, 1
    emit(event="result", **result)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
