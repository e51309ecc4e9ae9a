"""The queue of host names: never events. One name is worked on once at a time, many wishes for it become one."""

import asyncio
from contextlib import suppress

from service.clock import Clock


class Queue:
    """Which host is due next.

    `add` while the name waits makes it due earlier, never later. `add` while it is worked on makes it due again
    afterwards, once for any number of calls. So a push during an apply is neither lost nor run next to it.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._due: dict[str, float] = {}
        self._running: set[str] = set()
        self._changed = asyncio.Event()

    def add(self, name: str, *, after_s: float = 0) -> None:
        """Make a name due, at the latest in `after_s`."""
        due = self._clock.monotonic_s() + after_s
        self._due[name] = min(due, self._due.get(name, due))
        self._changed.set()

    def drop(self, name: str) -> None:
        """Forget a name that nobody wants any more."""
        self._due.pop(name, None)

    async def take(self) -> str:
        """The next due name; it counts as running until `done`. Waits."""
        while True:
            self._changed.clear()
            now = self._clock.monotonic_s()
            free = {name: due for name, due in self._due.items() if name not in self._running}
            if free:
                name = min(free, key=lambda n: (free[n], n))
                if free[name] <= now:
                    del self._due[name]
                    self._running.add(name)
                    return name
                await self._wait(free[name] - now)
            else:
                await self._wait(None)

    def done(self, name: str) -> None:
        """The name is no longer worked on."""
        self._running.discard(name)
        self._changed.set()

    def is_running(self, name: str) -> bool:
        """Whether somebody works on it now."""
        return name in self._running

    @property
    def depth(self) -> int:
        """How many names wait, due or not."""
        return len(self._due)

    async def _wait(self, seconds: float | None) -> None:
        if seconds is None:
            await self._changed.wait()
            return
        waits = [asyncio.ensure_future(self._changed.wait()), asyncio.ensure_future(self._clock.sleep(seconds))]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            for wait in waits:
                with suppress(asyncio.CancelledError):
                    await wait
