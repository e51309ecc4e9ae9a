"""What calls to other machines share: a deadline for all of a call, and whether an address is this machine's own."""

import contextlib
import ipaddress
import socket
import threading
from collections.abc import Callable, Iterator


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
