"""News for an open page: the API's stream, by the session, for as long as it lasts."""

import asyncio
from collections.abc import Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from service.api.live import Live
from service.model.events import ReconcileAsked
from service.model.web_sessions import Visit
from service.web.session import COOKIE
from service.web.site import create_site
from tests.api.conftest import filled
from tests.api.still_clock import NOW
from tests.api.world import World
from tests.state_folders import Patterns
from tests.web.visitor import Visitor, signed_in


@pytest.fixture
def followed(patterns: Patterns, tmp_path: Path) -> Iterator[World]:
    """A service whose streams stay open, and whose clock stands still."""
    with patterns.opened("sqlite", tmp_path / "state", filled) as opened:
        world = World(opened, live=Live())
        world.clock.sleep = lambda _: asyncio.sleep(0.01)  # type: ignore[method-assign, assignment]
        yield world


class Follower:
    """Who follows `/live` with a cookie."""

    def __init__(self, world: World, cookie: str, *more: tuple[bytes, bytes]) -> None:
        self.sent: asyncio.Queue[Any] = asyncio.Queue()
        headers = [(b"host", b"passerelle.test"), (b"cookie", f"{COOKIE}={cookie}".encode()), *more]
        self.scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "scheme": "http",
            "path": "/live", "raw_path": b"/live", "query_string": b"", "root_path": "", "headers": headers,
            "client": ("192.0.2.1", 40000), "server": ("passerelle.test", 80),
        }  # fmt: skip
        self.gone = asyncio.Event()
        self._app = create_site(world.parts, world.app)

    async def run(self) -> None:
        body = [{"type": "http.request", "body": b"", "more_body": False}]

        async def receive() -> dict[str, Any]:
            if body:
                return body.pop()
            await self.gone.wait()
            return {"type": "http.disconnect"}

        await self._app(self.scope, receive, self.sent.put)

    async def said(self, text: bytes) -> bytes:
        """All that was sent until this comes."""
        found = b""
        while text not in found:
            found += (await self.sent.get()).get("body", b"")
        return found


@asynccontextmanager
async def following(world: World, cookie: str, *more: tuple[bytes, bytes]) -> Any:
    follower = Follower(world, cookie, *more)
    running = asyncio.ensure_future(follower.run())
    try:
        async with asyncio.timeout(20):
            yield follower
    finally:
        follower.gone.set()
        await asyncio.wait([running], timeout=20)


async def happens(world: World, host: str) -> None:
    news = ReconcileAsked(host=host, by=f"news of {host}")
    await asyncio.to_thread(world.history.store.add_event, news, at=NOW)


async def test_news_comes_by_the_cookie_and_is_what_the_session_sees(followed: World) -> None:
    async with following(followed, signed_in(followed, "read", hosts=("pve2",))) as one:
        start = await one.sent.get()
        assert (start["status"], dict(start["headers"])[b"content-type"].partition(b";")[0]) == (
            200, b"text/event-stream",
        )  # fmt: skip
        await one.said(b"retry:")
        await happens(followed, "pve1")
        await happens(followed, "pve2")
        assert b"news of pve1" not in await one.said(b"news of pve2")


async def test_a_browser_that_comes_again_gets_what_it_missed(followed: World) -> None:
    newest = followed.history.queries.newest_event_id()
    await happens(followed, "pve1")
    cookie = signed_in(followed)
    async with following(followed, cookie, (b"last-event-id", str(newest).encode())) as one:
        await one.said(b"news of pve1")


async def test_the_stream_ends_when_somebody_signs_out_in_another_browser(followed: World) -> None:
    cookie = signed_in(followed)
    async with following(followed, cookie) as one:
        await one.said(b"retry:")
        await asyncio.to_thread(followed.history.store.end_session, cookie[:12], visit=Visit(), at=NOW)
        while (await one.sent.get()).get("more_body", True):
            pass


async def test_without_a_session_there_is_no_stream(visitor: Visitor) -> None:
    visitor.cookies = {}
    assert (await visitor.send("GET", "/live")).status_code == 401
    visitor.cookies = {COOKIE: visitor.world.token()}
    assert (await visitor.send("GET", "/live")).status_code == 401


async def test_a_stream_is_not_a_click(visitor: Visitor) -> None:
    world = visitor.world
    world.clock.pass_time(3600)
    assert (await visitor.send("GET", "/live")).status_code == 200
    limits, at = world.parts.sessions, world.clock.now()
    session = world.history.store.session_of(visitor.cookies[COOKIE].encode(), limits=limits, at=at, is_use=False)
    assert session is not None
    assert at - session.used_at >= timedelta(hours=1)


async def test_without_javascript_a_link_looks_again(visitor: Visitor) -> None:
    page = await visitor.look("/?show=in-sync&q=%22%3E%3Cb%3E&path=x")
    assert page.links["Look again"] == "/?show=in-sync&q=%22%3E%3Cb%3E&path=x"
    assert page.faults == []
