"""`GET /api/v1/stream`: every event once, in order, to who may see it; and nothing that grows."""

import asyncio
import json
import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from service.api import live
from service.api.live import Live
from service.api.seen import is_seen
from service.api.stream import written
from service.errors import StoreError
from service.history import History
from service.model.access import Principal
from service.model.events import ApplyAgain, HostQuarantined
from service.model.listings import EventListing
from service.model.retention import Keep
from service.model.runs import Event, Page
from tests.api.followed import following
from tests.api.still_clock import StillClock
from tests.api.world import NOW, World


@pytest.fixture
def streams(history: History) -> Iterator[World]:
    """A service with events whose streams continue, and whose reader looks again at once."""
    world = World(history, live=Live()).fill()

    async def sleep(seconds: float) -> None:
        await asyncio.sleep(0.01)

    world.clock.sleep = sleep  # type: ignore[method-assign]
    world.token()
    world.token("read")
    world.token("read", hosts=("pve2",))
    world.token("plan", "read")
    yield world


def happens(world: World, number: int, host: str = "pve1") -> list[int]:
    """So many events; their ids."""
    before = world.history.queries.newest_event_id()
    for one in range(number):
        world.history.store.add_event(HostQuarantined(host=host, why=f"look {one}"), at=NOW)
    return list(range(before + 1, before + number + 1))


async def test_a_stream_begins_with_what_is_new(streams: World) -> None:
    newest = streams.history.queries.newest_event_id()
    async with following(streams) as stream:
        assert await stream.message() == {"retry": "2000", "id": str(newest)}
        assert stream.headers["content-type"].startswith("text/event-stream")
        assert stream.headers["x-accel-buffering"] == "no"
        assert "content-length" not in stream.headers
        ids = await asyncio.to_thread(happens, streams, 3)
        said = await stream.messages(3)
    assert [one["id"] for one in said] == [str(number) for number in ids]
    listed = (await streams.ask("GET", f"/api/v1/events?after={newest}")).json()["items"]
    assert [json.loads(one["data"]) for one in said] == listed


async def test_who_was_away_gets_what_it_missed_once_and_in_order(streams: World) -> None:
    """More than a page is missed, and more happens meanwhile."""
    first = streams.history.queries.newest_event_id()
    missed = happens(streams, 3 * live.PAGE + 7)
    async with following(streams, last_id=first) as stream:
        begun = await stream.events(live.PAGE)
        more = await asyncio.to_thread(happens, streams, live.PAGE)
        rest = await stream.events(len(missed) + len(more) - live.PAGE)
        assert stream.is_silent()
    assert [one["id"] for one in begun + rest] == missed + more


async def test_the_header_of_a_client_that_comes_again_goes_before_the_address(streams: World) -> None:
    ids = happens(streams, 3)
    async with following(streams, f"?after={ids[0] - 1}", last_id=ids[1]) as stream:
        assert [one["id"] for one in await stream.events(1)] == ids[2:]
    async with following(streams, f"?after={ids[0]}") as stream:
        assert [one["id"] for one in await stream.events(2)] == ids[1:]


async def test_what_was_removed_is_reported_first(streams: World) -> None:
    happens(streams, 5)
    past: dict[str, object] = {}
    while streams.history.store.forget(Keep(event_days=1), past, at=NOW + timedelta(days=2)):
        pass
    assert streams.history.queries.event_edges() == (0, 0)
    happens(streams, 2)
    oldest, newest = streams.history.queries.event_edges()
    ids = [oldest, newest]
    async with following(streams, last_id=1) as stream:
        gap = await stream.message()
        assert (gap["event"], gap["id"]) == ("gap", str(ids[0] - 1))
        assert json.loads(gap["data"]) == {"reason": "removed", "asked": 1, "after": ids[0] - 1}
        assert [one["id"] for one in await stream.events(2)] == ids
    async with following(streams, last_id=ids[0] - 1) as stream:
        assert "event" not in await stream.message()


async def test_an_id_of_another_database_is_reported_and_nothing_new_is_missed(streams: World) -> None:
    newest = streams.history.queries.newest_event_id()
    async with following(streams, last_id=newest + 1000) as stream:
        gap = await stream.message()
        assert json.loads(gap["data"]) == {"reason": "unknown", "asked": newest + 1000, "after": newest}
        ids = await asyncio.to_thread(happens, streams, 1)
        assert [one["id"] for one in await stream.events(1)] == ids


async def test_the_filters_are_those_of_the_list(streams: World) -> None:
    first = streams.history.queries.newest_event_id()
    happens(streams, 2)
    wanted = happens(streams, 2, host="pve2")
    streams.history.store.add_event(ApplyAgain(host="pve2", apply="a", before="b"), at=NOW)
    query = "?host=pve2&type=host.quarantined"
    async with following(streams, query, last_id=first) as replayed, following(streams, query) as fresh:
        assert [one["id"] for one in await replayed.events(2)] == wanted
        await fresh.message()
        await asyncio.to_thread(happens, streams, 1)
        more = await asyncio.to_thread(happens, streams, 1, "pve2")
        assert [one["id"] for one in await fresh.events(1)] == more
        assert [one["id"] for one in await replayed.events(1)] == more


