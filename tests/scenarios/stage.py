"""What a scenario is played on: the service's own loop, a real repository, a real database, and played hosts."""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from service.api.metrics import Metrics
from service.app import Outside, build
from service.history import History, open_history
from service.lab.waiting import grown_s
from service.model.listings import ApplyListing, DrillListing
from service.model.runs import Apply, Drill, HostStatus
from service.model.secret import Secret
from service.settings import Settings
from service.work import InPlace
from tests.git.forge import Forge
from tests.reconcile.clocks import PassingClock, StoppedClock
from tests.reconcile.internet import PlayedInternet
from tests.scenarios.played_host import PlayedHost
from tests.scenarios.played_lines import Lines, Looks
from tests.state_folders import made

HOST, OTHER = "pve1", "pve2"
HOPS = 30
"""Turns of the event loop in which whoever was woken has begun."""
PATIENCE_S = 10.0
POLL_S, OBSERVE_S = 300.0, 60.0


class Counted(Metrics):
    """The service's numbers; the end of a round wakes whoever waits for it."""

    def __init__(self, clock: StoppedClock) -> None:
        super().__init__()
        self._clock = clock

    def reconciled(self, seconds: float) -> None:
        super().reconciled(seconds)
        self._clock.napped.set()


async def nothing() -> None:
    """What is left to close of a world that is played."""


class Stage:
    """One service and its hosts; `at` is the host of the next lines. Started with `start`, again after `stop` or after
    it died."""

    def __init__(
        self, folder: Path, ceilings: Mapping[str, str], url: Secret | None = None, names: Sequence[str] = (HOST, OTHER)
    ) -> None:
        self.forge = Forge(folder / "fleet.git")
        self._settings = Settings(
            state_dir=folder / "state", source=str(self.forge.path), poll_s=POLL_S, observe_s=OBSERVE_S, workers=1,
            database_url=url.reveal().decode() if url is not None else "", sweep_s=300, **ceilings,
        )  # fmt: skip
        self.clock = StoppedClock()
        self.hosts = {name: PlayedHost(self.clock) for name in names}
        self.at = HOST
        self.lines = Lines(self.hosts)
        self.internet = PlayedInternet()
        self._open = contextlib.ExitStack()
        self.running: asyncio.Future[None] | None = None

    @property
    def state_dir(self) -> Path:
        """The service's state folder."""
        return self._settings.state_dir

    async def start(self) -> None:
        """The service begins to run, wired as it always is; outside of it there are a played host and this clock."""
        path, url = self._settings.database_path, self._settings.database
        opened = open_history(made(path) if url is None else path, serve=True, url=url)
        self.history: History = self._open.enter_context(opened)
        self.queries = self.history.queries
        world = Outside(
            clock=self.clock, apply_clock=PassingClock(self.clock), connections=self.lines, looks=Looks(),
            work=InPlace(), close=nothing, metrics=Counted(self.clock), internet=self.internet,
        )  # fmt: skip
        built = build(self._settings, self.history, world)
        self.answers = built.parts.answers
        self.watcher, self.queue, self.loop, self.control = built.watcher, built.queue, built.loop, built.control
        self.running = asyncio.ensure_future(self.loop.run())
        await self.settled()

    async def stop(self) -> None:
        """As after SIGTERM."""
        await self.loop.finish(0)
        await self.end()

    async def end(self) -> None:
        """As after a kill."""
        if self.running is not None:
            self.running.cancel()
            await asyncio.wait([self.running])
        self._open.close()

    def die(self) -> None:
        """The service is killed at this moment."""
        for host in self.hosts.values():
            host.began = host.confirmed = lambda: None
        if self.running is not None:
            self.running.cancel()

    async def settled(self) -> None:
        """Until the watcher waits for its next look and the worker for the next host; or the service died."""
        await self._hops()
        while self.running is not None and not self.running.done() and not self._is_idle():
            self.clock.napped.clear()
            nap = asyncio.ensure_future(self.clock.napped.wait())
            done, _ = await asyncio.wait(
                {nap, self.running}, timeout=grown_s(PATIENCE_S), return_when=asyncio.FIRST_COMPLETED
            )
            nap.cancel()
            await asyncio.gather(nap, return_exceptions=True)
            if not done:
                raise TimeoutError("the loop did not come to rest: a host is worked on for ever")
            await self._hops()

    async def _hops(self) -> None:
        for _ in range(HOPS):
            await asyncio.sleep(0)

    def _is_idle(self) -> bool:
        due = self.clock.due_s()
        is_waiting = len(due) == 2 + bool(self.queue.depth) and due[0] > self.clock.at_s
        return is_waiting and not any(map(self.queue.is_running, self.hosts))

    async def wait(self, seconds: float) -> None:
        """The time passes; whatever is due in it happens when it is due."""
        ends_s = self.clock.at_s + seconds
        await self.settled()
        while (due := self.clock.due_s()) and due[0] <= ends_s:
            self.clock.move(max(0.0, due[0] - self.clock.at_s))
            await self.settled()
        self.clock.move(max(0.0, ends_s - self.clock.at_s))
        for host in self.hosts.values():
            host.tick()

    # ------------------------------------------------------------------------------------------------- what is seen

    @property
    def played(self) -> PlayedHost:
        """The host itself."""
        return self.hosts[self.at]

    @property
    def status(self) -> HostStatus | None:
        """What API, CLI and metrics show."""
        return self.answers.unrecorded().get(self.at) or self.queries.host(self.at)

    @property
    def applies(self) -> list[Apply]:
        """Newest first."""
        return list(self.queries.applies(ApplyListing(limit=50, host=self.at)).items)

    @property
    def drills(self) -> list[Drill]:
        """Newest first."""
        return list(self.queries.drills(DrillListing(limit=50, host=self.at)).items)
