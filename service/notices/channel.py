"""A way by which people are informed, and what all ways share."""

import contextlib
import ipaddress
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from service.errors import PasserelleError
from service.model.states import Json

Send: TypeAlias = Callable[[str, datetime, Mapping[str, Json]], str]
"""(id, at, body) of a notice: sends it once. Blocks. Returns what was wrong though the notice was taken, or nothing.
NoticeError where it was not taken."""


class NoticeError(PasserelleError):
    """A notice was not taken. It is sent again later."""


@dataclass(frozen=True, slots=True)
class Channel:
    """One way. `name` is the key of its row in the database and a label of its numbers, `where` its address in words,
    without anything secret."""

    name: str
    where: str
    send: Send


def is_this_machine(host: str) -> bool:
    """Whether what is sent to this address stays on this machine."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@contextlib.contextmanager
def ended_after(seconds: float, open_socket: Callable[[], socket.socket | None]) -> Iterator[None]:
    """A socket's own limit is for each part that is received: a byte now and then would be waited for without end. The
    socket of that moment is shut down."""

    def end() -> None:
        with contextlib.suppress(OSError):  # it is closed by now
            if (found := open_socket()) is not None:
                found.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