async def test_a_token_for_some_hosts_sees_their_events_alone(streams: World) -> None:
    token = streams.token("read", hosts=("pve2",))
    async with following(streams, "?after=0", token=token) as old, following(streams, token=token) as fresh:
        await fresh.message()
        await asyncio.to_thread(streams.history.store.create_token, "t", scopes=("read",), by="ann", at=NOW)
        await asyncio.to_thread(happens, streams, 2)
        (last,) = await asyncio.to_thread(happens, streams, 1, "pve2")
        assert [one["id"] for one in await fresh.events(1)] == [last]
        listed = await streams.ask("GET", "/api/v1/events?limit=200", token=token)
        seen = await old.events(len(listed.json()["items"]))
    assert seen == listed.json()["items"]
    assert {one["host"] for one in seen} == {"pve2", ""}
    assert not [one for one in seen if one["type"].startswith("token.")]
    answer = await streams.ask("GET", "/api/v1/stream?host=pve1&after=0", token=token)
    assert answer.status_code == 404


@pytest.mark.parametrize("hosts", [("*",), ("pve1",), ("pve*",), ("pve2", "x-?")])
def test_a_stream_and_the_list_choose_the_same(streams: World, hosts: tuple[str, ...]) -> None:
    reads, who = streams.history.queries, Principal("t", "t", frozenset({"read"}), hosts)
    streams.history.store.create_token("t", scopes=("read",), by="ann", at=NOW)
    every = reads.events(EventListing(limit=200)).items
    for asked in (EventListing(), EventListing(host="pve1"), EventListing(type="token.created")):
        listed = reads.events(EventListing(host=asked.host, type=asked.type, limit=200, visible=hosts)).items
        assert [one for one in every if is_seen(who, one, asked)] == list(listed)


async def test_a_silent_stream_shows_that_it_lives_and_how_far_it_is(streams: World) -> None:
    async with following(streams, "?type=drift.found") as stream:
        await stream.message()
        (newest,) = await asyncio.to_thread(happens, streams, 1)
        streams.clock.pass_time(live.BEAT_S)
        said = await stream.message()
        while said["id"] != str(newest):  # a beat from before the event
            streams.clock.pass_time(live.BEAT_S)
            said = await stream.message()
    assert said == {"comment": "alive", "id": str(newest)}


async def test_a_revoked_token_gets_nothing_more(streams: World) -> None:
    token = streams.token("read")
    async with following(streams, token=token) as stream:
        await stream.message()
        await asyncio.to_thread(streams.history.store.revoke_token, token[4:16], by="ann", at=NOW)
        await asyncio.to_thread(happens, streams, 1)
        await asyncio.wait_for(stream.ended.wait(), 20)
        assert stream.is_silent()


async def test_an_expired_token_and_a_long_life_end_a_stream(streams: World) -> None:
    for life_s, passes_s in ((live.LIFE_S, live.LIFE_S), (1e12, 91 * 86_400.0)):
        streams.parts.live.life_s = life_s
        async with following(streams, token=streams.token("read")) as stream:
            await stream.message()
            streams.clock.pass_time(passes_s)
            await asyncio.wait_for(stream.ended.wait(), 20)


async def test_all_streams_end_when_the_service_stops(streams: World) -> None:
    async with following(streams) as one, following(streams) as other:
        await one.message()
        await other.message()
        streams.parts.live.stop()
        await asyncio.wait_for(asyncio.gather(one.ended.wait(), other.ended.wait()), 20)
    async with asyncio.timeout(20):
        for _ in iter(lambda: streams.parts.live.is_followed, False):
            await asyncio.sleep(0)


async def test_so_many_streams_and_no_more(streams: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "MOST_OF_ONE", 1)
    streams.parts.live._most = 2
    one, other = streams.token("read"), streams.token("plan", "read")
    async with following(streams, token=one) as first:
        await first.message()
        answer = await streams.ask("GET", "/api/v1/stream", token=one)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "10")
        async with following(streams, token=other) as second:
            await second.message()
            assert (await streams.ask("GET", "/api/v1/stream")).status_code == 503
    async with following(streams, token=one) as again:
        assert (await again.message())["retry"]


