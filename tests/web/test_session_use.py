"""What a session takes as a click, and when its stream of news ends."""

from datetime import timedelta

import pytest

from service.errors import StoreError
from service.model.web_sessions import Visit
from service.web.session import COOKIE, session_of
from tests.api.world import World
from tests.web.visitor import Visitor


async def test_what_htmx_reads_each_second_is_not_a_click(visitor: Visitor) -> None:
    world = visitor.world
    scope = {"headers": [(b"cookie", f"{COOKIE}={visitor.cookies[COOKIE]}".encode()), (b"hx-request", b"true")]}
    world.clock.pass_time(3600)
    session = await session_of(scope, world.parts)
    assert session is not None
    assert session.until - world.clock.now() == world.parts.sessions.idle - timedelta(hours=1)


async def test_news_goes_on_while_nobody_can_say_whether_the_session_lasts(
    world: World, visitor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    scope = {"headers": [(b"cookie", f"{COOKIE}={visitor.cookies[COOKIE]}".encode())]}
    session = await session_of(scope, world.parts)
    assert session is not None

    def away(*_: object, **_more: object) -> None:
        raise StoreError("the database is locked")

    with monkeypatch.context() as patched:
        patched.setattr(world.history.store, "session_of", away)
        patched.setattr(world.history.store, "recognise_session", lambda *_, **_more: None)
        assert await session.lasts()

    world.history.store.end_session(session.id, visit=Visit(), at=world.clock.now())
    assert not await session.lasts()
