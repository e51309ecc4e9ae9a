"""/suspensions: who may suspend what, and what is shown of it."""

from datetime import timedelta
from typing import Any

import pytest

from tests.api.world import NOW, World, problem_of

URL = "/api/v1/suspensions"
WHY = {"reason": "the switch is replaced"}


async def made(world: World, token: str = "", **asked: Any) -> dict[str, Any]:
    answer = await world.ask("POST", URL, token=token or world.token("apply", "read"), json=WHY | asked)
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_a_host_is_suspended_shown_and_resumed(world: World) -> None:
    token = world.token("apply", "read")
    one = await made(world, host="pve1")
    assert (one["scope"], one["target"], one["by"]) == ("host", "pve1", "tester")
    assert one["until"] == (NOW + timedelta(hours=24)).isoformat().replace("+00:00", "Z")
    host = (await world.ask("GET", "/api/v1/hosts/pve1", token=token)).json()
    assert host["suspension"]["reason"] == WHY["reason"]
    listed = (await world.ask("GET", "/api/v1/hosts", token=token)).json()["items"]
    assert {one["host"]: bool(one["suspension"]) for one in listed}["pve1"]
    found = (await world.ask("GET", f"{URL}?in_force=true", token=token)).json()
    assert [one["target"] for one in found["items"]] == ["pve1"]
    assert found["stop"] == ""
    answer = await world.ask("POST", f"{URL}/{one['id']}/end", token=token)
    assert answer.status_code == 200
    assert answer.json()["ended_by"] == "tester"
    assert (await world.ask("GET", "/api/v1/hosts/pve1", token=token)).json()["suspension"] is None
    assert (await world.ask("POST", f"{URL}/{one['id']}/end", token=token)).status_code == 404


async def test_the_text_of_a_host_changes_when_its_suspension_runs_out(world: World) -> None:
    await made(world, host="pve1", until=(NOW + timedelta(hours=1)).isoformat())
    assert (await world.ask("GET", "/api/v1/hosts/pve1")).json()["suspension"]
    world.clock.pass_time(3600)
    assert (await world.ask("GET", "/api/v1/hosts/pve1")).json()["suspension"] is None


async def test_never_ends_by_hand_only(world: World) -> None:
    assert (await made(world, every_host=True, until="never"))["until"] is None


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ({"host": "pve1", "label": "site=paris"}, 422),
        ({}, 422),
        ({"label": "site"}, 422),
        ({"host": "pve1", "reason": "x"}, 422),
        ({"host": "pve1", "until": "2026-03-01T11:00:00Z"}, 422),
        ({"host": "pve1", "until": "2026-03-01T13:00:00"}, 422),
        ({"host": "nobody"}, 404),
    ],
)
async def test_what_cannot_be_suspended_is_rejected(world: World, asked: dict[str, Any], status: int) -> None:
    answer = await world.ask("POST", URL, token=world.token("apply"), json=WHY | asked)
    assert answer.status_code == status, answer.text
    assert world.history.queries.suspended(NOW) == ()


async def test_a_token_for_some_hosts_decides_about_these_only(world: World) -> None:
    some = world.token("apply", "read", hosts=("pve1",))
    one = await made(world, some, host="pve1")
    for asked in ({"every_host": True}, {"label": "site=paris"}):
        answer = await world.ask("POST", URL, token=some, json=WHY | asked)
        assert answer.status_code == 403
        assert "for some hosts" in str(problem_of(answer)["detail"])
    assert (await world.ask("POST", URL, token=some, json=WHY | {"host": "pve2"})).status_code == 404
    other = world.token("apply", "read", hosts=("pve2",))
    assert (await world.ask("POST", f"{URL}/{one['id']}/end", token=other)).status_code == 404
    assert (await world.ask("GET", URL, token=other)).json()["items"] == []
