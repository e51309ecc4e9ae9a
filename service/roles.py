"""One process of several that serve one PostgreSQL database: it answers (`api`) or works on hosts (`worker`).

app.py wires the same parts. `app.Shared` has what is different: which hosts the queue gives out, and who writes what is
written once for all. A request reaches the process that works on its host as a job.
"""

import asyncio
import contextlib
import logging
import signal
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime
from typing import Any, cast

from service.api.create import create_probes
from service.api.parts import Parts
from service.api.server import answer_beside, serve
from service.api.values import share_the_processor
from service.app import GRACE_S, STOP_S, Outside, Service, Shared, build, status_of, telling_of
from service.clock import SystemClock
from service.errors import InputError, PasserelleError, StoreError
from service.garbage import collect_rarely
from service.history import Ear, History, Place, Store, listen, open_history
from service.jobs import JobQueue, Wakes
from service.logs import fields, log_event, log_to
from service.model.retention import Keep, Kept
from service.model.secret import Secret
from service.notices.channels import channels_of
from service.reconcile.following import Following, Unled
from service.reconcile.leading import Leading
from service.reconcile.member import Member, OwnQueue, key_of
from service.reconcile.ports import Record
from service.reconcile.queue import Queue
from service.reconcile.retention import Retention
from service.reconcile.shares import Shares
from service.reconcile.watching import Wanted
from service.settings import Settings
from service.systemd import Supervisor, supervised

_LOG = logging.getLogger("passerelle")
EAR_S = 1.0
AWAY_S = 2.0
SOURCE = "source"
"""The word that all processes hear: look at the repository."""


def run_role(settings: Settings) -> None:
    """Serve as one of several until instructed to stop. InputError without a source or a server."""
    if not settings.source:
        raise InputError("no config repository is set", hint="give --source PATH-OR-URL, or set PASSERELLE_SOURCE")
    url = settings.database
    if url is None:
        raise InputError(
            f"--role {settings.role} needs a PostgreSQL server: one process alone can use a database in a file",
            hint="name the server in PASSERELLE_DATABASE_URL, or serve with --role all",
        )
    with (
        contextlib.closing(log_to(form=settings.log)),
        open_history(settings.database_path, serve=True, url=url, together=True) as history,
    ):
        history.tell_to(log_event)
        collect_rarely()
        if settings.role == "worker":
            asyncio.run(Worker(settings, url, history).run())
        else:
            history.store.close_secrets()  # not by a worker: the pepper of its folder is its own
            Answering(settings, url, history).run()


class Process:
    """What both have."""

    def __init__(self, settings: Settings, url: Secret, history: History) -> None:
        if history.place is None:
            raise AssertionError("a process of several, and no place")
        self.settings = settings
        self.history = history
        self.place: Place = history.place
        self.clock = SystemClock()
        self.wakes = Wakes(url)
        self.ear = listen(url)
        self.service: Service | None = None

    def wanted(self) -> Wanted:
        """What Git wants, as far as this process has read it."""
        return self.service.watcher.wanted if self.service is not None else Wanted()

    def queue_of(self, host: str) -> str:
        """The queue of jobs that the worker of the host receives from."""
        return queue_name(Shares(self.place, self.clock, lambda name: key_of(self.wanted, name)).share_of(host))

    def look(self) -> None:
        """Have every process look at the repository."""
        asyncio.get_running_loop().run_in_executor(None, self._tell)

    def _tell(self) -> None:
        with contextlib.suppress(StoreError):  # they look at it on their own, later
            self.place.tell(SOURCE)

    def record(self, store: Store) -> Record:
        """What the watcher writes with: of several processes, the one that leads."""
        return cast(Record, Unled(store, self.place.begin_lead, self._tell))


class Answering(Process):
    """`--role api`: answers from the records, and sends what is requested to the workers."""

    def run(self, world: Outside | None = None) -> None:
        """Until instructed to stop."""
        jobs = JobQueue(Queue(self.clock), self.wakes, lambda _: False, self.queue_of)
        shared = Shared(Queue(self.clock), jobs, self.record(self.history.store), self.look)
        self.service = service = build(self.settings, self.history, world, shared=shared)
        following = Following(
            service.watcher, service.rounds, self.history.queries, self.clock, poll_s=self.settings.poll_s,
            fetched=lambda: service.parts.metrics.fetched(self.clock.now()),
        )  # fmt: skip

        @contextlib.asynccontextmanager
        async def lifespan(_: Any) -> AsyncIterator[None]:
            share_the_processor()
            await self.wakes.open()
            async with (
                running(following.run(), jobs.send(), heard(self.ear, following.look_now)),
                supervised(Supervisor.of_environment(self.clock), status=lambda: status_of(service.watcher)),
            ):
                yield
            await self.wakes.close()
            await service.world.close()

        where = f"{self.settings.listen} port {self.settings.port}"
        _LOG.info("API listening on %s, as one of several processes", where, extra=_named(self.settings))
        try:
            stop = service.parts.live.stop
            serve(service.api(lifespan), self.settings.listen, self.settings.port, grace_s=GRACE_S, on_stop=stop)
        except SystemExit:  # uvicorn ends the program with a code of its own, after it has logged why
            raise PasserelleError("the service could not start", hint="the lines above say why") from None


