"""Every route with every kind of caller. Both come from the application and its scopes, so that none is forgotten."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from fastapi.routing import APIRoute

from service.api.create import create_probes
from service.api.values import Needs
from service.model.access import SCOPES, Scope
from tests.api.test_api_gate import address, body_for, routes
from tests.api.world import NOW, World, problem_of

NOBODY = ("none", "garbage", "unknown", "wrong secret", "revoked", "expired", "of another database")
OTHER_HOSTS = (("pve2",), ("pve2*",), ("nothing",))
EMPTY = ("/api/v1/rollouts/{rollout_id}/hosts",)
"""Lists below something that is not seen: they are empty."""
LOOKS = ("/api/v1/plans",)
"""Routes of another method that change nothing, and answer about the hosts that are seen."""
ASKS = {
    "/api/v1/hosts/{host}/trace": "?from=outside&to=host&proto=tcp",
    "/api/v1/hosts/{host}/rollback/patch": "?to=cccccccc",
    "/api/v1/hosts/{host}/difference": "?from=cccccccc&to=2026-03-01T12:00:00Z",
}
"""What a route needs in its query."""


@dataclass(frozen=True)
class Call:
    """A request to a route that is right in all but the caller."""

    method: str
    path: str
    address: str
    body: dict[str, Any] | None
    needed: Scope

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


def needed_by(route: APIRoute) -> Scope | None:
    needs = [one.call for one in route.dependant.dependencies if isinstance(one.call, Needs)]
    return needs[0].scope if needs else None


def calls(world: World) -> Iterator[Call]:
    """Of every route that needs a token; the one that leaves no host is the last."""
    for route in sorted(routes(world), key=lambda one: one.path.endswith("/forget")):
        needed = needed_by(route)
        for method in sorted(route.methods or ()):
            if needed is not None:
                body = body_for(world, route.path) if method == "POST" else None
                yield Call(method, route.path, address(world, route.path) + ASKS.get(route.path, ""), body, needed)


def token_of(world: World, kind: str) -> str:
    """A token that is worth nothing, of each kind."""
    store, good = world.history.store, world.token("admin")
    if kind == "revoked":
        token = store.create_token("gone", scopes=("admin",), by="local", at=NOW)
        assert store.revoke_token(token[4:16], by="local", at=NOW)
        return token
    if kind == "expired":
        return store.create_token("old", scopes=("admin",), by="local", at=NOW - timedelta(days=91))
    other = store.create_token("other", scopes=("admin",), by="local", at=NOW)
    return {
        "none": "", "garbage": "psr_x", "unknown": good[:4] + "0" * 12 + good[16:],
        "wrong secret": good[:17] + other[17:],
        "of another database": "psr_" + "9" * 12 + "." + "A" * (len(good) - 17),
    }[kind]  # fmt: skip


@pytest.mark.parametrize("kind", NOBODY)
async def test_who_has_no_good_token_gets_nothing(world: World, kind: str) -> None:
    token = token_of(world, kind)
    for call in calls(world):
        answer = await world.ask(call.method, call.address, token=token, json=call.body)
        assert answer.status_code == 401, f"{call}: {answer.text}"
        assert problem_of(answer)["code"] == "unauthorized"
        assert answer.headers["www-authenticate"].startswith("Bearer")
    assert world.desk.asked == []


@pytest.mark.parametrize("scope", SCOPES)
async def test_a_scope_opens_its_own_routes_and_no_other(world: World, scope: Scope) -> None:
    token = world.token(scope)
    for call in calls(world):
        answer = await world.ask(call.method, call.address, token=token, json=call.body)
        if scope in (call.needed, "admin"):
            assert answer.status_code not in (401, 403), f"{call}: {answer.text}"
            assert answer.status_code < 500, f"{call}: {answer.text}"
        else:
            assert answer.status_code == 403, f"{call}: {answer.text}"


@pytest.mark.parametrize("hosts", OTHER_HOSTS, ids=str)
async def test_the_right_scope_for_other_hosts_shows_and_changes_nothing_of_this_one(
    world: World, hosts: tuple[str, ...]
) -> None:
    for call in calls(world):
        answer = await world.ask(call.method, call.address, token=world.token(call.needed, hosts=hosts), json=call.body)
        is_about_it = "{" in call.path and "{commit}" not in call.path and call.path not in EMPTY
        if is_about_it or (call.method != "GET" and call.path not in LOOKS):
            assert answer.status_code in (403, 404), f"{call}: {answer.text}"
        elif call.path not in ("/openapi.json", "/docs"):
            assert answer.status_code == 200, f"{call}: {answer.text}"
            assert "pve1" not in answer.text, f"{call}: {answer.text}"
    assert world.desk.asked == []


@pytest.mark.parametrize("kind", ["none", "revoked", "expired"])
async def test_what_is_public_needs_no_token(world: World, kind: str) -> None:
    token = token_of(world, kind)
    for route in routes(world):
        if needed_by(route) is None and not route.path.startswith("/hooks/"):
            answer = await world.ask("GET", route.path.replace("{code}", "held"), token=token)
            assert answer.status_code == 200, route.path


@pytest.mark.parametrize("kind", NOBODY)
async def test_a_worker_answers_its_health_and_shows_no_number_to_nobody(world: World, kind: str) -> None:
    token = token_of(world, kind)
    world.app = create_probes(world.parts)
    paths = {route.path: needed_by(route) for route in routes(world)}
    assert paths == {"/livez": None, "/readyz": None, "/metrics": "read", "/problems/{code}": None}
    for path, needed in paths.items():
        answer = await world.ask("GET", path.replace("{code}", "held"), token=token)
        assert answer.status_code == (401 if needed else 200), path
    assert (await world.ask("GET", "/api/v1/hosts", token=token)).status_code == 401


@pytest.mark.parametrize("scope", SCOPES)
async def test_a_worker_shows_its_numbers_to_who_may_read(world: World, scope: Scope) -> None:
    token = world.token(scope)
    world.app = create_probes(world.parts)
    answer = await world.ask("GET", "/metrics", token=token)
    assert answer.status_code == (200 if scope in ("read", "admin") else 403)
    if scope == "admin":
        assert (await world.ask("GET", "/api/v1/hosts", token=token)).status_code == 404
