"""What the API needs from the rest of the program, as protocols: who wires the program hands over a `Parts`.

    app = create_app(Parts(reads=history.queries, writes=history.store, control=…, answers=…, clock=…))

`reads` and `writes` block and are called in threads. `control` is the loop: its methods are quick, they ask for work
and do not wait for it. `answers` says what the service remembers of its hosts.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from service.api.awaited import Awaited
from service.api.claimed import Claimed
from service.api.live import Live
from service.api.metric_families import Numbers
from service.api.metrics import Metrics
from service.api.remembered import Remembered
from service.api.session_parts import SessionReads, SessionWrites
from service.clock import Clock
from service.errors import InputError
from service.model.access import Delivery, DeliveryOutcome, Principal, Receiver, ReceiverSecret, Token
from service.model.access import Scope as TokenScope
from service.model.audit import Act, Entry
from service.model.fleet_topology import FleetTopology
from service.model.guest_lines import GuestLine, LeaseFact
from service.model.guests import PoolFill
from service.model.listings import (
    ApplyListing,
    AuditListing,
    DeliveryListing,
    DriftListing,
    DrillListing,
    EventListing,
    HostListing,
    Key,
    LeaseHistoryListing,
    LeaseListing,
    RevisionListing,
    RolloutHostListing,
    RolloutListing,
    SiteListing,
    SuspensionListing,
)
from service.model.notices import NoticeStanding
from service.model.proposals import Proposal, Proposed
from service.model.rollouts import Member, Rollout
from service.model.runs import (
    Apply,
    DriftItem,
    Drill,
    Event,
    FirewallView,
    HostStatus,
    HostView,
    Latch,
    LeaseInterval,
    Page,
    PlanRecord,
    Revision,
    RevisionState,
)
from service.model.sites.records import SiteRecord
from service.model.sources import SourceStanding
from service.model.states import Json
from service.model.suspensions import Scope, Suspension
from service.model.topology import Topology
from service.model.trends import LastDays, Trends
from service.model.web_sessions import SessionLimits
from service.model.windows import Window


class Control(Protocol):
    """What a request may ask of the loop. `by` is the requester (a token's name).

    Errors: NotFound for a host that no revision names, Stale if the plan has changed since the approval, InputError for
    a request that the present state does not allow.
    """

    async def reconcile(self, host: str, by: str) -> None:
        """Look at the host again soon: observe, compare, plan, and what its `sync` mode allows."""
        ...

    async def apply(
        self, host: str, plan_id: str | None, digest: str | None, by: str, *, may_raise: bool = False
    ) -> str:
        """Apply this plan, or what the current plan is if it has this digest. Returns the apply's id at once.
        `may_raise`: whoever asks may approve what the operator does not let a commit do on its own."""
        ...

    async def nudge(self, receiver: str, commit: str = "") -> None:
        """Look at the Git source soon; a receiver was informed that it changed, and that its branch is at `commit`."""
        ...

    async def clear_latch(self, host: str, reason: str, by: str) -> int:
        """Let what was rolled back on this host be tried again. Returns how many latches were cleared."""
        ...

    async def accept_rewrite(self, commit: str, reason: str, by: str) -> str:
        """Follow a rewritten history from this commit on. Returns its whole name. SourceChanged: it is elsewhere."""
        ...

    async def forget(self, host: str, reason: str, by: str) -> None:
        """Remove what is recorded of a host that left Git. InputError where it is in Git."""
        ...

    async def drill(self, host: str, by: str, *, reboot: bool = False) -> str:
        """Let the host undo a change of nothing, by its timer or by a reboot. Returns the drill's id at once."""
        ...

    async def suspend(self, scope: Scope, target: str, reason: str, until: datetime | None, by: str) -> Suspension:
        """No apply begins on these hosts until the time `until`; None: until somebody resumes. InputError."""
        ...

    async def rollback(self, host: str, to: str, reason: str, by: str, *, digest: str = "") -> str:
        """Bring a host to the state of an earlier apply or commit, and hold it there. Returns the apply's id."""
        ...

    async def revert(self, host: str, to: str) -> Mapping[str, Json]:
        """The patch that gives the host's file the text that it had then: host, commit, file, patch."""
        ...

    async def difference(self, host: str, before: str | datetime, after: str | datetime | None) -> Mapping[str, Json]:
        """What Git wanted of the host at two points, and the applies in between. `after` None: what is in force."""
        ...

    async def resume(self, number: int, by: str) -> Suspension | None:
        """Applies may begin again. None where the suspension has ended already."""
        ...

    async def release(self, host: str, reason: str, by: str) -> None:
        """Lift the quarantine of a host whose rollback failed, soon. InputError where it is not quarantined."""
        ...


class Answers(Protocol):
    """What is answered from what the service remembers of its hosts; nothing is changed.

    Errors: NotFound for a host that no revision names, InputError for what cannot be answered in the present state.
    """

    async def desired(self, host: str) -> HostView | None:
        """What Git wants of the host, None if no revision reported it yet."""
        ...

    async def observed(self, host: str) -> HostView | None:
        """What was last seen of the host, also before the service started; None where nothing is known."""
        ...

    async def accept(self, host: str) -> Mapping[str, Json]:
        """The patch with which Git wants what the host has: host, commit, file, patch, taken, left."""
        ...

    async def guests(self, host: str) -> Mapping[str, Json]:
        """Who is behind a host: host, at, items, findings. NotFound before it was seen."""
        ...

    async def guest_lines(self, facts: Sequence[LeaseFact], *, is_past: bool) -> Sequence[GuestLine]:
        """Everybody behind every host, by these leases and by what is known of the hosts. The very same value while
        nothing is another."""
        ...

    async def pools(self, host: str) -> Sequence[PoolFill]:
        """How full the host's ranges of addresses are. NotFound before it was seen."""
        ...

    async def topology(self, host: str, status: HostStatus | None) -> Topology:
        """What is on a host and behind it, also where it was never seen. `status` is as it is shown."""
        ...

    async def fleet_topology(self, sees: Callable[[str], bool]) -> FleetTopology:
        """What connects the hosts in Git that `sees` lets through."""
        ...

    async def fix_lease(self, host: str, ip: str) -> Mapping[str, Json]:
        """The patch that makes a lease fixed: host, commit, file, patch. NotFound where nobody has that address."""
        ...

    async def trace(self, host: str, asked: Mapping[str, str]) -> Mapping[str, Json]:
        """What becomes of a packet by what Git wants of the host: host, commit, verdict, rule, id, why, nat."""
        ...

    async def firewall(self, host: str) -> FirewallView:
        """Every rule of the host in the order in which it is tried, and where the host differs."""
        ...

    async def source(self) -> SourceStanding:
        """Whether the source is followed, and why not."""
        ...

    def not_known(self, host: str, status: HostStatus | None) -> InputError | None:
        """Why nothing can be said of a host by what Git wants now: NotKnown, NotFound. None where it was compared."""
        ...

    def unread(self) -> InputError | None:
        """Why nothing can be said of any host, NotKnown: what Git wants is not known. None once it is."""
        ...

    def is_compared(self, host: str) -> bool:
        """Whether a host is in Git, and was compared with what it wants now."""
        ...

    def uncompared(self, names: Iterable[str] = ()) -> frozenset[str]:
        """The hosts in Git that were not compared with what it wants now, and those of `names` that are not in Git."""
        ...

    def unrecorded(self) -> Mapping[str, HostStatus]:
        """Statuses that the database did not take, by host: they hold, not those that it has."""
        ...

    def tried(self) -> Mapping[str, datetime]:
        """When the last look that has ended began, by host, whatever came of it. Since the service started."""
        ...

    async def readiness(self) -> Mapping[str, str]:
        """Check → what is missing; empty when it is fine: `source` was fetched once, `loop` runs."""
        ...


class Proposals(Protocol):
    """What a revision that nobody follows would do: `service.reconcile.proposing.Proposals`, whose docstrings hold."""

    async def propose(
        self, proposal: Proposal, sees: Callable[[str], bool], hosts: Collection[str] = ()
    ) -> Proposed: ...


class People(Protocol):
    """Those who sign in at an issuer: `service.people.people.People`, whose docstrings hold. Blocks."""

    def who(self, presented: bytes, needed: TokenScope, at: datetime, *, may_read: bool = True) -> Principal: ...


class Reads(SessionReads, Protocol):
    """The database's reader: `service.history.queries.Queries`, whose docstrings hold."""

    def state(self) -> int | None: ...

    def hosts(self, asked: HostListing) -> Page[HostStatus]: ...

    def host(self, name: str) -> HostStatus | None: ...

    def name_now(self, old: str) -> str: ...

    def drift(self, asked: DriftListing) -> Page[DriftItem]: ...

    def plan(self, plan_id: str) -> PlanRecord | None: ...

    def current_plan(self, host: str) -> PlanRecord | None: ...

    def applies(self, asked: ApplyListing) -> Page[Apply]: ...

    def apply(self, apply_id: str) -> Apply | None: ...

    def revisions(self, asked: RevisionListing) -> Page[Revision]: ...

    def revision(self, commit: str) -> Revision | None: ...

    def newest_revision(self, state: RevisionState | None = None) -> Revision | None: ...

    def leases_json(self, asked: LeaseListing, *, now: datetime) -> tuple[str, Key | None]: ...

    def lease_facts(self, at: datetime | None = None) -> Sequence[LeaseFact]: ...

    def lease_history(self, asked: LeaseHistoryListing) -> Page[LeaseInterval]: ...

    def sites(self, asked: SiteListing) -> Page[SiteRecord]: ...

    def events(self, asked: EventListing) -> Page[Event]: ...

    def newest_event_id(self) -> int: ...

    def event_edges(self) -> tuple[int, int]: ...

    def latches(self, host: str) -> tuple[Latch, ...]: ...

    def drills(self, asked: DrillListing) -> Page[Drill]: ...

    def drill(self, drill_id: str) -> Drill | None: ...

    def tokens(self) -> tuple[Token, ...]: ...

    def receivers(self) -> tuple[Receiver, ...]: ...

    def receiver_secret(self, name: str) -> ReceiverSecret | None: ...

    def rollouts(self, asked: RolloutListing) -> Page[Rollout]: ...

    def rollout(self, rollout_id: str) -> Rollout | None: ...

    def rollout_hosts(self, asked: RolloutHostListing) -> Page[Member]: ...

    def deliveries(self, asked: DeliveryListing) -> Page[Delivery]: ...

    def suspended(self, now: datetime) -> tuple[Suspension, ...]: ...

    def suspension(self, number: int) -> Suspension | None: ...

    def suspensions(self, asked: SuspensionListing, *, now: datetime) -> Page[Suspension]: ...

    def trends(self, asked: LastDays, *, now: datetime) -> Trends: ...

    def acts(self, asked: AuditListing) -> Page[Entry]: ...

    def notice_state(self, channel: str, now: datetime, *, hold_s: float) -> tuple[NoticeStanding, int] | None: ...

    def counts(self) -> Numbers: ...


class Writes(SessionWrites, Protocol):
    """What the API itself writes: `service.history.store.Store`, whose docstrings hold."""

    def halt_rollout(self, rollout_id: str, *, by: str, reason: str, at: datetime) -> Rollout: ...

    def resume_rollout(self, rollout_id: str, *, by: str, reason: str, at: datetime) -> Rollout: ...

    def abort_rollout(self, rollout_id: str, *, by: str, reason: str, at: datetime) -> Rollout: ...

    def authenticate(self, presented: bytes, *, at: datetime) -> Principal | None: ...

    def recognise(self, presented: bytes, *, at: datetime) -> Principal | None: ...

    def revoke_token(self, token_id: str, *, by: str, at: datetime) -> bool: ...

    def record_delivery(
        self, receiver: str, delivery: str, *, outcome: DeliveryOutcome, at: datetime, event: str = "",
        branch: str = "", commit: str = "", message: str = "",
    ) -> bool: ...  # fmt: skip

    def record_act(self, act: Act, *, at: datetime) -> None: ...

    def claim_key(self, principal: str, key: str, request_digest: str, *, at: datetime) -> Claimed: ...

    def settle_key(self, principal: str, key: str, *, status: int, location: str, body: Json) -> None: ...

    def release_key(self, principal: str, key: str) -> None: ...


@dataclass(frozen=True, slots=True)
class RequestLimits:
    """How much of it is accepted. Rates are token buckets: `burst` at once, then one each `every_s` seconds.

    A body is `body_bytes` long at most, that of a delivery to a receiver `hook_bytes`; all deliveries that are being
    read hold `hooks_bytes` together. The rate of `hooks` is that of deliveries from one place whose signature is wrong.
    """

    body_bytes: int = 16 << 10
    hook_bytes: int = 1 << 20
    hooks_bytes: int = 32 << 20
    body_s: float = 30.0
    failures_burst: int = 20
    failures_every_s: float = 3.0
    requests_burst: int = 400
    requests_every_s: float = 0.01
    hooks_burst: int = 20
    hooks_every_s: float = 3.0


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything the API works with. `hosts_allowed` are the values of the Host header that are answered, all if empty.
    A host that was not seen for `stale_after_s` is shown as stale, what was seen before `started_at` as of before the
    restart. `hints(host)` are the kinds of changes that a host reports on its own now. `branch` is the source's.

    Of several workers each knows the numbers of the hosts that it `owns`. `is_behind()` is whether a newer revision is
    in force that this process cannot read. `stop()` is why no apply begins on any host, `labels(host)` and `windows()`
    are what Git says. `channels` are the ways by which people are informed, each with its address in words. `sessions`
    says how long people stay signed in. `web_url` is where browsers reach the pages, empty for the service's own."""

    reads: Reads
    writes: Writes
    control: Control
    answers: Answers
    clock: Clock
    proposals: Proposals = field(kw_only=True)
    metrics: Metrics = field(default_factory=Metrics)
    remembered: Remembered = field(default_factory=Remembered)
    awaited: Awaited = field(default_factory=Awaited)
    live: Live = field(default_factory=Live)
    limits: RequestLimits = field(default_factory=RequestLimits)
    hosts_allowed: tuple[str, ...] = ()
    stale_after_s: float = 300.0
    started_at: datetime | None = None
    branch: str = ""
    hints: Callable[[str], tuple[str, ...]] = lambda _: ()
    owns: Callable[[str], bool] = lambda _: True
    is_behind: Callable[[], bool] = lambda: False
    stop: Callable[[], str] = lambda: ""
    labels: Callable[[str], Mapping[str, str]] = lambda _: {}
    windows: Callable[[], tuple[Window, ...]] = lambda: ()
    channels: Mapping[str, str] = field(default_factory=dict)
    notice_hold_s: float = 30
    people: People | None = None
    sessions: SessionLimits = field(default_factory=SessionLimits)
    web_url: str = ""

    def is_before_restart(self, seen_at: datetime | None) -> bool:
        """Whether nobody has seen it since the service started."""
        return seen_at is not None and self.started_at is not None and seen_at < self.started_at
