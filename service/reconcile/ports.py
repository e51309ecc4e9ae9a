"""What the loop needs of the world, as protocols: the edges implement them, app.py puts them in.

Methods of `Record`, `Memory` and `Revisions` block and are called in threads; those of `Hosts` are async.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from service.model.axes import Phase
from service.model.changes import Drift
from service.model.events import ApplyStepped, Happened
from service.model.facts import FactId
from service.model.guests import PoolFill
from service.model.listings import ApplyListing, HostListing, SiteListing
from service.model.observed import HostObserved, Lease, Watch
from service.model.plans import GuestVerb, Plan
from service.model.rollouts import Member, Opening, Rollout
from service.model.runs import (
    Apply,
    Base,
    Drill,
    HostStatus,
    Latch,
    MomentName,
    Page,
    PlanRecord,
    ProbeRecord,
    Proof,
    Release,
    Revision,
    RevisionState,
    Stamp,
    StepState,
    Trigger,
)
from service.model.sightings import Sighting
from service.model.sites.records import SiteRecord
from service.model.sites.seen import Answer, CertificateServed, Preflight
from service.model.sites.wanted import SiteWanted
from service.model.sources import Fetched, Rewrite
from service.model.states import Json
from service.model.suspensions import Scope, Suspension
from service.model.telling import Ended, Fence, Told
from service.model.trees import Commit, Tree
from service.spec.host import HostSpec


class Hosts(Protocol):
    """The fleet's hosts as they can be looked at and changed. `known_addresses` are tried in turn."""

    async def observe(self, spec: HostSpec, watch: Watch, known_addresses: Sequence[str]) -> HostObserved:
        """One observation in one round trip. Raises HostError."""
        ...

    async def fence(self, spec: HostSpec) -> Fence:
        """What the host's own journal says. Raises HostError."""
        ...

    async def install(
        self, spec: HostSpec, packages: Sequence[str], promised: Sequence[tuple[str, str, str]] = ()
    ) -> None:
        """Install packages before the switch is armed, if what comes is what was `promised`. Raises HostError."""
        ...

    async def guests(
        self, spec: HostSpec, action: GuestVerb, orders: Sequence[Mapping[str, Json]], told: Callable[[Told], None]
    ) -> None:
        """Create guests or set them up before the switch is armed, or start new ones after it. Raises HostError."""
        ...

    async def apply(
        self,
        spec: HostSpec,
        plan: Plan,
        *,
        apply_id: str,
        generation: int,
        known_addresses: Sequence[str],
        told: Callable[[Told], None],
    ) -> Ended:
        """The confirmed apply, from arming to the confirmation over a new connection. Never raises for a host."""
        ...

    async def drill(
        self,
        spec: HostSpec,
        facts: Mapping[FactId, Json],
        *,
        drill_id: str,
        generation: int,
        known_addresses: Sequence[str],
        reboot: bool = False,
    ) -> tuple[Proof, ...]:
        """Let the host undo a change of nothing, or reboot and do it then, while `facts` are held. Raises HostError
        where it cannot be reached."""
        ...

    async def verify(self, spec: HostSpec, apply_id: str) -> tuple[str, ...]:
        """After a rollback that nobody verified: the facts that are not as before the apply. Raises HostError."""
        ...

    async def release(self, spec: HostSpec, apply_id: str, reason: str) -> None:
        """Lift a quarantine. Raises HostError."""
        ...

    def sighting(self, name: str) -> Sighting | None:
        """What the host sent at the last look; None where there is none to be kept."""
        ...

    async def recall(self, sighting: Sighting) -> HostObserved | None:
        """What was seen then, read as a fresh answer is. None if the host would get another question now."""
        ...

    async def answers(self, spec: HostSpec, sites: Sequence[SiteWanted]) -> Mapping[str, tuple[Answer, bytes]]:
        """How sites answer at their proxy, seen from the host: each answer, and the certificate in DER. HostError."""
        ...

    async def permit(self, spec: HostSpec, guest_key: str, permits: Mapping[str, Json]) -> None:
        """What the checks before first orders found, for the program in a guest: {site: {"ok", "why"}}. HostError."""
        ...

    def doubt(self, name: str) -> str:
        """Why only an old connection says anything of the host: nobody can log in again. Empty where that is proven."""
        ...

    async def close(self, name: str) -> None:
        """Drop the connection to a host that is no longer wanted."""
        ...


