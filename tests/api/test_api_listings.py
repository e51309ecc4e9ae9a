"""What a list takes is declared once: API parameters, filters of the history and the command line follow from it."""

import ast
from dataclasses import fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from service.api import openapi
from service.model.listings import (
    LISTINGS,
    ApplyListing,
    AuditListing,
    DeliveryListing,
    DriftListing,
    DrillListing,
    EventListing,
    HostListing,
    LeaseHistoryListing,
    LeaseListing,
    Listing,
    RevisionListing,
    RolloutListing,
    SiteListing,
    SuspensionListing,
    filters_of,
)
from tests.api.world import World, get

SERVICE = Path(__file__).parents[2] / "service"
PATHS: dict[str, type[Listing]] = {
    "/api/v1/hosts": HostListing, "/api/v1/drift": DriftListing, "/api/v1/applies": ApplyListing,
    "/api/v1/drills": DrillListing, "/api/v1/revisions": RevisionListing, "/api/v1/events": EventListing,
    "/api/v1/leases": LeaseListing, "/api/v1/leases/history": LeaseHistoryListing,
    "/api/v1/sites": SiteListing, "/api/v1/deliveries": DeliveryListing,
    "/api/v1/suspensions": SuspensionListing, "/api/v1/rollouts": RolloutListing,
    "/api/v1/audit": AuditListing,
}  # fmt: skip


def test_every_list_takes_what_is_declared_of_it_and_nothing_else() -> None:
    paths: dict[str, Any] = openapi.document()["paths"]
    lists = {
        path
        for path, operations in paths.items()
        if any(one["name"] == "cursor" for one in operations.get("get", {}).get("parameters", []))
    }
    assert lists == {*PATHS, "/api/v1/hosts/{host}/drift", "/api/v1/rollouts/{rollout_id}/hosts"}
    assert set(PATHS.values()) == set(LISTINGS)
    for path, kind in PATHS.items():
        taken = [one["name"] for one in paths[path]["get"]["parameters"] if one["in"] == "query"]
        assert taken == ["limit", "cursor", "sort", *(one.name for one in filters_of(kind))]
    of_host = [one["name"] for one in paths["/api/v1/hosts/{host}/drift"]["get"]["parameters"] if one["in"] == "query"]
    assert of_host == ["limit", "cursor", "sort", "resolved"]


@pytest.mark.parametrize("kind", LISTINGS)
def test_a_list_is_declared_whole(kind: type[Listing]) -> None:
    assert len(kind.order) == len(kind.key)
    assert {one.name for one in fields(kind)} == {"limit", "start", "visible", "sort"} | {
        one.name for one in filters_of(kind)
    }
    assert kind().asked == {}
    assert kind().seen_by(["pve*"]) == replace(kind(), visible=("pve*",))


def test_a_request_says_what_is_asked_and_no_more() -> None:
    at = datetime(2026, 3, 1, tzinfo=UTC)
    asked = LeaseListing(host="pve1", active=False, at=at, limit=3, start=("4", "pve1", "aa"))
    assert asked.asked == {"host": "pve1", "active": "false", "at": "2026-03-01T00:00:00+00:00"}
    assert DriftListing(resolved=True).asked == {"resolved": "true"}
    assert EventListing(after=7, type="drift.found").asked == {"after": 7, "type": "drift.found"}


ONE_OF_EACH = [
    ("hosts", "sync=OutOfSync", HostListing(sync="OutOfSync")),
    ("drift", "host=pve1", DriftListing(host="pve1")),
    ("events", "type=drift.found&host=pve2", EventListing(type="drift.found", host="pve2")),
    ("sites", "host=pve1&name=www2.www.example.org", SiteListing(host="pve1", name="www2.www.example.org")),
    ("leases", "ip=10.10.10.9", LeaseListing(ip="10.10.10.9")),
]


@pytest.mark.parametrize(("path", "query", "asked"), ONE_OF_EACH)
async def test_a_request_and_a_value_ask_for_the_same(path: str, query: str, asked: Listing, world: World) -> None:
    items = (await get(world, f"{path}?{query}"))["items"]
    reads = world.history.queries
    page = (
        reads.leases(asked, now=world.clock.now()) if isinstance(asked, LeaseListing) else getattr(reads, path)(asked)
    )
    assert len(items) == len(page.items) > 0
    assert {item["host"] for item in items} == {one.host for one in page.items}


def test_no_query_is_declared_twice() -> None:
    """A method of the history, or of the protocol of it, that takes a limit takes it in a listing."""
    for path in [
        *(SERVICE / "history").rglob("*queries.py"),
        SERVICE / "api" / "parts.py",
        SERVICE / "reconcile" / "ports.py",
    ]:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                names = {one.arg for one in [*node.args.args, *node.args.kwonlyargs]}
                assert not names & {"limit", "after", "visible"}, f"{path.name}: {node.name}"


@pytest.mark.parametrize("at", ["0.5", "1772366400", "2026-03-01", "1e9", "2026-03-01T12:00:00"])
async def test_a_time_is_written_as_one_and_a_number_is_none(world: World, at: str) -> None:
    assert (await world.ask("GET", f"/api/v1/leases?at={at}")).status_code == 422
    body = {"host": "pve1", "reason": "the switch is replaced", "until": at}
    for until in (at, 1772366400, 0.5):
        assert (await world.ask("POST", "/api/v1/suspensions", json=body | {"until": until})).status_code == 422
    body["until"] = "2026-03-02T12:00:00Z"
    assert (await world.ask("POST", "/api/v1/suspensions", json=body)).status_code == 201
