"""What people and programs may ask of the loop: look again, apply this plan, try again what was rolled back."""

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime

from service.clock import Clock
from service.errors import Held, InputError, NoHost, NotFound, Stale
from service.model.digests import FULL
from service.model.events import ReconcileAsked
from service.model.plans import Plan
from service.model.runs import HostStatus
from service.model.states import Json
from service.model.suspensions import Scope, Suspension
from service.reconcile.comparing import Comparing, named_commit
from service.reconcile.doorbell import Doorbell
from service.reconcile.gate import Cause
from service.reconcile.ports import HostQueue, Memory, Record
from service.reconcile.round import Rounds
from service.reconcile.watching import Watcher
from service.spec.editing import unified

FIXES: Mapping[Cause, str] = {
    "stop-file": "remove the file on the machine of the service, then ask again",
    "window": "ask again once it is open. In an emergency change `windows` in fleet.yaml",
    "suspended": "see `passerelle suspensions`; resume with `passerelle resume`, then ask again",
}
"""What to do where no apply may begin."""


class Control:
    """Requests become queue entries; nobody waits here for a host."""

    def __init__(
        self, watcher: Watcher, rounds: Rounds, queue: HostQueue, record: Record, memory: Memory, clock: Clock,
        look: Callable[[], None], not_known: Callable[[str, HostStatus | None], InputError | None],
    ) -> None:  # fmt: skip
        """`look` wakes the watcher; `not_known(host, status)` is why there is no plan of a host by what Git wants."""
        self._watcher = watcher
        self._rounds = rounds
        self._queue = queue
        self._record = record
        self._memory = memory
        self._clock = clock
        self._look = look
        self._bell = Doorbell(clock, look, lambda: watcher.head)
        self._not_known = not_known
        self._comparing = Comparing(watcher, memory, clock)

    async def reconcile(self, host: str, by: str) -> None:
        """Look at the host again soon."""
        await self._in_git(host)
        await asyncio.to_thread(self._record.add_event, ReconcileAsked(host=host, by=by), at=self._clock.now())
        self._rounds.standing(host).sites.anew()
        self._queue.add(host)

    async def apply(
        self, host: str, plan_id: str | None, digest: str | None, by: str, *, may_raise: bool = False
    ) -> str:
        """Apply the current plan, if it is the one that was agreed to. Returns the apply's id at once. `may_raise`:
        whoever asks may approve what the operator does not let a commit do on its own. WaitsAlready where another one
        waits."""
        await self._in_git(host)
        standing = self._rounds.standing(host)
        plan = standing.plan
        if why := self._not_known(host, await self._shown(host)):
            raise why
        if plan is None:
            raise AssertionError("a host that was compared, and no plan of it")
        agreed = await self._agreed_digest(host, plan_id, digest)
        if agreed and not plan.digest.startswith(agreed):
            raise Stale(f"the plan of {host} is now {plan.digest}", hint=f"look at it: passerelle plan {host}")
        self._may_apply(host, plan)
        await self._let_begin(host, "apply", plan.desired_digest)
        if plan.raises and not (may_raise and agreed):
            raise InputError(
                f"the plan of {host} needs an approval: {'; '.join(plan.raises[:3])}",
                hint="name its digest, with a token of scope approve",
            )
        apply_id = await asyncio.to_thread(
            self._record.open_apply,
            host,
            plan_id=standing.plan_id,
            commit=plan.commit,
            plan_digest=plan.digest,
            desired_digest=plan.desired_digest,
            trigger="request",
            requested_by=by,
            at=self._clock.now(),
            may_raise=may_raise,
        )
        self._queue.add(host)
        return apply_id

    def _may_apply(self, host: str, plan: Plan) -> None:
        if plan.is_empty:
            raise InputError(f"there is nothing to apply on {host}")
        if plan.refusals:
            raise InputError(f"the plan is refused: {plan.refusals[0].what}", hint=plan.refusals[0].hint)
        self._may_write(host)

    def _may_write(self, host: str) -> None:
        if self._rounds.mode_of(self._watcher.wanted.hosts[host]) == "observe":
            raise InputError(
                f"{host} has `sync: observe`: nothing is ever written to it",
                hint="set sync: approve in its spec; PASSERELLE_MAX_SYNC must allow it, too",
            )

    async def _let_begin(self, host: str, what: str, wanted: str) -> None:
        """Held where no apply may begin on the host now, of which Git wants the digest `wanted`. The round asks again
        when its turn has come."""
        held = await self._rounds.gate.blocked(self._watcher.wanted.hosts[host], wanted)
        if held is not None:
            raise Held(f"no {what} begins on {host} now: {held.why}", hint=FIXES[held.cause])

    async def _agreed_digest(self, host: str, plan_id: str | None, digest: str | None) -> str:
        if plan_id is None:
            return await self._one_digest(host, digest or "")
        record = await asyncio.to_thread(self._memory.plan, plan_id)
        if record is None or record.host != host:
            raise NotFound(f"{host} has no plan {plan_id}")
        if digest and not record.digest.startswith(digest):
            raise Stale(f"the plan {plan_id} has the digest {record.digest}, not {digest}")
        return record.digest

    async def _one_digest(self, host: str, prefix: str) -> str:
        """The same, where it names one plan. A short beginning is easy to make twice on purpose, so whoever saw one
        plan must not agree to another: InputError where plans that were shown share it."""
        if not prefix or len(prefix) == FULL:
            return prefix
        found = await asyncio.to_thread(self._memory.plan_digests, host, prefix)
        if len(found) > 1:
            raise InputError(
                f"{prefix} is the beginning of the digests of {len(found)} plans of {host}",
                hint="give all of the digest",
            )
        return prefix

    async def nudge(self, receiver: str, commit: str = "") -> None:
        """Look at the source soon. `commit` is where its branch is, as the forge reported; empty where it did not."""
        self._bell.ring(commit)

    async def accept_rewrite(self, commit: str, reason: str, by: str) -> str:
        """Follow a history that was rewritten, from this commit on. Returns its whole name."""
        found = await self._watcher.accept_rewrite(commit, by=by, reason=reason)
        self._look()
        return found

    async def forget(self, host: str, reason: str, by: str) -> None:
        """Remove what is recorded of a host that left Git."""
        if host in self._watcher.wanted.hosts:
            raise InputError(
                f"{host} is in Git, so it cannot be forgotten",
                hint=f"remove {self._watcher.wanted.hosts[host].file} from the repository, then ask again",
            )
        await asyncio.to_thread(self._record.forget_host, host, by=by, reason=reason, at=self._clock.now())

    async def clear_latch(self, host: str, reason: str, by: str) -> int:
        """Let what was rolled back be tried again."""
        await self._in_git(host)
        cleared = await asyncio.to_thread(self._record.clear_latch, host, by=by, reason=reason, at=self._clock.now())
        self._queue.add(host)
        return cleared

    async def drill(self, host: str, by: str, *, reboot: bool = False) -> str:
        """Let the host undo a change of nothing, by its timer or by a reboot. Returns the drill's id at once.
        WaitsAlready where one waits; Held where no apply may begin: a drill is a change, too."""
        await self._in_git(host)
        self._may_write(host)
        known = self._rounds.known(host)
        await self._let_begin(host, "drill", known.desired.digest if known and known.desired else "")
        drill_id = await asyncio.to_thread(
            self._record.open_drill, host, requested_by=by, at=self._clock.now(), reboot=reboot
        )
        self._queue.add(host)
        return drill_id

    async def suspend(self, scope: Scope, target: str, reason: str, until: datetime | None, by: str) -> Suspension:
        """No apply begins on these hosts from now on, until the time `until`; None: until somebody resumes."""
        if scope == "host":
            await self._in_git(target)
        at = self._clock.now()
        return await asyncio.to_thread(self._record.suspend, scope, target, reason, by=by, at=at, until=until)

    async def rollback(self, host: str, to: str, reason: str, by: str, *, digest: str = "") -> str:
        """Bring a host to the state of an earlier apply or commit `to`, and hold it there until Git wants something
        else of it. With `digest` only by the plan of this digest, or of one that begins so. Returns the apply's id at
        once. NotFound, InputError, Held, WaitsAlready."""
        await self._in_git(host)
        self._may_write(host)
        if why := self._not_known(host, await self._shown(host)):
            raise why
        spec, plan = self._watcher.wanted.hosts[host], self._rounds.standing(host).plan
        if plan is None:
            raise AssertionError("a host that was compared, and no plan of it")
        commit = await asyncio.to_thread(self._commit_of, host, to)
        then = await asyncio.to_thread(self._rounds.desired_at, commit, host)
        if then is None:
            raise NotFound(f"the commit {commit[:10]} says nothing of {host}, or cannot be read any more")
        if then.digest == plan.desired_digest:
            raise InputError(f"Git wants of {host} what {commit[:10]} wants", hint=f"passerelle plan {host}")
        held = await self._rounds.gate.blocked(spec, then.digest, is_back=True)
        if held is not None:
            raise Held(f"no apply begins on {host} now: {held.why}", hint=FIXES[held.cause])
        apply_id = await asyncio.to_thread(
            self._record.open_rollback, host, commit=commit, plan_digest=digest, desired_digest=then.digest,
            held_digest=plan.desired_digest, reason=reason, by=by, at=self._clock.now(),
        )  # fmt: skip
        self._queue.add(host)
        return apply_id

    async def revert(self, host: str, to: str) -> Mapping[str, Json]:
        """The patch that gives the file of a host the text that it had at an earlier apply or commit. Nothing is
        written."""
        await self._in_git(host)
        return await asyncio.to_thread(self._revert, host, to)

    async def difference(self, host: str, before: str | datetime, after: str | datetime | None) -> Mapping[str, Json]:
        """What Git wanted of a host at two points, and the applies in between (service/reconcile/comparing.py)."""
        await self._in_git(host)
        return await asyncio.to_thread(self._comparing.difference, host, before, after)

    def _revert(self, host: str, to: str) -> Mapping[str, Json]:
        commit, file = self._commit_of(host, to), self._watcher.wanted.hosts[host].file
        now, then = self._watcher.file_of(host), self._watcher.file_at(commit, host)
        if now is None or then is None:
            raise NotFound(f"the commit {commit[:10]} has no file of {host}, or cannot be read any more")
        return {"host": host, "commit": self._watcher.wanted.commit, "file": file, "patch": unified(file, now, then)}

    def _commit_of(self, host: str, to: str) -> str:
        """The commit of an apply that was confirmed, or the one that begins so. NotFound, InputError."""
        if (found := self._memory.apply(to)) is not None and found.host == host:
            if found.phase != "Succeeded":
                raise InputError(f"the apply {to} ended as {found.phase}: it left no state to go back to")
            return found.commit
        return named_commit(self._memory, host, to)

    async def resume(self, number: int, by: str) -> Suspension | None:
        """Applies may begin again, and its hosts are looked at now. None where it has ended already."""
        ended = await asyncio.to_thread(self._record.end_suspension, number, by=by, at=self._clock.now())
        for name, spec in self._watcher.wanted.hosts.items() if ended is not None else ():
            if ended is not None and ended.names(name, spec.labels):
                self._queue.add(name)
        return ended

    async def release(self, host: str, reason: str, by: str) -> None:
        """Lift a quarantine soon: a person has looked at the host."""
        await self._in_git(host)
        status = await asyncio.to_thread(self._memory.host, host)
        if status is None or not status.quarantined:
            raise InputError(f"{host} is not quarantined")
        quarantined, at = status.quarantined, self._clock.now()
        await asyncio.to_thread(self._record.ask_release, host, quarantined, by=by, reason=reason, at=at)
        self._queue.add(host)

    async def _shown(self, host: str) -> HostStatus | None:
        """How the host is shown."""
        return self._rounds.unrecorded().get(host) or await asyncio.to_thread(self._memory.host, host)

    async def _in_git(self, host: str) -> None:
        """LeftGit for a host that was in Git, NoHost for one that never was."""
        if host not in self._watcher.wanted.hosts:
            raise self._not_known(host, await self._shown(host)) or NoHost(host)
