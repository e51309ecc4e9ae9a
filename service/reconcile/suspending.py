"""Suspensions over time: those that have run out end, and how many are in force is counted."""

import asyncio
from collections.abc import Callable

from service.clock import Clock
from service.reconcile.ports import Memory, Record


class Suspending:
    """Looked at with each look at the source, whatever comes of that. `counted(number)` hears how many are in force."""

    def __init__(
        self, record: Record, memory: Memory, clock: Clock, counted: Callable[[int], None] = lambda _: None
    ) -> None:
        self._record = record
        self._memory = memory
        self._clock = clock
        self._counted = counted

    async def keep(self) -> None:
        """End those that have run out: their hosts are not held any more, this only records it. StoreError."""
        await asyncio.to_thread(self._record.end_due_suspensions, at=self._clock.now())
        self._counted(len(await asyncio.to_thread(self._memory.suspended, self._clock.now())))
