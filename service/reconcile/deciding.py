"""The stage of a round that decides what happens now, with all that a decision depends on."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

from service.clock import Clock
from service.model.axes import Phase
from service.model.ceilings import Ceilings
from service.plan.magnitude import too_many_rules
from service.reconcile import status as statuses
from service.reconcile.asked import Asked
from service.reconcile.decide import Decision, blocked, decide, quarantined
from service.reconcile.gate import Gate
from service.reconcile.ports import Memory, Record
from service.reconcile.turn import Turn


class Deciding:
    """One instance for the fleet. `gate` says whether an apply may begin on a host now."""

    def __init__(
        self,
        record: Record,
        memory: Memory,
        clock: Clock,
        asked: Asked,
        gate: Gate,
        ceilings: Callable[[], Ceilings],
    ) -> None:
        self._record = record
        self._memory = memory
        self._clock = clock
        self._asked = asked
        self._gate = gate
        self._ceilings = ceilings

    async def decide(self, turn: Turn) -> None:
        """What happens now, by mode, drift, latch, requests, and whether the host is free."""
        spec, plan, standing, mode = turn.spec, turn.plan, turn.standing, turn.status.sync_mode
        held = turn.held.message(turn.status) if turn.held.quarantined else ""
        latches = await asyncio.to_thread(self._memory.latches, spec.name)
        ends = [latch.error for latch in latches if latch.desired_digest == plan.desired_digest]
        latched = bool(ends)
        if len(latches) > latched:
            wanted, now = plan.desired_digest, self._clock.now()
            await asyncio.to_thread(self._record.drop_latches, spec.name, wanted=wanted, at=now)
        contested = standing.is_contested(plan, self._clock.monotonic_s())
        await self._end_outdated(turn)
        request = turn.request = await self._asked.apply(spec.name)
        if request is not None and request.back_to:
            turn.back, turn.request, request = request, None, None
        decision = decide(
            plan,
            mode,
            raises=(*plan.raises, *self._of_rules(turn)),
            capped=self._ceilings().why_capped(spec.name, spec.sync, mode),
            latched=latched,
            why_latched="".join(ends[:1]),
            request=request,
            contested=contested,
        )
        decision, cause = await self._let_begin(turn, decision)
        decision = quarantined(decision, held) if held else decision
        if decision.stale_request and request is not None:
            why = decision.message or "there is nothing to apply"
            await self._asked.end_apply(request, "Refused", "quarantined" if held else cause, why)
        turn.decision = decision
        turn.status = statuses.seen(
            turn.status, decision, at=turn.observed.observed_at, commit=turn.wanted.commit,
            desired_digest=turn.desired.digest, drift_items=len(plan.drifts),
        )  # fmt: skip
        turn.show(plan_id=standing.plan_id, message=turn.status.message or standing.worth_knowing(plan))

    def _of_rules(self, turn: Turn) -> tuple[str, ...]:
        """A person approves what removes most rules of a firewall, where the mode lets nobody approve it otherwise."""
        if turn.status.sync_mode != "auto":
            return ()
        return too_many_rules(turn.plan, turn.looked.base, turn.desired, self._ceilings().stop_rules)

    async def _end_outdated(self, turn: Turn) -> None:
        """Git wants something else of the host: what held it at an earlier state is over."""
        if turn.status.desired_digest in ("", turn.desired.digest):
            return
        now = self._clock.now()
        for one in await asyncio.to_thread(self._memory.suspended, now):
            if one.held_digest not in ("", turn.desired.digest) and one.target == turn.spec.name:
                await asyncio.to_thread(self._record.end_suspension, one.id, by="git", at=now)

    async def _let_begin(self, turn: Turn, decision: Decision) -> tuple[Decision, str]:
        """The same decision where an apply may begin now, else to wait; and why a request of a person ends."""
        if decision.action != "apply":
            return decision, "stale"
        held = await self._gate.blocked(turn.spec, turn.desired.digest)
        if held is None:
            return decision, "stale"
        if held.until is not None:
            turn.again_within((held.until - self._clock.now()).total_seconds())
        phase: Phase = "WaitingForWindow" if held.cause == "window" else "Pending"
        return replace(blocked(decision, held.why, phase), stale_request=turn.request is not None), held.cause
