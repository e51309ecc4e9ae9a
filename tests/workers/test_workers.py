"""Where work is done: small quick work in a thread, all else in processes that are stopped when they take too much."""

import asyncio
import os
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import pytest

from service.errors import Garbled, TooMuch
from service.work import Effort
from service.workers import Workers
from service.workers.workers import LARGE_BYTES, THREAD_BYTES
from tests.workers import jobs

T = TypeVar("T")

QUICK = Effort("a look", size=10, cpu_s=1)
DEEP = Effort("planning pve1", size=10, cpu_s=1, kind="deep")
LARGE = Effort("reading pve1", size=LARGE_BYTES + 1, cpu_s=1)


def with_workers(use: Callable[[Workers], Awaitable[T]]) -> T:
    async def run() -> T:
        workers = Workers()
        try:
            return await use(workers)
        finally:
            await workers.close()

    return asyncio.run(run())


def test_quick_small_work_is_done_in_a_thread_of_its_own() -> None:
    async def use(workers: Workers) -> tuple[str, int]:
        return await workers.run(QUICK, jobs.thread_name), await workers.run(QUICK, jobs.process)

    name, process = with_workers(use)
    assert name.startswith("reading")
    assert name != threading.current_thread().name
    assert process == os.getpid()


@pytest.mark.parametrize("effort", [DEEP, LARGE, Effort("reading", size=THREAD_BYTES + 1, cpu_s=1)])
def test_all_else_is_done_in_a_process_that_is_kept(effort: Effort) -> None:
    async def use(workers: Workers) -> list[int]:
        return [await workers.run(effort, jobs.process) for _ in range(3)]

    first, *others = with_workers(use)
    assert first != os.getpid()
    assert others == [first, first]
    assert not Path(f"/proc/{first}").exists()  # closed with the workers


def test_large_work_never_stands_before_ordinary_work() -> None:
    async def use(workers: Workers) -> None:
        assert await workers.run(DEEP, jobs.add, 1, other=2) == 3  # its process has begun
        large = asyncio.ensure_future(workers.run(LARGE, jobs.for_ever))
        for _ in range(20):
            assert await workers.run(DEEP, jobs.add, 1, other=2) == 3
        assert not large.done()
        with pytest.raises(TooMuch):
            await large

    with_workers(use)


def test_work_beyond_its_cpu_time_is_stopped_in_words_and_the_next_is_done() -> None:
    async def use(workers: Workers) -> str:
        with pytest.raises(TooMuch) as stopped:
            await workers.run(DEEP, jobs.for_ever)
        assert await workers.run(DEEP, jobs.add, 1, 1) == 2
        return str(stopped.value)

    assert with_workers(use).startswith("planning pve1 took more than 1 s of CPU time and was stopped (")


def test_the_cpu_time_of_earlier_work_does_not_count() -> None:
    async def use(workers: Workers) -> list[int]:
        return [await workers.run(Effort("a", LARGE_BYTES + 1, 1), jobs.spin, 0.4) for _ in range(3)]

    assert len(set(with_workers(use))) == 1


def test_work_beyond_its_memory_is_stopped_in_words() -> None:
    async def use(workers: Workers) -> str:
        with pytest.raises(TooMuch) as stopped:
            await workers.run(DEEP, jobs.all_memory)
        assert await workers.run(DEEP, jobs.add, 1, 1) == 2
        return str(stopped.value)

    assert "took more than 192 MiB of memory and was stopped" in with_workers(use)


def test_a_process_that_has_grown_is_not_kept() -> None:
    async def use(workers: Workers) -> list[int]:
        return [await workers.run(LARGE, jobs.grown, 90 << 20), await workers.run(LARGE, jobs.process)]

    first, second = with_workers(use)
    assert first != second


def test_an_error_comes_back_as_it_was() -> None:
    async def use(workers: Workers) -> None:
        with pytest.raises(Garbled) as told:
            await workers.run(DEEP, jobs.garbled)
        assert str(told.value) == "no answer (look)"
        assert "in garbled" in "".join(told.value.__notes__)
        with pytest.raises(RuntimeError, match="HostRefused: no"):
            await workers.run(DEEP, jobs.refused)

    with_workers(use)


def test_a_process_that_somebody_ended_is_started_once_more_and_then_it_is_said() -> None:
    async def use(workers: Workers) -> None:
        first = await workers.run(DEEP, jobs.process)
        os.kill(first, 9)
        assert await workers.run(DEEP, jobs.process) != first
        with pytest.raises(TooMuch, match="planning pve1 ended its process"):
            await workers.run(DEEP, jobs.ended_by_itself)

    with_workers(use)


def test_what_work_prints_is_no_answer() -> None:
    async def use(workers: Workers) -> int:
        return await workers.run(DEEP, jobs.printed)

    assert with_workers(use) == 1


def test_closing_ends_work_under_way_at_once() -> None:
    async def run() -> None:
        workers = Workers()
        await workers.run(DEEP, jobs.add, 1, 1)
        under_way = asyncio.ensure_future(workers.run(Effort("a", 10, 60, "deep"), jobs.for_ever))
        await asyncio.sleep(0)
        began_s = time.monotonic()
        await workers.close()
        with pytest.raises((TooMuch, asyncio.CancelledError)):
            await under_way
        assert time.monotonic() - began_s < 30

    asyncio.run(run())
