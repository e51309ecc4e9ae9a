"""The loop: one watcher of the repository, some workers on hosts, until it is informed to stop."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Protocol

from service.clock import Clock
from service.errors import StoreError
from service.reconcile.ports import HostQueue
from service.reconcile.pulse import Pulse
from service.reconcile.round import Rounds
from service.reconcile.trouble import Troubles, sentence
from service.reconcile.watching import Watcher

AFTER_BUG_S = 60.0
logger = logging.getLogger(__name__)


class Rolls(Protocol):
    """Revisions that go to many hosts in portions: `service.reconcile.rolling.Rolling`."""

    def look(self) -> None: ...

    async def run(self) -> None: ...


class Loop:
    """Runs until cancelled. `look_now` wakes the watcher: a webhook, a person."""

    def __init__(
        self, watcher: Watcher, rounds: Rounds, queue: HostQueue, clock: Clock, *, poll_s: float, workers: int,
        reconciled: Callable[[float], None] = lambda _: None, fetched: Callable[[], None] = lambda: None,
        troubles: Troubles | None = None, began: Callable[[str], None] = lambda _: None,
        owns: Callable[[str], bool] = lambda _: True, paused: Callable[[], Awaitable[None]] | None = None,
        rolling: Rolls | None = None,
    ) -> None:  # fmt: skip
        self._watcher = watcher
        self._rolling = rolling
        self._rounds = rounds
        self._queue = queue
        self._clock = clock
        self._poll_s = poll_s
        self._workers = workers
        self._reconciled = reconciled
        self._fetched = fetched
        self._troubles = troubles or Troubles(clock)
        self._began = began
        self._owns = owns
        self._paused = paused
        self._pulse = Pulse(clock, workers)
        self._wake = asyncio.Event()
        self._looked = asyncio.Event()
        self._remembers = False
        self._tasks: dict[asyncio.Task[None], str] = {}
        self._stopped_s: float | None = None

    def look_now(self) -> None:
        """Look at the repository as soon as the look under way, if any, is done."""
        self._wake.set()

    @property
    def stuck(self) -> str:
        """Why nothing is done any more; empty while the loop works."""
        return self._pulse.stuck

    async def remember(self) -> None:
        """Until a host is looked at, its status is of before the start. StoreError where that cannot be read."""
        if not self._remembers:
            await self._rounds.remember()
            self._remembers = True

    async def run(self) -> None:
        """Watch and work; a cancellation ends all of it at once, the hosts' own timers protect changes under way."""
        async with asyncio.TaskGroup() as group:
            self._tasks = {group.create_task(self._watch()): ""}
            if self._rolling is not None:
                self._tasks[group.create_task(self._rolling.run())] = ""
            for _ in range(self._workers):
                self._tasks[group.create_task(self._work())] = ""

    def stop(self) -> None:
        """Begin nothing any more. Quick, and safe in a signal's handler."""
        if self._stopped_s is None:
            self._stopped_s = self._clock.monotonic_s()
        self._rounds.stop()

    async def finish(self, grace_s: float) -> None:
        """Let the applies that are under way come to their end, until `grace_s` after `stop`; end all else now."""
        self.stop()
        started_s = self._stopped_s or 0.0
        applying = {task for task, name in self._tasks.items() if name and self._rounds.is_applying(name)}
        for task in self._tasks.keys() - applying:
            task.cancel()
        left_s = max(0.0, started_s + grace_s - self._clock.monotonic_s())
        timeout = asyncio.ensure_future(self._clock.sleep(left_s))
        try:
            while waiting := {task for task in applying if not task.done()}:
                await asyncio.wait({*waiting, timeout}, return_when=asyncio.FIRST_COMPLETED)
                if timeout.done():
                    break
        finally:
            timeout.cancel()
            await asyncio.gather(timeout, return_exceptions=True)
        for task in applying:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def resume(self) -> None:
        """The records from before, so that requests are answered until the source and the hosts are read again."""
        try:
            await self.remember()
            await self._watcher.resume()
            for name in self._watcher.wanted.hosts:
                if self._owns(name):
                    await self._rounds.recall(name, self._watcher.wanted)
        except Exception as error:  # the service starts nevertheless; the first look finds all of it again
            logger.warning("the records from before the start cannot be read: %s", sentence(error))

    async def _watch(self) -> None:
        await self.resume()
        while True:
            self._wake.clear()
            self._pulse.looks()
            try:
                before, answered_s = self._watcher.wanted, self._watcher.last_fetch_s
                if await self._watcher.look():
                    await self._rounds.turn_to(self._watcher.wanted, before, self._queue)
                    if self._rolling is not None:
                        self._rolling.look()
                if self._watcher.last_fetch_s != answered_s:
                    self._fetched()
                self._troubles.well("source", "")
            except Exception as error:
                # a bug of ours must not stop the fleet's drift checks; the next look may do better
                await self._watcher.failed(self._troubles.failed("source", "", error))
            self._pulse.rests()
            self._looked.set()
            await self._keep_suspensions()
            await self._pause(self._clock.jitter(self._poll_s))

    async def _keep_suspensions(self) -> None:
        if self._paused is not None:
            with contextlib.suppress(StoreError):  # the next look does it, and applies begin on time nevertheless
                await self._paused()

    async def _work(self) -> None:
        task = asyncio.current_task()
        await self._looked.wait()  # nothing is applied from an old revision that is no longer in force
        while self._stopped_s is None:
            name = await self._queue.take()
            if task is not None:
                self._tasks[task] = name
            started_s = self._clock.monotonic_s()
            self._pulse.works(name)
            self._began(name)
            try:
                next_s = await self._rounds.reconcile(name, self._watcher.wanted)
                if next_s is not None:
                    self._queue.add(name, after_s=next_s)
            except Exception as error:
                self._rounds.standing(name).fail(self._troubles.failed("round", name, error))
                self._queue.add(name, after_s=AFTER_BUG_S)
            finally:
                self._queue.done(name)
                if task is not None:
                    self._tasks[task] = ""
                self._pulse.ended(name)
                self._reconciled(self._clock.monotonic_s() - started_s)

    async def _pause(self, seconds: float) -> None:
        waits = [asyncio.ensure_future(self._wake.wait()), asyncio.ensure_future(self._clock.sleep(seconds))]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)
