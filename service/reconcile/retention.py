"""Deleting what is old, now and then: small batches with pauses, so that nobody waits for it.

A clock that jumps deletes nothing: ages are only believed when the wall clock and the monotonic one went along with
each other since the pass before.
"""

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime
from typing import Any, Protocol

from service.clock import Clock
from service.errors import StoreError
from service.model.retention import Keep, Kept

logger = logging.getLogger(__name__)

FIRST_S = 600.0
EVERY_S = 3600.0
PAUSE_S = 0.2
MAX_PRESSURE = 9
JUMP_S = 600.0


class Forgetting(Protocol):
    """The store's part of it; blocks."""

    def forget(self, keep: Keep, past: dict[str, Any], *, at: datetime, pressure: int = 0) -> dict[str, int]: ...

    def give_back(self) -> int: ...

    def kept(self) -> Kept: ...


class Retention:
    """Runs until cancelled. `told` gets what is kept after each pass and what was deleted in it."""

    def __init__(
        self,
        store: Forgetting,
        keep: Keep,
        clock: Clock,
        told: Callable[[Kept, dict[str, int]], None] = lambda *_: None,
    ) -> None:
        self._store = store
        self._keep = keep
        self._clock = clock
        self._told = told
        self._offset_s = self._offset()

    async def run(self) -> None:
        """A pass some minutes after the start, then one each hour."""
        await self._tell({})
        wait_s = FIRST_S
        while True:
            await self._clock.sleep(self._clock.jitter(wait_s))
            wait_s = EVERY_S
            try:
                await self.run_once()
            except StoreError as error:
                logger.warning("old records could not be deleted: %s", error)
            except Exception:
                # a bug of ours here must not stop the service; the next pass may do better
                logger.exception("deleting old records failed")

    async def run_once(self) -> dict[str, int]:
        """One pass: everything that is too old, then while the database is too large the oldest. Rows by table.

        What becomes free is given back to the disk.
        """
        deleted: dict[str, int] = {}
        moved_s, self._offset_s = self._offset() - self._offset_s, self._offset()
        if abs(moved_s) > JUMP_S:
            logger.warning(
                "the clock jumped by %.0f s; no old records are deleted until it is steady for an hour", moved_s
            )
            return deleted
        for pressure in range(MAX_PRESSURE + 1):
            kept = await asyncio.to_thread(self._store.kept)
            if pressure and kept.size_bytes <= self._keep.size_bytes:
                break
            await self._pass(pressure, deleted)
        while await asyncio.to_thread(self._store.give_back):
            await self._clock.sleep(PAUSE_S)
        if deleted:
            rows = ", ".join(f"{count} {table}" for table, count in sorted(deleted.items()))
            logger.info("old records deleted: %s", rows)
        await self._tell(deleted)
        return deleted

    async def _pass(self, pressure: int, deleted: dict[str, int]) -> None:
        past: dict[str, Any] = {}
        at = self._clock.now()
        while gone := await asyncio.to_thread(self._store.forget, self._keep, past, at=at, pressure=pressure):
            for table, count in gone.items():
                if count:
                    deleted[table] = deleted.get(table, 0) + count
            await self._clock.sleep(PAUSE_S)

    async def _tell(self, deleted: dict[str, int]) -> None:
        try:
            self._told(await asyncio.to_thread(self._store.kept), deleted)
        except StoreError as error:
            logger.warning("the size of the database cannot be read: %s", error)

    def _offset(self) -> float:
        return self._clock.now().timestamp() - self._clock.monotonic_s()
