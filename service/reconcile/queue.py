"""The queue of host names: never events. One name is worked on once at a time, many wishes for it become one."""

import asyncio
import heapq
import math
from contextlib import suppress

from service.clock import Clock

AHEAD_S = 1e9
"""More than anything else can be overdue."""


class Queue:
    """Which host is due next.

    `add` while the name waits makes it due earlier, never later. `add` while it is worked on makes it due again
    afterwards, once for any number of calls. So a push during an apply is neither lost nor run next to it.

    An operation costs the logarithm of how many names wait. `_due` is what counts. `_order` may have entries that
    `_due` does not have any more: they are left out when they come to the top. Of those that take, one at a time waits
    for the time and for what is added: so nobody else consumes what wakes it. The others wait for their turn.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._due: dict[str, float] = {}
        self._order: list[tuple[float, str]] = []
        self._running: set[str] = set()
        self._changed = asyncio.Event()
        self._turn = asyncio.Lock()

    def add(self, name: str, *, after_s: float = 0) -> None:
        """Make a name due, at the latest in `after_s`."""
        self._want(name, self._clock.monotonic_s() + after_s)

    def add_first(self, name: str) -> None:
        """Make a name due before all that are due and were not added so."""
        self._want(name, self._clock.monotonic_s() - AHEAD_S)

    def drop(self, name: str) -> None:
        """Forget a name that nobody wants any more."""
        self._due.pop(name, None)

    async def take(self) -> str:
        """The next due name; it counts as running until `done`. Waits."""
        async with self._turn:
            while True:
                self._changed.clear()
                now = self._clock.monotonic_s()
                first = self._first()
                if first is not None and first[0] <= now:
                    heapq.heappop(self._order)
                    del self._due[first[1]]
                    self._running.add(first[1])
                    return first[1]
                await self._wait(None if first is None else first[0] - now)

    def done(self, name: str) -> None:
        """The name is no longer worked on."""
        self._running.discard(name)
        if name in self._due:
            self._line_up(name)

    def is_running(self, name: str) -> bool:
        """Whether somebody works on it now."""
        return name in self._running

    @property
    def depth(self) -> int:
        """How many names wait, due or not."""
        return len(self._due)

    def _want(self, name: str, due_s: float) -> None:
        if self._due.get(name, math.inf) > due_s:
            self._due[name] = due_s
            self._line_up(name)

    def _line_up(self, name: str) -> None:
        """One that is worked on lines up when that is done. Only a new first one is news to whoever waits."""
        if name not in self._running:
            entry = (self._due[name], name)
            heapq.heappush(self._order, entry)
            if self._order[0] is entry:
                self._changed.set()

    def _first(self) -> tuple[float, str] | None:
        """The name that is due first, of those that nobody works on."""
        while self._order:
            due, name = self._order[0]
            if name not in self._running and self._due.get(name) == due:
                return due, name
            heapq.heappop(self._order)
        return None

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
