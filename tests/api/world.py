"""A service without its loop: the real database and application, and a desk that notes the requests to the loop."""

import hashlib
import hmac
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import httpx2
from fastapi import FastAPI

from service.answers.guest_lines import GuestLines, LookedAt
from service.api.live import Live
from service.api.parts import Parts, RequestLimits
from service.errors import InputError, NoHost, NotFound, PasserelleError, SourceChanged, Stale
from service.history import History
from service.kinds import KINDS
from service.model.access import Scope
from service.model.changes import Difference, Drift
from service.model.facts import Step
from service.model.fleet_topology import FleetTopology
from service.model.guest_lines import GuestLine, LeaseFact
from service.model.guests import PoolFill
from service.model.observed import Lease
from service.model.plans import Plan
from service.model.proposals import HostProposal, Proposal, Proposed
from service.model.rollouts import Member, Opening, Policy
from service.model.runs import FirewallView, HostStatus, HostView
from service.model.sites.records import SiteRecord, record_of
from service.model.sites.states import SiteLook
from service.model.sites.told import CertificateTold
from service.model.sources import SourceStanding
from service.model.states import Json, Seen
from service.model.suspensions import Scope as SuspensionScope
from service.model.suspensions import Suspension
from service.model.topology import Topology
from service.model.trees import Commit
from service.spec.models import claims_of
from tests.api.one_firewall import firewall_view
from tests.api.shared_routes import app_of
from tests.api.still_clock import NOW, StillClock
from tests.api.topologies import fleet_seen_by, topology_named
from tests.model.sites.looks import ISSUED, SITE, WINDOW, answered, probes, told
from tests.model.sites.looks import NOW as SITE_NOW

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

    async def rollback(self, host: str, to: str, reason: str, by: str) -> str:
        self._fail()
        self.asked.append(("rollback", host, to, reason, by))
        return self.history.store.open_apply(
            host, plan_id="", commit=COMMIT, plan_digest="", desired_digest="sha256:e", trigger="rollback",
            requested_by=by, at=self.clock.now(),
        )  # fmt: skip

    async def revert(self, host: str, to: str) -> Mapping[str, Json]:
        self._fail()
        if host != "pve1":
            raise NoHost(host)
        return {"host": host, "commit": COMMIT, "file": "hosts/pve1.yaml", "patch": f"--- a/hosts/pve1.yaml {to}\n"}

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