async def test_fifty_idle_streams_read_no_more_than_one(streams: World, monkeypatch: pytest.MonkeyPatch) -> None:
    reads = streams.history.queries
    calls = 0
    events = reads.events

    def counted(asked: EventListing) -> object:
        nonlocal calls
        calls += 1
        return events(asked)

    monkeypatch.setattr(reads, "events", counted)
    token = streams.token("read")
    many = [following(streams, token=token) for _ in range(50)]
    opened = [await one.__aenter__() for one in many]
    for stream in opened:
        await stream.message()
    calls = 0
    ids = await asyncio.to_thread(happens, streams, 3)
    for stream in opened:
        assert [one["id"] for one in await stream.events(3)] == ids
    assert calls <= 3 + (200 if reads.state() is None else 3)  # one for each event, or by the clock without a state
    for one in many:
        await one.__aexit__(None, None, None)


async def test_a_slow_reader_gets_all_and_holds_no_more_than_a_page(
    streams: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It reads nothing while far more happens than is kept."""
    monkeypatch.setattr(live, "KEPT_BYTES", 4_000)
    async with following(streams) as slow, following(streams) as quick:
        await slow.message()
        await quick.message()
        ids = await asyncio.to_thread(happens, streams, 200)
        assert [one["id"] for one in await quick.events(200)] == ids
        kept = streams.parts.live
        assert kept._bytes <= 4_000
        assert slow.chunks.qsize() <= 1
        assert [one["id"] for one in await slow.events(200)] == ids


async def test_the_streams_go_on_when_the_database_comes_back(streams: World, monkeypatch: pytest.MonkeyPatch) -> None:
    reads = streams.history.queries
    events = reads.events
    is_away = True
    failed = asyncio.Event()
    loop = asyncio.get_running_loop()

    def away(asked: EventListing) -> object:
        if is_away:
            loop.call_soon_threadsafe(failed.set)
            raise StoreError("away")
        return events(asked)

    async with following(streams) as stream:
        await stream.message()
        monkeypatch.setattr(reads, "events", away)
        ids = await asyncio.to_thread(happens, streams, 1)
        await asyncio.wait_for(failed.wait(), 20)
        is_away = False
        assert [one["id"] for one in await stream.events(1)] == ids


async def test_who_comes_while_the_last_one_leaves_gets_what_was_not_read_yet() -> None:
    loop, begun, goes_on, clock = asyncio.get_running_loop(), asyncio.Event(), threading.Event(), StillClock()

    class Pages:
        """Two pages of one event. The first is read only once the test says so."""

        def state(self) -> int:
            return 7

        def events(self, asked: EventListing) -> Page[Event]:
            if asked.after == 0:
                loop.call_soon_threadsafe(begun.set)
                assert goes_on.wait(20)
            number = asked.after + 1
            items = (Event(number, NOW, "drift.found", "pve1", "x"),) if number <= 2 else ()
            return Page(items, (number,) if number == 1 else None)

    async def sleep(seconds: float) -> None:
        await asyncio.sleep(0)

    clock.sleep = sleep  # type: ignore[method-assign]
    streams, reads = Live(), Pages()
    streams.enter("one", 0, reads, clock, written)
    await begun.wait()

    async def change() -> None:
        await streams.leave("one")
        streams.enter("other", 2, reads, clock, written)

    changing = asyncio.create_task(change())
    await asyncio.sleep(0)  # it waits for the read that is under way
    goes_on.set()
    await changing
    async with asyncio.timeout(20):
        while streams.last < 2:
            await streams.turn().wait()
    await streams.leave("other")


def test_what_is_new_is_found_from_the_newest_on() -> None:
    looks = 0

    class Numbered(Event):
        """An event that counts who looks at its number."""

        def __getattribute__(self, name: str) -> Any:
            nonlocal looks
            looks += name == "id"
            return super().__getattribute__(name)

    streams = Live()
    for number in range(1, 1001):
        streams._kept.append(live.Kept(Numbered(number, NOW, "drift.found", "pve1", "x"), b""))
    streams.last = 1000
    found = streams.after(997)
    assert looks == 4
    assert found is not None
    assert [one.event.id for one in found] == [998, 999, 1000]


@pytest.mark.parametrize("wrong", ["?after=-1", "?after=x", "?limit=3", "?newest=true", "?cursor=x", "?host=a/b"])
async def test_what_a_stream_does_not_take_is_refused(one_world: World, wrong: str) -> None:
    assert (await one_world.ask("GET", f"/api/v1/stream{wrong}")).status_code in (400, 422)


@pytest.mark.parametrize("wrong", ["x", "-1", str(2**63), "1.5"])
async def test_an_id_that_is_none_is_refused(one_world: World, wrong: str) -> None:
    answer = await one_world.ask("GET", "/api/v1/stream", headers={"Last-Event-ID": wrong})
    assert answer.status_code == 422


async def test_a_host_that_does_not_exist_has_no_stream(world: World) -> None:
    assert (await world.ask("GET", "/api/v1/stream?host=nope")).status_code == 404
    assert (await world.ask("GET", "/api/v1/stream?host=nope&after=0")).status_code == 200
