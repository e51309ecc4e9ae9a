"""The queue holds names: once at a time, many wishes become one, nothing is lost."""

import asyncio

from service.reconcile.queue import Queue
from tests.reconcile.clocks import StoppedClock


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_many_wishes_for_a_name_become_one() -> None:
    queue = Queue(StoppedClock())
    for _ in range(5):
        queue.add("pve1")
    assert await queue.take() == "pve1"
    queue.done("pve1")
    assert queue.depth == 0


async def test_a_wish_during_work_runs_once_more_afterwards_and_not_beside_it() -> None:
    queue = Queue(StoppedClock())
    queue.add("pve1")
    assert await queue.take() == "pve1"
    queue.add("pve1")
    queue.add("pve1")
    second = asyncio.ensure_future(queue.take())
    await settle()
    assert not second.done()
    queue.done("pve1")
    assert await second == "pve1"
    queue.done("pve1")
    assert queue.depth == 0


async def test_other_names_go_on_while_one_is_worked_on() -> None:
    queue = Queue(StoppedClock())
    queue.add("pve1")
    queue.add("pve2")
    assert {await queue.take(), await queue.take()} == {"pve1", "pve2"}


async def test_a_later_wish_does_not_push_an_earlier_one_back() -> None:
    clock = StoppedClock()
    queue = Queue(clock)
    queue.add("pve1", after_s=5)
    queue.add("pve1", after_s=60)
    taken = asyncio.ensure_future(queue.take())
    await settle()
    assert not taken.done()
    clock.move(5)
    assert await taken == "pve1"


async def test_a_name_that_becomes_due_at_once_overtakes_its_timer() -> None:
    clock = StoppedClock()
    queue = Queue(clock)
    queue.add("pve1", after_s=60)
    taken = asyncio.ensure_future(queue.take())
    await settle()
    queue.add("pve1")
    assert await taken == "pve1"
