"""The loop's parts over a real repository and a real database; hosts that are values, a clock that stands still."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from service.answers.answers import Answers
from service.api.metrics import Metrics
from service.git.aside import Aside
from service.git.mirror import Mirror
from service.git.source import parse_source
from service.history import open_history
from service.history.database import Database
from service.history.pepper import read_pepper
from service.history.queries import Queries
from service.history.sqlite.engine import make_engine
from service.history.store import Store
from service.kinds import KINDS
from service.kinds.kind import Kind
from service.model.listings import EventListing
from service.model.observed import HostObserved, Watch
from service.model.plans import Plan
from service.model.runs import HostStatus
from service.model.sightings import Sighting
from service.model.sites.seen import Answer
from service.model.sites.wanted import SiteWanted
from service.model.states import Json
from service.model.telling import Ended, Fence, Told
from service.reconcile.control import Control
from service.reconcile.loop import Loop
from service.reconcile.planning import Planning
from service.reconcile.proposing import Proposals
from service.reconcile.queue import Queue
from service.reconcile.round import Rounds
from service.reconcile.trouble import Troubles
from service.reconcile.watching import Watcher
from service.spec.host import HostSpec
from service.work import InPlace, Work
from tests.git.forge import Forge
from tests.laws.host import after_plan, bare_host
from tests.reconcile.clocks import StoppedClock
from tests.reconcile.internet import PlayedInternet
from tests.reconcile.sights import digested, seen_in, sighting_of
from tests.state_folders import made

IN_PLACE = InPlace()


@dataclass
class Hosts:
    """One host that does what a test says. `trouble` is raised instead of an answer; `ends` are how the next applies
    end, the last one again and again.
    """

    host: HostObserved | None = None
    trouble: Exception | None = None
    ends: list[Ended] = field(default_factory=lambda: [Ended("confirmed")])
    fenced: Fence = field(default_factory=Fence)
    applied: list[str] = field(default_factory=list)
    begin: Callable[[], None] = lambda: None
    tells: list[Told] = field(default_factory=list)
    hangs: bool = False
    doubted: str = ""
    starts: int = 0
    permits: list[dict[str, Json]] = field(default_factory=list)
    waits: asyncio.Event | None = None

    async def observe(self, _spec: HostSpec, watch: Watch, _known: Sequence[str]) -> HostObserved:
        if self.trouble is not None:
            raise self.trouble
        bare = bare_host(watch)
        known = self.host or bare
        self.host = replace(
            known,
            facts={**bare.facts, **known.facts},
            texts={**bare.texts, **known.texts},
            secrets={**bare.secrets, **known.secrets},
            packages={**bare.packages, **known.packages},
            unlisted={**bare.unlisted, **known.unlisted},
        )
        self.host = digested(self.host)
        return self.host

    def sighting(self, _name: str) -> Sighting | None:
        return sighting_of(self.host) if self.host is not None and self.trouble is None else None

    async def recall(self, sighting: Sighting) -> HostObserved:
        return seen_in(sighting)

    async def fence(self, _spec: HostSpec) -> Fence:
        return self.fenced

    async def install(self, _spec: HostSpec, _packages: Sequence[str], _remove: Sequence[str] = ()) -> None:
        return

    async def guests(self, _spec: HostSpec, _action: str, _orders: object) -> None:
        return

    async def apply(
        self, _spec: HostSpec, plan: Plan, *, apply_id: str, generation: int, known_addresses: Sequence[str],
        told: Callable[[Told], None],
    ) -> Ended:  # fmt: skip
        self.applied.append(apply_id)
        for event in self.tells:
            told(event)
        self.begin()
        if self.hangs:
            await asyncio.Event().wait()
        if self.waits is not None:
            await self.waits.wait()
        end = self.ends.pop(0) if len(self.ends) > 1 else self.ends[0]
        if end.ending == "confirmed" and self.host is not None:
            self.host = after_plan(self.host, plan)
        return end

    async def verify(self, _spec: HostSpec, _apply_id: str) -> tuple[str, ...]:
        return ()

    async def answers(self, _spec: HostSpec, sites: Sequence[SiteWanted]) -> Mapping[str, tuple[Answer, bytes]]:
        return {one.name: (Answer(one.proxy_address, 200), b"") for one in sites}

    async def permit(self, _spec: HostSpec, _guest_key: str, permits: Mapping[str, Json]) -> None:
        self.permits.append(dict(permits))

    def doubt(self, _name: str) -> str:
        return self.doubted

    async def close(self, _name: str) -> None:
        return


class Room:
    """A service without its edges to hosts and to the network."""

    def __init__(
        self, folder: Path, database: Database, hosts: Hosts, forge: Forge, work: Work = IN_PLACE,
        kinds: Sequence[Kind] = KINDS,
    ) -> None:  # fmt: skip
        self.database = database
        self.path = folder / "state" / "passerelle.sqlite"
        self.forge = forge
        self.clock, self.metrics, self.hosts, self.internet = StoppedClock(), Metrics(), hosts, PlayedInternet()
        pepper = read_pepper(self.path.parent / "token.pepper")
        self.store, self.queries = Store(database, pepper), Queries(database, pepper)
        mirror = Mirror(folder / "mirror", parse_source(str(self.forge.path), "main"))
        self.troubles = Troubles(self.clock, self.metrics.failed)
        self.ended: list[str] = []
        self.watcher = Watcher(mirror, self.store, self.queries, kinds, self.clock)
        self.rounds = Rounds(
            self.store, self.queries, hosts, self.internet, kinds, self.clock, work, observe_s=30,  # type: ignore[arg-type]  # what it uses
            spec_at=self.watcher.spec_at, troubles=self.troubles, ended=self.ended.append,
        )  # fmt: skip
        self.queue = Queue(self.clock)
        self.loop = Loop(
            self.watcher, self.rounds, self.queue, self.clock, poll_s=60, workers=1, troubles=self.troubles
        )
        self.answers = Answers(self.watcher, self.rounds, kinds, self.clock.now)
        aside = Aside(folder / "aside", parse_source(str(self.forge.path), "main"))
        self.proposals = Proposals(aside, self.watcher, self.rounds, kinds, self.clock, Planning(work))
        self.control = Control(
            self.watcher, self.rounds, self.queue, self.store, self.queries, self.clock, self.loop.look_now,
            self.answers.not_known,
        )  # fmt: skip

    async def push(self, spec: str, message: str = "change", **files: str) -> str:
        """Commit the spec of pve1 (and other files) and look at the source."""
        commit = self.forge.push({"fleet.yaml": "passerelle: 1\n", "hosts/pve1.yaml": spec, **files}, message=message)
        await self.watcher.look()
        return commit

    async def resume(self) -> None:
        """What the loop does first after a start."""
        await self.loop.resume()

    async def round(self) -> float | None:
        return await self.rounds.reconcile("pve1", self.watcher.wanted)

    @property
    def status(self) -> HostStatus:
        """What API, CLI and metrics show."""
        found = self.answers.unrecorded().get("pve1") or self.queries.host("pve1")
        assert found is not None
        return found

    @property
    def unknown(self) -> str:
        """Why the host has no plan and no differences; empty where it has."""
        shown = self.answers.unrecorded().get("pve1") or self.queries.host("pve1")
        return str(self.answers.not_known("pve1", shown) or "")

    def events(self, type_: str) -> list[str]:
        return [event.text for event in self.queries.events(EventListing(limit=200, type=type_)).items]

    def numbers(self, name: str) -> list[str]:
        page = self.metrics.page(self.queries.counts(), held=self.answers.unrecorded()).decode()
        return [line for line in page.splitlines() if line.startswith(name)]


@contextmanager
def a_room(
    folder: Path,
    hosts: Hosts | None = None,
    forge: Forge | None = None,
    work: Work = IN_PLACE,
    kinds: Sequence[Kind] = KINDS,
) -> Iterator[Room]:
    """A service; with `hosts` and `forge` of an earlier one in the same folder it is that one, started again."""
    path = folder / "state" / "passerelle.sqlite"
    with open_history(made(path)):
        database = Database(make_engine(path, busy_timeout_ms=20))
        try:
            room = Room(folder, database, hosts or Hosts(), forge or Forge(folder / "fleet.git"), work, kinds)
            room.clock.at_s = 10.0 * room.hosts.starts  # a service that is started again is started later
            room.hosts.starts += 1
            yield room
        finally:
            database.close()