class HostQueue(Protocol):
    """Which host is due next: one that is worked on is not given out again, and many wishes for one become one.

    `service.reconcile.queue.Queue` in one process, `service.jobs.queue.JobQueue` in one of several.
    """

    def add(self, name: str, *, after_s: float = 0) -> None:
        """Make a name due, at the latest in `after_s`; while it is worked on, once more afterwards."""
        ...

    def add_first(self, name: str) -> None:
        """Make a name due before all that are due and were not added so."""
        ...

    def drop(self, name: str) -> None:
        """Forget a name that nobody wants any more."""
        ...

    async def take(self) -> str:
        """The next due name; it counts as running until `done`. Waits."""
        ...

    def done(self, name: str) -> None:
        """The name is no longer worked on."""
        ...

    def is_running(self, name: str) -> bool:
        """Whether somebody works on it now."""
        ...

    @property
    def depth(self) -> int:
        """How many names wait, due or not."""
        ...


class Internet(Protocol):
    """What is seen of sites from here: `service.internet.sight.Sight`. Nothing raises for what others do."""

    async def preflight(self, site: SiteWanted, at: int) -> Preflight: ...

    async def answers(self, site: SiteWanted) -> tuple[Answer, ...]: ...

    def certificate(self, der: bytes) -> CertificateServed | None: ...


class Revisions(Protocol):
    """The config repository."""

    def fetch(self, last_accepted: str | None, *, in_force: str | None = None) -> Fetched: ...

    def read_tree(self, commit: str, known: Mapping[str, bytes] | None = None) -> Tree: ...

    def first_parent(self, commit: str) -> str | None: ...


class Judge(Protocol):
    """How rollouts move on: `service.reconcile.rollout`."""

    def moved_on(self, rollout: Rollout, now: datetime) -> Rollout: ...

    def why_waits(
        self, rollout: Rollout, member: Member, now: datetime, *, unavailable: int, before: tuple[str, ...], out: int
    ) -> str: ...


class Record(Protocol):
    """History: the store's named transitions."""

    def record_revision(self, commit: Commit, *, at: datetime, findings: Sequence[Json] = ()) -> None: ...

    def refuse_revision(self, commit: Commit, *, reason: str, at: datetime, findings: Sequence[Json] = ()) -> None: ...

    def accept_rewrite(self, commit: str, before: str, *, by: str, reason: str, at: datetime) -> None: ...

    def add_event(self, event: Happened, *, at: datetime) -> None: ...

    def set_host_status(self, status: HostStatus, *, at: datetime) -> bool: ...

    def orphan_host(self, host: str, *, at: datetime) -> None: ...

    def rename_host(self, old: str, new: str, *, at: datetime) -> bool: ...

    def forget_host(self, host: str, *, by: str, reason: str = "", at: datetime) -> None: ...

    def set_drift(
        self, host: str, drifts: Iterable[Drift], *, at: datetime, resolved_by: str = "host"
    ) -> tuple[int, int]: ...

    def record_plan(self, plan: Plan, *, at: datetime) -> str: ...

    def open_apply(
        self,
        host: str,
        *,
        plan_id: str,
        commit: str,
        plan_digest: str,
        desired_digest: str,
        trigger: Trigger,
        requested_by: str,
        at: datetime,
        may_raise: bool = False,
    ) -> str: ...

    def open_rollback(
        self,
        host: str,
        *,
        commit: str,
        plan_digest: str,
        desired_digest: str,
        held_digest: str,
        reason: str,
        by: str,
        at: datetime,
    ) -> str: ...

    def set_apply_plan(self, apply_id: str, plan_id: str, plan_digest: str) -> None: ...

    def start_apply(
        self, apply_id: str, *, generation: int, planned: Sequence[tuple[str, str]], at: datetime
    ) -> None: ...

    def move_step(self, apply_id: str, position: int, state: StepState, *, at: datetime, error: str = "") -> None: ...

    def move_steps(
        self, apply_id: str, moves: Sequence[tuple[int, StepState, datetime, str]], told: ApplyStepped | None = None
    ) -> None: ...

    def reach(self, apply_id: str, moment: MomentName, *, at: datetime, reverts_at: datetime | None = None) -> None: ...

    def set_apply_phase(self, apply_id: str, phase: Phase) -> None: ...

    def note_missed(self, apply_id: str, cause: str = "missed") -> None: ...

    def set_probes(self, apply_id: str, probes: Sequence[ProbeRecord]) -> None: ...

    def finish_apply(self, apply_id: str, phase: Phase, *, at: datetime, cause: str = "", error: str = "") -> bool: ...

    def next_generation(self, host: str, *, at_least: int = 0) -> int: ...

    def set_base(self, host: str, desired: Json, *, digest: str, commit: str, apply_id: str, at: datetime) -> None: ...

    def latch(self, host: str, desired_digest: str, *, apply_id: str, at: datetime) -> None: ...

    def drop_latches(self, host: str, *, wanted: str, at: datetime) -> int: ...

    def open_drill(self, host: str, *, requested_by: str, at: datetime, reboot: bool = False) -> str: ...

    def start_drill(self, drill_id: str, *, generation: int, at: datetime) -> None: ...

    def finish_drill(self, drill_id: str, *, proofs: Sequence[Proof], error: str, at: datetime) -> bool: ...

    def ask_release(self, host: str, apply_id: str, *, by: str, reason: str, at: datetime) -> None: ...

    def end_release(self, host: str) -> None: ...

    def clear_latch(self, host: str, *, by: str, reason: str, at: datetime) -> int: ...

    def keep_sighting(self, sighting: Sighting) -> None: ...

    def suspend(
        self, scope: Scope, target: str, reason: str, *, by: str, at: datetime, until: datetime | None,
        held_digest: str = "",
    ) -> Suspension: ...  # fmt: skip

    def end_suspension(self, number: int, *, by: str, at: datetime) -> Suspension | None: ...

    def end_due_suspensions(self, *, at: datetime) -> tuple[Suspension, ...]: ...

    def seen_sites(self, host: str, seen: Sequence[SiteRecord], *, at: datetime) -> int: ...

    def seen_pools(self, host: str, fills: Sequence[PoolFill], *, at: datetime) -> None: ...

    def seen_hosts(self, times: Mapping[str, datetime | None]) -> None: ...

    def agree_hosts(self, names: Collection[str], before: str, commit: str) -> None: ...

    def open_rollout(self, opening: Opening, *, at: datetime) -> str: ...

    def begin_in_rollout(
        self, member: Member, opening: Opening, judge: Judge, *, at: datetime, by: str = ""
    ) -> str: ...

    def move_rollout(self, judge: Judge, *, at: datetime) -> Rollout | None: ...

    def seen_leases(self, host: str, leases: Iterable[Lease], *, at: datetime) -> object: ...


