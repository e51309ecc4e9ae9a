"""What systemd learns of this process: that it is ready, what it does, and that it still works.

    supervisor = Supervisor.of_environment(clock)       None where nobody listens
    async with supervisor.kept(stuck=lambda: ""):       READY=1 now, WATCHDOG=1 again and again, STOPPING=1 at the end

The protocol is a datagram of lines `NAME=value` to the socket in NOTIFY_SOCKET: sd_notify(3), sd_watchdog_enabled(3).
Nothing of it ever fails the service.
"""

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import AsyncIterator, Callable, MutableMapping
from dataclasses import dataclass

from service.clock import Clock

STATUS_S = 30.0
"""How often the status is sent where systemd expects no sign of life."""
MOST_CHARACTERS = 200
_LOG = logging.getLogger("passerelle")


@dataclass(frozen=True, slots=True)
class Supervisor:
    """`address` is that of the socket; `watchdog_s` the longest time without a sign of life, 0 where none is wanted."""

    address: str
    watchdog_s: float
    clock: Clock

    @classmethod
    def of_environment(cls, clock: Clock, variables: MutableMapping[str, str] = os.environ) -> "Supervisor | None":
        """Whoever started this process, if it listens. The variables are removed: no child speaks in our name."""
        address = variables.pop("NOTIFY_SOCKET", "")
        microseconds, pid = variables.pop("WATCHDOG_USEC", ""), variables.pop("WATCHDOG_PID", "")
        if not address.startswith(("/", "@")):
            return None
        is_watched = microseconds.isdecimal() and pid in ("", str(os.getpid()))
        return cls(address, int(microseconds) / 1e6 if is_watched else 0.0, clock)

    def tell(self, **said: str) -> None:
        """Send lines, if the socket takes them now."""
        lines = "\n".join(f"{name}={_in_one_line(value)}" for name, value in said.items())
        address = f"\0{self.address[1:]}" if self.address.startswith("@") else self.address
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as out:
            out.setblocking(False)
            out.sendto(lines.encode(), address)

    @contextlib.asynccontextmanager
    async def kept(self, stuck: Callable[[], str], status: Callable[[], str] = lambda: "") -> AsyncIterator[None]:
        """Ready now, stopping at the end. Signs of life meanwhile, as long as `stuck` gives no reason. They come from
        the event loop that works: one that is blocked sends none."""
        self.tell(READY="1", STATUS=status())
        beating = asyncio.create_task(self._beat(stuck, status))
        try:
            yield
        finally:
            beating.cancel()
            await asyncio.gather(beating, return_exceptions=True)
            self.tell(STOPPING="1", STATUS="stopping")

    async def _beat(self, stuck: Callable[[], str], status: Callable[[], str]) -> None:
        said = ""
        while True:
            why = stuck()
            if not why:
                self.tell(WATCHDOG="1", STATUS=status())
            elif why != said:
                _LOG.error("%s. systemd restarts a service that is stuck", why)
                self.tell(STATUS=why)
            said = why
            await self.clock.sleep(self.watchdog_s / 3 or STATUS_S)


@contextlib.asynccontextmanager
async def supervised(
    supervisor: Supervisor | None, stuck: Callable[[], str] = lambda: "", status: Callable[[], str] = lambda: ""
) -> AsyncIterator[None]:
    """`Supervisor.kept`, where there is one."""
    if supervisor is None:
        yield
        return
    async with supervisor.kept(stuck, status):
        yield


def _in_one_line(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text[:MOST_CHARACTERS])
