"""What is informed of a step and of the source, where one part of it comes alone."""

import asyncio
from datetime import timedelta
from pathlib import Path

from service.model.telling import StepTold
from service.reconcile.loop import Loop
from tests.laws.specs import head
from tests.reconcile.rooms import a_room
from tests.reconcile.test_controller_away import BRIDGE, applies


async def test_a_step_that_was_over_before_it_was_seen_to_begin_has_both_times(tmp_path: Path) -> None:
    with a_room(tmp_path) as room:
        room.hosts.tells = [StepTold(0, "done", took_s=2.5), StepTold(1, "doing"), StepTold(1, "done", took_s=9.0)]
        await room.push(head() + BRIDGE)
        await room.round()
        apply = room.queries.apply(applies(room)[0].id)
        assert apply is not None
        first, second, *rest = apply.steps
        assert (first.state, second.state) == ("done", "done")
        assert first.started_at is not None
        assert first.ended_at is not None
        assert first.ended_at - first.started_at == timedelta(seconds=2.5)
        assert second.started_at == second.ended_at, "its begin was seen, by a clock that stands still"
        assert rest
        assert {(step.state, step.started_at, step.ended_at) for step in rest} == {("pending", None, None)}


async def test_an_answer_of_the_source_is_counted(tmp_path: Path) -> None:
    with a_room(tmp_path) as room:
        await room.push(head() + BRIDGE)
        room.clock.move(5)
        counted = asyncio.Event()
        loop = Loop(room.watcher, room.rounds, room.queue, room.clock, poll_s=60, workers=0, fetched=counted.set)
        running = asyncio.ensure_future(loop.run())
        waited = asyncio.ensure_future(counted.wait())
        await asyncio.wait([running, waited], timeout=20, return_when=asyncio.FIRST_COMPLETED)
        for task in (running, waited):
            task.cancel()
        await asyncio.wait([running, waited])
        assert counted.is_set()
