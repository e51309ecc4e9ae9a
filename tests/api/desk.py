"""In place of the loop: what the API hands over to it, and what it answers."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from service.answers.guest_lines import GuestLines, LookedAt
from service.errors import InputError, NoHost, NotFound, SourceChanged, Stale
from service.history import History
from service.kinds import KINDS
from service.model.fleet_topology import FleetTopology
from service.model.guest_lines import GuestLine, LeaseFact
from service.model.guests import PoolFill
from service.model.proposals import HostProposal, Proposal, Proposed
from service.model.runs import FirewallView, HostStatus, HostView
from service.model.sources import SourceStanding
from service.model.states import Json
from service.model.suspensions import Scope as SuspensionScope
from service.model.suspensions import Suspension
from service.model.topology import Topology
from service.model.trees import Commit
from service.spec.models import claims_of
from tests.api.one_firewall import firewall_view
from tests.api.still_clock import NOW, StillClock
from tests.api.topologies import fleet_seen_by, topology_named

COMMIT = "c" * 40


@dataclass
class Desk:
    """In place of the loop: keeps requests, opens applies as the loop does, fails when instructed to."""

    history: History
    clock: StillClock
    asked: list[tuple[str, ...]] = field(default_factory=list)
    trouble: BaseException | None = None
    missing: dict[str, str] = field(default_factory=dict)
    standing: SourceStanding | None = None
    odd: str = "vmbr0"
    proposed_body: dict[str, Any] | None = None
    unknown: dict[str, InputError] = field(default_factory=dict)
    unread_why: InputError | None = None
    held: dict[str, HostStatus] = field(default_factory=dict)
    tried_at: dict[str, datetime] = field(default_factory=dict)
    looks: dict[str, LookedAt | None] = field(default_factory=dict)
    lines: GuestLines = field(default_factory=lambda: GuestLines(lambda spec: claims_of(spec, KINDS)))

    def _fail(self) -> None:
        if self.trouble is not None:
            raise self.trouble

    async def reconcile(self, host: str, by: str) -> None:
        self._fail()
        self.asked.append(("reconcile", host, by))

    async def apply(
        self, host: str, plan_id: str | None, digest: str | None, by: str, *, may_raise: bool = False
    ) -> str:
        self._fail()
        plan = self.history.queries.current_plan(host)
        if plan is None:
            raise NotFound(f"no plan for {host}")
        if digest is not None and not plan.digest.startswith(digest):
            raise Stale("something else would be done by now", hint=f"look at plan {plan.id}")
        self.asked.append(("apply", host, plan.id, by))
        return self.history.store.open_apply(
            host,
            plan_id=plan.id,
            commit=plan.commit,
            plan_digest=plan.digest,
            desired_digest=plan.desired_digest,
            trigger="request",
            requested_by=by,
            at=self.clock.now(),
        )

    async def nudge(self, receiver: str, commit: str = "") -> None:
        self._fail()
        self.asked.append(("nudge", receiver, commit) if commit else ("nudge", receiver))

    async def clear_latch(self, host: str, reason: str, by: str) -> int:
        self._fail()
        return self.history.store.clear_latch(host, by=by, reason=reason, at=self.clock.now())

    async def accept_rewrite(self, commit: str, reason: str, by: str) -> str:
        self._fail()
        if not "b".startswith(commit[:1]):
            raise SourceChanged(f"the branch is at {'b' * 40} now, not at {commit}")
        self.asked.append(("accept", commit, reason, by))
        return "b" * 40

    async def forget(self, host: str, reason: str, by: str) -> None:
        self._fail()
        self.history.store.forget_host(host, by=by, reason=reason, at=self.clock.now())

    async def drill(self, host: str, by: str, *, reboot: bool = False) -> str:
        self._fail()
        self.asked.append(("drill", host, by, "reboot") if reboot else ("drill", host, by))
        return self.history.store.open_drill(host, requested_by=by, at=self.clock.now())

    async def suspend(
        self, scope: SuspensionScope, target: str, reason: str, until: datetime | None, by: str
    ) -> Suspension:
        self._fail()
        return self.history.store.suspend(scope, target, reason, by=by, at=self.clock.now(), until=until)

    async def rollback(self, host: str, to: str, reason: str, by: str, *, digest: str = "") -> str:
        self._fail()
        self.asked.append(("rollback", host, to, reason, by, *([digest] if digest else [])))
        return self.history.store.open_apply(
            host, plan_id="", commit=COMMIT, plan_digest="", desired_digest="sha256:e", trigger="rollback",
            requested_by=by, at=self.clock.now(),
        )  # fmt: skip

    async def revert(self, host: str, to: str) -> Mapping[str, Json]:
        self._fail()
        if host != "pve1":
            raise NoHost(host)
        return {"host": host, "commit": COMMIT, "file": "hosts/pve1.yaml", "patch": f"--- a/hosts/pve1.yaml {to}\n"}

    async def difference(self, host: str, before: str | datetime, after: str | datetime | None) -> Mapping[str, Json]:
        self._fail()
        if host != "pve1":
            raise NoHost(host)
        if str(before).startswith("0000"):
            raise NotFound(f"no apply of {host} and no accepted commit is called {before}")
        point: dict[str, Json] = {
            "commit": COMMIT, "subject": f"{self.odd} is wider", "author_name": "Ann", "committed_at": NOW.isoformat(),
            "at": NOW.isoformat(), "file": "hosts/pve1.yaml", "is_readable": True,
        }  # fmt: skip
        applies: list[Json] = [{"id": "0" * 26, "phase": "Succeeded", "ended_at": NOW.isoformat()}]
        patch = f"--- a/hosts/pve1.yaml\n+++ b/hosts/pve1.yaml\n@@ -1 +1 @@\n-mtu: 1500\n+mtu: 9000 # {self.odd}\n"
        return {
            "host": host, "before": point, "after": {**point, "commit": "d" * 40}, "patch": patch,
            "notes": [f"from {before} to {after or 'now'}"], "applies": applies, "has_more_applies": False,
        }  # fmt: skip

    async def resume(self, number: int, by: str) -> Suspension | None:
        self._fail()
        return self.history.store.end_suspension(number, by=by, at=self.clock.now())

    async def release(self, host: str, reason: str, by: str) -> None:
        self._fail()
        self.asked.append(("release", host, reason, by))

    async def desired(self, host: str) -> HostView | None:
        self._fail()
        return HostView(host, {"nat": True}, COMMIT, "sha256:d") if host == "pve1" else None

    async def observed(self, host: str) -> HostView | None:
        self._fail()
        return HostView(host, {"links": [self.odd], self.odd: {}}, at=NOW) if host == "pve1" else None

    async def accept(self, host: str) -> Mapping[str, Json]:
        self._fail()
        if host != "pve1":
            raise NoHost(host)
        patch = "--- a/hosts/pve1.yaml\n+++ b/hosts/pve1.yaml\n"
        left: list[Json] = [{"what": f"bridges {self.odd} up", "why": "no key"}]
        return {"host": host, "commit": COMMIT, "file": "hosts/pve1.yaml", "patch": patch, "taken": [], "left": left}

    async def guests(self, host: str) -> Mapping[str, Json]:
        self._fail()
        if host != "pve1":
            raise NoHost(host)
        return {"host": host, "at": NOW.isoformat(), "items": [], "findings": []}

    async def guest_lines(self, facts: Sequence[LeaseFact], *, is_past: bool) -> Sequence[GuestLine]:
        self._fail()
        return self.lines.then(facts, self.looks) if is_past else self.lines.now(facts, self.looks, self.clock.now())

    async def pools(self, host: str) -> Sequence[PoolFill]:
        self._fail()
        if host != "pve1":
            raise NoHost(host)
        return [PoolFill(host, "vmbr0", "10.10.10.100", "10.10.10.200", 101, 2, 1)]

    async def topology(self, host: str, status: HostStatus | None) -> Topology:
        self._fail()
        if host != "pve1":
            raise NoHost(host)
        why = str(self.unknown.get(host, ""))
        return replace(topology_named(self.odd), unknown=why, at=None if why else NOW)

    async def fleet_topology(self, sees: Callable[[str], bool]) -> FleetTopology:
        self._fail()
        return fleet_seen_by(sees)

    async def fix_lease(self, host: str, ip: str) -> Mapping[str, Json]:
        self._fail()
        if host != "pve1" or ip != "10.10.10.9":
            raise NotFound(f"nobody has a lease of {ip} on {host} now")
        return {"host": host, "commit": COMMIT, "file": "hosts/pve1.yaml", "patch": "--- a/hosts/pve1.yaml\n"}

    async def trace(self, host: str, asked: Mapping[str, str]) -> Mapping[str, Json]:
        self._fail()
        if host != "pve1":
            raise NoHost(host)
        why = " ".join(f"{key}={value}" for key, value in sorted(asked.items()))
        return {
            "host": host,
            "commit": COMMIT,
            "verdict": "DROP",
            "rule": "hosts/pve1.yaml:3",
            "id": "in:host:1",
            "why": why,
            "nat": [],
        }

    async def firewall(self, host: str) -> FirewallView:
        self._fail()
        if host != "pve1":
            raise NoHost(host)
        return firewall_view(host, COMMIT, self.odd)

    async def propose(self, proposal: Proposal, sees: Callable[[str], bool], hosts: Collection[str] = ()) -> Proposed:
        self._fail()
        names = [name for name in hosts or ("pve1", "pve2") if sees(name)]
        of_lint: dict[str, Json] = {
            "line": 3,
            "col": 1,
            "path": "",
            "severity": "warning",
            "rule": "r",
            "what": self.odd,
            "right": "",
        }
        found: list[Json] = [{**of_lint, "file": f"hosts/{name}.yaml"} for name in ("pve1", "pve2")]
        body = self.proposed_body or {"steps": [self.odd]}
        made = [HostProposal(name, "changes", digest="sha256:d", body=body) for name in names]
        told = Commit("b" * 40, "Bob", "bob@example.org", NOW, proposal.label)
        return Proposed(proposal, told, COMMIT, True, 0, 2, tuple(found), 0, tuple(made))

    async def source(self) -> SourceStanding:
        self._fail()
        return self.standing or SourceStanding("rewound", "history was rewritten", COMMIT, NOW, NOW)

    def not_known(self, host: str, status: HostStatus | None) -> InputError | None:
        return self.unknown.get(host)

    def unread(self) -> InputError | None:
        return self.unread_why

    def is_compared(self, host: str) -> bool:
        return self.unread_why is None and host not in self.unknown

    def uncompared(self, names: Iterable[str] = ()) -> frozenset[str]:
        return frozenset(names if self.unread_why is not None else ()) | frozenset(self.unknown)

    def unrecorded(self) -> Mapping[str, HostStatus]:
        return self.held

    def tried(self) -> Mapping[str, datetime]:
        return self.tried_at

    async def readiness(self) -> Mapping[str, str]:
        self._fail()
        return self.missing
