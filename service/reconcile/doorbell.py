"""Receivers report that the source has changed: one look at once, and at most one in `GAP_S` seconds.

    bell = Doorbell(clock, look, head=lambda: watcher.head)
    bell.ring(commit)

A forge may call before its own servers all show the new commit. So as long as the source does not show the commit that
the call named, it is looked at again, some times.
"""

import asyncio
from collections.abc import Callable
from contextvars import Context

from service.clock import Clock

GAP_S = 5.0
TRIES = 3


class Doorbell:
    """`look` begins a look at the source, `head()` is the commit at which the last one found its branch. Used from the
    event loop's thread."""

    def __init__(self, clock: Clock, look: Callable[[], None], head: Callable[[], str]) -> None:
        self._clock = clock
        self._look = look
        self._head = head
        self._resting: asyncio.Task[None] | None = None
        self._is_rung = False
        self._commit = ""

    def ring(self, commit: str = "") -> None:
        """Look soon. `commit` is where the branch is, as the forge reported; empty where it did not."""
        self._commit = commit
        if self._resting is not None and not self._resting.done():
            self._is_rung = True
            return
        self._look()
        # not in the context of the request that rang: what follows later would have its id
        self._resting = asyncio.get_running_loop().create_task(self._rest(), context=Context())

    async def _rest(self) -> None:
        """After a look: wait, then look once more if there is a reason to."""
        tries = 0
        while True:
            await self._clock.sleep(GAP_S)
            tries = 0 if self._is_rung else tries + 1
            if not self._is_rung and (tries > TRIES or not self._is_late()):
                return
            self._is_rung = False
            self._look()

    def _is_late(self) -> bool:
        return bool(self._commit) and self._head() != self._commit
