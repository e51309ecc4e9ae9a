"""What the loop would write into the history, as lines; it reads back what the loop decides by. It prints itself."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from service.errors import WaitsAlready
from service.model.events import Happened
from service.model.listings import HostListing
from service.model.runs import Apply, Drill, HostStatus, Page, PlanRecord, Release, Revision, RevisionState, Trigger
from service.model.sources import Rewrite
from service.model.states import Json
from service.model.suspensions import Scope, Suspension
from service.model.trees import Commit


@dataclass
class Book:
    """A record and a memory in one: `lines` in the order in which they were written."""

    lines: list[str] = field(default_factory=list)
    revisions: list[Revision] = field(default_factory=list)
    known: dict[str, HostStatus] = field(default_factory=dict)
    plans: dict[str, PlanRecord] = field(default_factory=dict)
    applies: list[Apply] = field(default_factory=list)
    drills: list[Drill] = field(default_factory=list)
    releases: list[Release] = field(default_factory=list)
    rewrites: list[Rewrite] = field(default_factory=list)
    suspensions: list[Suspension] = field(default_factory=list)

    def __str__(self) -> str:
        return "\n".join(self.lines)

    def record_revision(self, commit: Commit, *, at: datetime, findings: Sequence[Json] = ()) -> None:
        self._revision(commit, "accepted", "", at, findings)
        self.lines.append(f"accepted {commit.subject}")

    def refuse_revision(self, commit: Commit, *, reason: str, at: datetime, findings: Sequence[Json] = ()) -> None:
        self._revision(commit, "refused", reason, at, findings)
        self.lines.append(f"refused {commit.subject}: {reason}")

    def _revision(
        self, commit: Commit, state: RevisionState, reason: str, at: datetime, findings: Sequence[Json]
    ) -> None:
        made = Revision(
            commit.hash, commit.author_name, commit.author_email, commit.committed_at, commit.subject, at, state,
            reason, tuple(findings),
        )  # fmt: skip
        self.revisions.append(made)

    def accept_rewrite(self, commit: str, before: str, *, by: str, reason: str, at: datetime) -> None:
        self.rewrites.append(Rewrite(commit, before, by, reason, at))
        self.lines.append(f"{by} accepted the rewritten history: {reason}")

    def rewrite(self, *, before: str = "", commit: str = "") -> Rewrite | None:
        fits = (one for one in reversed(self.rewrites) if before in ("", one.before) and commit in ("", one.commit))
        return next(fits, None)

    def add_event(self, event: Happened, *, at: datetime) -> None:
        self.lines.append(f"{event.name} {event.host}: {event.text}" if event.host else f"{event.name}: {event.text}")

    def open_apply(
        self, host: str, *, plan_id: str, commit: str, plan_digest: str, desired_digest: str, trigger: Trigger,
        requested_by: str, at: datetime, may_raise: bool = False,
    ) -> str:  # fmt: skip
        if trigger == "request" and (waiting := self.waiting_apply(host)):
            raise WaitsAlready(f"an apply of {host} waits already: {waiting.id}")
        self.lines.append(f"opened an apply of {host} for {requested_by} ({trigger})")
        made = Apply(
            f"apply-{len(self.lines)}", host, plan_id, commit, plan_digest, desired_digest, trigger, requested_by,
            "Pending", requested_at=at, may_raise=may_raise,
        )  # fmt: skip
        self.applies.append(made)
        return made.id

    def suspend(
        self, scope: Scope, target: str, reason: str, *, by: str, at: datetime, until: datetime | None,
        held_digest: str = "",
    ) -> Suspension:  # fmt: skip
        made = Suspension(len(self.suspensions) + 1, scope, target, reason, by, at, until, held_digest=held_digest)
        self.suspensions.append(made)
        return made

    def end_suspension(self, number: int, *, by: str, at: datetime) -> Suspension | None:
        found = next((one for one in self.suspensions if one.id == number and one.ended_at is None), None)
        if found is None:
            return None
        ended = replace(found, ended_at=at, ended_by=by)
        self.suspensions[self.suspensions.index(found)] = ended
        return ended

    def commits(self, prefix: str) -> tuple[str, ...]:
        return tuple(one.commit for one in self.revisions if one.commit.startswith(prefix))[:2]

    def suspended(self, now: datetime) -> tuple[Suspension, ...]:
        return tuple(one for one in self.suspensions if one.is_in_force(now))

    def waiting_apply(self, host: str) -> Apply | None:
        return next((apply for apply in self.applies if apply.host == host and apply.is_waiting), None)

    def open_drill(self, host: str, *, requested_by: str, at: datetime, reboot: bool = False) -> str:
        if waiting := self.waiting_drill(host):
            raise WaitsAlready(f"a drill of {host} waits already: {waiting.id}")
        self.lines.append(f"opened a drill of {host} for {requested_by}")
        made = Drill(f"drill-{len(self.lines)}", host, requested_by, "Pending", requested_at=at, reboot=reboot)
        self.drills.append(made)
        return made.id

    def waiting_drill(self, host: str) -> Drill | None:
        return next((drill for drill in self.drills if drill.host == host), None)

    def ask_release(self, host: str, apply_id: str, *, by: str, reason: str, at: datetime) -> None:
        self.releases.append(Release(host, apply_id, by, reason, at))

    def host(self, name: str) -> HostStatus | None:
        return self.known.get(name)

    def clear_latch(self, host: str, *, by: str, reason: str, at: datetime) -> int:
        self.lines.append(f"{by} cleared the latch of {host}: {reason}")
        return 1

    def newest_revision(self, state: RevisionState = "accepted") -> Revision | None:
        return next((r for r in reversed(self.revisions) if r.state == state), None)

    def hosts(self, asked: HostListing) -> Page[HostStatus]:
        """One host a page, so that whoever reads on for the next page is seen to do it."""
        names = sorted(name for name in self.known if not asked.start or name > str(asked.start[0]))
        return Page(tuple(self.known[n] for n in names[:1]), (names[0],) if len(names) > 1 else None)

    def plan(self, plan_id: str) -> PlanRecord | None:
        return self.plans.get(plan_id)

    def plan_digests(self, host: str, prefix: str) -> tuple[str, ...]:
        known = {one.digest for one in self.plans.values() if one.host == host and one.digest.startswith(prefix)}
        return tuple(sorted(known))
