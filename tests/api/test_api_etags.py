"""Every read has an ETag: what a client has is not sent again, and an answer that is another one always is."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta

import httpx2
import pytest

from service.model.observed import Lease
from service.model.trees import Commit
from tests.api.test_api_gate import address, routes
from tests.api.test_api_matrix import ASKS
from tests.api.world import NOW, World, drift

STREAM = "/api/v1/stream"
"""It has no end, so nothing of it could be named before."""


def reads(world: World) -> dict[str, str]:
    """The address of each route that reads, by its path."""
    found = sorted(route.path for route in routes(world) if "GET" in (route.methods or ()))
    paths = [path for path in found if path.startswith("/api/") and path != STREAM]
    return {path: address(world, path) + ASKS.get(path, "") for path in paths}


def host_changes(world: World) -> None:
    status = world.history.queries.host("pve1")
    assert status is not None
    world.history.store.set_host_status(replace(status, sync="Synced", reason=""), at=NOW + timedelta(seconds=2))


def much_changes(world: World) -> None:
    store, at = world.history.store, NOW + timedelta(seconds=1)
    store.record_revision(Commit("e" * 40, "Ann", "ann@example.org", NOW, "next"), at=at, findings=[{"rule": "x"}])
    store.set_drift("pve1", [drift("vmbr7")], at=at)
    store.seen_leases("pve1", [Lease("bc:24:11:00:00:77", "10.10.10.77", "new", 0)], at=at)
    store.suspend("host", "pve1", "the cable", by="ann", at=at, until=at + timedelta(minutes=5))


CHANGES: dict[str, Callable[[World], None]] = {
    "nothing": lambda _: None,
    "a host": host_changes,
    "much": much_changes,
    "the clock": lambda world: world.clock.pass_time(3600),
    "a look": lambda world: world.desk.tried_at.update(pve1=NOW),
}


@pytest.mark.parametrize("change", CHANGES)
async def test_what_is_the_same_is_not_sent_again_and_what_is_not_is(world: World, change: str) -> None:
    """By each route: 304 exactly where a request without a condition gets the same answer."""
    before: dict[str, httpx2.Response] = {}
    for path, at in reads(world).items():
        before[path] = await world.ask("GET", at)
        assert before[path].status_code == 200, (path, before[path].text)
        assert before[path].headers["etag"], path
    assert len(before) > 30
    addresses = {path: str(answer.request.url.raw_path, "ascii") for path, answer in before.items()}
    CHANGES[change](world)
    again = 0
    for path, old in before.items():
        found = await world.ask("GET", addresses[path], headers={"If-None-Match": f'"x", W/{old.headers["etag"]}'})
        plain = await world.ask("GET", addresses[path])
        assert (found.status_code == 304) == (plain.content == old.content), path
        assert found.headers["etag"] == plain.headers["etag"], path
        assert found.content == (b"" if found.status_code == 304 else plain.content), path
        assert found.headers.get("link") == plain.headers.get("link"), path
        again += found.status_code == 200
    assert (again > 0) == (change != "nothing")


async def test_who_may_see_less_has_another_answer_and_another_tag(world: World) -> None:
    tags = {
        (await world.ask("GET", "/api/v1/hosts", token=world.token("read", hosts=hosts))).headers["etag"]
        for hosts in (("*",), ("pve1",), ("pve2",))
    }
    assert len(tags) == 3


async def test_what_is_refused_is_refused_whatever_the_client_has(world: World) -> None:
    every = {"If-None-Match": "*"}
    assert (await world.ask("GET", "/api/v1/hosts", token="", headers=every)).status_code == 401
    assert (await world.ask("GET", "/api/v1/hosts/nope", headers=every)).status_code == 404
    assert (await world.ask("GET", "/api/v1/hosts", headers=every)).status_code == 304
    assert (await world.ask("POST", "/api/v1/hosts/pve1/reconcile", headers=every)).status_code == 202


def described(world: World) -> Iterator[str]:
    for path, operations in world.app.openapi()["paths"].items():
        if "304" in operations.get("get", {}).get("responses", {}):
            yield path


def test_the_description_says_which_reads_have_one(world: World) -> None:
    assert sorted(described(world)) == sorted(reads(world))
