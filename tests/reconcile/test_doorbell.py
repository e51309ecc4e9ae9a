"""Receivers that ring: one look at once, one for all that ring meanwhile, some more until the commit is there."""

import asyncio

import pytest

from service.reconcile.doorbell import GAP_S, TRIES, Doorbell
from tests.reconcile.clocks import StoppedClock

OLD, NEW = "a" * 40, "b" * 40


class House:
    """A bell, and a source whose branch is at `head`. `looks` are the times of the looks, in seconds."""

    def __init__(self) -> None:
        self.clock = StoppedClock()
        self.looks: list[float] = []
        self.head = OLD
        self.bell = Doorbell(self.clock, lambda: self.looks.append(self.clock.at_s), lambda: self.head)

    async def passes(self, seconds: float) -> None:
        """Let time pass, second by second, and everybody who waits have a turn."""
        for _ in range(int(seconds)):
            await asyncio.sleep(0)
            self.clock.move(1)
            for _ in range(3):
                await asyncio.sleep(0)


@pytest.fixture
def house() -> House:
    return House()


async def test_the_first_ring_looks_at_once_and_many_more_look_once(house: House) -> None:
    house.bell.ring()
    assert house.looks == [0]
    for _ in range(1000):
        house.bell.ring()
    assert house.looks == [0]
    await house.passes(GAP_S)
    assert house.looks == [0, GAP_S]
    await house.passes(100)
    assert house.looks == [0, GAP_S]


async def test_a_flood_is_one_look_in_each_gap(house: House) -> None:
    for _ in range(60):
        house.bell.ring()
        await house.passes(1)
    assert house.looks == [n * GAP_S for n in range(13)]


async def test_after_the_gap_a_ring_looks_at_once_again(house: House) -> None:
    house.bell.ring()
    await house.passes(GAP_S + 7)
    house.bell.ring()
    assert house.looks == [0, GAP_S + 7]


async def test_a_commit_that_is_not_there_yet_is_looked_for_again(house: House) -> None:
    house.bell.ring(NEW)
    await house.passes(GAP_S + 1)
    assert house.looks == [0, GAP_S]
    house.head = NEW
    await house.passes(100)
    assert house.looks == [0, GAP_S]


async def test_a_commit_that_never_comes_is_looked_for_some_times_only(house: House) -> None:
    house.bell.ring(NEW)
    await house.passes(200)
    assert house.looks == [n * GAP_S for n in range(1 + TRIES)]
    house.bell.ring()
    await house.passes(200)
    assert len(house.looks) == 2 + TRIES
