"""Query parameters that an operation does not have: a filter that nobody knows would silently select everything."""

import pytest

from tests.api.world import World, problem_of


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("hosts?phse=Idle", "no query parameter phse; it takes cursor, health, limit, phase, reachability, sort, sync"),
        ("hosts/pve1/plan?limit=1", "no query parameter limit; it takes none"),
        ("events?type_=x", "no query parameter type_"),
        ("applies?host=pve1&a%0ab=1", "no query parameter a"),
        ("drift?", ""),
        ("source?verbose=1", "it takes none"),
    ],
)
async def test_a_parameter_that_nobody_knows_is_refused(one_world: World, path: str, said: str) -> None:
    answer = await one_world.ask("GET", f"/api/v1/{path}")
    if not said:
        assert answer.status_code == 200
        return
    assert answer.status_code == 400
    told = problem_of(answer)
    assert told["code"] == "unknown-parameter"
    assert said in str(told["detail"])
    assert str(told["detail"]).isprintable()


async def test_a_parameter_that_comes_twice_has_no_meaning(one_world: World) -> None:
    answer = await one_world.ask("GET", "/api/v1/hosts?limit=1&limit=2")
    assert (answer.status_code, problem_of(answer)["code"]) == (400, "repeated-parameter")


async def test_work_is_not_asked_for_with_a_parameter_that_nobody_knows(world: World) -> None:
    answer = await world.ask("POST", "/api/v1/hosts/pve1/reconcile?dry_run=true")
    assert answer.status_code == 400
    assert world.desk.asked == []


async def test_only_who_gets_in_is_told_what_an_operation_takes(one_world: World) -> None:
    assert (await one_world.ask("GET", "/api/v1/hosts?x=1", token="")).status_code == 401
    assert (await one_world.ask("GET", "/livez?x=1", token="")).status_code == 200


async def test_whether_the_source_is_followed_is_a_resource(world: World) -> None:
    answer = await world.ask("GET", "/api/v1/source")
    assert answer.json() == {
        "state": "rewound",
        "message": "history was rewritten",
        "commit": "c" * 40,
        "since": "2026-03-01T12:00:00Z",
        "fetched_at": "2026-03-01T12:00:00Z",
    }
