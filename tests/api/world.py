"""A service without its loop: the real database and application, and a desk that notes the requests to the loop."""

import hashlib
import hmac
from dataclasses import replace
from typing import Any

import httpx2
from fastapi import FastAPI

from service.api.live import Live
from service.api.parts import Parts, RequestLimits
from service.errors import PasserelleError
from service.history import History
from service.model.access import Scope
from service.model.changes import Difference, Drift
from service.model.facts import Step
from service.model.observed import Lease
from service.model.plans import Plan
from service.model.rollouts import Member, Opening, Policy
from service.model.runs import HostStatus
from service.model.sites.records import SiteRecord, record_of
from service.model.sites.states import SiteLook
from service.model.sites.told import CertificateTold
from service.model.states import Seen
from service.model.trees import Commit
from tests.api.desk import COMMIT, Desk
from tests.api.shared_routes import app_of
from tests.api.still_clock import NOW, StillClock
from tests.model.sites.looks import ISSUED, SITE, WINDOW, answered, probes, told
from tests.model.sites.looks import NOW as SITE_NOW


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
