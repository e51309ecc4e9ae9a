"""The API on real sockets: nobody holds a connection for ever, and nobody keeps others out."""

import asyncio
import logging
import resource
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from starlette.types import Receive, Scope, Send
from uvicorn.config import Config
from uvicorn.server import ServerState

from service.api.connections import Crowd, WebListener, connection_cap
from service.api.server import BoundedProtocol, Deadlines
from tests.api.world import World

QUICK = Deadlines(header_s=0.2, body_s=0.3, reader_s=0.3, rest_s=0.1, idle_s=5)
PATIENT = Deadlines(header_s=30, body_s=30, reader_s=30, rest_s=30, idle_s=30)
OK = b"HTTP/1.1 200"

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Dial = Callable[[], "asyncio.Future[Streams]"]


@asynccontextmanager
async def served(app: object, *, cap: int = 64, deadlines: Deadlines = QUICK) -> AsyncIterator["Client"]:
    crowd, state = Crowd(cap), ServerState()
    config = Config(app, log_config=None, ws="none", lifespan="off", timeout_keep_alive=deadlines.idle_s)  # type: ignore[arg-type]
    config.load()
    loop = asyncio.get_running_loop()
    listener = WebListener(2, crowd, time.monotonic)
    listener.bind(("127.0.0.1", 0))
    server = await loop.create_server(
        lambda: BoundedProtocol(crowd, deadlines, config=config, server_state=state, app_state={}), sock=listener
    )
    client = Client(listener.getsockname()[1])
    try:
        yield client
    finally:
        await client.close()
        server.close()
        for connection in list(state.connections):
            connection.transport.abort()  # type: ignore[union-attr]
        for task in list(state.tasks):
            task.cancel()
        await asyncio.gather(*state.tasks, return_exceptions=True)
        await server.wait_closed()


