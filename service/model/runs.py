"""What the service knows and did over time: a host's status, applies, drift, leases, revisions, events.

Each status axis is alone and is never merged with another: a host may be Synced, Degraded and Unreachable at
once. `observed_at` says how old the knowledge is; what was not seen lately is stale, not fine.

HostStatus   where one host stands now
Apply        one transaction on one host, with its ApplyStep list and the Moments that it came to
DriftItem    a difference from the time it was first seen until it was resolved
Latch        a desired digest that was rolled back: not tried again on its own
Base         what was last applied, for the three-way comparison
HostView     what is wanted of a host, or what was seen of it, as JSON
Drill        a rollback that was let happen on purpose, and what it proved
Release      a quarantine that a person wants lifted
Revision, PlanRecord, LeaseRecord, LeaseInterval, Event, Page
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Generic, Literal, TypeAlias, TypeVar, get_args

from service.model.axes import Health, Phase, Reachability, SyncState
from service.model.changes import Moved, Op, Where
from service.model.events import Origin, origin_of
from service.model.states import Json

T = TypeVar("T")

SyncMode = Literal["observe", "approve", "auto"]
SyncReason = Literal["", "PendingChange", "Drifted", "Diverged", "ComparisonError", "RolledBackLatched", "Orphaned"]
Trigger = Literal["push", "drift", "request", "retry", "rollback"]
MomentName = Literal[
    "packages", "guests", "locked", "snapshot", "armed", "confirming", "extended", "withdrawn", "missed"
]
"""What an apply comes through, in this order. `armed`: the host rolls back at the deadline unless the change is
confirmed. `confirming`: the change is in force, new connections are tried. `extended`: the deadline is a later one.
`withdrawn`: what answered before answers no more, so the service itself asks for the rollback. `missed`: the deadline
has passed."""
StepState = Literal["pending", "doing", "done", "undone", "failed"]
DrillState = Literal["Pending", "Running", "Passed", "Failed"]
PlanState = Literal["current", "superseded", "applied"]
RevisionState = Literal["accepted", "refused"]

LEFT_GIT = "no longer in Git; nothing on it is touched"
"""The message of an orphaned host."""
FINISHED: tuple[Phase, ...] = ("Succeeded", "Failed", "RolledBack", "RollbackFailed", "Refused")
ASKED: tuple[Trigger, ...] = ("request", "retry", "rollback")
"""What a person or a program requested; the loop sets the others off on its own."""
PHASES: tuple[Phase, ...] = get_args(Phase)


@dataclass(frozen=True, slots=True)
class HostStatus:
    """The state of a host.

    `observed_commit` is the commit whose desired state the host was last compared with, or a later one that wants
    the same of it. `attempted_commit` is the one an apply was last begun for, `applied_commit` the last one
    confirmed. `message` says the reason in words. `console` is the address shown when nothing else reaches the
    host. `quarantined` is the transaction whose rollback failed, empty where there is none. `proven_at` is when a
    drill last proved that the host can roll back. `changed_at` is the last move of any axis; these two are set by
    the store.
    """

    host: str
    address: str = ""
    sync_mode: SyncMode = "approve"
    sync: SyncState = "Unknown"
    reason: SyncReason = ""
    message: str = ""
    health: Health = "Unknown"
    reachability: Reachability = "Unknown"
    phase: Phase = "Idle"
    observed_at: datetime | None = None
    observed_commit: str = ""
    attempted_commit: str = ""
    applied_commit: str = ""
    desired_digest: str = ""
    applied_digest: str = ""
    plan_id: str = ""
    apply_id: str = ""
    console: str = ""
    drift_items: int = 0
    quarantined: str = ""
    proven_at: datetime | None = None
    changed_at: datetime | None = None


Stamp: TypeAlias = tuple[str | int | float | None, ...]
"""All of the history that a round of one host depends on, besides when it was seen and by which commit. Equal means the
same."""


@dataclass(frozen=True, slots=True)
class ApplyStep:
    """One step of an apply: which fact, why, how far it came and when, by the wall clock of the service."""

    position: int
    fact: str
    why: str
    state: StepState = "pending"
    started_at: datetime | None = None
    ended_at: datetime | None = None
    error: str = ""


@dataclass(frozen=True, slots=True)
class Moment:
    """Something an apply came to, and when, by the clock of the service."""

    name: MomentName
    at: datetime


@dataclass(frozen=True, slots=True)
class ProbeRecord:
    """One probe of an apply, by name (`dns 10.0.0.1`): its result before, after, and once the change was rolled back.
    `ok`, or in words why not; empty if it did not run.
    """

    name: str
    before: str = ""
    after: str = ""
    undone: str = ""


@dataclass(frozen=True, slots=True)
class Apply:
    """One transaction on one host. `id` is a ULID and is the transaction's id on the host too.

    `generation` fences off older controllers; 0 while the apply only waits. `cause` is a fixed word for why it ended
    badly (deadline, conflict, step-failed…), `error` the sentence for people. `author_*` and `subject` are those of the
    commit, as far as its revision is known. `may_raise`: the requester may approve what the operator does not let a
    commit do on its own. `reverts_at` is when the host rolls back on its own unless the change is confirmed before,
    None before anything is armed; it stays once the apply has ended.
    """

    id: str
    host: str
    plan_id: str
    commit: str
    plan_digest: str
    desired_digest: str
    trigger: Trigger
    requested_by: str
    phase: Phase
    generation: int = 0
    requested_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    cause: str = ""
    error: str = ""
    author_name: str = ""
    author_email: str = ""
    subject: str = ""
    may_raise: bool = False
    reverts_at: datetime | None = None
    moments: tuple[Moment, ...] = ()
    probes: tuple[ProbeRecord, ...] = ()
    steps: tuple[ApplyStep, ...] = ()

    @property
    def is_waiting(self) -> bool:
        """Whether it was requested and waits for its turn: nothing of it was begun."""
        return self.phase == "Pending" and self.trigger in ASKED


@dataclass(frozen=True, slots=True)
class Proof:
    """One thing that a drill had to prove: whether it held, and what was found."""

    name: str
    ok: bool
    told: str


@dataclass(frozen=True, slots=True)
class Drill:
    """A rollback that was let happen on purpose. `id` is a ULID and is the transaction's id on the host too.

    Passed only where every proof held; `error` says in words what was missing. `reboot`: the host's boot rolls it back.
    """

    id: str
    host: str
    requested_by: str
    state: DrillState
    generation: int = 0
    requested_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    error: str = ""
    reboot: bool = False
    proofs: tuple[Proof, ...] = ()


@dataclass(frozen=True, slots=True)
class Release:
    """A person has looked at a host and wants the quarantine that `apply_id` brought lifted."""

    host: str
    apply_id: str
    requested_by: str
    reason: str
    requested_at: datetime


@dataclass(frozen=True, slots=True)
class DriftItem:
    """A difference over time. `resolved_by` names what ended it: an apply's id, `host` or `git`; empty while open."""

    id: int
    host: str
    kind: str
    resource: str
    field: str
    where: Where
    op: Op
    want: Json
    have: Json
    moved: Moved
    first_seen: datetime
    last_seen: datetime
    unknown: str = ""
    cause: str = ""
    resolved_at: datetime | None = None
    resolved_by: str = ""


