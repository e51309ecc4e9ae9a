"""A worker among several: its queue gives out only hosts of shares that it holds, and it learns what is done elsewhere.

member = Member(...)
await member.run()           keeps its shares, until cancelled
member.queue                 the `HostQueue` of the loop
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Protocol

from service.clock import Clock
from service.errors import HostRefused, StoreError
from service.reconcile import shares as sharing
from service.reconcile.leading import Leading
from service.reconcile.ports import HostQueue, Memory
from service.reconcile.shares import Shares
from service.reconcile.watching import Wanted
from service.spec.jumps import jumps_of

KEEP_S = 2.0
"""How often it is seen who runs. With `shares.GRACE_S` this is how soon the hosts of a process that ended are taken."""
TAKEN_S = 0.3
"""How soon a host is tried again that somebody else works on, or one that it is reached through."""
MOST_TRIES = 200
AGAIN_S = 10.0
"""How soon a process that leads looks at the repository again, if what it follows is not recorded."""
logger = logging.getLogger(__name__)


class Place(sharing.Place, Protocol):
    """`service.history.postgres.place.Place`. The first two do not block."""

    def begin_round(self, share: int) -> None: ...

    def end_round(self) -> None: ...

    def lead(self) -> bool: ...

    def resign(self) -> bool: ...

    def begin_change(self, host: str, alone: Iterable[str], through: Iterable[str]) -> bool: ...

    def end_change(self, host: str) -> None: ...


def key_of(wanted: Callable[[], Wanted], host: str) -> str:
    """Hosts with the same key are worked on by one process: those that are reached through one host, and a host under
    both of its names. A change of one of them could cost another one its confirmation."""
    spec = wanted().hosts.get(host)
    if spec is None:
        return host
    outermost = jumps_of(spec)[-1:]
    if outermost and outermost[0] != host:
        return key_of(wanted, outermost[0])
    return spec.renamed_from or host


class OwnQueue:
    """The queue of a worker: `service.reconcile.ports.HostQueue`. Whoever takes a host from it writes about it only
    while the host's share is held."""

    def __init__(
        self, inner: HostQueue, place: Place, shares: Shares, wanted: Callable[[], Wanted], memory: Memory
    ) -> None:
        self.ended: Callable[[str], None] = lambda _: None
        self._inner = inner
        self._place = place
        self._shares = shares
        self._wanted = wanted
        self._memory = memory
        self._agreed = ""
        self._tries = 0
        self._known: tuple[Wanted, frozenset[str]] = (Wanted(), frozenset())
        self.running: set[str] = set()

    def add(self, name: str, *, after_s: float = 0) -> None:
        """Make a name due. Whoever works on the host of another share follows Git, too."""
        if self._shares.owns(name):
            self._inner.add(name, after_s=after_s)

    def add_first(self, name: str) -> None:
        """Make a name due before others."""
        if self._shares.owns(name):
            self._inner.add_first(name)

    def drop(self, name: str) -> None:
        """Forget a name that nobody wants any more, or that another process works on."""
        self._inner.drop(name)

    async def take(self) -> str:
        """The next due name that nobody else works on."""
        while True:
            name = await self._inner.take()
            self.running.add(name)
            if self._shares.owns(name) and await self._is_agreed() and await self._is_free(name):
                self._place.begin_round(self._shares.share_of(name))
                return name
            self.done(name)
            self.add(name, after_s=TAKEN_S)

    def done(self, name: str) -> None:
        """The name is no longer worked on."""
        self._place.end_round()
        self.running.discard(name)
        self.ended(name)
        self._inner.done(name)

    def is_running(self, name: str) -> bool:
        """Whether this process works on it now."""
        return self._inner.is_running(name)

    @property
    def depth(self) -> int:
        """How many names wait here, due or not."""
        return self._inner.depth

    async def _is_agreed(self) -> bool:
        """Whether the revision that this process follows is in force for all. It waits a while: the process that leads
        may be slower. After that hosts are looked at, but nothing is begun on them (`Member.refuse_old`)."""
        commit = self._wanted().commit
        if commit != self._agreed:
            try:
                newest = await asyncio.to_thread(self._memory.newest_revision, "accepted")
            except StoreError:
                return False
            self._tries += 1
            if (newest is None or newest.commit != commit) and self._tries < MOST_TRIES:
                return False
            self._agreed, self._tries = commit, 0
        return True

    async def _is_free(self, name: str) -> bool:
        """Whether no other process works on a host that this one is reached through, or the other way round. They are
        of one share, unless two processes follow different commits for a moment."""
        hosts = self._wanted().hosts
        through = jumps_of(hosts[name]) if name in hosts else ()
        if not through and name not in self._ways():
            return True
        try:
            await asyncio.to_thread(self._place.end_change, name)
            return await asyncio.to_thread(self._place.begin_change, name, [name], through)
        except StoreError:
            return False

    def _ways(self) -> frozenset[str]:
        """The hosts that others are reached through."""
        wanted = self._wanted()
        if self._known[0] is not wanted:
            self._known = wanted, frozenset(jump for spec in wanted.hosts.values() for jump in jumps_of(spec))
        return self._known[1]


