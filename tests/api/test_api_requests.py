"""An apply is requested once, by a plan that is current."""

import pytest

from service.errors import NotFound
from tests.api.world import NOW, World, plan, problem_of


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"host": "pve1"}, 422),
        ({"host": "pve9", "plan_id": "0" * 26}, 404),
        ({"host": "pve1", "plan_id": "0" * 26}, 422),
        ({"host": "pve1", "digest": "sha256:" + "0" * 64}, 409),
        ({"host": "pve1", "plan_id": "0" * 26, "force": True}, 422),
        ({"host": "pve1", "plan_id": 7}, 422),
        ({}, 422),
        ([], 422),
        ("pve1", 422),
    ],
)
async def test_an_apply_that_names_no_current_plan_is_refused(world: World, body: object, status: int) -> None:
    answer = await world.ask("POST", "/api/v1/applies", json=body)
    assert answer.status_code == status, answer.text
    problem_of(answer)
    assert world.desk.asked == []


async def test_a_plan_is_named_by_the_beginning_of_its_digest(world: World) -> None:
    found = world.history.queries.current_plan("pve1")
    assert found is not None
    hexes = found.digest.removeprefix("sha256:")
    short = await world.ask("POST", "/api/v1/applies", json={"host": "pve1", "digest": hexes[:11]})
    assert short.status_code == 422
    said = "Value error, the digest is too short: 11 digits. Give its first 12 digits or more"
    assert problem_of(short)["errors"] == [{"pointer": "/body/digest", "detail": said}]
    other = await world.ask("POST", "/api/v1/applies", json={"host": "pve1", "digest": f"sha256:{'0' * 12}"})
    assert (other.status_code, problem_of(other)["code"]) == (409, "plan-stale")
    assert world.desk.asked == []
    for body in ({"digest": hexes[:12]}, {"digest": f"sha256:{hexes[:20]}", "plan_id": found.id}):
        answer = await world.ask("POST", "/api/v1/applies", json={"host": "pve1", **body})
        assert answer.status_code == 202, answer.text
        world.history.store.finish_apply(answer.json()["id"], "Refused", at=NOW)


async def test_an_old_plan_is_stale(world: World) -> None:
    old = world.plan_id()
    world.history.store.record_plan(plan("pve1", after="2"), at=NOW)
    answer = await world.ask("POST", "/api/v1/applies", json={"host": "pve1", "plan_id": old})
    assert (answer.status_code, problem_of(answer)["code"]) == (409, "plan-stale")
    other = await world.ask("POST", "/api/v1/applies", json={"host": "pve2", "plan_id": world.plan_id("pve1")})
    assert other.status_code == 422


async def test_the_same_key_asks_for_the_same_apply_once(world: World) -> None:
    body = {"host": "pve1", "plan_id": world.plan_id()}
    key = {"Idempotency-Key": "job-7"}
    first = await world.ask("POST", "/api/v1/applies", json=body, headers=key)
    again = await world.ask("POST", "/api/v1/applies", json=body, headers=key)
    assert (again.status_code, again.headers["location"]) == (202, first.headers["location"])
    assert again.json() == first.json()
    assert len(world.desk.asked) == 1
    other = await world.ask(
        "POST", "/api/v1/applies", json=body | {"host": "pve2", "plan_id": world.plan_id("pve2")}, headers=key
    )
    assert (other.status_code, problem_of(other)["code"]) == (422, "idempotency-key-reused")
    world.history.store.finish_apply(first.json()["id"], "Refused", at=NOW)
    someone_else = await world.ask(
        "POST", "/api/v1/applies", json=body, headers=key, token=world.token("apply", "read")
    )
    assert someone_else.headers["location"] != first.headers["location"]


async def test_a_key_of_a_request_that_came_to_nothing_may_be_used_again(world: World) -> None:
    key = {"Idempotency-Key": "job-8"}
    world.desk.trouble = NotFound("no revision names pve1")
    failed = await world.ask("POST", "/api/v1/hosts/pve1/reconcile", headers=key)
    assert failed.status_code == 404
    world.desk.trouble = None
    assert (await world.ask("POST", "/api/v1/hosts/pve1/reconcile", headers=key)).status_code == 202


async def test_a_key_whose_first_request_is_under_way_is_told_so(world: World) -> None:
    key = {"Idempotency-Key": "job-9"}
    inner: list[int] = []

    async def meanwhile(host: str, by: str) -> None:
        inner.append((await world.ask("POST", "/api/v1/hosts/pve1/reconcile", headers=key)).status_code)

    world.desk.reconcile = meanwhile  # type: ignore[method-assign]
    assert (await world.ask("POST", "/api/v1/hosts/pve1/reconcile", headers=key)).status_code == 202
    assert inner == [409]


@pytest.mark.parametrize("key", ["", "a b", "x" * 201, "\xe9"])
async def test_an_odd_key_is_refused(world: World, key: str) -> None:
    answer = await world.ask("POST", "/api/v1/hosts/pve1/reconcile", headers={"Idempotency-Key": key.encode("latin-1")})
    assert answer.status_code == 422
    assert world.desk.asked == []
