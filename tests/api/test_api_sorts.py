"""Every list is a page, bounded, and can be turned round; its cursor holds for one order only."""

from datetime import timedelta
from typing import Any

import pytest

from service.api import openapi
from service.model.listings import LISTINGS, Listing, RolloutHostListing
from service.model.runs import HostStatus
from service.model.trees import Commit
from tests.api.test_api_gate import address
from tests.api.test_api_listings import PATHS
from tests.api.test_api_matrix import ASKS
from tests.api.world import NOW, World, drift, get, problem_of

KINDS: dict[str, type[Listing]] = {**PATHS, "/api/v1/hosts/{host}/drift": PATHS["/api/v1/drift"],
         "/api/v1/rollouts/{rollout_id}/hosts": RolloutHostListing}  # fmt: skip
WHOLE = {
    "/api/v1/guests": "a table of 10,000 lines at most, which counts those that it leaves out",
    "/api/v1/hosts/{host}/guests": "as many as one host has guests",
    "/api/v1/hosts/{host}/latches": "those of one host that hold",
    "/api/v1/hosts/{host}/pools": "one for each range in a host's spec",
    "/api/v1/notices": "the ways that the operator set",
    "/api/v1/receivers": "those that a person made with a command",
    "/api/v1/sessions": "1,000 at most, those that end last",
    "/api/v1/tokens": "those that a person made with a command",
    "/api/v1/trends": "as many days as are asked for",
    "/api/v1/windows": "those in fleet.yaml",
}
"""Lists that are answered whole, and why they are short."""


@pytest.fixture
def much(world: World) -> World:
    """At least two of everything that is listed."""
    store = world.history.store
    store.set_drift("pve1", [drift(f"vmbr{n}") for n in range(4)], at=NOW)
    store.set_drift("pve2", [], at=NOW, resolved_by="git")
    for n in range(3):
        at = NOW + timedelta(seconds=n)
        store.record_revision(Commit(f"{n}" * 40, "Ann", "ann@example.org", NOW, "next"), at=at)
        world.apply_id()
        store.suspend("host", f"pve{n}", "why", by="ann", at=at, until=None)
        store.record_delivery("forge", f"d{n}", outcome="refused", at=at)
    for host in ("pve1", "pve2"):
        world.drill_id(host)
    world.rollout_id()
    store.abort_rollout(world.rollout_id(), by="ann", reason="why", at=NOW)
    world.clock.pass_time(60)
    return world


def described() -> dict[str, Any]:
    paths: dict[str, Any] = openapi.document()["paths"]
    return {path: one["get"] for path, one in paths.items() if "get" in one and path.startswith("/api/")}


def items_of(operation: dict[str, Any], schemas: dict[str, Any]) -> bool:
    """Whether an operation answers a list of things."""
    found = operation["responses"]["200"]["content"].get("application/json", {}).get("schema", {})
    name = found.get("$ref", "").rpartition("/")[2]
    return "items" in schemas.get(name, {}).get("properties", {})


def test_every_list_is_a_page_or_short_for_a_reason() -> None:
    schemas = openapi.document()["components"]["schemas"]
    routes = described()
    lists = {path for path, operation in routes.items() if items_of(operation, schemas)}
    assert lists == {*KINDS, *WHOLE}
    for path in KINDS:
        named = {one["name"]: one["schema"] for one in routes[path]["parameters"]}
        assert named["limit"]["maximum"] == 200
        assert {"cursor", "sort"} <= named.keys()


async def pages(world: World, at: str, sort: str, limit: int) -> list[dict[str, Any]]:
    """All items, over pages of this size."""
    found: list[dict[str, Any]] = []
    cursor: str | None = ""
    while True:
        page = await get(world, f"{at}&sort={sort}&limit={limit}&cursor={cursor}")
        found += page["items"]
        assert len(page["items"]) <= limit
        if (cursor := page["next_cursor"]) is None:
            return found


@pytest.mark.parametrize("path", KINDS)
async def test_a_list_can_be_turned_round_and_pages_stay_right(much: World, path: str) -> None:
    kind = KINDS[path]
    at = f"{address(much, path)}{ASKS.get(path, '')}?".removeprefix("/api/v1/")
    if path == "/api/v1/audit":  # each request of this test that changes something would be one more
        for number in range(3):
            await much.ask("POST", f"/api/v1/suspensions/{number + 1}/end")
    own = (await get(much, f"{at}limit=200"))["items"]
    up = (await get(much, f"{at}limit=200&sort={kind.sorts_by}"))["items"]
    down = (await get(much, f"{at}limit=200&sort=-{kind.sorts_by}"))["items"]
    assert up == down[::-1]
    assert own == (down if kind.newest_first else up)
    if path != "/api/v1/rollouts":
        assert len(up) > 1
    values = [one[kind.sorts_by] for one in up]
    if kind.sorts_by != "ip":  # addresses are sorted as numbers
        assert values == sorted(values)
    for sort, whole in ((kind.sorts_by, up), (f"-{kind.sorts_by}", down)):
        for limit in (1, 2):
            assert await pages(much, at, sort, limit) == whole


@pytest.mark.parametrize("path", KINDS)
async def test_what_a_list_is_not_sorted_by_and_a_cursor_of_another_order_are_refused(much: World, path: str) -> None:
    kind, at = KINDS[path], address(much, path)
    for wrong in ("nope", "", "--id", f"{kind.sorts_by},x"):
        assert (await much.ask("GET", f"{at}?sort={wrong}")).status_code == 422, wrong
    assert (await much.ask("GET", f"{at}?limit=201")).status_code == 422
    page = (await much.ask("GET", f"{at}?sort={kind.sorts_by}&limit=1")).json()
    if page["next_cursor"] is not None:
        for other in (f"sort=-{kind.sorts_by}", ""):
            answer = await much.ask("GET", f"{at}?limit=1&cursor={page['next_cursor']}&{other}")
            assert (answer.status_code, problem_of(answer)["code"]) == (422, "bad-cursor")


@pytest.mark.parametrize("sort", ["host", "-host"])
async def test_a_status_that_the_database_did_not_take_is_in_its_place(world: World, sort: str) -> None:
    """On the page where its name belongs, whichever way the list goes."""
    for host in ("pve0", "pve15", "pve3"):
        world.desk.held[host] = HostStatus(host, sync="Unknown")
    found = [one["host"] for one in await pages(world, "hosts?", sort, 200)]
    assert found == sorted(found, reverse=sort == "-host")
    assert set(found) == {"pve0", "pve1", "pve15", "pve2", "pve3"}
    singly: list[dict[str, Any]] = []
    cursor: str | None = ""
    while cursor is not None:
        page = await get(world, f"hosts?sort={sort}&limit=1&cursor={cursor}")
        singly += page["items"]
        cursor = page["next_cursor"]
    assert [one["host"] for one in singly] == found


def test_each_list_says_by_which_field_it_is_sorted() -> None:
    kinds: tuple[type[Listing], ...] = (*LISTINGS, RolloutHostListing)
    assert {kind.sorts_by for kind in kinds} == {"id", "host", "ip", "created_at", "fetched_at", "from_at"}
