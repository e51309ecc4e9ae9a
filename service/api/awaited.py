"""Requests that wait for the end of an apply (`?wait=`): each is woken by the event of that end.

Nobody who waits reads the database meanwhile. Several processes may serve one database, and the event may be of another
one. Then one task looks for new events for all who wait here, and ends with the last of them.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable
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
    """Who waits for which apply in this process. Used in the event loop, but for `told`."""

    def __init__(self) -> None:
        self._waiting: defaultdict[str, set[asyncio.Event]] = defaultdict(set)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._number = 0
        self._follower: asyncio.Task[None] | None = None
        self._pause: asyncio.Future[None] | None = None

    def told(self, event: Happened) -> None:
        """An event was recorded by this process. Called in the thread that wrote it."""
        loop = self._loop
        if isinstance(event, ApplyFinished) and loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(self._wake, event.apply)

    async def until(
        self, apply_id: str, look: Callable[[], Awaitable[T]], has_ended: Callable[[T], bool], *, wait_s: float,
        clock: Clock, newest: Callable[[], Awaitable[int]] | None = None,
    ) -> T:  # fmt: skip
        """What `look` finds once the apply has ended, or when the time is over. `newest` is the number of the newest
        event of all processes; None where this one is alone."""
        if self._number >= MOST:
            return await look()
        self._loop = asyncio.get_running_loop()
        flag = asyncio.Event()
        self._waiting[apply_id].add(flag)  # before the look: an end after it is not missed
        self._number += 1
        time = asyncio.ensure_future(clock.sleep(wait_s))
        if newest is not None and self._follower is None:
            self._follower = asyncio.ensure_future(self._follow(newest, clock))
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
            await self._leave(apply_id, flag)

    async def _leave(self, apply_id: str, flag: asyncio.Event) -> None:
        self._number -= 1
        self._waiting[apply_id].discard(flag)
        if not self._waiting[apply_id]:
            del self._waiting[apply_id]
        if not self._waiting and self._follower is not None:
            follower, self._follower = self._follower, None
            if self._pause is not None:
                self._pause.cancel()
            await follower  # at most the read that is under way

    def _wake(self, apply_id: str) -> None:
        for flag in self._waiting.get(apply_id, ()):
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
                for apply_id in list(self._waiting):
                    self._wake(apply_id)
            if self._follower is me:
                self._pause = asyncio.ensure_future(clock.sleep(FOLLOW_S))
                await asyncio.wait((self._pause,))
