"""What a token for some hosts sees of a rollout: nothing of other hosts."""

from dataclasses import replace

import pytest

from service.model.rollouts import Member, Opening, Policy
from service.reconcile import rollout as judge
from tests.api.still_clock import NOW
from tests.api.world import COMMIT, World


@pytest.fixture
def behind(world: World) -> tuple[World, str]:
    """A rollout that has ended, for its hosts are set aside: pve1 depends on pve2, which is suspended. Its id."""
    store = world.history.store
    members = (Member("pve1", "sha256:d9", needs=("pve2",)), Member("pve2", "sha256:d9"))
    rollout_id = store.open_rollout(Opening(COMMIT, Policy(), members, is_plain=False), at=NOW)
    store.suspend("host", "pve2", "work", by="ann", at=NOW, until=None)
    store.move_rollout(judge, at=NOW)
    return world, rollout_id


async def test_an_event_of_a_rollout_names_no_other_host(behind: tuple[World, str]) -> None:
    world, rollout_id = behind
    limited = world.token("read", hosts=("pve1",))
    listed = "/api/v1/events?type=rollout.state&limit=200"
    assert (await world.ask("GET", listed)).json()["items"][-1]["text"].endswith("set aside: pve1, pve2")
    for path in (listed, "/api/v1/stream?type=rollout.state&after=0"):
        answer = await world.ask("GET", path, token=limited)
        assert f"rollout {rollout_id} is done" in answer.text
        assert "pve2" not in answer.text
        assert "set aside" not in answer.text


async def test_a_host_that_waits_names_no_other_host(behind: tuple[World, str]) -> None:
    """The words are those of `why_waits`."""
    world, rollout_id = behind
    rollout, status = world.history.queries.rollout(rollout_id), world.history.queries.host("pve1")
    assert rollout is not None
    assert status is not None
    running = replace(rollout, state="running")
    why = judge.why_waits(running, Member("pve1", "sha256:d9"), NOW, unavailable=0, before=("pve2",))
    held = replace(status, message=why, health="Degraded", phase="Pending")
    world.history.store.set_host_status(held, at=NOW)
    limited = world.token("read", hosts=("pve1",))
    for path in ("/api/v1/hosts/pve1", "/api/v1/hosts", "/api/v1/events?host=pve1&limit=200"):
        assert "waits for pve2, which it depends on" in (await world.ask("GET", path)).text
        answer = await world.ask("GET", path, token=limited)
        assert "waits for a host, which it depends on" in answer.text
        assert "pve2" not in answer.text
        answer = await world.ask("GET", path, token=world.token("read", hosts=("pve?",)))
        assert "waits for pve2, which it depends on" in answer.text


async def test_a_host_of_a_rollout_names_no_other_host(behind: tuple[World, str]) -> None:
    world, rollout_id = behind
    path = f"/api/v1/rollouts/{rollout_id}/hosts"
    (whole, _) = (await world.ask("GET", path)).json()["items"]
    assert (whole["needs"], whole["aside"]) == (["pve2"], "it depends on pve2, which does not get it for now")
    answer = await world.ask("GET", path, token=world.token("read", hosts=("pve1",)))
    (one,) = answer.json()["items"]
    assert (one["needs"], one["aside"]) == ([], "a host that it depends on does not get it for now")
    assert "pve2" not in answer.text
