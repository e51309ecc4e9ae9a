"""Hosts that are forgotten, a rewritten history that is accepted."""

import pytest

from tests.api.world import NOW, World, problem_of


async def test_a_host_that_left_git_is_forgotten_by_whoever_may(world: World) -> None:
    world.history.store.orphan_host("pve1", at=NOW)
    answer = await world.ask("POST", "/api/v1/hosts/pve1/forget", json={"reason": "scrapped"})
    assert (answer.status_code, answer.json()) == (200, {"host": "pve1"})
    for path in ("hosts/pve1", "hosts/pve1/plan", "hosts/pve1/drift"):
        gone = await world.ask("GET", f"/api/v1/{path}")
        assert (gone.status_code, problem_of(gone)["detail"]) == (404, "no host pve1"), path
    told = (await world.ask("GET", "/api/v1/events?type=host.forgotten")).json()["items"]
    assert [(one["host"], one["text"], one["from"]["part"]) for one in told] == [
        ("pve1", "tester removed all records of pve1: scrapped", "person")
    ]
    assert (await world.ask("POST", "/api/v1/hosts/pve1/forget", json={})).status_code == 404


async def test_a_host_in_git_is_not_forgotten_and_one_that_is_not_seen_does_not_exist(world: World) -> None:
    answer = await world.ask("POST", "/api/v1/hosts/pve1/forget", json={})
    assert (answer.status_code, problem_of(answer)["code"]) == (422, "bad-input")
    assert "remove its file" in str(problem_of(answer)["hint"])
    world.history.store.orphan_host("pve1", at=NOW)
    token = world.token("approve", hosts=("pve2",))
    assert (await world.ask("POST", "/api/v1/hosts/pve1/forget", token=token, json={})).status_code == 404
    assert world.history.queries.host("pve1") is not None


async def test_a_rewritten_history_is_accepted_with_a_reason(world: World) -> None:
    asked = {"commit": "b" * 12, "reason": "squashed"}
    answer = await world.ask("POST", "/api/v1/source/accept", json=asked)
    assert (answer.status_code, answer.json()) == (200, {"commit": "b" * 40})
    assert world.desk.asked == [("accept", "b" * 12, "squashed", "tester")]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"commit": "a" * 40, "reason": "squashed"}, 409, "source-changed"),
        ({"commit": "b" * 40}, 422, "bad-input"),
        ({"commit": "b" * 40, "reason": ""}, 422, "bad-input"),
        ({"commit": "b" * 9, "reason": "squashed"}, 422, "bad-input"),
        ({"commit": "B" * 40, "reason": "squashed"}, 422, "bad-input"),
        ({"commit": "b" * 40, "reason": "squashed", "force": True}, 422, "bad-input"),
    ],
)
async def test_what_does_not_name_the_commit_and_a_reason_is_turned_away(
    world: World, body: dict[str, object], status: int, code: str
) -> None:
    answer = await world.ask("POST", "/api/v1/source/accept", json=body)
    assert (answer.status_code, problem_of(answer)["code"]) == (status, code)
    assert world.desk.asked == []


async def test_a_token_for_some_hosts_decides_nothing_for_all(world: World) -> None:
    token = world.token("approve", hosts=("pve1",))
    asked = {"commit": "b" * 40, "reason": "squashed"}
    answer = await world.ask("POST", "/api/v1/source/accept", token=token, json=asked)
    assert answer.status_code == 403
    assert world.desk.asked == []
