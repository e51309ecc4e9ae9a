"""Which hosts one process of several works on: shares of the fleet by their names, spread over those that run.

    shares = Shares(place, clock, key_of)
    await shares.keep()              takes what falls to this process and lets go of the rest; what it gained and lost
    shares.owns("pve1")              whether this process works on the host now

By rendezvous hashing a process that comes or goes moves only the shares that fall to it. A share is worked on only
while its lock is held: so two processes that disagree about who runs never work on one host. Whoever is not seen any
more keeps its shares for `GRACE_S`: it may have lost its connection only, and be in the middle of an apply.

A process that is behind (`stands_back`) takes no part, so nobody counts it and its shares fall to the others. It lets
go of them while somebody takes part. While nobody does, those that are behind keep what they hold and take what is
free. Then only the locks decide, and one of them may hold far more than another until somebody takes part again.
A process that is behind and is stopped (SIGSTOP) is not among those who take part. The others end its session
nevertheless, because it holds locks of shares (`Place.live`). Then what it held is free.
"""

import asyncio
import hashlib
from collections.abc import Callable, Collection, Iterable
from functools import lru_cache
from typing import NamedTuple, Protocol

from service.clock import Clock

SHARES = 256
GRACE_S = 6.0


class Place(Protocol):
    """What this process holds among several: `service.history.postgres.place.Place`. All but its properties blocks."""

    @property
    def number(self) -> int: ...

    @property
    def session(self) -> int: ...

    def enter(self) -> bool: ...

    def leave(self) -> None: ...

    def live(self) -> frozenset[int]: ...  # who takes part

    def hold(self, shares: Iterable[int]) -> frozenset[int]: ...

    def let_go(self, share: int) -> None: ...


class Moved(NamedTuple):
    """The shares that came and went."""

    gained: frozenset[int]
    lost: frozenset[int]


def share_of(key: str) -> int:
    """The share that a host belongs to."""
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=4).digest()) % SHARES


@lru_cache(maxsize=64)
def spread(numbers: frozenset[int]) -> dict[int, frozenset[int]]:
    """The shares of each process."""
    found: dict[int, set[int]] = {number: set() for number in numbers}
    for share in range(SHARES):
        found[max(numbers, key=lambda number: _weight(number, share))].add(share)
    return {number: frozenset(shares) for number, shares in found.items()}


def _weight(number: int, share: int) -> bytes:
    return hashlib.blake2b(f"{number} {share}".encode(), digest_size=8).digest()


class Shares:
    """One for each process. `key_of(host)`: hosts with the same key belong to one share."""

    def __init__(self, place: Place, clock: Clock, key_of: Callable[[str], str] = lambda host: host) -> None:
        self._place = place
        self._clock = clock
        self._key_of = key_of
        self._seen_s: dict[int, float] = {}
        self._session = -1
        self._leaving: set[int] = set()
        self.mine: frozenset[int] = frozenset()

    def share_of(self, host: str) -> int:
        """The share of a host."""
        return share_of(self._key_of(host))

    def owns(self, host: str) -> bool:
        """Whether this process works on the host."""
        return self.share_of(host) in self.mine

    @property
    def has_others(self) -> bool:
        """Whether another process takes part, or did a moment ago. One that is behind does not."""
        return bool(self._seen_s.keys() - {self._place.number})

    async def keep(self, busy: Callable[[], Collection[str]], *, stands_back: bool = False) -> Moved:
        """See who runs, and hold what falls to this process. Where it `stands_back`, that is nothing while another one
        takes part, and whatever is free while none does.
        `busy()` are the hosts that it works on: their shares are let go when that has ended. StoreError; then it holds
        what it held, as far as the server knows."""
        await asyncio.to_thread(self._place.leave if stands_back else self._place.enter)
        live = await asyncio.to_thread(self._place.live)
        now_s, before = self._clock.monotonic_s(), self.mine
        if self._session != self._place.session:  # the others may have lost theirs, too, and be at work nevertheless
            self._session = self._place.session
            self._seen_s = dict.fromkeys(self._seen_s, now_s)
            before, self.mine, self._leaving = frozenset(), frozenset(), set()
            lost_all = frozenset(range(SHARES))
        else:
            lost_all = frozenset()
        self._seen_s |= dict.fromkeys(live, now_s)
        self._seen_s = {number: at_s for number, at_s in self._seen_s.items() if now_s - at_s <= GRACE_S}
        wanted = self._falls_to_none(live, before) if stands_back else self._falls_here()
        self.mine = before & wanted
        self._leaving |= before - wanted
        await self._let_go(wanted, busy)
        session = self._place.session
        held = await asyncio.to_thread(self._place.hold, wanted)
        if session == self._place.session == self._session:
            self.mine = held & wanted
        return Moved(self.mine - before, lost_all | before - self.mine)

    def _falls_to_none(self, live: frozenset[int], held: frozenset[int]) -> frozenset[int]:
        """What nobody who takes part needs: nothing while one does, and no more than is held while one may be back."""
        if live - {self._place.number}:
            return frozenset()
        return held if self.has_others else frozenset(range(SHARES))

    def _falls_here(self) -> frozenset[int]:
        return spread(frozenset({*self._seen_s, self._place.number}))[self._place.number]

    async def _let_go(self, wanted: Collection[int], busy: Callable[[], Collection[str]]) -> None:
        self._leaving -= set(wanted)
        for share in self._leaving - {self.share_of(host) for host in busy()}:
            self._leaving.discard(share)
            await asyncio.to_thread(self._place.let_go, share)