class Following(Protocol):
    """Git, as far as it is followed: `service.reconcile.watching.Watcher`."""

    @property
    def wanted(self) -> Wanted: ...

    def again(self) -> None: ...


class Remembered(Protocol):
    """What is remembered of hosts: `service.reconcile.round.Rounds`."""

    def lose(self, name: str) -> None: ...

    async def recall(self, name: str, wanted: Wanted) -> None: ...


class Member:
    """Keeps the shares of one worker. `moved(shares)` is informed when they are others, `look` wakes the watcher."""

    def __init__(
        self, place: Place, shares: Shares, queue: OwnQueue, watcher: Following, rounds: Remembered, memory: Memory,
        clock: Clock, *, look: Callable[[], None], close: Callable[[str], Awaitable[None]],
        leading: Leading, moved: Callable[[frozenset[int]], None] = lambda _: None,
    ) -> None:  # fmt: skip
        self._place = place
        self._shares = shares
        self._queue = queue
        self._watcher = watcher
        self._rounds = rounds
        self._memory = memory
        self._clock = clock
        self._look = look
        self._close = close
        self._moved = moved
        self._leading = leading
        self._is_behind = False
        self._again_s = -AGAIN_S
        self._loop: asyncio.AbstractEventLoop | None = None
        self._left: set[str] = set()
        queue.ended = self._ended

    def refuse_old(self, _host: str) -> None:
        """HostRefused where this process does not follow the revision that is in force for all. Blocks."""
        newest, mine = self._memory.newest_revision("accepted"), self._watcher.wanted.commit
        if newest is None or newest.commit != mine:
            if self._loop is not None:
                self._loop.call_soon_threadsafe(self._look)
            raise HostRefused(
                "a newer revision is in force, which this process has not read yet", reason="stale",
                hint="look at the new plan",
            )  # fmt: skip

    async def run(self) -> None:
        """Until cancelled."""
        self._loop = asyncio.get_running_loop()
        is_away = False
        while True:
            try:
                await self.keep()
                if is_away:
                    logger.info("the database can be used again")
                is_away = False
            except StoreError as error:
                if not is_away:
                    logger.warning("this process cannot see the others: %s", error)
                is_away = True
            await self._clock.sleep(KEEP_S)

    async def keep(self) -> None:
        """See who runs, and take or leave hosts. StoreError."""
        moved = await self._shares.keep(lambda: self._queue.running, stands_back=await self._stands_back())
        if await asyncio.to_thread(self._leading.keep, has_others=self._shares.has_others):
            await self._lead()
        if not (moved.gained or moved.lost):
            return
        logger.info("this process works on %d of %d shares of the hosts", len(self._shares.mine), sharing.SHARES)
        self._moved(self._shares.mine)
        wanted = self._watcher.wanted
        for name in wanted.hosts:
            if self._shares.share_of(name) in moved.lost:
                await self._leave(name)
        for name in wanted.hosts:
            if self._shares.share_of(name) in moved.gained:
                await self._rounds.recall(name, wanted)
                self._queue.add(name)

    @property
    def is_behind(self) -> bool:
        """Whether a newer revision is in force that cannot be read from here, as of the last look."""
        return self._is_behind

    async def _stands_back(self) -> bool:
        """Whether a newer revision is in force that cannot be read from here: then nothing of it can be done here."""
        newest = await asyncio.to_thread(self._memory.newest_revision, "accepted") if self._leading.is_blind else None
        is_behind = newest is not None and newest.commit != self._watcher.wanted.commit
        if is_behind and not self._is_behind:
            logger.warning("a newer revision is in force that this process cannot read: others that can get its hosts")
        self._is_behind = is_behind
        return is_behind

    async def _lead(self) -> None:
        """What this process follows is in force for all. If it is not recorded as that, this process did not lead when
        it read it, or is behind."""
        newest = await asyncio.to_thread(self._memory.newest_revision, "accepted")
        commit, now_s = self._watcher.wanted.commit, self._clock.monotonic_s()
        if (newest.commit if newest is not None else "") != commit and now_s - self._again_s >= AGAIN_S:
            self._again_s = now_s
            self._watcher.again()
            self._look()

    async def _leave(self, name: str) -> None:
        """Another process works on the host: what is remembered of it here is soon not so any more."""
        self._queue.drop(name)
        if name in self._queue.running:
            self._left.add(name)
            return
        self._rounds.lose(name)
        await self._close(name)

    def _ended(self, name: str) -> None:
        """A round has ended, and the host was another process's meanwhile."""
        if name in self._left:
            self._left.discard(name)
            self._rounds.lose(name)
