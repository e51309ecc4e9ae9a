"""`?wait=`: an answer when the apply has ended, or when the time is over."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import httpx2
import pytest

from service.api import awaited
from tests.api.world import NOW, World


@pytest.fixture
def endless(world: World, monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Time that stands still for who waits; the event ends all waiting."""
    over = asyncio.Event()

    async def sleep(seconds: float) -> None:
        if seconds == awaited.FOLLOW_S:
            await asyncio.sleep(0)
        else:
            await over.wait()

    monkeypatch.setattr(world.clock, "sleep", sleep)
    return over


def finish(world: World, apply_id: str) -> None:
    world.history.store.start_apply(apply_id, generation=9, planned=(), at=NOW)
    world.history.store.finish_apply(apply_id, "Succeeded", at=NOW + timedelta(seconds=3))


async def begun(world: World, number: int) -> None:
    """Once so many requests wait."""
    for _ in iter(lambda: world.parts.awaited._number < number, False):
        await asyncio.sleep(0)


def waiting(world: World, apply_id: str, seconds: int = 60) -> "asyncio.Task[httpx2.Response]":
    return asyncio.ensure_future(world.ask("GET", f"/api/v1/applies/{apply_id}?wait={seconds}"))


async def test_all_who_wait_are_answered_when_the_apply_ends(world: World, endless: asyncio.Event) -> None:
    apply_id = world.apply_id()
    requests = [waiting(world, apply_id) for _ in range(3)]
    await begun(world, 3)
    await asyncio.to_thread(finish, world, apply_id)
    answers = await asyncio.gather(*requests)
    assert [one.json()["phase"] for one in answers] == ["Succeeded"] * 3
    assert world.parts.awaited._number == 0


async def test_a_request_for_an_apply_answers_200_with_its_end(world: World, endless: asyncio.Event) -> None:
    body = {"host": "pve1", "plan_id": world.plan_id()}
    request = asyncio.ensure_future(world.ask("POST", "/api/v1/applies?wait=60", json=body))
    await begun(world, 1)
    found = world.history.queries.waiting_apply("pve1")
    assert found is not None
    await asyncio.to_thread(finish, world, found.id)
    answer = await request
    assert (answer.status_code, answer.json()["phase"]) == (200, "Succeeded")
    assert answer.headers["location"] == f"/api/v1/applies/{found.id}"


async def test_when_the_time_is_over_the_present_state_is_answered(world: World) -> None:
    body = {"host": "pve1", "plan_id": world.plan_id()}
    answer = await world.ask("POST", "/api/v1/applies?wait=5", json=body)
    assert (answer.status_code, answer.json()["ended_at"]) == (202, None)
    assert answer.headers["retry-after"] == "1"
    again = await world.ask("GET", f"/api/v1/applies/{answer.json()['id']}?wait=5")
    assert (again.status_code, again.json()["ended_at"]) == (200, None)


async def test_one_that_has_ended_is_answered_at_once(world: World, endless: asyncio.Event) -> None:
    apply_id = world.apply_id()
    finish(world, apply_id)
    assert (await waiting(world, apply_id)).json()["phase"] == "Succeeded"


