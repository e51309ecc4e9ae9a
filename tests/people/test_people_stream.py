"""The stream of events for a person who signed in: it continues as long as the token does."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.api import live
from service.api.live import Live
from service.history import open_history
from service.people.keys import AGAIN_S, GOOD_S
from tests.api.followed import Stream, following
from tests.api.test_stream import happens
from tests.api.world import World
from tests.people.issuer import LocalIssuer, issuing
from tests.people.test_people_tokens import NOW_S, signing_in
from tests.state_folders import made


@pytest.fixture
def issuer() -> Iterator[LocalIssuer]:
    with issuing() as server:
        yield server
        assert server.refused == []


@pytest.fixture
def streams(issuer: LocalIssuer, tmp_path: Path) -> Iterator[World]:
    with open_history(made(tmp_path / "state" / "passerelle.sqlite")) as history:
        world = signing_in(World(history, live=Live(life_s=1e12)).fill(), issuer.url)

        async def sleep(seconds: float) -> None:
            await asyncio.sleep(0.01)

        world.clock.sleep = sleep  # type: ignore[method-assign]
        yield world


async def beats(world: World, stream: Stream, passes_s: float = live.BEAT_S) -> None:
    """A beat passes, and an event after it is sent."""
    before = world.parts.live.beat
    world.clock.pass_time(passes_s)
    async with asyncio.timeout(20):
        while world.parts.live.beat == before:
            await world.parts.live.turn().wait()
    ids = await asyncio.to_thread(happens, world, 1)
    assert [one["id"] for one in await stream.events(1)] == ids


async def test_it_continues_until_the_token_ends(streams: World, issuer: LocalIssuer) -> None:
    async with following(streams, token=issuer.token(NOW_S)) as stream:
        await stream.message()
        for _ in range(3):
            await beats(streams, stream)
        streams.clock.pass_time(400)
        await asyncio.wait_for(stream.ended.wait(), 20)


async def test_it_continues_while_the_issuer_is_away(streams: World, issuer: LocalIssuer) -> None:
    token = issuer.token(NOW_S, exp=NOW_S + 10 * GOOD_S)
    async with following(streams, token=token) as stream:
        await stream.message()
        issuer.is_broken = True
        await beats(streams, stream, GOOD_S + AGAIN_S)
        assert (await streams.ask("GET", "/api/v1/hosts", token=token)).status_code == 503
        await beats(streams, stream)
