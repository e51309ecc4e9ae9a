"""What is recorded of a running apply: the apply never waits for it, what matters is not lost, and it is bounded."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from service.clock import SystemClock
from service.errors import StoreError
from service.history import History, open_history
from service.model.listings import EventListing
from service.model.runs import Apply, Event
from service.model.telling import MissedTold, PhaseTold, ReachedTold, StepTold
from service.reconcile.noting import MOST_STEP_EVENTS, Noting
from tests.state_folders import NAME, made

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
MANY = 40
"""More applies at once than there are threads for everything."""


@pytest.fixture
def history(tmp_path: Path) -> Iterator[History]:
    with open_history(made(tmp_path / "state" / NAME)) as found:
        yield found


def begun(history: History, host: str = "pve1", steps: int = 3) -> str:
    apply_id = history.store.open_apply(
        host, plan_id="", commit="c" * 40, plan_digest="sha256:p", desired_digest="sha256:d", trigger="push",
        requested_by="ann", at=NOW,
    )  # fmt: skip
    planned = [(f"sysctl:{number}", "nat") for number in range(steps)]
    history.store.start_apply(apply_id, generation=1, planned=planned, at=NOW)
    return apply_id


def found(history: History, apply_id: str) -> Apply:
    apply = history.queries.apply(apply_id)
    assert apply is not None
    return apply


def told(history: History, name: str) -> list[dict[str, Any]]:
    asked = EventListing(type=name, limit=200)
    items: list[Event] = []
    while True:
        page = history.queries.events(asked)
        items += page.items
        if page.next is None:
            return [dict(one.detail) for one in items]
        asked = EventListing(type=name, limit=200, start=page.next)


class Away:
    """The store, which cannot write for as long as `fails` says so for the name of a transition."""

    def __init__(self, history: History, fails: Callable[[str], bool]) -> None:
        self._store = history.store
        self._fails = fails

    def __getattr__(self, name: str) -> Any:
        transition = getattr(self._store, name)

        def work(*args: Any, **named: Any) -> Any:
            if self._fails(name):
                raise StoreError("database is locked")
            return transition(*args, **named)

        return work


async def test_a_store_that_hangs_holds_up_no_apply_and_takes_no_thread_from_a_confirmation(history: History) -> None:
    held, free = threading.Event(), threading.Event()
    applies = [begun(history, f"pve{number}") for number in range(MANY)]

    def hangs(name: str) -> bool:
        if name == "reach":
            held.set()
            assert free.wait(60)
        return False

    noting = Noting(Away(history, hangs), SystemClock())  # type: ignore[arg-type]  # a store, all of it
    confirmed: list[str] = []

    async def applied(apply_id: str) -> None:
        async with noting.of(apply_id, "pve1", steps=3) as tell:
            tell(ReachedTold("armed", 60))
            tell(StepTold(0, "done"))
            await asyncio.to_thread(confirmed.append, apply_id)  # as the answer of a host is read
            if len(confirmed) == MANY:
                free.set()

    await asyncio.gather(*map(applied, applies))
    assert held.is_set()
    assert sorted(confirmed) == sorted(applies), "all of them were confirmed while the first one was being recorded"
    assert {found(history, apply_id).steps[0].state for apply_id in applies} == {"done"}


async def test_what_a_store_did_not_take_is_written_later_without_the_moments(history: History) -> None:
    apply_id, is_away = begun(history), True
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()

    def fails(name: str) -> bool:
        if name == "move_steps":
            loop.call_soon_threadsafe(asked.set)
        return is_away

    noting = Noting(Away(history, fails), SystemClock())  # type: ignore[arg-type]  # as above
    async with noting.of(apply_id, "pve1", steps=3) as tell:
        tell(ReachedTold("armed", 60))
        tell(StepTold(0, "done", took_s=2.0))
        tell(PhaseTold("AwaitingConfirmation"))
        await asked.wait()
        is_away = False
        tell(ReachedTold("confirming"))
        tell(MissedTold())
    apply = found(history, apply_id)
    assert [step.state for step in apply.steps] == ["done", "pending", "pending"]
    assert (apply.phase, apply.cause) == ("AwaitingConfirmation", "missed")
    assert [one.name for one in apply.moments] in ([], ["confirming"], ["confirming", "missed"])


async def test_a_store_that_takes_only_no_moments_ends_nothing(history: History) -> None:
    apply_id = begun(history)
    noting = Noting(Away(history, lambda name: name == "reach"), SystemClock())  # type: ignore[arg-type]  # as above
    await noting.reached(apply_id, "packages")
    async with noting.of(apply_id, "pve1", steps=3) as tell:
        tell(ReachedTold("armed", 60))
        tell(StepTold(0, "done"))
        tell(ReachedTold("confirming"))
    assert found(history, apply_id).steps[0].state == "done"
    assert found(history, apply_id).moments == ()


async def test_a_store_that_takes_nothing_is_a_fault_once_it_is_over(history: History) -> None:
    apply_id = begun(history)
    noting = Noting(Away(history, lambda _name: True), SystemClock())  # type: ignore[arg-type]  # as above
    is_over = False
    with pytest.raises(StoreError, match="locked"):
        async with noting.of(apply_id, "pve1", steps=3) as tell:
            tell(StepTold(0, "done"))
            is_over = True
    assert is_over


async def test_a_deadline_counts_from_when_it_was_heard(history: History) -> None:
    apply_id, clock = begun(history), SystemClock()
    async with Noting(history.store, clock).of(apply_id, "pve1", steps=3) as tell:
        before = clock.now()
        tell(ReachedTold("armed", 60))
        after = clock.now()
    reverts_at = found(history, apply_id).reverts_at
    assert reverts_at is not None
    assert before <= reverts_at - timedelta(seconds=60) <= after


@pytest.mark.parametrize("steps", [1, 7, 25, 400])
async def test_the_events_of_an_apply_are_bounded_however_many_steps_it_has(history: History, steps: int) -> None:
    apply_id = begun(history, steps=steps)
    async with Noting(history.store, SystemClock()).of(apply_id, "pve1", steps=steps) as tell:
        for number in range(steps):
            tell(StepTold(number, "doing"))
            await asyncio.sleep(0)
            tell(StepTold(number, "failed" if number == steps - 1 else "done", error="no"))
            await asyncio.sleep(0)
    events = told(history, "apply.step")
    assert 1 <= len(events) <= MOST_STEP_EVENTS + 2
    assert (events[-1]["state"], events[-1]["done"], events[-1]["steps"]) == ("failed", steps, steps)
    assert {step.state for step in found(history, apply_id).steps[:-1]} <= {"done"}
