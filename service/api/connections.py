"""How many connections the API takes, and which one it gives up when there are too many.

Every connection costs a file descriptor of the process, and Git, the database and the hosts need descriptors too. So
the API takes a quarter of what the process may open at most (`connection_cap`); the rest is theirs.

    crowd = Crowd(connection_cap(limit))
    sockets = listen("127.0.0.1", 8765, crowd)     what the server accepts from

Beyond the cap the connection that waited longest for its client is closed, a silent one first of all. While more than
half of them wait for an answer, new requests are answered 503, but for the questions about health. Where every
connection is at work, a few more are taken that are answered 503, but for the questions about health. Beyond these, a
connection is closed as soon as it is accepted. One descriptor is kept back for that: without it a full process could
not even refuse, and asyncio would report each of its attempts.
"""

import contextlib
import errno
import logging
import os
import resource
import socket
import weakref
from typing import Any, Protocol

from service.errors import InputError

MOST = 1024
"""More connections than this are of no use to one process."""

WANTED_DESCRIPTORS = 65_536
LEAST_DESCRIPTORS = 64
QUEUE = 1024
"""So many wait in the kernel to be accepted. Of more it drops the request to connect, and the client asks again only
after a second (RFC 6298, 2.1)."""

GRACE_S = 0.05
"""Where few wait, each has at least this long to say something before it is closed in favour of another."""

_BUSY = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
_FULL = (errno.EMFILE, errno.ENFILE)
_log = logging.getLogger("passerelle.api")


class Waiting(Protocol):
    """A connection as the crowd sees it."""

    @property
    def waits_since(self) -> float | None:
        """Since when it waits for its client, in the event loop's seconds; None while the client waits for us."""
        ...

    def give_up(self) -> None:
        """Close it now."""
        ...


def allow_descriptors() -> int:
    """Raise this process' own limit of open files as far as it may be raised, and return it. InputError where it is so
    low that the service could not work."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = WANTED_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, WANTED_DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    limit = WANTED_DESCRIPTORS if soft == resource.RLIM_INFINITY else soft
    if limit < LEAST_DESCRIPTORS:
        raise InputError(
            f"this process may open {limit} files; the service needs at least {LEAST_DESCRIPTORS}",
            hint="raise the limit: LimitNOFILE= in the systemd unit, or `ulimit -n`",
        )
    return limit


def connection_cap(descriptors: int) -> int:
    """How many connections the API takes where so many files may be open: a quarter, 1,024 at most."""
    return max(8, min(MOST, descriptors // 4))


def accepted_at_once(cap: int) -> int:
    """How many connections are accepted before those that are there get their turn. Few, so that in a flood a new one
    is heard before it is the oldest; not too few, or it waits long in the kernel."""
    return max(2, min(16, cap // 8))


class Crowd:
    """The connections that are open now. Used from the event loop's thread only."""

    def __init__(self, cap: int) -> None:
        self.cap = cap
        self.most = cap + max(4, cap // 4)
        self._sockets: weakref.WeakSet[socket.socket] = weakref.WeakSet()
        self._connections: set[Waiting] = set()
        self._given_up: set[Waiting] = set()  # their descriptors are closed in the event loop's next turns
        self._spare: int | None = None
        self._keep_spare()

    def add(self, connection: Waiting) -> bool:
        """A connection begins. False where it is one too many: it is answered, but nothing is done for it."""
        self._connections.add(connection)
        return len(self._connections) <= self.cap

    def discard(self, connection: Waiting) -> None:
        """The connection has ended."""
        self._connections.discard(connection)
        self._given_up.discard(connection)

    def is_busy(self) -> bool:
        """Whether more than half of the connections wait for us. Then a new request is refused at once: what only
        waits here would take the place of the next that asks whether the service lives."""
        return sum(one.waits_since is None for one in self._connections) > self.cap // 2

    def _alive(self) -> int:
        return len(self._sockets) - len(self._given_up)

    def admit(self, connection: socket.socket, now_s: float) -> socket.socket:
        """Count an accepted connection, and make room for it. ConnectionAbortedError where there is none."""
        if self._alive() >= self.cap:
            self._give_up_oldest(now_s)
        if self._alive() >= self.most:
            with contextlib.suppress(OSError):
                connection.send(_BUSY, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
            connection.close()
            _log.warning("the API closed a new connection: it takes %d at once, and all were at work", self.most)
            raise ConnectionAbortedError
        counted = _Counted(connection, self._sockets)
        self._sockets.add(counted)
        return counted

    def refuse_one(self, listener: socket.socket) -> bool:
        """Close one connection that waits to be accepted, with the spare descriptor. False where that is gone."""
        if self._spare is None:
            self._keep_spare()
        if self._spare is None:
            return False
        os.close(self._spare)
        self._spare = None
        with contextlib.suppress(OSError):
            socket.socket.accept(listener)[0].close()
        self._keep_spare()
        _log.error("the API closed a new connection: the process has no file descriptor left")
        return True

    def _give_up_oldest(self, now_s: float) -> None:
        waiting = [(since, one) for one in self._connections if (since := one.waits_since) is not None]
        since, oldest = min(waiting, key=lambda pair: pair[0], default=(now_s, None))
        if oldest is not None and (len(waiting) > self.most - self.cap or now_s - since >= GRACE_S):
            self._connections.discard(oldest)
            self._given_up.add(oldest)
            oldest.give_up()

    def _keep_spare(self) -> None:
        with contextlib.suppress(OSError):
            self._spare = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)


class _Counted(socket.socket):
    """An accepted connection that the crowd counts until its descriptor is closed."""

    def __init__(self, connection: socket.socket, counted_in: "weakref.WeakSet[socket.socket]") -> None:
        super().__init__(connection.family, connection.type, connection.proto, fileno=connection.detach())
        self._counted_in = counted_in

    def close(self) -> None:
        super().close()
        self._counted_in.discard(self)


class WebListener(socket.socket):
    """A listening socket whose `accept` asks the crowd. What asyncio makes of the errors: ConnectionAbortedError ends
    this turn silently.
    """

    def __init__(self, family: int, crowd: Crowd, now_s: Any) -> None:
        super().__init__(family, socket.SOCK_STREAM)
        self._crowd = crowd
        self._now_s = now_s

    def listen(self, _backlog: int = 0, /) -> None:
        """Let so many wait to be accepted. asyncio takes one number for that and for how many it accepts at a time."""
        super().listen(QUEUE)

    def accept(self) -> tuple[socket.socket, Any]:
        try:
            connection, address = super().accept()
        except OSError as error:
            if error.errno in _FULL and self._crowd.refuse_one(self):
                raise ConnectionAbortedError from None
            raise
        return self._crowd.admit(connection, self._now_s()), address


def listen(address: str, port: int, crowd: Crowd, now_s: Any) -> list[socket.socket]:
    """Sockets on every address that this name has, bound and not yet listening. OSError where one cannot be bound."""
    found = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    sockets: list[socket.socket] = []
    try:
        for family, _, _, _, where in dict.fromkeys(found):
            sockets.append(one := WebListener(family, crowd, now_s))
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            one.bind(where)
    except OSError:
        for bound in sockets:
            bound.close()
        raise
    return sockets
