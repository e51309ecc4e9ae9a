"""Requests of people and programs for a host that are not carried out yet.

A request is its row in the history and nothing else. The requester writes it, and the round reads it when its turn has
come. So it survives a restart of the service.
"""

import asyncio
from datetime import datetime, timedelta

from service.clock import Clock
from service.model.axes import Phase
from service.model.runs import Drill, Release
from service.reconcile.decide import Request
from service.reconcile.ports import Memory, Record

WITHIN = timedelta(hours=2)
"""What a person requested longer ago than that is not done on its own any more."""
LATE = "late"
WHY_LATE = f"it was requested more than {WITHIN.seconds // 3600} hours ago and could not start. Fix: request it again"


class Asked:
    """The requests that wait, by host; of each kind one at a time."""

    def __init__(self, record: Record, memory: Memory, clock: Clock) -> None:
        self._record = record
        self._memory = memory
        self._clock = clock

    async def apply(self, host: str) -> Request | None:
        """The apply that waits. One that is late is ended, and its requester is informed."""
        found = await asyncio.to_thread(self._memory.waiting_apply, host)
        if found is None:
            return None
        back_to = found.commit if found.trigger == "rollback" else ""
        request = Request(found.id, found.requested_by, found.plan_digest, found.plan_id, found.may_raise, back_to)
        if self._is_late(found.requested_at):
            await self.end_apply(request, "Refused", LATE, WHY_LATE)
            return None
        return request

    async def end_apply(self, request: Request, phase: Phase, cause: str, why: str) -> None:
        """The request is not carried out, and the requester is informed at once."""
        await asyncio.to_thread(
            self._record.finish_apply, request.apply_id, phase, at=self._clock.now(), cause=cause, error=why
        )

    async def drill(self, host: str) -> Drill | None:
        """The drill that waits. One that is late is ended, and its requester is informed."""
        found = await asyncio.to_thread(self._memory.waiting_drill, host)
        if found is not None and self._is_late(found.requested_at):
            await self.end_drill(found.id, WHY_LATE)
            return None
        return found

    async def end_drill(self, drill_id: str, why: str) -> None:
        """The drill does not happen; nothing is proven."""
        await asyncio.to_thread(self._record.finish_drill, drill_id, proofs=(), error=why, at=self._clock.now())

    async def take_release(self, host: str) -> Release | None:
        """The quarantine that a person wants lifted. It is tried once: what the host says instead is reported."""
        found = await asyncio.to_thread(self._memory.release_asked, host)
        if found is None:
            return None
        await asyncio.to_thread(self._record.end_release, host)
        return None if self._is_late(found.requested_at) else found

    async def give_up(self, host: str, phase: Phase, cause: str, why: str) -> None:
        """Nothing of this host is done now: whoever waits for an apply or a drill is informed."""
        if request := await self.apply(host):
            await self.end_apply(request, phase, cause, why)
        if drill := await self.drill(host):
            await self.end_drill(drill.id, why)

    def _is_late(self, at: datetime | None) -> bool:
        return at is None or self._clock.now() - at > WITHIN
