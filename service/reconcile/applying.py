"""Driving one apply: packages, guests, the transaction, the record. The host's journal is the truth about it."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from service.clock import Clock
from service.errors import HostError, HostRefused
from service.logs import about, note
from service.model.plans import Plan, coming, to_fill, to_make, to_start
from service.model.runs import Apply, HostStatus, Trigger
from service.model.telling import Ended, Fence
from service.reconcile import status as statuses
from service.reconcile.asked import Asked
from service.reconcile.decide import Request
from service.reconcile.gate import Gate
from service.reconcile.gone import AWAY, INTERRUPTED, Gone
from service.reconcile.noting import Noting
from service.reconcile.planning import Planning
from service.reconcile.ports import Hosts, Memory, Record
from service.reconcile.stages import Stage, always, through
from service.reconcile.standing import Looked, Standing
from service.resources.desired import Desired, LastApplied
from service.resources.ending import watch_of
from service.spec.host import HostSpec
from service.spec.jumps import jumps_of

logger = logging.getLogger(__name__)

Settled = Literal["free", "ended", "armed"]
"""Nothing was open; what was open has ended and is recorded; something is still armed on the host."""

BESIDE_S = 2.0
"""How soon a change is tried again that waits for the change of a jump host, or of a host behind it."""


@dataclass
class Attempt:
    """One apply, as far as it has come. `looked` is what the plan was made of; `plan` is made again once packages have
    come, `fence` is what the host's journal says before anything begins. `is_back`: to an earlier state."""

    spec: HostSpec
    plan: Plan
    looked: Looked
    apply_id: str
    status: HostStatus
    is_back: bool = False
    fence: Fence = field(init=False)
    generation: int = field(init=False)


