"""Who did what: each request that may change something is in the audit log, before it is carried out."""

import pytest
from sqlalchemy import text

from service.api.create import create_app
from service.cli.audit import portions
from service.errors import StoreError
from service.model.audit import Entry, check
from service.model.listings import AuditListing
from tests.api.test_api_gate import address, body_for, routes
from tests.api.test_receivers import Forge
from tests.api.world import World, get, problem_of


def acts(world: World) -> list[Entry]:
    return list(world.history.queries.acts(AuditListing(limit=200)).items)


async def test_every_route_that_may_change_something_is_recorded(world: World) -> None:
    token = world.token("admin")
    for route in sorted(routes(world), key=lambda one: one.path.endswith("/forget")):  # it leaves no host
        for method in (route.methods or set()) - {"GET", "HEAD"}:
            if not route.path.startswith("/api/"):
                continue
            before = len(acts(world))
            path = address(world, route.path)
            body = body_for(world, route.path)
            answer = await world.ask(method, path, token=token, json=body)
            new = acts(world)[: len(acts(world)) - before]
            first = new[-1]
            assert (first.action, first.how, first.outcome) == (route.operation_id, "api", "begun"), route.path
            assert (first.by, first.token, first.client) == ("tester", token[4:16], "192.0.2.1")
            assert first.request_id == answer.headers["x-request-id"]
            is_of_host = "{host}" in route.path or "host" in (body or {})
            assert first.host == ("pve1" if is_of_host else "")
            assert [one.outcome for one in new[:-1]] == (["refused"] if answer.is_error else []), answer.text
    assert check(portions(world.history.queries)).why == ""


async def test_reading_is_not_recorded(world: World) -> None:
    for route in routes(world):
        if (route.methods or set()) <= {"GET", "HEAD"}:
            await world.ask("GET", address(world, route.path))
    assert acts(world) == []


async def test_what_is_refused_has_a_second_entry_of_the_same_request(world: World) -> None:
    token = world.token("admin")
    body = {"host": "pve1", "digest": "sha256:" + "0" * 64}
    answer = await world.ask("POST", "/api/v1/applies", token=token, json=body)
    assert answer.status_code == 409
    refused, begun = acts(world)
    assert (begun.outcome, begun.detail) == ("begun", {"digest": "sha256:" + "0" * 64})
    assert (refused.outcome, refused.detail) == ("refused", {"why": "something else would be done by now"})
    assert refused.request_id == begun.request_id == answer.headers["x-request-id"]


async def test_what_is_not_valid_is_no_action(world: World) -> None:
    token = world.token("admin")
    answer = await world.ask("POST", "/api/v1/applies", token=token, json={"host": "pve1", "secret": "x" * 20})
    assert answer.status_code == 422
    assert acts(world) == []


async def test_nothing_is_done_that_cannot_be_recorded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    token = world.token("admin")

    def full(*_: object, **__: object) -> None:
        raise StoreError("the disk is full")

    monkeypatch.setattr(world.history.store, "record_act", full)
    answer = await world.ask("POST", "/api/v1/hosts/pve1/reconcile", token=token)
    assert answer.status_code == 503
    assert problem_of(answer)["code"] == "storage-unavailable"
    assert world.desk.asked == []


async def test_a_list_says_who_did_what(world: World) -> None:
    token = world.token("admin")
    answer = await world.ask("POST", "/api/v1/hosts/pve1/reconcile", token=token)
    await world.ask("DELETE", "/api/v1/tokens/000000000000", token=token)
    found = await get(world, f"audit?request_id={answer.headers['x-request-id']}")
    [one] = found["items"]
    assert (one["action"], one["host"], one["by"], one["outcome"]) == ("reconcile_host", "pve1", "tester", "begun")
    assert len((await get(world, "audit?limit=1"))["items"]) == 1
    assert (await get(world, "audit?by=nobody"))["items"] == []


@pytest.mark.parametrize(
    ("column", "value", "why"),
    [
        ("detail", "{not json", "its detail is not a JSON object"),
        ("detail", "[1]", "its detail is not a JSON object"),
        ("detail", "[" * 9000, "its detail is not a JSON object"), ("how", "magic", "how is not one of"),
        ("outcome", "", "outcome is not one of"),
    ],
)  # fmt: skip
async def test_an_entry_that_somebody_broke_is_listed_and_said_to_be(
    world: World, column: str, value: str, why: str
) -> None:
    await world.ask("POST", "/api/v1/hosts/pve1/reconcile", token=world.token("admin"))
    last = acts(world)[-1].id
    with world.history.store._database.write() as connection:
        statement = text(f"UPDATE audit SET {column} = :value WHERE id = :id")
        connection.execute(statement, {"value": value, "id": last})
    found = (await get(world, "audit"))["items"]
    (broken,) = [one for one in found if one["broken"]]
    assert (broken["id"], why in broken["broken"]) == (last, True)
    assert len(found) == last


@pytest.mark.parametrize(("hosts", "number"), [("*", 3), ("pve*", 1), ("pve1", 1), ("pve2", 0), ("**", 1)])
async def test_a_token_sees_what_was_done_to_its_hosts(world: World, hosts: str, number: int) -> None:
    token = world.token("admin")
    await world.ask("POST", "/api/v1/hosts/pve1/reconcile", token=token)
    await world.ask("DELETE", "/api/v1/tokens/000000000000", token=token)
    answer = await world.ask("GET", "/api/v1/audit", token=world.token("read", hosts=(hosts,)))
    assert len(answer.json()["items"]) == number


async def test_a_delivery_that_causes_a_fetch_is_recorded(world: World) -> None:
    forge = Forge(world, "github")
    answer = await forge.send(forge.push())
    assert answer.status_code == 202
    [one] = acts(world)
    assert (one.by, one.how, one.action, one.outcome) == ("forge", "receiver", "fetch_source", "done")
    assert one.request_id == answer.headers["x-request-id"]


async def test_an_application_as_it_is_served_takes_deliveries(world: World) -> None:
    """Nobody with a token calls them, so nobody is looked for."""
    world.app = create_app(world.parts)
    forge = Forge(world, "github")
    answer = await forge.send(forge.push())
    assert answer.status_code == 202, answer.text
    assert [one.action for one in acts(world)] == ["fetch_source"]
