"""The stage of a round that decides what happens now, with all that a decision depends on."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace

from service.clock import Clock
from service.kinds.kind import Kind
from service.kinds.packet_rules.written import written_of
from service.model.axes import Phase
from service.model.ceilings import Ceilings
from service.plan.magnitude import too_many_rules, touches_rules, unknown_rules
from service.reconcile import status as statuses
from service.reconcile.asked import Asked
from service.reconcile.decide import Decision, blocked, decide, quarantined
from service.reconcile.gate import Gate
from service.reconcile.ports import Memory, Record
from service.reconcile.turn import Turn
from service.spec.host import HostSpec
from service.spec.models import claims_of


class Deciding:
    """One instance for the fleet. `gate` says whether an apply may begin on a host now. `spec_at(commit, host)`: what
    that commit said of the host, None if that is no longer known."""

    def __init__(
        self,
        record: Record,
        memory: Memory,
        clock: Clock,
        asked: Asked,
        gate: Gate,
        ceilings: Callable[[], Ceilings],
        kinds: Sequence[Kind],
        spec_at: Callable[[str, str], HostSpec | None],
    ) -> None:
        self._record = record
        self._memory = memory
        self._clock = clock
        self._asked = asked
        self._gate = gate
        self._ceilings = ceilings
        self._kinds = kinds
        self._spec_at = spec_at

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
            raises=(*plan.raises, *await self._of_rules(turn)),
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

    async def _of_rules(self, turn: Turn) -> tuple[str, ...]:
        """A person approves what removes most rules of a firewall, where the mode lets nobody approve it otherwise."""
        if turn.status.sync_mode != "auto" or turn.looked.base is None or not touches_rules(turn.plan):
            return ()
        return await asyncio.to_thread(self._removed, turn)

    def _removed(self, turn: Turn) -> tuple[str, ...]:
        """A host that gets the same again loses nothing. What waits for an approval is compared once. Blocks."""
        spec, most, base = turn.spec, self._ceilings().stop_rules, self._memory.base(turn.spec.name)
        if base is None or base.digest == turn.desired.digest or most >= 100:
            return ()
        of, standing = (base.commit, base.digest, turn.desired.digest, str(most)), turn.standing
        if standing.removed[0] == of:
            return standing.removed[1]
        before = self._spec_before(spec, base.commit)
        if before is None:
            return unknown_rules(base.desired, turn.desired, most)
        then, now = (written_of(one, claims_of(one, self._kinds)) for one in (before, spec))
        standing.removed = (of, too_many_rules(then, now, most))
        return standing.removed[1]

    def _spec_before(self, spec: HostSpec, commit: str) -> HostSpec | None:
        """What an earlier commit said of the host, under the name that it has now or had before."""
        names = [spec.name, *([spec.renamed_from] if spec.renamed_from else [])]
        return next((found for name in names if (found := self._spec_at(commit, name))), None)

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
