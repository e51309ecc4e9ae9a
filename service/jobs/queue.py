"""The queue of hosts of one process of several: its own hosts wait here, what others work on is sent as a job."""

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping
from typing import Protocol

from service.errors import StoreError
from service.jobs.wakes import Run
from service.reconcile.ports import HostQueue

AGAIN_S = 1.0
"""How soon jobs are sent again that the server did not take."""
STALLED_EVERY_S = 5.0
logger = logging.getLogger(__name__)


class Jobs(Protocol):
    """`service.jobs.wakes.Wakes`, open."""

    async def send(self, wanted: Mapping[str, str]) -> None: ...

    async def receive(self, queues: Collection[str], run: Run) -> None: ...

    async def take_over(self) -> int: ...


class JobQueue:
    """`service.reconcile.ports.HostQueue`. `owns(host)`: whether this process works on the host. `queue_of(host)` is
    the queue of jobs that its owner receives from, `woken` is informed of every host that another process wants looked
    at.

    A job is done when a look at the host has ended that began after the job came. So a second one waits meanwhile, and
    a third one is none.
    """

    def __init__(
        self, local: HostQueue, jobs: Jobs, owns: Callable[[str], bool], queue_of: Callable[[str], str],
        woken: Callable[[str], None] = lambda _: None,
    ) -> None:  # fmt: skip
        self._local = local
        self._jobs = jobs
        self._owns = owns
        self._queue_of = queue_of
        self._woken = woken
        self._unsent: set[str] = set()
        self._sending = asyncio.Event()
        self._asked: dict[str, list[asyncio.Future[None]]] = {}
        self._served: dict[str, list[asyncio.Future[None]]] = {}

    def add(self, name: str, *, after_s: float = 0) -> None:
        """Make a name due. Of a host of another process only what is due now counts: it has timers of its own."""
        if self._owns(name):
            self._local.add(name, after_s=after_s)
        elif not after_s:
            self._unsent.add(name)
            self._sending.set()

    def add_first(self, name: str) -> None:
        """Make a name due before others. To another process it is a job as any other: there are few of them."""
        if self._owns(name):
            self._local.add_first(name)
        else:
            self.add(name)

    def drop(self, name: str) -> None:
        """Forget a name that is not worked on here any more."""
        self._local.drop(name)
        _end(self._asked.pop(name, []))

    async def take(self) -> str:
        """The next due name of this process. Waits."""
        name = await self._local.take()
        self._served[name] = self._asked.pop(name, [])
        return name

    def done(self, name: str) -> None:
        """The name is no longer worked on."""
        self._local.done(name)
        _end(self._served.pop(name, []))

    def is_running(self, name: str) -> bool:
        """Whether this process works on it now."""
        return self._local.is_running(name)

    @property
    def depth(self) -> int:
        """How many names wait here, due or not."""
        return self._local.depth + len(self._unsent)

    async def send(self) -> None:
        """Send what is to be sent, until cancelled."""
        while True:
            await self._sending.wait()
            self._sending.clear()
            sent = {name: self._queue_of(name) for name in self._unsent}
            try:
                await self._jobs.send(sent)
                self._unsent -= sent.keys()
            except StoreError as error:
                logger.warning("%d hosts are looked at later: %s", len(sent), error)
                await asyncio.sleep(AGAIN_S)
                self._sending.set()

    async def receive(self, queues: Collection[str]) -> None:
        """Receive from these queues, until cancelled."""
        await self._jobs.receive(queues, self._received)

    async def take_over(self) -> None:
        """Have jobs received again whose process ended, until cancelled."""
        while True:
            await asyncio.sleep(STALLED_EVERY_S)
            try:
                await self._jobs.take_over()
            except StoreError as error:
                logger.debug("%s", error)  # whoever works on hosts reports it

    async def _received(self, name: str) -> None:
        if not self._owns(name):  # its new owner looks at every host that it takes over
            return
        self._woken(name)
        looked: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._asked.setdefault(name, []).append(looked)
        self._local.add(name)
        await looked


def _end(waiting: Collection["asyncio.Future[None]"]) -> None:
    for one in waiting:
        if not one.done():
            one.set_result(None)
