"""The queue holds names: once at a time, many wishes become one, nothing is lost."""

import asyncio
import math
import random

import pytest

from service.reconcile.queue import AHEAD_S, Queue
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


async def test_two_names_that_become_due_at_once_are_both_taken_at_once() -> None:
    """The second one must not wait until something else is due. One who is about to wait is woken even if another one
    takes a name first."""
    queue = Queue(StoppedClock())
    queue.add("pve9", after_s=60)
    waiting = asyncio.ensure_future(queue.take())
    await asyncio.sleep(0)
    queue.add("pve1")
    queue.add("pve2")
    taken = await queue.take()
    await settle()
    assert waiting.done(), "nobody takes the second name, though it is due"
    assert {waiting.result(), taken} == {"pve1", "pve2"}


async def test_one_who_gives_up_waiting_leaves_the_rest_to_the_next() -> None:
    clock = StoppedClock()
    queue = Queue(clock)
    takers = [asyncio.ensure_future(queue.take()) for _ in range(3)]
    await settle()
    takers[0].cancel()
    await settle()
    queue.add("pve1", after_s=5)
    queue.add("pve2", after_s=5)
    await settle()
    takers[1].cancel()
    await settle()
    clock.move(5)
    assert await takers[2] == "pve1"
    assert await queue.take() == "pve2"


async def test_what_a_commit_changed_comes_before_what_is_due() -> None:
    clock = StoppedClock()
    queue = Queue(clock)
    queue.add("pve1")
    queue.add("pve2")
    clock.move(1000)
    queue.add_first("pve3")
    queue.add_first("pve2")
    queue.add("pve3")
    assert [await queue.take() for _ in range(3)] == ["pve2", "pve3", "pve1"]
    queue.add_first("pve3")  # it is worked on
    queue.add_first("pve4")
    assert await queue.take() == "pve4"
    queue.add("pve5")
    queue.done("pve3")
    assert await queue.take() == "pve3"


@pytest.mark.parametrize("seed", range(20))
async def test_whatever_happens_the_name_that_is_due_first_and_free_comes_next(seed: int) -> None:
    """The same as a plain list of names with their times, in 200 steps by chance."""
    chance, clock = random.Random(seed), StoppedClock()
    queue, due, running = Queue(clock), dict[str, float](), set[str]()
    for _ in range(200):
        name, now_s = f"pve{chance.randrange(6)}", clock.monotonic_s()
        free = sorted((at_s, one) for one, at_s in due.items() if one not in running and at_s <= now_s)
        match chance.choice(("add", "add", "first", "take", "done", "drop", "wait")):
            case "first":
                queue.add_first(name)
                due[name] = min(now_s - AHEAD_S, due.get(name, math.inf))
            case "add":
                after_s = chance.choice((0, 0, 3, 7))
                queue.add(name, after_s=after_s)
                due[name] = min(now_s + after_s, due.get(name, now_s + after_s))
            case "take" if free:
                assert await queue.take() == free[0][1]
                due.pop(free[0][1])
                running.add(free[0][1])
            case "done" if name in running:
                queue.done(name)
                running.discard(name)
            case "drop":
                queue.drop(name)
                due.pop(name, None)
            case "wait":
                clock.move(chance.choice((1, 3)))
        assert queue.depth == len(due)
        assert {one for one in due.keys() | running if queue.is_running(one)} == running