async def test_one_too_many_is_answered_at_once(
    world: World, endless: asyncio.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(awaited, "MOST", 1)
    apply_id = world.apply_id()
    first = waiting(world, apply_id)
    await begun(world, 1)
    assert (await waiting(world, apply_id)).json()["ended_at"] is None
    endless.set()
    assert (await first).json()["ended_at"] is None


@pytest.mark.parametrize("wait", ["61", "-1", "x", "1.5"])
async def test_a_wait_is_bounded(world: World, wait: str) -> None:
    assert (await world.ask("GET", f"/api/v1/applies/{world.apply_id()}?wait={wait}")).status_code == 422


async def test_nobody_waits_for_an_apply_of_a_host_that_is_not_seen(world: World, endless: asyncio.Event) -> None:
    token = world.token("read", hosts=("pve2",))
    answer = await world.ask("GET", f"/api/v1/applies/{world.apply_id()}?wait=60", token=token)
    assert answer.status_code == 404
    assert world.parts.awaited._number == 0


async def test_a_request_that_is_sent_again_waits_too(world: World) -> None:
    """The kept answer of the first one has no Retry-After."""
    body, key = {"host": "pve1", "plan_id": world.plan_id()}, {"Idempotency-Key": "k1"}
    first = await world.ask("POST", "/api/v1/applies?wait=5", json=body, headers=key)
    again = await world.ask("POST", "/api/v1/applies?wait=5", json=body, headers=key)
    assert (again.status_code, again.json()["id"]) == (202, first.json()["id"])
    assert (again.headers["location"], again.headers["retry-after"]) == (first.headers["location"], "1")


async def test_the_last_who_leaves_does_not_wait_for_those_who_come(world: World, endless: asyncio.Event) -> None:
    """Somebody comes while the follower of the one who leaves is still reading. It ends nevertheless."""
    ours, reading, go_on = awaited.Awaited(), asyncio.Event(), asyncio.Event()
    reads = 0

    async def newest() -> int:
        nonlocal reads
        reads += 1
        reading.set()
        await go_on.wait()
        return reads

    async def look() -> str:
        return "open"

    def until(name: str) -> "asyncio.Task[str]":
        waits = ours.until(name, look, lambda found: found == "ended", wait_s=60, clock=world.clock, newest=newest)
        return asyncio.ensure_future(waits)

    first = until("1")
    await reading.wait()
    endless.set()
    for _ in iter(lambda: ours._number > 0, False):
        await asyncio.sleep(0)
    endless.clear()
    second = until("2")
    await asyncio.sleep(0)
    go_on.set()
    done, _ = await asyncio.wait((first,), timeout=5)
    endless.set()
    await second
    assert done


async def test_a_reconcile_is_waited_for_until_its_look_has_ended(world: World, endless: asyncio.Event) -> None:
    """A look that began before, or that left an apply under way, is not its end."""
    request = asyncio.ensure_future(world.ask("POST", "/api/v1/hosts/pve1/reconcile?wait=60"))
    await begun(world, 1)
    status = world.history.queries.host("pve1")
    assert status is not None
    for seconds, health in ((-1, "Healthy"), (1, "Progressing"), (1, "Healthy")):
        assert not request.done()
        world.history.store.set_host_status(replace(status, health=health), at=NOW)  # type: ignore[arg-type]
        world.desk.tried_at["pve1"] = NOW + timedelta(seconds=seconds)
        world.parts.awaited.looked("pve1")
        for _ in range(20):
            await asyncio.sleep(0.01)
    answer = await request
    assert (answer.status_code, answer.json()["host"], answer.json()["health"]) == (200, "pve1", "Healthy")
    assert answer.headers["location"] == "/api/v1/hosts/pve1"
    assert world.desk.asked == [("reconcile", "pve1", "tester")]


async def test_a_reconcile_that_does_not_end_in_time_is_accepted(world: World) -> None:
    key = {"Idempotency-Key": "k1"}
    first = await world.ask("POST", "/api/v1/hosts/pve1/reconcile?wait=5", headers=key)
    again = await world.ask("POST", "/api/v1/hosts/pve1/reconcile?wait=5", headers=key)
    assert (first.status_code, first.headers["retry-after"]) == (202, "1")
    assert (again.status_code, again.json()) == (202, first.json())
    assert world.desk.asked == [("reconcile", "pve1", "tester")]


async def test_a_host_is_answered_again_once_it_is_another_one(world: World, endless: asyncio.Event) -> None:
    tag = (await world.ask("GET", "/api/v1/hosts/pve1")).headers["etag"]
    request = asyncio.ensure_future(world.ask("GET", "/api/v1/hosts/pve1?wait=60", headers={"If-None-Match": tag}))
    await begun(world, 1)
    status = world.history.queries.host("pve1")
    assert status is not None
    await asyncio.to_thread(world.history.store.set_host_status, replace(status, sync="Synced", reason=""), at=NOW)
    answer = await request
    assert (answer.status_code, answer.json()["sync"]) == (200, "Synced")
    assert answer.headers["etag"] != tag
    over = asyncio.ensure_future(
        world.ask("GET", "/api/v1/hosts/pve1?wait=60", headers={"If-None-Match": answer.headers["etag"]})
    )
    await begun(world, 1)
    endless.set()
    world.parts.awaited.looked("pve1")
    assert (await over).status_code == 304
