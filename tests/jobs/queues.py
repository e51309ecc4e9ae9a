"""Both queues of hosts, as one thing to test: names are added at one end and taken at the other."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from service.clock import SystemClock
from service.jobs import JobQueue, Wakes
from service.lab.waiting import grown_s
from service.model.secret import Secret
from service.reconcile.ports import HostQueue
from service.reconcile.queue import Queue

QUEUE = "0"


@dataclass
class Ends:
    """`asks` is the process that wants a host looked at, `works` the one that does. In one process both are one."""

    asks: HostQueue
    works: HostQueue

    async def take(self) -> str:
        """The next name, soon."""
        return await asyncio.wait_for(self.works.take(), grown_s(10))

    async def nothing_comes(self) -> None:
        """Nothing is due that was wanted before this: a name that is added now is the next one."""
        self.asks.add("last")
        assert await self.take() == "last"
        self.works.done("last")


@asynccontextmanager
async def in_process() -> AsyncIterator[Ends]:
    queue = Queue(SystemClock())
    yield Ends(queue, queue)


@asynccontextmanager
async def over_jobs(url: Secret) -> AsyncIterator[Ends]:
    async with working(url) as works, asking(url) as asks:
        yield Ends(asks, works)


@asynccontextmanager
async def working(url: Secret, woken: Callable[[str], None] = lambda _: None) -> AsyncIterator[JobQueue]:
    """A process that works on every host."""
    async with _opened(url, owns=True, woken=woken) as queue, running(queue.receive([QUEUE]), queue.take_over()):
        yield queue


@asynccontextmanager
async def asking(url: Secret) -> AsyncIterator[JobQueue]:
    """A process that works on none."""
    async with _opened(url, owns=False) as queue, running(queue.send()):
        yield queue


@asynccontextmanager
async def _opened(url: Secret, *, owns: bool, woken: Callable[[str], None] = lambda _: None) -> AsyncIterator[JobQueue]:
    wakes = Wakes(url)
    await wakes.open()
    try:
        yield JobQueue(Queue(SystemClock()), wakes, lambda _: owns, lambda _: QUEUE, woken)
    finally:
        await wakes.close()


@asynccontextmanager
async def running(*work: object) -> AsyncIterator[None]:
    tasks = [asyncio.ensure_future(one) for one in work]  # type: ignore[call-overload]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
