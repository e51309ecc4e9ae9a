"""What a queue of hosts promises, in one process and between several: once at a time, many wishes become one."""

import asyncio
import random
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from service.lab.waiting import grown_s
from tests.jobs.queues import Ends, in_process, over_jobs
from tests.state_folders import Patterns, in_both_kinds


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    in_both_kinds(metafunc)


@pytest_asyncio.fixture
async def ends(database: str, patterns: Patterns) -> AsyncIterator[Ends]:
    with patterns.database(database) as url:
        async with in_process() if url is None else over_jobs(url) as made:
            yield made


async def test_many_wishes_for_a_name_become_one(ends: Ends) -> None:
    for _ in range(5):
        ends.asks.add("pve1")
    assert await ends.take() == "pve1"
    ends.works.done("pve1")
    await ends.nothing_comes()


async def test_a_wish_during_work_runs_once_more_afterwards_and_not_beside_it(ends: Ends) -> None:
    ends.asks.add("pve1")
    assert await ends.take() == "pve1"
    for _ in range(3):
        ends.asks.add("pve1")
    await ends.nothing_comes()
    ends.works.done("pve1")
    assert await ends.take() == "pve1"
    ends.works.done("pve1")
    await ends.nothing_comes()


async def test_other_names_go_on_while_one_is_worked_on(ends: Ends) -> None:
    ends.asks.add("pve1")
    ends.asks.add("pve2")
    assert {await ends.take(), await ends.take()} == {"pve1", "pve2"}
    assert ends.works.is_running("pve1") and ends.works.is_running("pve2")


async def test_a_timer_of_the_process_that_works_is_kept(ends: Ends) -> None:
    ends.works.add("pve1", after_s=3600)
    await ends.nothing_comes()
    assert ends.works.depth == 1
    ends.asks.add("pve1")
    assert await ends.take() == "pve1"
    assert ends.works.depth == 0


async def test_a_name_that_is_to_be_first_comes_as_any_other_and_once(ends: Ends) -> None:
    ends.asks.add_first("pve1")
    ends.asks.add_first("pve1")
    assert await ends.take() == "pve1"
    ends.works.done("pve1")
    await ends.nothing_comes()


async def test_no_name_is_ever_worked_on_twice_at_once_and_none_is_lost(ends: Ends) -> None:
    names, rng = [f"pve{number}" for number in range(8)], random.Random(7)
    running: set[str] = set()
    ended = asyncio.Event()
    looked = dict.fromkeys(names, 0)

    async def work() -> None:
        while True:
            name = await ends.works.take()
            assert name not in running
            running.add(name)
            looked[name] += 1
            for _ in range(rng.randrange(5)):
                await asyncio.sleep(0)
            running.discard(name)
            ends.works.done(name)
            ended.set()

    workers = [asyncio.ensure_future(work()) for _ in range(4)]
    for _ in range(200):
        ends.asks.add(rng.choice(names))
        await asyncio.sleep(0)
    before = dict(looked)
    for name in names:
        ends.asks.add(name)
    async with asyncio.timeout(grown_s(20)):
        while any(looked[name] == before[name] for name in names):
            await ended.wait()
            ended.clear()
    for worker in workers:
        worker.cancel()
    for one in await asyncio.gather(*workers, return_exceptions=True):
        assert isinstance(one, asyncio.CancelledError)
