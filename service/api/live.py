"""Events as they happen, for all who follow them (`GET /api/v1/stream`): one task reads them once for all streams.

    live = Live()
    history.tell_to(live.told)       what this process records is sent at once
    live.stop()                      all streams end; from a signal's handler, too

The newest events are kept as they are sent, up to `KEPT_BYTES`. A stream is a place in their order. One that is further
behind reads the history, a page at a time, and few of them at once. So a stream holds no thread, no connection to the
database, and never more than a page, however slowly its client reads.

Ids grow in the order in which events become visible, for the database has one writer at a time. So `id > place` misses
none and repeats none.
"""

import asyncio
import logging
import resource
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from contextvars import Context
from itertools import takewhile
from typing import NamedTuple, Protocol

from service.api.connections import connection_cap
from service.api.values import ask
from service.clock import Clock
from service.errors import StoreError
from service.model.events import Happened, SessionEnded, TokenRevoked
from service.model.listings import EventListing
from service.model.runs import Event, Page

MOST = 100
MOST_OF_ONE = 50
"""So many streams at once in this process, and for one token."""
LIFE_S = 3600.0
"""After so long a stream ends, and its client comes again."""
BEAT_S = 15.0
"""A silent stream sends something this often, so that proxies and clients know that it lives."""
FOLLOW_S = 1.0
"""How often the reader looks for what other processes recorded."""
PAGE = 50
KEPT_BYTES = 1 << 20
BEHIND_AT_ONCE = 2
_ENDS = (TokenRevoked.name, SessionEnded.name)
_log = logging.getLogger("passerelle.api")


class Reads(Protocol):
    """`service.history.queries.Queries`. Blocks, but for `state`."""

    def state(self) -> int | None: ...

    def events(self, asked: EventListing) -> Page[Event]: ...


class Kept(NamedTuple):
    """An event, and as it is sent to who sees every host."""

    event: Event
    sent: bytes


class Live:
    """The streams of this process. Used in the event loop, but for `told` and `stop`. `written` is an event as it is
    sent."""

    def __init__(self, *, life_s: float = LIFE_S, most: int | None = None) -> None:
        self.life_s = life_s
        self.is_stopped = False
        self.beat = 0
        self.last = 0
        """All events up to this id were read."""
        self._most = most
        self._base = 0
        self._kept: deque[Kept] = deque()
        self._bytes = 0
        self._tokens: Counter[str] = Counter()
        self._turn = asyncio.Event()
        self._asked = asyncio.Event()
        self._reader: asyncio.Task[None] | None = None
        self._reading: asyncio.Future[bool] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self.behind = asyncio.Semaphore(BEHIND_AT_ONCE)

    def told(self, _event: Happened) -> None:
        """An event was recorded by this process. Called in the thread that wrote it."""
        self._from_outside(self._asked.set)

    def stop(self) -> None:
        """End all streams now. Safe in a signal's handler."""
        self.is_stopped = True
        self._from_outside(self.wake)

    def refusal(self, token: str) -> str:
        """Why this token gets no stream now; empty where it gets one."""
        if self._tokens.total() >= (most := self._most or _most()):
            return f"there are {most} streams, and no more at once"
        if self._tokens[token] >= MOST_OF_ONE:
            return f"this token has {MOST_OF_ONE} streams, and no more at once"
        return ""

    def enter(self, token: str, newest: int, reads: Reads, clock: Clock, written: Callable[[Event], bytes]) -> None:
        """A stream begins. `newest` is the id of the newest event, read a moment ago."""
        self._tokens[token] += 1
        self._loop = asyncio.get_running_loop()
        if self._reader is None or self._reader.done():
            self._base = self.last = newest
            self._kept.clear()
            self._bytes = 0
            self._turn, self._asked, self.behind = asyncio.Event(), asyncio.Event(), asyncio.Semaphore(BEHIND_AT_ONCE)
            # not in the context of the request that happens to be the first: its lines would have that id
            self._reader = asyncio.create_task(self._follow(reads, clock, written), context=Context())

    async def leave(self, token: str) -> None:
        """A stream has ended. The last one leaves nothing behind that reads."""
        self._tokens[token] -= 1
        self._tokens += Counter()  # without those that have none
        if not self._tokens:
            self._asked.set()
            if self._reading is not None:
                await asyncio.wait((self._reading,))

    @property
    def is_followed(self) -> bool:
        """Whether the reader is at work: without it a stream would be silent for ever."""
        return self._reader is not None and not self._reader.done()

    def turn(self) -> asyncio.Event:
        """Set once anything is different: new events, a beat, an end."""
        return self._turn

    def wake(self) -> None:
        """Have every stream look."""
        turn, self._turn = self._turn, asyncio.Event()
        turn.set()

    def after(self, place: int) -> list[Kept] | None:
        """The events after an id, None where not all of them are kept any more."""
        if place < self._base:
            return None
        if place >= self.last:
            return []
        found = list(takewhile(lambda one: one.event.id > place, reversed(self._kept)))
        found.reverse()
        return found

    def _from_outside(self, what: Callable[[], None]) -> None:
        loop = self._loop
        if self._tokens and loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(what)

    async def _follow(self, reads: Reads, clock: Clock, written: Callable[[Event], bytes]) -> None:
        try:
            await self._followed(reads, clock, written)
        except Exception:  # a bug of ours: the streams end, and their clients come again
            _log.exception("following the events failed")
        finally:
            self.wake()

    async def _followed(self, reads: Reads, clock: Clock, written: Callable[[Event], bytes]) -> None:
        known: int | None = None
        beat_s = clock.monotonic_s()
        while self._tokens:
            self._asked.clear()
            state = reads.state()
            if state is None or state != known:
                known = state if await self._read(reads, written) else None
            if clock.monotonic_s() - beat_s >= BEAT_S:
                beat_s = clock.monotonic_s()
                self.beat += 1
                self.wake()
            await first_of(self._asked.wait(), clock.sleep(FOLLOW_S))

    async def _read(self, reads: Reads, written: Callable[[Event], bytes]) -> bool:
        """Read what is new. False where that is not all: the database is away, or nobody follows any more."""
        is_more = True
        while is_more and self._tokens:
            self._reading = asyncio.ensure_future(self._portion(reads, written))
            try:
                is_more = await self._reading
            except StoreError:
                return False
            finally:
                self._reading = None
        return not is_more

    async def _portion(self, reads: Reads, written: Callable[[Event], bytes]) -> bool:
        """Read the next ones. Whether there are more."""
        page = await ask(reads.events, EventListing(after=self.last, limit=PAGE))
        for event in page.items:
            self._kept.append(Kept(event, sent := written(event)))
            self._bytes += len(sent)
            self.last = event.id
            if event.type in _ENDS:
                self.beat += 1  # with each beat a stream looks whether its token or session is valid
        while self._bytes > KEPT_BYTES:
            gone = self._kept.popleft()
            self._base = gone.event.id
            self._bytes -= len(gone.sent)
        if page.items:
            self.wake()
        return page.next is not None


async def first_of(*waits: Awaitable[object]) -> None:
    """Until one of them is over; the others are cancelled."""
    tasks = [asyncio.ensure_future(one) for one in waits]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for one in tasks:
            one.cancel()


def _most() -> int:
    """Streams are connections that wait for us. They must not be so many that all else is refused."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return min(MOST, connection_cap(soft) // 4) if soft != resource.RLIM_INFINITY else MOST