class Memory(Protocol):
    """History read back: the few things that the loop decides by."""

    def base(self, host: str) -> Base | None: ...

    def latches(self, host: str) -> tuple[Latch, ...]: ...

    def waiting_apply(self, host: str) -> Apply | None: ...

    def waiting_drill(self, host: str) -> Drill | None: ...

    def release_asked(self, host: str) -> Release | None: ...

    def unfinished_drills(self, host: str) -> tuple[Drill, ...]: ...

    def unfinished_applies(self) -> tuple[Apply, ...]: ...

    def apply(self, apply_id: str) -> Apply | None: ...

    def applies(self, asked: ApplyListing) -> Page[Apply]: ...

    def sighting(self, host: str) -> Sighting | None: ...

    def sites(self, asked: SiteListing) -> Page[SiteRecord]: ...

    def last_ended(self, host: str, desired_digest: str, *, before: str) -> Apply | None: ...

    def plan(self, plan_id: str) -> PlanRecord | None: ...

    def suspended(self, now: datetime) -> tuple[Suspension, ...]: ...

    def commits(self, prefix: str) -> tuple[str, ...]: ...

    def revision(self, commit: str) -> Revision | None: ...

    def accepted_by(self, at: datetime) -> Revision | None: ...

    def applies_between(self, host: str, since: datetime, until: datetime, most: int) -> tuple[Apply, ...]: ...

    def plan_digests(self, host: str, prefix: str) -> tuple[str, ...]: ...

    def host(self, name: str) -> HostStatus | None: ...

    def stamp(self, host: str) -> Stamp | None: ...

    def hosts(self, asked: HostListing) -> Page[HostStatus]: ...

    def newest_revision(self, state: RevisionState = "accepted") -> Revision | None: ...

    def rewrite(self, *, before: str = "", commit: str = "") -> Rewrite | None: ...

    def newest_rollout(self) -> Rollout | None: ...

    def rollout_candidates(self, rollout_id: str, now: datetime | None = None) -> tuple[str, ...]: ...

    def unavailable_hosts(self, now: datetime | None = None) -> int: ...

    def applied_digests(self) -> dict[str, str]: ...
