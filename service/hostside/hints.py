"""Prints that something on this host has changed, never what. It runs alone, not from the archive.

The service starts it on a channel of its own, as `python3 -I -S -c TEXT`. The first line on standard input is a JSON
object, see `service/observe/hints.py`. Lines on standard output are `ready KIND…`, once, with the kinds that work here,
then `hint KIND`. Kinds are `network` (links, addresses, routes, rules; neighbours are left out), `rules` (nft),
`files` and `units`.

It is one process, so nothing is left behind: it ends with its standard input, and after `quiet_s` without a byte there.
Nothing of what the kernel says is read beyond the names of watched files. After a hint, its source rests for `gap_s`.
So a storm costs the host some system calls a second, and the service some lines.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import socket
import struct
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

SOL_NETLINK, ADD_MEMBERSHIP = 270, 1
NETLINK_ROUTE, NETLINK_NETFILTER = 0, 12
ROUTE_GROUPS = (1, 5, 7, 8, 9, 11, 12, 19, 24, 25)
"""rtnetlink(7), enum rtnetlink_groups: links, addresses, routes and rules of both families, and their `netconf`."""
NFT_GROUPS = (7,)
"""enum nfnetlink_groups: NFNLGRP_NFTABLES."""
IN_FLAGS = 0o2004000
"""IN_NONBLOCK | IN_CLOEXEC"""
MODIFY, ATTRIB, CLOSE_WRITE, FROM, TO, CREATE, DELETE = 0x2, 0x4, 0x8, 0x40, 0x80, 0x100, 0x200
MASK = MODIFY | ATTRIB | CLOSE_WRITE | FROM | TO | CREATE | DELETE | 0x400 | 0x800
"""inotify(7); the last two: the folder itself was deleted or renamed."""
OVERFLOW = 0x4000
MOVED = 0x400 | 0x800 | 0x2000 | OVERFLOW | 0x8000 | 0x40000000
"""What may change where watched folders are: the events of the folder itself, an overflow, or an event of a folder."""
UNITS, ENABLED = "/run/systemd/units", "/etc/systemd/system"
"""systemd keeps `invocation:UNIT` in the first for each unit that is not stopped."""
READS = 256
RESERVE = 16
Names = Mapping[str, Sequence[str] | None]


def netlink(protocol: int, groups: Sequence[int]) -> socket.socket:
    """A socket that gets the messages of these groups."""
    made = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, protocol)
    made.bind((0, 0))
    for group in groups:
        made.setsockopt(SOL_NETLINK, ADD_MEMBERSHIP, group)
    return made


class Network:
    """One netlink socket. Its messages are counted as one, and not read."""

    def __init__(self, kind: str, protocol: int, groups: Sequence[int]) -> None:
        self.kinds = (kind,)
        self._socket = netlink(protocol, groups)
        self.fd = self._socket.fileno()

    def changed(self) -> set[str]:
        """The kind: there was a message."""
        for _ in range(READS):
            try:
                self._socket.recv(1)  # the kernel drops the rest of each message
            except BlockingIOError:
                break
            except OSError:  # more messages than fit: ENOBUFS
                continue
        return set(self.kinds)


class Folders:
    """Files and units by one inotify instance. `names` is {kind: {folder: names that count}}, `deep` is
    {kind: [folder, name one level deeper]}: all names in that folder count.

    root has 128 instances (inotify(7)). systemd takes five for each host or guest, and cannot start or execute itself
    again without them. So this takes one, and none where fewer than `RESERVE` others are left."""

    def __init__(self, names: Mapping[str, Names], deep: Mapping[str, Sequence[Sequence[str]]]) -> None:
        self.kinds = tuple(names)
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._names, self._deep = names, deep
        self._found: dict[int, dict[str, set[str] | None]] = {}
        spare: list[int] = []
        try:
            for _ in range(RESERVE):
                spare.append(self._instance())
            self.fd = spare.pop()
        finally:
            for fd in spare:
                os.close(fd)
        self._arm()

    def _instance(self) -> int:
        fd: int = self._libc.inotify_init1(IN_FLAGS)
        if fd < 0:
            raise OSError(ctypes.get_errno(), "inotify_init1")
        return fd

    def _arm(self) -> None:
        """Watch each folder, or the nearest one above it that is there: for the next one on the way."""
        self._found = {}
        for kind, folders in self._names.items():
            for folder, names in folders.items():
                self._watch(kind, folder, names)
        for kind, listings in self._deep.items():
            for folder, name in listings:
                self._watch(kind, folder, None)
                for each in listed(folder):
                    if os.path.isdir(os.path.join(folder, each)):
                        self._watch(kind, os.path.join(folder, each), [name] if name else None)

    def _watch(self, kind: str, folder: str, names: Sequence[str] | None) -> None:
        while not os.path.isdir(folder) and folder != "/":
            folder, names = os.path.dirname(folder), [os.path.basename(folder)]
        number = self._libc.inotify_add_watch(self.fd, os.fsencode(folder), MASK)
        if number < 0:
            error = ctypes.get_errno()
            if error == 2:  # gone meanwhile
                return
            raise OSError(error, "inotify_add_watch")
        found = self._found.setdefault(number, {})
        before = found.get(kind, set())
        found[kind] = None if names is None or before is None else before | set(names)

    def changed(self) -> set[str]:
        """The kinds of the watched names that are among the events."""
        try:
            said = os.read(self.fd, 1 << 16)
        except BlockingIOError:
            return set()
        news: set[str] = set()
        is_moved, start = False, 0
        while start < len(said):
            number, mask, _, length = struct.unpack_from("iIII", said, start)
            name = os.fsdecode(said[start + 16 : start + 16 + length].rstrip(b"\0"))
            start += 16 + length
            is_moved = is_moved or bool(mask & MOVED)
            if mask & OVERFLOW:
                news.update(self.kinds)
            for kind, names in self._found.get(number, {}).items():
                if names is None or name in names:
                    news.add(kind)
        if is_moved:
            self._arm()
        return news


def listed(folder: str) -> list[str]:
    """The names in a folder; none where it cannot be read."""
    try:
        return sorted(os.listdir(folder))[:500]
    except OSError:
        return []


def folders_of(order: Mapping[str, Any]) -> Folders:
    """The watched files; which units start and stop, and which are enabled."""
    names, deep = {"files": order["folders"]}, {"files": order["deep"]}
    if os.path.isdir(UNITS):
        names["units"] = {UNITS: ["invocation:" + name for name in order["units"]]}
        deep["units"] = [(ENABLED, "")]
    return Folders(names, deep)


def sources(order: Mapping[str, Any]) -> Iterator[Network | Folders]:
    """All that work on this host."""
    makers = (
        lambda: Network("network", NETLINK_ROUTE, ROUTE_GROUPS),
        lambda: Network("rules", NETLINK_NETFILTER, NFT_GROUPS),
        lambda: folders_of(order),
    )
    for make in makers:
        try:
            yield make()
        except (OSError, AttributeError):
            continue


def first_line() -> Any:
    """The order."""
    got = b""
    while not got.endswith(b"\n"):
        some = os.read(0, 1)
        if not some or len(got) > 1 << 20:
            sys.exit(0)
        got += some
    return json.loads(got)


def say(line: str) -> bool:
    """False where nobody reads at the moment."""
    try:
        os.write(1, line.encode() + b"\n")
        return True
    except BlockingIOError:
        return False
    except OSError:
        sys.exit(0)


def main() -> None:
    """Until standard input ends."""
    order = first_line()
    os.set_blocking(1, False)
    found = list(sources(order))
    say(" ".join(["ready"] + [kind for one in found for kind in one.kinds]))
    rests: dict[int, float] = {}  # of a source's descriptor, and of 1 while nobody reads
    pending: set[str] = set()
    heard_s = time.monotonic()
    while True:
        now_s = time.monotonic()
        poll = select.poll()
        poll.register(0, select.POLLIN)
        for one in found:
            if rests.get(one.fd, 0) <= now_s:
                poll.register(one.fd, select.POLLIN)
        waits = [due_s for due_s in rests.values() if due_s > now_s] + [heard_s + order["quiet_s"]]
        ready = {fd for fd, _ in poll.poll(max(0.0, min(waits) - now_s) * 1000 + 1)}
        now_s = time.monotonic()
        if 0 in ready:
            if not os.read(0, 4096):
                return
            heard_s = now_s
        if now_s - heard_s > order["quiet_s"]:
            return
        for one in found:
            if one.fd in ready:
                rests[one.fd] = now_s + order["gap_s"]
                pending |= one.changed()
        for kind in sorted(pending):
            if say("hint " + kind):
                pending.discard(kind)
            else:
                rests[1] = now_s + order["gap_s"]


if __name__ == "__main__":
    main()
