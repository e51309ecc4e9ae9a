"""What a host says of an apply goes into the record as it comes, and never holds up the apply.

    async with noting.of(apply_id, host, steps=17) as told:
        told(StepTold(3, "done"))            returns at once

The caller waits for nothing. The record is written by one thread that nothing else uses, so that a slow store takes
no thread from the confirmation. What it did not take is sent again with what comes next, and once more at the end. Only
the moments are not sent again: an event less is better than one that comes when it is over.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from contextvars import copy_context
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import NamedTuple

from service.clock import Clock
from service.errors import StoreError
from service.model.events import ApplyStepped, GuestProgress
from service.model.runs import MomentName, StepState
from service.model.telling import GuestWorkTold, MissedTold, PhaseTold, ProbesTold, ReachedTold, StepTold, Told
from service.reconcile.ports import Record

MOST_STEP_EVENTS = 50
"""About so many events of one apply are about its steps, and one more for each step that failed."""
logger = logging.getLogger(__name__)
Move = tuple[int, StepState, datetime, str]


class Said(NamedTuple):
    """What a host said, and when that was heard."""

    at: datetime
    told: Told


@dataclass
class Apply:
    """An apply as far as it was heard. `states` are those of its steps, `share` is how far the events have come."""

    id: str
    host: str
    steps: int
    states: dict[int, StepState]
    share: int = 0

    def moves(self, said: Said) -> list[Move]:
        """The moves of a step. One that was over before it was seen to begin has begun, too."""
        at, told = said
        if not isinstance(told, StepTold) or self.states.get(told.position) == told.state:
            return []
        was_seen = told.position in self.states or told.state not in ("done", "failed")
        self.states[told.position] = told.state
        move: Move = (told.position, told.state, at, told.error)
        return [move] if was_seen else [(told.position, "doing", at - timedelta(seconds=told.took_s), ""), move]

    def event(self, moves: list[Move]) -> ApplyStepped | None:
        """The event of some moves. None where there were enough of them for the way that was made."""
        done = sum(state not in ("pending", "doing") for state in self.states.values())
        share = (len(self.states) + done) * MOST_STEP_EVENTS // max(2 * self.steps, MOST_STEP_EVENTS)
        if share == self.share and all(state != "failed" for _, state, _, _ in moves):
            return None
        self.share = share
        position, state, _, _ = moves[-1]
        return ApplyStepped(host=self.host, apply=self.id, position=position, state=state, done=done, steps=self.steps)


class Noting:
    """Writes what hosts say of their applies."""

    def __init__(self, record: Record, clock: Clock) -> None:
        self._record = record
        self._clock = clock
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="noting")

    @asynccontextmanager
    async def of(self, apply_id: str, host: str, *, steps: int) -> AsyncIterator[Callable[[Told], None]]:
        """What takes the host's words; all of them are recorded when it ends. StoreError if that was not possible."""
        said: asyncio.Queue[Said | None] = asyncio.Queue()
        writer = asyncio.create_task(self._write(Apply(apply_id, host, steps, {}), said))
        try:
            yield lambda told: said.put_nowait(Said(self._clock.now(), told))
        finally:
            said.put_nowait(None)
            await writer

    async def reached(self, apply_id: str, moment: MomentName) -> None:
        """The service itself has come so far with an apply, and nothing is armed."""
        await self._in_order([self._moment(apply_id, moment, self._clock.now())], is_last=True)

    async def _write(self, apply: Apply, said: "asyncio.Queue[Said | None]") -> None:
        owed: list[Write] = []
        is_over = False
        while not is_over:
            heard = [await said.get()]
            while not said.empty():
                heard.append(said.get_nowait())
            is_over = heard[-1] is None
            owed += self._writes(apply, [one for one in heard if one is not None])
            owed = await self._in_order(owed, is_last=is_over)

    async def _in_order(self, owed: list["Write"], *, is_last: bool) -> list["Write"]:
        """Write until something fails. What is left to be written."""
        loop = asyncio.get_running_loop()
        while owed:
            try:
                await loop.run_in_executor(self._thread, copy_context().run, owed[0].work)
                owed = owed[1:]
            except StoreError as error:
                is_lost = owed[0].may_be_lost
                if is_last and not is_lost:
                    raise
                logger.warning("what happens in an apply cannot be recorded now: %s", error)
                owed = [one for one in owed if not one.may_be_lost]
                if not is_lost:
                    break
        return owed

    def _writes(self, apply: Apply, heard: list[Said]) -> Iterator["Write"]:
        """One for each thing, in order; steps that follow each other are one."""
        moves: list[Move] = []
        for one in heard:
            if isinstance(one.told, StepTold):
                moves += apply.moves(one)
                continue
            if moves:
                yield self._steps(apply, moves)
                moves = []
            yield self._write_of(apply, one)
        if moves:
            yield self._steps(apply, moves)

    def _steps(self, apply: Apply, moves: list[Move]) -> "Write":
        return Write(partial(self._record.move_steps, apply.id, moves, apply.event(moves)))

    def _moment(self, apply_id: str, moment: MomentName, at: datetime, left_s: float | None = None) -> "Write":
        reverts_at = None if left_s is None else at + timedelta(seconds=left_s)
        return Write(partial(self._record.reach, apply_id, moment, at=at, reverts_at=reverts_at), may_be_lost=True)

    def _write_of(self, apply: Apply, said: Said) -> "Write":
        at, told = said
        if isinstance(told, PhaseTold):
            return Write(partial(self._record.set_apply_phase, apply.id, told.phase))
        if isinstance(told, ReachedTold):
            return self._moment(apply.id, told.moment, at, told.left_s)
        if isinstance(told, MissedTold):
            return Write(partial(self._record.note_missed, apply.id, told.cause))
        if isinstance(told, ProbesTold):
            return Write(partial(self._record.set_probes, apply.id, told.probes))
        if isinstance(told, GuestWorkTold):
            done = GuestProgress(host=apply.host, guest=told.guest, apply=apply.id, doing=told.doing)
            return Write(partial(self._record.add_event, done, at=at))
        raise AssertionError(f"nothing is written of {told}")


class Write(NamedTuple):
    """Something to write into the record; `may_be_lost`: not a second time."""

    work: Callable[[], object]
    may_be_lost: bool = False