class Client:
    """Connections of a test, all closed in the end."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._writers: list[asyncio.StreamWriter] = []

    async def open(self) -> Streams:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        self._writers.append(writer)
        return reader, writer

    async def ask(self, request: bytes) -> bytes:
        """Everything that comes back, until the connection is closed."""
        reader, writer = await self.open()
        writer.write(request)
        return await until_closed(reader)

    async def close(self) -> None:
        for writer in self._writers:
            writer.transport.abort()


async def until_closed(reader: asyncio.StreamReader) -> bytes:
    found = b""
    async with asyncio.timeout(10):
        try:
            while chunk := await reader.read(65536):
                found += chunk
        except ConnectionResetError:
            pass
    return found


def get(path: str, *headers: str) -> bytes:
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: x", *headers, "", ""]).encode()


async def test_a_connection_that_says_nothing_is_closed(one_world: World) -> None:
    async with served(one_world.app) as client:
        reader, _ = await client.open()
        assert await until_closed(reader) == b""


async def test_a_header_that_drips_is_cut_off(one_world: World) -> None:
    async with served(one_world.app) as client:
        reader, writer = await client.open()
        ended = asyncio.ensure_future(until_closed(reader))
        began = time.monotonic()
        for byte in get("/livez", "X: " + "x" * 5000):
            writer.write(bytes([byte]))
            done, _ = await asyncio.wait([ended], timeout=0.02)
            if done:
                break
        assert await ended == b""
        assert time.monotonic() - began < 5


async def test_the_next_request_of_a_connection_has_its_own_time(one_world: World) -> None:
    async with served(one_world.app, deadlines=Deadlines(header_s=1.5)) as client:
        reader, writer = await client.open()
        for _ in range(4):
            writer.write(get("/livez"))
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(OK)
            await reader.readexactly(15)
            await asyncio.sleep(0.5)
        assert not reader.at_eof()


async def test_a_body_that_drips_is_cut_off(one_world: World) -> None:
    async with served(one_world.app) as client:
        request = b"POST /hooks/x HTTP/1.1\r\nHost: x\r\nX-Signature: sha256=" + b"0" * 64
        reader, writer = await client.open()
        writer.write(request + b"\r\nContent-Length: 100000\r\n\r\nx")
        assert await until_closed(reader) == b""


async def test_who_was_answered_does_not_go_on_sending_for_long(one_world: World) -> None:
    async with served(one_world.app) as client:
        reader, writer = await client.open()
        writer.write(b"POST /api/v1/applies HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n")
        ended = asyncio.ensure_future(until_closed(reader))
        while not ended.done():
            writer.write(b"x" * 10_000)
            await asyncio.wait([ended], timeout=0.02)
        assert (await ended).startswith(b"HTTP/1.1 401")


async def test_who_does_not_read_the_answer_is_cut_off() -> None:
    given_up = asyncio.Event()

    async def much(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(200):
            await send({"type": "http.response.body", "body": b"x" * 100_000, "more_body": True})
        await send({"type": "http.response.body"})
        given_up.set()

    async with served(much) as client:
        _, writer = await client.open()
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(get("/"))
        async with asyncio.timeout(10):
            await given_up.wait()


async def test_silent_connections_make_room_for_whoever_speaks(one_world: World) -> None:
    async with served(one_world.app, cap=8, deadlines=PATIENT) as client:
        silent = [await client.open() for _ in range(40)]
        for _ in range(5):
            assert (await client.ask(get("/livez", "Connection: close"))).startswith(OK)
        async with asyncio.timeout(10):
            closed = [await until_closed(reader) for reader, _ in silent[:20]]
        assert closed == [b""] * 20


async def test_where_half_wait_for_an_answer_the_next_is_told_so_and_health_is_answered(one_world: World) -> None:
    go_on = asyncio.Event()

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/slow":
            await go_on.wait()
        await one_world.app(scope, receive, send)

    async with served(slow, cap=8, deadlines=PATIENT) as client:
        busy = [await client.open() for _ in range(4)]
        for _, writer in busy:
            writer.write(get("/slow", "Connection: close"))
        refused = await client.ask(get("/api/v1/hosts"))
        assert refused.startswith(b"HTTP/1.1 503")
        assert b"retry-after: 1" in refused.lower()
        assert b"too many requests" in refused
        assert (await client.ask(get("/livez"))).startswith(OK)
        assert (await client.ask(get("/readyz"))).startswith(OK)
        go_on.set()
        for reader, _ in busy:
            assert (await until_closed(reader)).startswith(b"HTTP/1.1 401")
        assert (await client.ask(get("/livez", "Connection: close"))).startswith(OK)


async def test_no_descriptor_is_left_and_nobody_notices_for_long(
    one_world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """asyncio wrote up to 2,048 tracebacks a second here."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    async with served(one_world.app, cap=1000, deadlines=PATIENT) as client:
        assert (await client.ask(get("/livez", "Connection: close"))).startswith(OK)
        taken = [await client.open() for _ in range(3)]
        used = max(writer.get_extra_info("socket").fileno() for _, writer in taken)
        with caplog.at_level(logging.WARNING):
            resource.setrlimit(resource.RLIMIT_NOFILE, (used + 9, hard))
            try:
                flood = await asyncio.gather(*(client.open() for _ in range(100)), return_exceptions=True)
                await asyncio.sleep(0.2)
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert any(isinstance(one, OSError) for one in flood)
        assert not [r for r in caplog.records if r.exc_info], caplog.text[:2000]
        assert (await client.ask(get("/livez", "Connection: close"))).startswith(OK)


@pytest.mark.parametrize(("descriptors", "cap"), [(64, 16), (128, 32), (256, 64), (1024, 256), (65_536, 1024)])
def test_the_cap_leaves_three_quarters_for_git_hosts_and_the_database(descriptors: int, cap: int) -> None:
    assert connection_cap(descriptors) == cap
    assert Crowd(cap).most <= descriptors // 3


@pytest.mark.parametrize(
    "request_",
    [
        b"GET /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /hooks/x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\nGET / X",
        b"GET /livez HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"GET /livez HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: keep-alive\r\n\r\n0\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nHost : x\r\n\r\n",
        b"POST /hooks/x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET /livez HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 70_000 + b"\r\n\r\n",
    ],
)
async def test_what_two_programs_could_read_in_two_ways_is_refused_and_closed(
    one_world: World, request_: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with served(one_world.app, deadlines=PATIENT) as client:
        answer = await client.ask(request_)
        assert answer == b"" or answer.startswith((b"HTTP/1.1 400", b"HTTP/1.1 501", b"HTTP/1.1 431")), answer
        assert answer.count(b"HTTP/1.1") <= 1
    assert not [r for r in caplog.records if r.exc_info], caplog.text[:2000]


async def test_an_offer_of_another_protocol_is_passed_over_without_a_word(
    one_world: World, caplog: pytest.LogCaptureFixture
) -> None:
    async with served(one_world.app) as client:
        for offer in ("Upgrade: websocket", "Upgrade: h2c"):
            answer = await client.ask(get("/livez", "Connection: Upgrade, close", offer))
            assert answer.startswith(OK)
    assert caplog.records == []