@dataclass(frozen=True, slots=True)
class PlanRecord:
    """A recorded plan. `body` is what the plan's value holds, files as text (see `service.history.store.plans`)."""

    id: str
    host: str
    commit: str
    digest: str
    desired_digest: str
    state: PlanState
    created_at: datetime
    body: dict[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LeaseRecord:
    """Who had which address and name, and when. `expires_at` None = never. `active`: in the lease file when last read
    and not run out since."""

    host: str
    mac: str
    ip: str
    name: str
    first_seen: datetime
    last_seen: datetime
    expires_at: datetime | None
    active: bool


@dataclass(frozen=True, slots=True)
class LeaseInterval:
    """Who had an address under a name from when until when. `until_at` None: it is in the lease file still. It was
    held until the earlier of `until_at` and `expires_at`."""

    host: str
    mac: str
    ip: str
    name: str
    from_at: datetime
    until_at: datetime | None
    expires_at: datetime | None


@dataclass(frozen=True, slots=True)
class Latch:
    """A desired digest that was rolled back on a host. It holds until another digest is wanted of the host, or a person
    clears it with a reason. `cause` and `error` are those of the apply."""

    id: int
    host: str
    desired_digest: str
    apply_id: str
    since: datetime
    cause: str = ""
    error: str = ""
    cleared_at: datetime | None = None
    cleared_by: str = ""
    clear_reason: str = ""


@dataclass(frozen=True, slots=True)
class HostView:
    """What is wanted of a host (`commit` says by which revision) or what was seen of it (`at` says when), as JSON.
    `before_restart`: nobody has seen it since the service started."""

    host: str
    content: Json
    commit: str = ""
    digest: str = ""
    at: datetime | None = None
    before_restart: bool = False


@dataclass(frozen=True, slots=True)
class FirewallView:
    """Every rule of a host in the order in which it is tried. `tables` is the same object as long as Git wants the
    same. `differs` says where the host is not as wanted; None where it was not compared. `backend` is the program that
    was seen to have the rules on a Proxmox node; None on another host, or where it was never seen."""

    host: str
    commit: str
    tables: Mapping[str, Json]
    differs: list[Json] | None = None
    backend: Mapping[str, Json] | None = None


@dataclass(frozen=True, slots=True)
class Base:
    """What was last applied and confirmed on a host, in the planner's own JSON form."""

    host: str
    desired: Json
    digest: str
    commit: str
    apply_id: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Revision:
    """A commit that was fetched: accepted (it is, or was, what Git wants) or refused with the reason and findings."""

    commit: str
    author_name: str
    author_email: str
    committed_at: datetime
    subject: str
    fetched_at: datetime
    state: RevisionState
    reason: str = ""
    findings: tuple[Json, ...] = ()


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened, in the order it was recorded. `host` is empty for what concerns the fleet."""

    id: int
    at: datetime
    type: str
    host: str
    text: str
    detail: dict[str, Json] = field(default_factory=dict)

    @property
    def origin(self) -> Origin:
        """Who reported it, and what state it came from."""
        return origin_of(self.type, self.detail)


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """A part of a list. `next` is the sort key to continue after, None at the end."""

    items: tuple[T, ...]
    next: tuple[str | int, ...] | None = None
