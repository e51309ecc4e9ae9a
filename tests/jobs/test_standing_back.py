"""Workers that cannot read the revision in force: they keep their hosts while nobody can do better."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import pytest

from service.reconcile.member import KEEP_S
from service.reconcile.shares import GRACE_S, SHARES, Moved, Shares
from tests.reconcile.clocks import StoppedClock

EVERY = frozenset(range(SHARES))


@dataclass
class Locks:
    """Who takes part, and who holds which share, as the server knows it."""

    there: set[int] = field(default_factory=set)
    held: dict[int, int] = field(default_factory=dict)


@dataclass
class Seat:
    """One session of the server."""

    locks: Locks
    number: int
    session: int = 0

    def enter(self) -> bool:
        self.locks.there.add(self.number)
        return True

    def leave(self) -> None:
        self.locks.there.discard(self.number)

    def live(self) -> frozenset[int]:
        return frozenset(self.locks.there)

    def hold(self, shares: Iterable[int]) -> frozenset[int]:
        for share in shares:
            self.locks.held.setdefault(share, self.number)
        return frozenset(share for share, number in self.locks.held.items() if number == self.number)

    def let_go(self, share: int) -> None:
        if self.locks.held.get(share) == self.number:
            del self.locks.held[share]


class Workers:
    """Some of them. Each is seen to every `KEEP_S`, its own part of that after the first one."""

    def __init__(self, offsets_s: Sequence[float]) -> None:
        self.clock = StoppedClock()
        self.locks = Locks()
        self.shares = [Shares(Seat(self.locks, number), self.clock) for number, _ in enumerate(offsets_s, 1)]
        self.offsets_s = sorted(offsets_s)

    async def run(self, within_s: float, behind: frozenset[int]) -> list[Moved]:
        """What each gained and lost in each turn. `behind` are the numbers of workers."""
        moved = []
        for _ in range(int(within_s / KEEP_S)):
            at_s = 0.0
            for number, (one, offset_s) in enumerate(zip(self.shares, self.offsets_s, strict=True), 1):
                self.clock.move(offset_s - at_s)
                at_s = offset_s
                moved.append(await one.keep(lambda: (), stands_back=number in behind))
            self.clock.move(KEEP_S - at_s)
        assert sum(len(one.mine) for one in self.shares) == len(self.mine()), "no share is two workers'"
        return moved

    def mine(self) -> frozenset[int]:
        return frozenset().union(*(one.mine for one in self.shares))


@pytest.mark.parametrize("offset_s", [0.0, 0.1, 0.7, 1.0, 1.3, 1.9])
@pytest.mark.parametrize("first", [1, 2])
async def test_two_that_stand_back_keep_every_host_and_pass_none_to_and_fro(offset_s: float, first: int) -> None:
    workers = Workers([0.0, offset_s])
    await workers.run(10, frozenset())
    assert all(one.mine for one in workers.shares) and workers.mine() == EVERY
    await workers.run(KEEP_S, frozenset({first}))
    await workers.run(GRACE_S + 2 * KEEP_S, frozenset({1, 2}))
    assert workers.mine() == EVERY
    for one in await workers.run(120, frozenset({1, 2})):
        assert one == Moved(frozenset(), frozenset())
    assert workers.mine() == EVERY


async def test_one_keeps_its_hosts_that_stands_back_while_the_other_one_does() -> None:
    workers = Workers([0.0, 1.0])
    await workers.run(10, frozenset())
    kept = workers.shares[1].mine
    for one in await workers.run(30, frozenset({1, 2})):
        assert not one.lost & kept


@pytest.mark.parametrize("seeing", [1, 2])
async def test_one_that_can_read_it_again_gets_them_all(seeing: int) -> None:
    workers = Workers([0.0, 0.7])
    await workers.run(10, frozenset())
    await workers.run(30, frozenset({1, 2}))
    await workers.run(GRACE_S + 2 * KEEP_S, frozenset({1, 2} - {seeing}))
    assert workers.shares[seeing - 1].mine == EVERY
    await workers.run(GRACE_S + 2 * KEEP_S, frozenset())
    assert all(one.mine for one in workers.shares) and workers.mine() == EVERY


async def test_one_that_stands_back_waits_for_the_connection_of_another_one_that_is_gone() -> None:
    """The other one may have lost its connection only, and be in the middle of an apply."""
    workers = Workers([0.0, 0.5])
    await workers.run(10, frozenset({1}))
    one, two = workers.shares
    assert two.mine == EVERY
    workers.locks.there.clear()
    workers.locks.held.clear()
    assert not (await one.keep(lambda: (), stands_back=True)).gained
    workers.clock.move(GRACE_S + KEEP_S)
    assert (await one.keep(lambda: (), stands_back=True)).gained == EVERY
