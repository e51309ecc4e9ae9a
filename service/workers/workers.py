"""A thread and two processes: implements `service.work.Work`.

    Workers().run(effort, call, *args)      see service/work.py
    Workers().close()                       ends the processes

Quick work of up to `THREAD_BYTES` is done in a thread. Everything else runs in a process that can be killed. Threads
share one interpreter lock, so seconds of work in one of them would slow down every answer of the service. What is large
has a process of its own, so that hosts of an ordinary size never wait for it.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

from service.work import Effort
from service.workers.process import Process

P = ParamSpec("P")
T = TypeVar("T")

THREAD_BYTES = 128 << 10
LARGE_BYTES = 512 << 10


class Workers:
    """Processes are started when they are needed first."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="reading")
        self._ordinary = _Lane("ordinary")
        self._large = _Lane("large")

    async def run(self, effort: Effort, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """See `service.work.Work.run`."""
        bound = partial(call, *args, **kwargs)
        loop = asyncio.get_running_loop()
        if effort.kind == "quick" and effort.size <= THREAD_BYTES:
            return await loop.run_in_executor(self._thread, bound)
        lane = self._large if effort.size > LARGE_BYTES else self._ordinary
        return await loop.run_in_executor(lane.thread, lane.process.run, effort, bound)

    async def close(self) -> None:
        """End the processes, also in the middle of something."""
        for lane in (self._ordinary, self._large):
            lane.process.close()
        for pool in (self._thread, self._ordinary.thread, self._large.thread):
            await asyncio.to_thread(pool.shutdown, cancel_futures=True)


class _Lane:
    """One process, and the thread that talks to it: one piece of work after another."""

    def __init__(self, name: str) -> None:
        self.process = Process(name)
        self.thread = ThreadPoolExecutor(1, thread_name_prefix=f"work-{name}")