class Applying:
    """Runs applies and settles those whose end nobody saw."""

    def __init__(
        self,
        record: Record,
        memory: Memory,
        hosts: Hosts,
        clock: Clock,
        planning: Planning,
        desired_at: Callable[[str, str], Desired | None],
        may_begin: Callable[[str], bool] = lambda _host: True,
        gate: Gate | None = None,
    ) -> None:
        """`desired_at(commit, host)`: what that commit wanted of the host, None if that is no longer known.
        `may_begin(host)`: whether a transaction may still be begun: not while the service stops, nor once the host left
        Git. `gate` is looked at once more before anything is armed, because packages and guests may need minutes."""
        self._record = record
        self._memory = memory
        self._hosts = hosts
        self._clock = clock
        self._planning = planning
        self._asked = Asked(record, memory, clock)
        self._desired_at = desired_at
        self._may_begin = may_begin
        self._gate = gate or Gate(memory, clock)
        self._running: set[str] = set()
        self._gone = Gone(record, memory, clock)
        self._noting = Noting(record, clock)
        self.stages = self._in_order()

    def is_running(self, host: str) -> bool:
        """Whether an apply of this host is under way here."""
        return host in self._running

    def beside(self, spec: HostSpec, hosts: Mapping[str, HostSpec]) -> str:
        """A host that is being changed now and through which this one is reached, or the other way round: either change
        could cost the other one its confirmation. Empty where there is none."""
        reached = set(jumps_of(spec))
        others = (name for name in sorted(self._running - {spec.name}) if name in hosts)
        return next((name for name in others if name in reached or spec.name in jumps_of(hosts[name])), "")

    async def run(
        self, spec: HostSpec, standing: Standing, status: HostStatus, looked: Looked, request: Request | None,
        plan: Plan | None = None,
    ) -> HostStatus:  # fmt: skip
        """Apply the present plan, or this one, made of what was looked at. Everything that happens is recorded; the
        returned status says how it ended."""
        self._running.add(spec.name)
        try:
            with about():
                return await self._run(spec, standing, status, looked, request, plan or standing.plan)
        finally:
            self._running.discard(spec.name)

    async def _run(
        self,
        spec: HostSpec,
        standing: Standing,
        status: HostStatus,
        looked: Looked,
        request: Request | None,
        plan: Plan | None,
    ) -> HostStatus:
        if plan is None:
            raise AssertionError("an apply without a plan")
        desired = looked.desired
        standing.begin()
        note(apply=(apply_id := await self._opened(plan, standing.plan_id, request)))
        standing.begin(apply_id)
        status = replace(
            status, phase="Running", health="Progressing", apply_id=apply_id, message="", attempted_commit=plan.commit
        )
        await asyncio.to_thread(self._record.set_host_status, status, at=self._clock.now())
        attempt = Attempt(spec, plan, looked, apply_id, status, request is not None and bool(request.back_to))
        try:
            result = await through(self.stages, attempt)
            await self._start_guests(attempt, result)
            result = await self._verified(spec, apply_id, result)
        except HostRefused as error:
            result = Ended("refused", error.reason, str(error))
        except HostError as error:
            result = Ended("conflict", "unreachable", str(error))
        is_latched = await self._finish(apply_id, attempt.plan, desired, result)
        standing.end(apply_id if result.ending == "unconfirmed" else "")
        return statuses.ended(
            status, result, apply_id=apply_id, commit=plan.commit, desired_digest=desired.digest, is_latched=is_latched
        )

    async def settle(self, spec: HostSpec, standing: Standing) -> Settled:
        """Find out how earlier applies of this host ended, from its own journal."""
        if not standing.unsettled:
            return "free"
        unfinished = await asyncio.to_thread(self._memory.unfinished_applies)
        mine = [apply for apply in unfinished if apply.host == spec.name and not apply.is_waiting]
        if not mine:
            standing.end()
            return "free"
        fence = await self._hosts.fence(spec)
        for apply in mine:
            if apply.id == fence.armed and apply.id not in fence.journals:  # a failed rollback stays armed for the boot
                return "armed"
            told = fence.journals.get(apply.id) or Ended(
                "conflict", INTERRUPTED, "the service stopped before anything was armed on the host"
            )
            with about(apply=apply.id):
                told = await self._gone.judged(apply, await self._verified(spec, apply.id, told))
                await self._settled(apply, told)
            if told.cause in AWAY and await self._asked.apply(spec.name) is None:
                await self._gone.again(apply)
        standing.end()
        return "ended"

    async def abandon(self, host: str, cause: str, why: str) -> None:
        """Nobody will look how the applies ended that were begun on this host."""
        for apply in await asyncio.to_thread(self._memory.unfinished_applies):
            if apply.host == host and not apply.is_waiting:
                await asyncio.to_thread(
                    self._record.finish_apply, apply.id, "Failed", at=self._clock.now(), cause=cause, error=why
                )

    async def _verified(self, spec: HostSpec, apply_id: str, told: Ended) -> Ended:
        """A rollback at boot leaves the kernel to the boot; once it is up, the host is compared with the snapshot."""
        if told.ending != "rolled_back" or told.is_verified:
            return told
        try:
            differs = await self._hosts.verify(spec, apply_id)
        except HostError as error:
            return replace(told, error=f"{told.error}; it is not known whether all is as before: {error}")
        if not differs:
            return told
        return replace(told, error=f"{told.error}; not as before: {', '.join(differs[:8])}")

    async def _settled(self, apply: Apply, told: Ended) -> None:
        now = self._clock.now()
        for step in told.steps:
            await asyncio.to_thread(
                self._record.move_step, apply.id, step.position, step.state, at=now, error=step.error
            )
        phase = statuses.phase_of(told)
        await asyncio.to_thread(self._record.finish_apply, apply.id, phase, at=now, cause=told.cause, error=told.error)
        if phase == "Succeeded":
            await asyncio.to_thread(self._set_base, apply)
        if await self._is_verdict(told, apply.host, apply.desired_digest, apply.id):
            await asyncio.to_thread(self._record.latch, apply.host, apply.desired_digest, apply_id=apply.id, at=now)

    def _set_base(self, apply: Apply) -> None:
        """An apply that was confirmed and not recorded is what the host has now: without it, what it made would look
        like somebody else's."""
        desired = self._desired_at(apply.commit, apply.host)
        if desired is not None and desired.digest == apply.desired_digest:
            self._record.set_base(
                apply.host, desired.as_json(), digest=desired.digest, commit=apply.commit, apply_id=apply.id,
                at=self._clock.now(),
            )  # fmt: skip

    async def _opened(self, plan: Plan, plan_id: str, request: Request | None) -> str:
        if request is not None:
            return request.apply_id
        return await asyncio.to_thread(
            self._record.open_apply,
            plan.host,
            plan_id=plan_id,
            commit=plan.commit,
            plan_digest=plan.digest,
            desired_digest=plan.desired_digest,
            trigger=trigger_of(plan),
            requested_by="passerelle",
            at=self._clock.now(),
        )

    def _in_order(self) -> tuple[Stage[Attempt, Ended], ...]:
        """Nothing is put on the host, packages neither, where no apply may begin. Packages and guests come before the
        plan is final. The host's journal is read before anything starts there. An apply is recorded before the host
        receives it.
        """
        return (
            Stage("begin", comes_first, self._look_at_gate),
            Stage("packages", lambda attempt: bool(coming(attempt.plan)), self._install),
            Stage("guests", lambda attempt: bool(to_make(attempt.plan)), self._make_guests),
            Stage("inside", lambda attempt: bool(to_fill(attempt.plan)), self._fill_guests),
            Stage("stop", lambda attempt: not self._may_begin(attempt.spec.name), self._stop),
            Stage("fence", always, self._fence),
            Stage("gate", always, self._look_at_gate),
            Stage("start", always, self._start),
            Stage("nothing", lambda attempt: not attempt.plan.steps, self._nothing),
            Stage("transaction", always, self._transaction),
        )

    async def _install(self, attempt: Attempt) -> None:
        """Install what is missing before the switch is armed."""
        plan, install = attempt.plan, coming(attempt.plan)
        await self._noting.reached(attempt.apply_id, "packages")
        come = [(p.name, p.version, "") for p in plan.packages if p.action == "install"]
        await self._hosts.install(attempt.spec, install, come)
        await self._plan_again(attempt, install)

    async def _plan_again(self, attempt: Attempt, install: Sequence[str]) -> None:
        """Plan against the host as it is now that packages have come. The wishes must be the approved ones: only what
        the packages brought may differ."""
        spec, plan, looked = attempt.spec, attempt.plan, attempt.looked
        watch = watch_of(looked.desired, LastApplied.from_json(looked.base))
        observed = await self._hosts.observe(spec, watch, [attempt.status.address])
        again = await self._planning.anew(looked._replace(observed=observed, commit=plan.commit))
        if again.refusals:
            raise HostRefused(again.refusals[0].what, reason="plan", hint=again.refusals[0].hint)
        promised = {(step.fact, str(step.after)) for step in plan.steps}
        surprising = [step.fact for step in again.steps if (step.fact, str(step.after)) not in promised]
        if surprising:
            raise HostRefused(
                f"with {', '.join(install)} installed, more would change than planned: {', '.join(surprising)}",
                reason="plan",
                hint="look at the new plan",
            )
        attempt.plan = again

    async def _make_guests(self, attempt: Attempt) -> None:
        """Create guests before the switch is armed: they need minutes, and a rollback leaves them."""
        await self._noting.reached(attempt.apply_id, "guests")
        async with self._noting.of(attempt.apply_id, attempt.spec.name, steps=len(attempt.plan.steps)) as told:
            await self._hosts.guests(attempt.spec, "make", [guest.order for guest in to_make(attempt.plan)], told)

    async def _fill_guests(self, attempt: Attempt) -> None:
        """Install what guests lack that run already."""
        await self._noting.reached(attempt.apply_id, "packages")
        orders = [guest.order for guest in to_fill(attempt.plan)]
        async with self._noting.of(attempt.apply_id, attempt.spec.name, steps=len(attempt.plan.steps)) as told:
            await self._hosts.guests(attempt.spec, "install", orders, told)
        names = [str(name) for order in orders if isinstance(order["install"], list) for name in order["install"]]
        await self._plan_again(attempt, names)

    async def _start_guests(self, attempt: Attempt, result: Ended) -> None:
        """Those that are new, once their network is there. A change that is confirmed stays, also if one does not
        start: the host keeps why, and an apply of its own tries again, which fails if it does."""
        if result.ending == "confirmed" and (new := to_start(attempt.plan)):
            try:
                async with self._noting.of(attempt.apply_id, attempt.spec.name, steps=len(attempt.plan.steps)) as told:
                    await self._hosts.guests(attempt.spec, "start", [guest.order for guest in new], told)
            except HostError as error:
                if not attempt.plan.steps:
                    raise
                logger.warning("%s: %s", attempt.spec.name, error)

    async def _stop(self, _attempt: Attempt) -> Ended:
        """It stays open: after the next start it is checked once more."""
        return Ended("unconfirmed", INTERRUPTED, "the service was stopped before a change was armed on the host")

    async def _fence(self, attempt: Attempt) -> Ended | None:
        """What the host's journal says: a rollback that failed there is a person's to look at."""
        fence = attempt.fence = await self._hosts.fence(attempt.spec)
        if not fence.quarantined:
            return None
        return Ended(
            "refused",
            "quarantined",
            f"a rollback failed on this host before ({fence.quarantined}). Fix: check the host, and release it",
        )

    async def _look_at_gate(self, attempt: Attempt) -> Ended | None:
        """A person may have suspended the host since it was decided, or requested to go back to an earlier state."""
        held = await self._gate.blocked(attempt.spec, attempt.plan.desired_digest, is_back=attempt.is_back)
        return None if held is None else Ended("refused", held.cause, held.why)

    async def _start(self, attempt: Attempt) -> None:
        """A generation that the host has not seen, and every step in the record."""
        attempt.generation = await asyncio.to_thread(
            self._record.next_generation, attempt.spec.name, at_least=attempt.fence.generation
        )
        planned = [(step.fact, step.why) for step in attempt.plan.steps]
        await asyncio.to_thread(
            self._record.start_apply, attempt.apply_id, generation=attempt.generation, planned=planned,
            at=self._clock.now(),
        )  # fmt: skip

    async def _nothing(self, _attempt: Attempt) -> Ended:
        """Without a step nothing is armed."""
        return Ended("confirmed")

    async def _transaction(self, attempt: Attempt) -> Ended:
        """Arm, apply, confirm."""
        spec, apply_id = attempt.spec, attempt.apply_id
        addresses = list(dict.fromkeys([spec.connection.address, attempt.status.address]))
        async with self._noting.of(attempt.apply_id, attempt.spec.name, steps=len(attempt.plan.steps)) as told:
            return await self._hosts.apply(
                spec, attempt.plan, apply_id=apply_id, generation=attempt.generation, known_addresses=addresses,
                told=told,
            )  # fmt: skip

    async def _is_verdict(self, told: Ended, host: str, desired_digest: str, apply_id: str) -> bool:
        if statuses.phase_of(told) not in ("RolledBack", "RollbackFailed"):
            return False
        return await self._gone.is_verdict(told, host=host, desired_digest=desired_digest, apply_id=apply_id)

    async def _finish(self, apply_id: str, plan: Plan, desired: Desired, result: Ended) -> bool:
        """Record the end. Returns whether this desired state is latched now."""
        if result.ending == "unconfirmed":
            await asyncio.to_thread(self._record.set_apply_phase, apply_id, "AwaitingConfirmation")
            return False
        now = self._clock.now()
        phase = statuses.phase_of(result)
        if phase == "Succeeded":
            await asyncio.to_thread(
                self._record.set_base, plan.host, desired.as_json(), digest=desired.digest, commit=plan.commit,
                apply_id=apply_id, at=now,
            )  # fmt: skip
        is_latched = await self._is_verdict(result, plan.host, desired.digest, apply_id)
        if is_latched:
            await asyncio.to_thread(self._record.latch, plan.host, desired.digest, apply_id=apply_id, at=now)
        await asyncio.to_thread(
            self._record.finish_apply, apply_id, phase, at=now, cause=result.cause, error=result.error
        )
        return is_latched


def comes_first(attempt: Attempt) -> bool:
    """Whether packages or guests come before the switch is armed."""
    return bool(coming(attempt.plan) or to_make(attempt.plan) or to_fill(attempt.plan))


def trigger_of(plan: Plan) -> Trigger:
    """The trigger of an apply that nobody requested: Git changed, or the host."""
    return "push" if any(d.moved in ("git", "both") for d in plan.drifts) else "drift"