class World:
    """Everything a test needs: `ask` sends a request with a token of the given scopes (admin if none is reported)."""

    def __init__(
        self, history: History, *, limits: RequestLimits | None = None, hosts_allowed: tuple[str, ...] = (),
        live: Live | None = None,
    ) -> None:  # fmt: skip
        # a stream ends once it has sent what there is: who sends a request here gets the whole answer at once
        self.history = history
        self.clock = StillClock()
        self.desk = Desk(history, self.clock)
        self.parts = Parts(
            history.queries,
            history.store,
            self.desk,
            self.desk,
            self.clock,
            limits=limits or RequestLimits(requests_burst=10_000, failures_burst=1_000),
            hosts_allowed=hosts_allowed,
            branch="main",
            proposals=self.desk,
            live=live or Live(life_s=0),
        )
        history.tell_to(self.parts.metrics.told)
        history.tell_to(self.parts.awaited.told)
        history.tell_to(self.parts.live.told)
        self.app: FastAPI = app_of(self.parts)
        self._tokens: dict[tuple[object, ...], str] = {}

    def token(self, *scopes: Scope, hosts: tuple[str, ...] = ("*",)) -> str:
        """A token with these scopes, made once."""
        key = (scopes, hosts)
        if key not in self._tokens:
            self._tokens[key] = self.history.store.create_token(
                "tester", scopes=scopes or ("admin",), hosts=hosts, by="local", at=self.clock.now()
            )
        return self._tokens[key]

    async def ask(
        self, method: str, path: str, *, token: str | None = None, client: str = "192.0.2.1", **options: object
    ) -> httpx2.Response:
        """One request through the whole application. `token=""` sends none."""
        told: Any = options.pop("headers", None) or {}
        headers = list(told) if isinstance(told, list) else list(told.items())  # a list where a name comes twice
        given = self.token() if token is None else token
        if given:
            headers.append(("Authorization", f"Bearer {given}"))
        transport = httpx2.ASGITransport(app=self.app, client=(client, 40000))
        async with httpx2.AsyncClient(transport=transport, base_url="http://passerelle.test") as http:
            return await http.request(method, path, headers=headers, **options)  # type: ignore[arg-type]

    def fill(self) -> "World":
        """Two hosts with a bit of everything."""
        store = self.history.store
        store.record_revision(Commit(COMMIT, "Ann", "ann@example.org", NOW, "first"), at=NOW, findings=[{"rule": "r"}])
        for host in ("pve1", "pve2"):
            store.set_host_status(
                HostStatus(host, sync="OutOfSync", reason="Drifted", reachability="Reachable", observed_at=NOW), at=NOW
            )
            store.set_drift(host, [drift("vmbr0"), drift("vmbr1")], at=NOW)
            store.seen_leases(
                host, [Lease(f"bc:24:11:00:00:{n:02x}", f"10.10.10.{n}", f"g{n}", 0) for n in (9, 100)], at=NOW
            )
            store.seen_sites(host, [site(host), site(host, "waits.example.org", told(waits_for="permit"))], at=NOW)
            store.record_plan(plan(host), at=NOW)
            store.latch(host, "sha256:bad", apply_id="0" * 26, at=NOW)
        return self

    def plan_id(self, host: str = "pve1") -> str:
        """The current plan's id."""
        found = self.history.queries.current_plan(host)
        assert found is not None
        return found.id

    def suspension_id(self, host: str = "pve1") -> int:
        """The number of a suspension in force; there is one afterwards."""
        held = self.history.queries.suspended(self.clock.now())
        made = held or (self.history.store.suspend("host", host, "why", by="ann", at=self.clock.now(), until=None),)
        return made[0].id

    def drill_id(self, host: str = "pve1") -> str:
        """The id of the drill that waits; there is one afterwards."""
        waiting = self.history.queries.waiting_drill(host)
        return waiting.id if waiting else self.history.store.open_drill(host, requested_by="ann", at=self.clock.now())

    def rollout_id(self) -> str:
        """The id of the newest rollout; there is one afterwards."""
        members = tuple(Member(host, "sha256:d9") for host in ("pve1", "pve2"))
        opening = Opening(COMMIT, Policy(), members, is_plain=False)
        newest = self.history.queries.newest_rollout()
        return newest.id if newest else self.history.store.open_rollout(opening, at=self.clock.now())

    def apply_id(self, host: str = "pve1") -> str:
        """A fresh apply's id."""
        return self.history.store.open_apply(
            host,
            plan_id=self.plan_id(host),
            commit=COMMIT,
            plan_digest="sha256:p",
            desired_digest="sha256:d",
            trigger="push",
            requested_by="loop",
            at=self.clock.now(),
        )


async def get(world: World, path: str) -> dict[str, Any]:
    """The body of a good answer."""
    answer = await world.ask("GET", f"/api/v1/{path}")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def drift(resource: str) -> Drift:
    """A bridge that is down."""
    return Drift(Difference("bridges", resource, "up", "live", "changed", True, False), "host")


def site(host: str, name: str = "www.example.org", seen: CertificateTold | None = None) -> SiteRecord:
    """A site whose upstream is off, or what its guest says."""
    wanted = replace(SITE, host=host, name=name, names=(name, f"www2.{name}"))
    issued = told(held=ISSUED, window=WINDOW)
    seen_by = None if seen else probes(answered(502))
    return record_of(SiteLook(wanted, Seen(seen or issued), probes=seen_by), SITE_NOW)


def plan(host: str, after: str = "1") -> Plan:
    """One step."""
    return Plan(host, COMMIT, "sha256:d", steps=(Step("sysctl:net.ipv4.ip_forward", "0", after, "nat"),))


def signature(secret: str, body: bytes) -> str:
    """What a forge sends."""
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def problem_of(answer: httpx2.Response) -> dict[str, object]:
    """The problem, after a look at its form (RFC 9457)."""
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, object] = answer.json()
    assert body["status"] == answer.status_code
    assert body["type"] == f"/problems/{body['code']}"
    assert body["title"]
    return body


__all__ = [
    "COMMIT",
    "NOW",
    "Desk",
    "PasserelleError",
    "StillClock",
    "World",
    "drift",
    "get",
    "plan",
    "problem_of",
    "signature",
]
