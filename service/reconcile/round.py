"""One round for one host: level-based, everything re-read, the status written in one place."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from datetime import datetime

from service.clock import Clock
from service.errors import HostError, HostKeyChanged, StoreError, Throttled
from service.kinds.desire import desire
from service.kinds.kind import Kind
from service.model.ceilings import Ceilings
from service.model.events import RoundFailed
from service.model.guests import PoolFill
from service.model.runs import HostStatus, SyncMode
from service.model.states import Json
from service.plan.make import Permission
from service.reconcile import status as statuses
from service.reconcile.applying import BESIDE_S, Applying
from service.reconcile.asked import Asked
from service.reconcile.commits import NewCommits
from service.reconcile.deciding import Deciding
from service.reconcile.drilling import Drilling
from service.reconcile.gate import Gate
from service.reconcile.going_back import GoingBack
from service.reconcile.looking import GuestNews, Looking
from service.reconcile.membership import Membership
from service.reconcile.planning import Planning, permission_of, wanted_of
from service.reconcile.ports import HostQueue, Hosts, Internet, Memory, Record
from service.reconcile.publishing import Publishing
from service.reconcile.quarantine import Quarantine
from service.reconcile.quiet import Quiet
from service.reconcile.recall import Recall
from service.reconcile.remembering import remember
from service.reconcile.rolling import Rolling
from service.reconcile.stages import Stage, always, through
from service.reconcile.standing import Looked, Standing
from service.reconcile.trouble import Troubles
from service.reconcile.turn import Stop, Turn
from service.reconcile.watching import Wanted
from service.resources.desired import Desired
from service.spec.host import HostSpec
from service.work import Work

NO_CEILINGS = Ceilings()


class Rounds:
    """Reconciles hosts by name. One instance for the fleet; one round a host at a time, which the queue promises."""

    def __init__(
        self, record: Record, memory: Memory, hosts: Hosts, internet: Internet, kinds: Sequence[Kind], clock: Clock,
        work: Work, *, observe_s: float, sweep_s: Callable[[str], float] = lambda _: 0.0,
        failed: Callable[[HostError], None] = lambda _: None,
        spec_at: Callable[[str, str], HostSpec | None] = lambda _commit, _host: None,
        filled: Callable[[str, Sequence[PoolFill]], None] = lambda _host, _pools: None,
        troubles: Troubles | None = None, ceilings: Ceilings = NO_CEILINGS, stop: Callable[[], str] = lambda: "",
        rolling: Rolling | None = None, ended: Callable[[str], None] = lambda _: None,
    ) -> None:  # fmt: skip
        self._record = record
        self._memory = memory
        self._hosts = hosts
        self._kinds = kinds
        self._clock = clock
        self._observe_s = observe_s
        self._sweep_s = sweep_s
        self._failed = failed
        self._spec_at = spec_at
        self._filled = filled
        self._troubles = troubles or Troubles(clock)
        self.ceilings = ceilings
        self._rolling = rolling
        self._ended = ended
        self._is_stopping = False
        self._planning = Planning(work)
        self._asked = Asked(record, memory, clock)
        self.gate = Gate(memory, clock, stop)
        self._applying = Applying(
            record, memory, hosts, clock, self._planning, self.desired_at, self._is_let_begin, self.gate
        )
        self._deciding = Deciding(record, memory, clock, self._asked, self.gate, lambda: self.ceilings, kinds, spec_at)
        self._going_back = GoingBack(
            record, memory, hosts, clock, self._planning, self._asked, self._applying, self.desired_at, self._may_begin
        )
        self._drilling = Drilling(record, memory, hosts, clock, self._troubles, self.gate)
        looking = (hosts, self._asked, self._applying, self._drilling, Quarantine(record, hosts, clock))
        self._looking = Looking(*looking, self._may_begin, self._base)
        self._publishing = Publishing(record, memory, hosts, internet, clock, kinds)
        self._quiet = Quiet(record, memory, hosts, clock, self._permission)
        self._guests = GuestNews(record, kinds, filled)
        self.stages = self._in_order()
        self._recall = Recall(memory, hosts, kinds, clock, self._planning, spec_at)
        self._membership = Membership(record, memory, hosts, clock, self._asked, self._applying, self._drilling)
        self.standings: dict[str, Standing] = {}
        self.tried: dict[str, datetime] = {}
        self._before: dict[str, HostStatus] = {}
        self._wanted = Wanted()
        self._under_way: set[str] = set()
        self._commits = NewCommits(record, self._quiet, kinds, self.standings, lambda: self._under_way | self.unseen())

    def standing(self, name: str) -> Standing:
        """What is remembered of a host."""
        return self.standings.setdefault(name, Standing())

    def known(self, name: str) -> Standing | None:
        """What is remembered of a host; None before its first round."""
        return self.standings.get(name)

    async def remember(self) -> None:
        """After a start: every host's status is of before it until a round of it has ended."""
        self._before = {
            one.host: statuses.before_start(one)
            for one in await asyncio.to_thread(self._recall.statuses)
            if one.reason != "Orphaned"
        }

    async def recall(self, name: str, wanted: Wanted, *, anew: bool = False) -> None:
        """What was seen of a host last, and what came of it; `anew` also where something is remembered."""
        if anew or name not in self.standings:
            self.standings[name] = await self._recall.standing(name, wanted, permission_of(self.ceilings, name, wanted))

    def unseen(self) -> set[str]:
        """The hosts of which no round has ended since the start."""
        return set(self._before)

    async def turn_to(self, wanted: Wanted, before: Wanted, queue: HostQueue) -> None:
        """This revision takes the place of `before`: the hosts that it is about are queued. StoreError."""
        self._wanted, known = wanted, before.hosts.keys() | self.unseen()
        await self._commits.follow(known, before.commit, wanted, queue)
        await self.follow(wanted)

    async def follow(self, wanted: Wanted) -> None:
        """This revision is in force: nothing is begun any more on hosts that it does not name. Until a round of those
        that came or left has ended, they are shown as not looked at, or as orphaned. StoreError."""
        self._wanted = wanted
        known = self.standings.keys() | self._before.keys()
        if known == wanted.hosts.keys():
            return
        recorded = await asyncio.to_thread(self._recall.statuses)
        shown = self._membership.until_looked_at(recorded, wanted)
        begun = self.standings.keys() - self._under_way  # a round of theirs has ended by now
        in_git = {name: one for name, one in self._before.items() if name in wanted.hosts}
        self._before = in_git | {name: one for name, one in shown.items() if name not in wanted.hosts.keys() & begun}

    def mode_of(self, spec: HostSpec, granted: SyncMode = "auto") -> SyncMode:
        """The sync mode that counts for a host: its spec's, at most the operator's; auto only where it was `granted`
        before, or a commit may raise it."""
        mode = self.ceilings.sync(spec.name, spec.sync)
        is_raised = mode == "auto" != granted and self.ceilings.raises_wait(spec.name)
        return "approve" if is_raised else mode

    def stop(self) -> None:
        """Begin no apply and no drill any more."""
        self._is_stopping = True

    def is_applying(self, name: str) -> bool:
        """Whether an apply of the host is under way in this process."""
        return self._applying.is_running(name)

    async def reconcile(self, name: str, wanted: Wanted) -> float | None:
        """One round; returns the seconds until the next. None: the host is no longer in Git, or it shows a key that its
        spec does not pin. Then a commit or a person has to request a round.
        """
        self._wanted = wanted
        self._under_way.add(name)
        try:
            spec = wanted.hosts.get(name)
            if spec is not None:
                return await self._reconcile(spec, wanted)
            await self._membership.leave(name, wanted)
            self.lose(name)
            return None
        finally:
            self._under_way.discard(name)

    def looked(self, name: str, began_at: datetime) -> None:
        """A look that began then has ended, or something else is recorded of the host now."""
        self.tried[name] = began_at
        self._ended(name)

    def lose(self, name: str) -> None:
        """Nothing is remembered of a host any more."""
        self.standings.pop(name, None)
        self.tried.pop(name, None)
        self._before.pop(name, None)
        self._quiet.forget(name)
        self._filled(name, ())

    async def _reconcile(self, spec: HostSpec, wanted: Wanted) -> float | None:
        name, began_at = spec.name, self._clock.now()
        if spec.renamed_from in self._under_way:
            return statuses.RETRY_FIRST_S
        standing = self.standing(name)
        status, is_known = statuses.fresh(spec, standing.unrecorded), False
        try:
            if spec.renamed_from and standing.spec is not spec and await self._membership.rename(spec):
                self.lose(spec.renamed_from)
            glance = None
            if (shown := await self._quiet.shown(spec, wanted, standing)) is not None:
                status, is_known = shown, True
                glance = await self._quiet.look(spec, standing, shown)
                if await self._quiet.holds(spec, standing, glance):
                    self.looked(name, began_at)
                    return self._every_s(name)
            await self._quiet.begin(name)
            before = await asyncio.to_thread(self._memory.host, name)
            status, is_known = statuses.fresh(spec, before, self.mode_of(spec, statuses.granted(before))), True
            desired = standing.desired_of(spec)
            if desired is None:
                desired = await asyncio.to_thread(wanted_of, spec, self._kinds)
            turn = Turn(spec, wanted, standing, status, desired, glance=glance)
            stop = await through(self.stages, turn)
            next_s, status = stop.after_s, statuses.doubted(turn.status, self._hosts.doubt(name))
            standing.end_round(is_well=stop.is_well)
            self._troubles.well("round", name)
        except Throttled as error:  # whoever requested something continues waiting: it passes on its own
            self._failed(error)
            standing.fail(str(error))
            status = statuses.unreachable(status, error, is_compared=standing.is_of(spec))
            next_s = self._clock.jitter(min(statuses.THROTTLED_MOST_S, statuses.backoff_s(standing.failures)))
        except HostError as error:
            self._failed(error)
            status = statuses.unreachable(status, error, is_compared=standing.is_of(spec))
            next_s = await self._gave_up(name, standing, str(error), "unreachable")
            if isinstance(error, HostKeyChanged):
                next_s = None
        except Exception as error:  # of every type: no error may leave a status behind that was true before it
            status, next_s = await self._broke(status, standing, error)
        await self._show(status, standing, is_known=is_known)
        self.looked(name, began_at)
        return next_s

    def _permission(self, host: str, wanted: Wanted) -> Permission:
        return permission_of(self.ceilings, host, wanted)

    async def _gave_up(self, host: str, standing: Standing, why: str, cause: str) -> float:
        """Whoever waits for something of this host is informed now; the seconds until the next round."""
        standing.fail(why)
        with contextlib.suppress(StoreError):  # what the record did not take waits still, and a later round ends it
            await self._asked.give_up(host, "Failed", cause, why)
        return self._clock.jitter(statuses.backoff_s(standing.failures))

    async def _broke(self, status: HostStatus, standing: Standing, error: Exception) -> tuple[HostStatus, float]:
        """The round ended in an error that nobody expected. Its plan is void, whatever it was made of."""
        host = status.host
        is_news = self._troubles.is_news("round", host, error)
        why = self._troubles.failed("round", host, error)
        standing.void()
        next_s = await self._gave_up(host, standing, why, "error")
        if is_news:
            event = RoundFailed(host=host, why=why)
            with contextlib.suppress(StoreError):  # status and log report it anyway
                await asyncio.to_thread(self._record.add_event, event, at=self._clock.now())
        return statuses.failed(status, why, apply_id=standing.applying), next_s

    async def _show(self, status: HostStatus, standing: Standing, *, is_known: bool) -> None:
        """Record the status. What the database does not take is shown from memory until it does: the one that it has
        may be a better one that does not hold any more. Not `is_known`: what it has could not be read, so it stays.
        Of a host that left Git meanwhile nothing holds; its next round says so."""
        if status.host not in self._wanted.hosts:
            return
        self._before.pop(status.host, None)
        try:
            if is_known:
                await asyncio.to_thread(self._record.set_host_status, status, at=self._clock.now())
        except StoreError as error:
            why = self._troubles.failed("record", status.host, error)
            standing.unrecorded = statuses.failed(status, f"{status.message}; {why}".removeprefix("; "))
            return
        standing.unrecorded = None if is_known else status
        self._troubles.well("record", status.host)
        await self._quiet.end(self._wanted.hosts[status.host], standing, status)

    def unrecorded(self) -> dict[str, HostStatus]:
        """The statuses that hold in place of those that the database has, by host: newer, or of after the start."""
        held = {name: one.unrecorded for name, one in self.standings.items() if one.unrecorded is not None}
        return {**self._quiet.unwritten, **self._before, **held}

    def _in_order(self) -> tuple[Stage[Turn, Stop], ...]:
        """Nothing is compared until the ends of earlier applies are known. Nothing is decided about a host that is not
        free. Nothing is applied that was not recorded.
        """
        return (
            *self._looking.stages,
            Stage("plan", always, self._plan),
            Stage("remember", always, self._remember),
            Stage("guests", always, self._guests.look),
            Stage("decide", always, self._deciding.decide),
            Stage("turn", self._is_ready, self._wait_for_turn),
            Stage("back", lambda turn: turn.back is not None, self._going_back.go),
            Stage("apply", lambda turn: turn.decision.action == "apply", self._apply),
            Stage("sites", always, self._publishing.look),
            Stage("rest", always, self._rest),
        )

    def _may_begin(self, host: str) -> bool:
        """Whether a change may be begun, and could be confirmed: not over an old connection only."""
        return self._is_let_begin(host) and not self._hosts.doubt(host)

    def _is_let_begin(self, host: str) -> bool:
        """Not while the service stops, nor on a host that left Git."""
        return not self._is_stopping and host in self._wanted.hosts

    async def _plan(self, turn: Turn) -> None:
        """What differs, and what would be done about it."""
        permission = self._permission(turn.spec.name, turn.wanted)
        base = await self._base(turn.spec.name)
        turn.looked = Looked(turn.desired, base, turn.observed, turn.wanted.commit, permission)
        turn.plan = await self._planning.plan(turn.standing, turn.looked)

    def _is_ready(self, turn: Turn) -> bool:
        """Whether nothing is in the way of an apply but other hosts of the same rollout."""
        is_free = not self._applying.beside(turn.spec, turn.wanted.hosts)
        return turn.decision.action == "apply" and is_free and self._may_begin(turn.spec.name)

    async def _wait_for_turn(self, turn: Turn) -> None:
        """A revision goes to many hosts in portions."""
        if self._rolling is not None and (why := await self._rolling.why_waits(turn)):
            turn.hold(why)

    async def _apply(self, turn: Turn) -> Stop:
        """Apply what was decided, then look again at once."""
        spec, standing = turn.spec, turn.standing
        if not self._may_begin(spec.name):
            turn.show(phase="Pending")
            return Stop("it could not be confirmed over a new connection", self._every_s(spec.name))
        if other := self._applying.beside(spec, turn.wanted.hosts):
            turn.show(phase="Pending")
            return Stop(f"{other} is being changed, and one of the two is reached through the other", BESIDE_S)
        standing.heals(turn.plan, self._clock.monotonic_s())
        request = turn.request
        turn.status = await self._applying.run(spec, standing, turn.status, turn.looked, request)
        if turn.status.phase == "Succeeded":
            standing.applied_by = turn.status.apply_id
            if request is not None and request.may_raise:
                turn.show(sync_mode=self.ceilings.sync(spec.name, spec.sync))
            return Stop("an apply was confirmed", statuses.SOON_S)
        after_s = statuses.retry_s(turn.status.phase, standing.failures + 1, self._observe_s)
        return Stop("an apply was not confirmed", self._clock.jitter(after_s), is_well=False)

    async def _rest(self, turn: Turn) -> Stop:
        """Nothing is to be done now. A host that is as wanted, whoever made it so, is the new base."""
        desired, commit = turn.desired, turn.wanted.commit
        if turn.decision.action == "nothing" and turn.decision.sync == "Synced":
            if turn.status.applied_digest != desired.digest:
                await asyncio.to_thread(
                    self._record.set_base, desired.host, desired.as_json(), digest=desired.digest, commit=commit,
                    apply_id="", at=self._clock.now(),
                )  # fmt: skip
            turn.show(applied_digest=desired.digest, applied_commit=commit)
        return turn.sooner(Stop("nothing is to be done now", self._every_s(desired.host)))

    def _every_s(self, host: str) -> float:
        """Until the next look. A host that reports its changes on its own needs fewer."""
        return self._clock.jitter(max(self._observe_s, self._sweep_s(host)))

    async def _remember(self, turn: Turn) -> None:
        """What was seen goes into the history; what did not change costs nothing there."""
        await remember(turn, self._record, self._hosts)

    def desired_at(self, commit: str, host: str) -> Desired | None:
        """What a commit wanted of a host; None if that is no longer known. Blocks."""
        spec = self._spec_at(commit, host)
        return None if spec is None else desire(spec, self._kinds)

    async def _base(self, host: str) -> Json:
        base = await asyncio.to_thread(self._memory.base, host)
        return base.desired if base else None
