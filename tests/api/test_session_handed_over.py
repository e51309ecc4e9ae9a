"""A session in the browser opens the API from inside the process only: no request from a network can."""

import asyncio
import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from service.api.envelope import SESSION, SESSION_LASTS
from service.api.live import Live
from service.api.server import answer_beside
from service.history import History
from service.model.access import Principal
from service.model.listings import AuditListing
from service.model.web_sessions import SessionLimits, Visit
from tests.api.still_clock import NOW
from tests.api.world import World

ANN = Principal("abcdefghijkl", "ann", frozenset({"read"}))


@pytest.fixture
def world(history: History) -> World:
    return World(history).fill()


async def inside(
    world: World,
    path: str,
    given: dict[str, Any],
    *,
    method: str = "GET",
    body: bytes = b"",
    began: asyncio.Event | None = None,
) -> Any:
    """The status and the body that the application answers to a scope that was made in the process."""
    headers = [(b"host", b"passerelle.test"), (b"content-type", b"application/json")]
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http",
        "path": path, "raw_path": path.encode(), "query_string": b"", "root_path": "", "headers": headers,
        "client": ("192.0.2.7", 40000), "server": ("passerelle.test", 80), "state": {},
    }  # fmt: skip
    sent: list[Any] = []
    messages: Iterator[dict[str, Any]] = iter([{"type": "http.request", "body": b"", "more_body": False}])

    async def receive() -> dict[str, Any]:
        if (message := next(messages, None)) is None:
            await asyncio.Event().wait()  # the client stays
        return message or {}

    async def send(message: Any) -> None:
        sent.append(message)
        if began is not None:
            began.set()

    await world.app(scope | given, receive, send)
    return sent[0]["status"], b"".join(one.get("body", b"") for one in sent)


def cookie_of(world: World) -> str:
    begun = world.history.store.begin_session(
        world.token().encode(), limits=SessionLimits(), visit=Visit(), at=world.clock.now()
    )
    assert begun is not None
    return begun[0]


async def test_the_pages_ask_as_the_principal_of_the_session(world: World) -> None:
    status, body = await inside(world, "/api/v1/whoami", {SESSION: ANN})
    assert status == 200
    assert json.loads(body)["name"] == "ann"


async def test_a_session_has_the_scopes_and_hosts_of_its_token(world: World) -> None:
    status, body = await inside(world, "/api/v1/hosts/pve1/reconcile", {SESSION: ANN}, method="POST")
    assert (status, json.loads(body)["detail"]) == (403, "the token lacks the scope plan")
    one_host = Principal("abcdefghijkl", "ann", frozenset({"read"}), ("pve1",))
    _, body = await inside(world, "/api/v1/hosts", {SESSION: one_host})
    assert [host["host"] for host in json.loads(body)["items"]] == ["pve1"]


async def test_what_a_page_changes_is_recorded_as_done_in_a_browser(world: World) -> None:
    planner = Principal("abcdefghijkl", "ann", frozenset({"plan"}))
    status, _ = await inside(world, "/api/v1/hosts/pve1/reconcile", {SESSION: planner}, method="POST")
    assert status == 202
    await world.ask("POST", "/api/v1/hosts/pve1/reconcile")
    acts = world.history.queries.acts(AuditListing(limit=5)).items
    assert [(act.how, act.by, act.client) for act in acts[:2]] == [
        ("api", "tester", "192.0.2.1"), ("web", "ann", "192.0.2.7"),
    ]  # fmt: skip


@pytest.mark.parametrize("given", ["ann", {"id": "x"}, True, b"ann", ["admin"]])
async def test_only_a_principal_is_handed_over(world: World, given: object) -> None:
    assert (await inside(world, "/api/v1/whoami", {SESSION: given}))[0] == 401


async def test_the_api_takes_no_cookie(world: World) -> None:
    cookie = cookie_of(world)
    for name in ("passerelle_session", "__Host-passerelle_session", "passerelle", "session", "Authorization"):
        for value in (cookie, f"Bearer {cookie}", world.token()):
            answer = await world.ask("GET", "/api/v1/hosts", token="", headers={"Cookie": f"{name}={value}"})
            assert answer.status_code == 401, (name, value)
    assert (await world.ask("GET", "/api/v1/hosts", token=cookie)).status_code == 401
    assert (await world.ask("GET", "/api/v1/hosts", token=f"psr_{cookie}")).status_code == 401


async def test_the_api_takes_no_form(world: World) -> None:
    for kind in ("application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/plain"):
        body = b'{"reason": "a form of another site"}'
        path = "/api/v1/hosts/pve1/release"
        answer = await world.ask("POST", path, headers={"Content-Type": kind}, content=body)
        assert answer.status_code == 415, kind
        cookie = {"Content-Type": kind, "Cookie": f"passerelle_session={cookie_of(world)}"}
        assert (await world.ask("POST", path, token="", headers=cookie, content=body)).status_code == 401
    assert world.desk.asked == []


async def test_no_header_is_a_key_of_the_scope() -> None:
    """The real server in front: whatever a client calls its headers, they stay in the list of headers."""
    seen: list[set[str]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(set(scope) | set(scope["state"]))
        await send({"type": "http.response.start", "status": 204, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})

    port = free_port()
    serving = asyncio.ensure_future(answer_beside(app, "127.0.0.1", port))
    try:
        names = (SESSION, "Passerelle-Session", "X-Passerelle-Session", "state", SESSION_LASTS)
        for name in names:
            await request(port, f"GET /?{SESSION}=ann HTTP/1.1\r\nHost: x\r\n{name}: ann\r\nConnection: close\r\n\r\n")
        assert len(seen) == len(names)
        for keys in seen:
            assert not [key for key in keys if key.startswith("passerelle")]
    finally:
        serving.cancel()
        await asyncio.wait([serving])


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


async def request(port: int, text: str) -> bytes:
    """What is answered; the connection is tried until the server listens."""
    async with asyncio.timeout(10):
        while True:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                break
            except OSError:
                await asyncio.sleep(0)
        writer.write(text.encode())
        found = await reader.read()
        writer.close()
        return found


async def test_a_stream_ends_with_the_session(history: History, monkeypatch: pytest.MonkeyPatch) -> None:
    """The word of the pages is taken with each beat. Who hands over no word has no lasting answer."""
    world = World(history, live=Live()).fill()
    monkeypatch.setattr(world.clock, "sleep", lambda _: asyncio.sleep(0.01))  # its time stands still: no beat by it
    cookie = cookie_of(world)
    store, limits = history.store, SessionLimits()
    session = store.session_of(cookie.encode(), limits=limits, at=NOW)
    assert session is not None
    checks = 0

    async def lasts() -> bool:
        nonlocal checks
        checks += 1
        return store.session_of(cookie.encode(), limits=limits, at=NOW) is not None

    given = {SESSION: session.principal, SESSION_LASTS: lasts}
    following = asyncio.ensure_future(inside(world, "/api/v1/stream", given, began=(began := asyncio.Event())))
    async with asyncio.timeout(20):
        await began.wait()
        await asyncio.to_thread(store.end_session, session.id, visit=Visit(), at=NOW)
        status, body = await following
    assert status == 200
    assert checks == 1
    assert b"retry:" in body
