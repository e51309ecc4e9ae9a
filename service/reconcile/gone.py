"""Applies whose rollback says nothing about what Git wants: the service was away, or somebody else changed the host
during the apply.

A host that gets no confirmation rolls the change back. Where the service was there and could not get in, the change is
to blame, and it is latched. If the service was stopped or killed in the middle of it, nobody tried to confirm. The same
change is applied once more, and latched if that happens twice in a row. So is one that met a change by somebody else.
"""

import asyncio
from dataclasses import replace

from service.clock import Clock
from service.errors import WaitsAlready
from service.model.events import ApplyAgain
from service.model.runs import ASKED, Apply, Trigger
from service.model.telling import Ended
from service.reconcile.asked import WITHIN
from service.reconcile.ports import Memory, Record

CONTROLLER_AWAY = "controller away"
THROTTLED = "throttled"
INTERRUPTED = "interrupted"
AWAY = (CONTROLLER_AWAY, THROTTLED, INTERRUPTED)
MEANWHILE = "changed meanwhile"
MISSED = "missed"
"""The cause of a record that has not ended: the deadline passed while the service tried to confirm."""
WHY = {
    CONTROLLER_AWAY: "passerelle was not running when the deadline passed, which says nothing about the change",
    THROTTLED: "sshd refused every login from passerelle's address (PerSourcePenalties), which says nothing about the "
    "change",
}


class Gone:
    """Says the two apart, and asks once more for what a person had requested."""

    def __init__(self, record: Record, memory: Memory, clock: Clock) -> None:
        self._record = record
        self._memory = memory
        self._clock = clock

    async def judged(self, apply: Apply, told: Ended) -> Ended:
        """The end in the host's journal. The cause is `controller away` if nobody tried to confirm, and `throttled` if
        sshd rejected the attempts, each only the first time.
        """
        if told.ending != "rolled_back" or told.cause != "deadline" or apply.cause == MISSED:
            return told
        cause = THROTTLED if apply.cause == THROTTLED else CONTROLLER_AWAY
        why = WHY[cause]
        if await self._is_second(apply, CONTROLLER_AWAY, THROTTLED):
            return replace(told, error=f"{told.error}; {why}, for the second time")
        return replace(told, cause=cause, error=f"{told.error}; {why}. It is tried once more")

    async def is_verdict(self, told: Ended, *, host: str, desired_digest: str, apply_id: str) -> bool:
        """Whether what was rolled back is latched. A change by somebody else counts the second time in a row."""
        if told.cause != MEANWHILE or told.ending == "rollback_failed":
            return told.cause not in AWAY
        return await self._ended_before(host, desired_digest, apply_id, MEANWHILE)

    async def again(self, apply: Apply) -> None:
        """The same request once more, if a person or a program made it; else the loop continues on its own. One to go
        back stays one."""
        asked_at, now = apply.requested_at, self._clock.now()
        is_late = asked_at is None or now - asked_at > WITHIN
        if apply.trigger not in ASKED or is_late or await self._is_second(apply, *AWAY):
            return
        is_back = apply.trigger == "rollback"  # its plan is made again when its turn comes, and has to be the same
        trigger: Trigger = "rollback" if is_back else "retry"
        try:
            again = await asyncio.to_thread(
                self._record.open_apply,
                apply.host,
                plan_id="" if is_back else apply.plan_id,
                commit=apply.commit,
                plan_digest=apply.plan_digest,
                desired_digest=apply.desired_digest,
                trigger=trigger,
                requested_by=apply.requested_by,
                at=now,
                may_raise=apply.may_raise,
            )
        except WaitsAlready:  # a person has requested something else meanwhile
            return
        event = ApplyAgain(host=apply.host, apply=again, before=apply.id)
        await asyncio.to_thread(self._record.add_event, event, at=now)

    async def _is_second(self, apply: Apply, *causes: str) -> bool:
        """Whether the last apply of the same to the host ended so, too."""
        return await self._ended_before(apply.host, apply.desired_digest, apply.id, *causes)

    async def _ended_before(self, host: str, desired_digest: str, apply_id: str, *causes: str) -> bool:
        last = await asyncio.to_thread(self._memory.last_ended, host, desired_digest, before=apply_id)
        return last is not None and last.cause in causes