class Worker(Process):
    """`--role worker`: works on the hosts of the shares that it holds. It serves no API but its health."""

    def __init__(self, settings: Settings, url: Secret, history: History, world: Outside | None = None) -> None:
        super().__init__(settings, url, history)
        self.shares = Shares(self.place, self.clock, lambda name: key_of(self.wanted, name))
        self.jobs = JobQueue(Queue(self.clock), self.wakes, self.shares.owns, self.queue_of, self._anew)
        self.queue = OwnQueue(self.jobs, self.place, self.shares, self.wanted, history.queries)
        shared = Shared(self.queue, self.queue, self.record(history.store), self.look, self.shares.owns)
        self.service: Service = build(settings, history, world, shared=shared)
        self._stopping = asyncio.Event()
        self._moved = asyncio.Event()
        self.member = Member(
            self.place, self.shares, self.queue, self.service.watcher, self.service.rounds, history.queries, self.clock,
            look=self.service.loop.look_now, close=self.service.hosts.close,
            leading=Leading(self.place, self.service.watcher, history.queries, self.clock),
            moved=lambda _: self._moved.set(),
        )  # fmt: skip
        history.store.may_begin = self.member.refuse_old

    async def run(self) -> None:
        """Until SIGTERM or ^C."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        share_the_processor()
        await self.wakes.open()
        await self.member.keep()
        _LOG.info("this process works on hosts, as one of several", extra=_named(self.settings))
        store = Forgetting(self.history.store, self.place.begin_lead)
        retention = Retention(store, self.settings.keep, self.clock)
        working = asyncio.ensure_future(self.service.loop.run())
        try:
            loop_of = self.service.loop
            telling = telling_of(
                channels_of(self.settings.notices),
                self.settings,
                self.history,
                self.clock,
                self.service.parts.metrics,
                self.place.begin_lead,
            )
            tells = [one.run() for one in telling]
            async with running(
                self.member.run(), self._receive(), self.jobs.take_over(), retention.run(),
                heard(self.ear, loop_of.look_now), self._stopping.wait(), *self._probes(), *tells,
            ) as tasks, supervised(
                Supervisor.of_environment(self.clock), lambda: loop_of.stuck, lambda: status_of(self.service.watcher)
            ):  # fmt: skip
                ended, _ = await asyncio.wait({*tasks, working}, return_when=asyncio.FIRST_COMPLETED)
                for one in ended:  # one that failed ends the process, and whoever started it starts another
                    await one
                await self.service.loop.finish(STOP_S)
        finally:
            working.cancel()
            await asyncio.gather(working, return_exceptions=True)
            await self.service.listening.close()
            await self.service.world.close()
            await self.wakes.close()

    def _probes(self) -> list[Coroutine[Any, Any, object]]:
        """/livez, /readyz and /metrics, where the operator wants them."""
        address, port = self.settings.listen, self.settings.health_port
        return [answer_beside(create_probes(self.parts()), address, port)] if port else []

    def parts(self) -> Parts:
        """What the probes answer with: numbers of the hosts that this process works on, and no others."""
        return replace(self.service.parts, owns=self.shares.owns, is_behind=lambda: self.member.is_behind)

    def stop(self) -> None:
        """Begin nothing any more, and end once what is under way has ended."""
        self.service.loop.stop()
        self._stopping.set()

    async def _receive(self) -> None:
        """Jobs of the shares that are held."""
        while True:
            self._moved.clear()
            async with contextlib.AsyncExitStack() as stack:
                if queues := [queue_name(share) for share in sorted(self.shares.mine)]:
                    await stack.enter_async_context(running(self.jobs.receive(queues)))
                await self._moved.wait()

    def _anew(self, host: str) -> None:
        """A person wants it looked at: also what is published is looked at now."""
        known = self.service.rounds.known(host)
        if known is not None:
            known.sites.anew()


class Forgetting:
    """The store's part of retention, by the process that leads."""

    def __init__(self, store: Store, leads: Callable[[], bool]) -> None:
        self._store = store
        self._leads = leads

    def forget(self, keep: Keep, past: dict[str, Any], *, at: datetime, pressure: int = 0) -> dict[str, int]:
        """Nothing where another process does it."""
        return self._store.forget(keep, past, at=at, pressure=pressure) if self._leads() else {}

    def give_back(self) -> int:
        """How many pages went back to the disk; 0 where another process does it."""
        return self._store.give_back() if self._leads() else 0

    def kept(self) -> Kept:
        """What is kept; nothing where another process measures it, which reads every table."""
        return self._store.kept() if self._leads() else Kept(0, {})


def queue_name(share: int) -> str:
    """The queue of the jobs of a share."""
    return f"share-{share}"


async def heard(ear: Ear, look: Callable[[], None]) -> None:
    """Look at the repository whenever a process says so, until cancelled."""
    with ThreadPoolExecutor(1, "ear") as thread:
        try:
            while True:
                try:
                    if await asyncio.get_running_loop().run_in_executor(thread, ear.heard, EAR_S):
                        look()
                except StoreError:  # others report that the server is away
                    await asyncio.sleep(AWAY_S)
        finally:
            await asyncio.get_running_loop().run_in_executor(thread, ear.close)


@contextlib.asynccontextmanager
async def running(*work: Coroutine[Any, Any, object]) -> AsyncIterator[Sequence["asyncio.Future[Any]"]]:
    """These run meanwhile; their tasks. What one of them raised is logged at the end."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        yield tasks
    finally:
        await _end(tasks)


async def _end(tasks: Sequence["asyncio.Future[Any]"]) -> None:
    for task in tasks:
        task.cancel()
    for ended in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(ended, Exception):
            _LOG.error("what ran next to it failed: %r", ended)


def _named(settings: Settings) -> dict[str, Any]:
    return fields(role=settings.role, source=settings.source, branch=settings.branch)
