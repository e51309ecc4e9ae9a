"""Who is woken by a rollout: a host that does not begin keeps no other one from its place."""

import asyncio
from datetime import datetime

import pytest

from service.history import History
from service.model.rollouts import Member, Opening, Policy, Share
from service.model.runs import HostStatus
from service.reconcile.queue import Queue
from service.reconcile.rolling import AGAIN_S, Rolling
from tests.reconcile.clocks import StoppedClock

NAMES = ("pve0", "pve1", "pve2")
ONE = Policy((Share(1),), soak_s=60, max_failures=1)


class Broken:
    """A history in which there is a bug of ours."""

    def __init__(self) -> None:
        self.asked = 0

    def move_rollout(self, _judge: object, *, at: datetime) -> None:
        self.asked += 1
        raise KeyError("waves")


class Woken(Queue):
    """Keeps the names that were added before others."""

    def __init__(self, clock: StoppedClock) -> None:
        super().__init__(clock)
        self.names: list[str] = []

    def add_first(self, name: str) -> None:
        self.names.append(name)


def rolled(history: History, now: datetime, stop: str = "") -> tuple[Rolling, Woken, StoppedClock, str]:
    opening = Opening("a" * 40, ONE, tuple(Member(name, "d1") for name in NAMES), stop, is_plain=False)
    rollout_id, clock = history.store.open_rollout(opening, at=now), StoppedClock()
    queue = Woken(clock)
    return Rolling(history.store, history.queries, clock, queue), queue, clock, rollout_id


async def test_a_suspended_host_that_is_the_first_by_name_keeps_no_other_one_waiting(
    history: History, now: datetime
) -> None:
    rolling, queue, clock, _ = rolled(history, now)
    for _ in range(15):  # none of them begins
        await rolling.move()
        clock.move(1)
    assert queue.names == list(NAMES)
    clock.move(AGAIN_S)
    await rolling.move()
    assert queue.names == [*NAMES, "pve0"]


async def test_hosts_that_waited_for_the_approval_of_their_rollout_are_woken_by_it(
    history: History, now: datetime
) -> None:
    rolling, queue, _, rollout_id = rolled(history, now, "it changes 3 of 3 hosts")
    for name in NAMES:
        history.store.set_host_status(HostStatus(name, phase="WaitingForApproval"), at=now)
    await rolling.move()
    assert queue.names == []
    history.store.resume_rollout(rollout_id, by="ann", reason="I know", at=now)
    await rolling.move()
    assert queue.names == ["pve0"]


async def test_a_bug_in_it_does_not_end_the_loop_and_is_said_once(
    history: History, caplog: pytest.LogCaptureFixture
) -> None:
    broken, clock = Broken(), StoppedClock()
    rolling = Rolling(broken, history.queries, clock, Queue(clock))  # type: ignore[arg-type]
    running = asyncio.ensure_future(rolling.run())
    for _ in range(3):
        clock.napped.clear()
        await asyncio.wait(
            {running, napped := asyncio.ensure_future(clock.napped.wait())}, return_when="FIRST_COMPLETED"
        )
        napped.cancel()
        clock.move(1)
    assert not running.done()
    running.cancel()
    assert broken.asked == 3
    assert len(caplog.records) == 1
