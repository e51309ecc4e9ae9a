"""Requests that wait (`?wait=`) for the end of an apply, or for news of a host. Each is woken by the event of that end,
by any event of the host, and by the end of a look at it.

Nobody who waits reads the database meanwhile. Several processes may serve one database, and the event may be of another
one. Then one task looks for new events for all who wait here, and ends with the last of them.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable
from contextvars import Context
from typing import TypeVar

from service.clock import Clock
from service.errors import StoreError
from service.model.events import ApplyFinished, Happened

T = TypeVar("T")
MOST = 64
"""So many wait at once; one more is answered with the present state."""
MOST_S = 60
FOLLOW_S = 1.0


class Awaited:
    """Who waits for which apply or host in this process. Used in the event loop, but for `told`."""

    def __init__(self) -> None:
        self._waiting: defaultdict[str, set[asyncio.Event]] = defaultdict(set)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._number = 0
        self._follower: asyncio.Task[None] | None = None
        self._pause: asyncio.Future[None] | None = None

    def told(self, event: Happened) -> None:
        """An event was recorded by this process. Called in the thread that wrote it."""
        loop = self._loop
        if not self._number or loop is None or loop.is_closed():
            return
        for name in (event.host, event.apply if isinstance(event, ApplyFinished) else ""):
            if name in self._waiting:
                loop.call_soon_threadsafe(self._wake, name)

    def looked(self, host: str) -> None:
        """A look at the host has ended, or something else is recorded of it now. Called in the event loop."""
        self._wake(host)

    async def until(
        self, name: str, look: Callable[[], Awaitable[T]], has_ended: Callable[[T], bool], *, wait_s: float,
        clock: Clock, newest: Callable[[], Awaitable[int]] | None = None,
    ) -> T:  # fmt: skip
        """What `look` finds once it is what is waited for (`has_ended`), or when the time is over. `name` is an apply's
        id or a host. `newest` is the number of the newest
        event of all processes; None where this one is alone."""
        if self._number >= MOST:
            return await look()
        self._loop = asyncio.get_running_loop()
        flag = asyncio.Event()
        self._waiting[name].add(flag)  # before the look: an end after it is not missed
        self._number += 1
        time = asyncio.ensure_future(clock.sleep(wait_s))
        if newest is not None and self._follower is None:
            # not in the context of the request that happens to be the first: its lines would have that id
            self._follower = asyncio.create_task(self._follow(newest, clock), context=Context())
        try:
            while True:
                flag.clear()
                found = await look()
                if has_ended(found) or time.done():
                    return found
                woken = asyncio.ensure_future(flag.wait())
                try:
                    await asyncio.wait((woken, time), return_when=asyncio.FIRST_COMPLETED)
                finally:
                    woken.cancel()
        finally:
            time.cancel()
            await self._leave(name, flag)

    async def _leave(self, name: str, flag: asyncio.Event) -> None:
        self._number -= 1
        self._waiting[name].discard(flag)
        if not self._waiting[name]:
            del self._waiting[name]
        if not self._waiting and self._follower is not None:
            follower, self._follower = self._follower, None
            if self._pause is not None:
                self._pause.cancel()
            await follower  # at most the read that is under way

    def _wake(self, name: str) -> None:
        for flag in self._waiting.get(name, ()):
            flag.set()

    async def _follow(self, newest: Callable[[], Awaitable[int]], clock: Clock) -> None:
        """Have all look again when any process has recorded an event. Ends once it is not the follower any more: who
        comes during its last read begins another one."""
        me, last = asyncio.current_task(), -1
        while self._follower is me:
            try:
                now = await newest()
            except StoreError:
                now = last
            if now != last:
                last = now
                for name in list(self._waiting):
                    self._wake(name)
            if self._follower is me:
                self._pause = asyncio.ensure_future(clock.sleep(FOLLOW_S))
                await asyncio.wait((self._pause,))
