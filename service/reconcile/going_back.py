"""Going back: a host is brought to what an earlier revision wanted of it, by the way of every other apply.

The plan is made when the request has its turn. It has the same refusals, steps and switch as any other, and it is
recorded. A suspension that was made with the request holds the host there while Git wants the same as before.
"""

import asyncio
from collections.abc import Callable

from service.clock import Clock
from service.model.plans import Plan
from service.reconcile import status as statuses
from service.reconcile.applying import BESIDE_S, Applying
from service.reconcile.asked import Asked
from service.reconcile.decide import Request
from service.reconcile.planning import Planning
from service.reconcile.ports import Hosts, Memory, Record
from service.reconcile.turn import Stop, Turn
from service.resources.desired import Desired, LastApplied
from service.resources.ending import watch_of

STALE = "stale"
OTHER_PLAN = "the plan to that state is not the approved one any more. Look at it again; its digest is now"
MOVED = "Git wants something else of the host since then, or the host was resumed"


class GoingBack:
    """The stage of a round for it. `desired_at(commit, host)`: what that commit wanted of the host, None if that is no
    longer known. `may_begin(host)`: whether a change could be confirmed now."""

    def __init__(
        self, record: Record, memory: Memory, hosts: Hosts, clock: Clock, planning: Planning, asked: Asked,
        applying: Applying, desired_at: Callable[[str, str], Desired | None], may_begin: Callable[[str], bool],
    ) -> None:  # fmt: skip
        self._record = record
        self._memory = memory
        self._hosts = hosts
        self._clock = clock
        self._planning = planning
        self._asked = asked
        self._applying = applying
        self._desired_at = desired_at
        self._may_begin = may_begin

    async def go(self, turn: Turn) -> Stop | None:
        """Carry out the request, or end it with the reason. It waits while the host could not confirm a change."""
        request, name = turn.back, turn.spec.name
        if request is None:
            raise AssertionError("nobody wants to go back")
        if turn.held.quarantined:
            return await self._refused(request, "quarantined", turn.held.message(turn.status))
        if turn.status.sync_mode == "observe":
            return await self._refused(request, STALE, "sync: observe never writes")
        if not await self._is_held(turn):
            return await self._refused(request, STALE, MOVED)
        desired = await asyncio.to_thread(self._desired_at, request.back_to, name)
        if desired is None:
            return await self._refused(request, STALE, f"{request.back_to[:10]} cannot be read any more")
        if not self._may_begin(name):
            return None
        if other := self._applying.beside(turn.spec, turn.wanted.hosts):
            return Stop(f"{other} is being changed, and one of the two is reached through the other", BESIDE_S)
        return await self._apply(turn, request, desired)

    async def _apply(self, turn: Turn, request: Request, desired: Desired) -> Stop | None:
        """Look at all that the earlier state is about, then plan and apply."""
        watch = await asyncio.to_thread(watch_of, desired, LastApplied.from_json(turn.looked.base))
        observed = await self._hosts.observe(turn.spec, watch, turn.addresses)
        looked = turn.looked._replace(desired=desired, observed=observed, commit=request.back_to)
        plan = await self._planning.anew(looked)
        if why := why_not(plan):
            return await self._refused(request, "plan", why)
        if not plan.digest.startswith(request.digest):
            return await self._refused(request, STALE, f"{OTHER_PLAN} {plan.digest}")
        plan_id = await asyncio.to_thread(self._record.record_plan, plan, at=self._clock.now())
        await asyncio.to_thread(self._record.set_apply_plan, request.apply_id, plan_id, plan.digest)
        turn.status = await self._applying.run(turn.spec, turn.standing, turn.status, looked, request, plan)
        if turn.status.phase == "Succeeded":
            turn.standing.applied_by = turn.status.apply_id
            return Stop("the host went back", statuses.SOON_S)
        after_s = statuses.retry_s(turn.status.phase, turn.standing.failures + 1, statuses.RETRY_MOST_S)
        return Stop("the host did not go back", self._clock.jitter(after_s), is_well=False)

    async def _is_held(self, turn: Turn) -> bool:
        """Whether the suspension that was made with the request is in force for what Git wants now."""
        found = await asyncio.to_thread(self._memory.suspended, self._clock.now())
        return any(one.held_digest == turn.desired.digest and one.target == turn.spec.name for one in found)

    async def _refused(self, request: Request, cause: str, why: str) -> Stop | None:
        await self._asked.end_apply(request, "Refused", cause, why)
        return None


def why_not(plan: Plan) -> str:
    """Why a plan that goes back is not carried out; empty where it is. Packages are never removed by it."""
    if plan.refusals:
        return "; ".join(f"{one.what}. Fix: {one.hint}" if one.hint else one.what for one in plan.refusals[:3])
    if removed := [step.fact for step in plan.steps if step.fact.startswith("package:")]:
        return f"it would remove packages ({', '.join(removed)}). Fix: remove them in Git"
    if plan.is_empty:
        unknown = [drift.difference.unknown for drift in plan.drifts if drift.difference.unknown]
        return f"it is not known whether the host is so: {unknown[0]}" if unknown else "the host is so already"
    return ""
