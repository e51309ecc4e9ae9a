"""Serving the application over HTTP/1.1: uvicorn, and the deadlines and bounds that it has not.

    serve(app, "127.0.0.1", 8765)     returns when the process is instructed to stop
    await answer_beside(app, "127.0.0.1", 8766)     until cancelled, in an event loop that runs something else

A client has `header_s` for the whole header of a request, `body_s` for its body, and `reader_s` to read an answer that
does not fit into the socket. Then the connection is closed. One that continues sending a body after it was answered has
`rest_s`. How many connections there may be is reported in connections.py.
"""

import asyncio
import signal
import socket
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any, Literal

import h11
import uvicorn
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from service.api.connections import Crowd, accepted_at_once, allow_descriptors, connection_cap, listen
from service.api.envelope import HEADER_BYTES
from service.api.problem import problem
from service.errors import InputError

TURNS = 3
"""In so many turns of the event loop what a new connection sent has been read: it is registered, polled, read."""

_HEALTH = ("/livez", "/readyz")

Turn = Literal["header", "body", "reader", "rest", ""]
"""What a connection waits for from its client; empty while the client waits for us."""


@dataclass(frozen=True, slots=True)
class Deadlines:
    """How long a connection waits for its client, in seconds."""

    header_s: float = 10.0
    body_s: float = 35.0
    reader_s: float = 30.0
    rest_s: float = 1.0
    idle_s: int = 5

    def of(self, turn: Turn) -> float | None:
        """The deadline of a turn, None for ours."""
        return {"header": self.header_s, "body": self.body_s, "reader": self.reader_s, "rest": self.rest_s}.get(turn)


class BoundedProtocol(H11Protocol):
    """uvicorn's protocol, with a deadline for whatever the client has to do next."""

    def __init__(self, crowd: Crowd, deadlines: Deadlines, **given: Any) -> None:
        super().__init__(**given)
        self._crowd = crowd
        self._deadlines = deadlines
        self._turn: Turn = ""
        self._since: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._unheard = TURNS

    @property
    def waits_since(self) -> float | None:
        """Since when it waits for its client; None, too, before the event loop had a chance to hear it."""
        return self._since if self._turn and self._unheard == 0 else None

    def give_up(self) -> None:
        """Close the connection, whatever is in its buffers."""
        self.transport.abort()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.app = only_health(self.app) if not self._crowd.add(self) else while_calm(self.app, self._crowd)
        self._begin("header")
        self._hear()

    def _hear(self) -> None:
        if self._unheard:
            self._unheard -= 1
            self.loop.call_soon(self._hear)

    def connection_lost(self, exc: Exception | None) -> None:
        self._crowd.discard(self)
        self._begin("")
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._look()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._turn = ""  # the next request has its own time
        self._look()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._look()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._look()

    def _should_upgrade(self) -> bool:
        """No other protocol is spoken here. RFC 9110, 7.8: a server that does not know it silently continues with
        HTTP.
        """
        return False

    def send_400_response(self, msg: str) -> None:
        """A request that is not HTTP. Where an answer is under way already, there is nothing left to say; whoever is at
        work on it finds that the client is gone."""
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            super().send_400_response(msg)
        else:
            self.transport.abort()

    def _look(self) -> None:
        turn = self._whose_turn()
        if turn != self._turn:
            self._begin(turn)

    def _whose_turn(self) -> Turn:
        is_sending = self.conn.their_state is h11.SEND_BODY
        if self.cycle is None or self.cycle.response_complete:
            return "rest" if is_sending else "header"
        if self.flow.write_paused:
            return "reader"
        return "body" if is_sending else ""

    def _begin(self, turn: Turn) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._turn, self._since = turn, self.loop.time()
        deadline_s = self._deadlines.of(turn)
        if deadline_s is not None and not self.transport.is_closing():
            self._timer = self.loop.call_later(deadline_s, self.give_up)


def while_calm(app: ASGIApp, crowd: Crowd) -> ASGIApp:
    """The application, as long as not too many requests wait for their answer; then for health only."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        await (only_health(app) if crowd.is_busy() else app)(scope, receive, send)

    return answer


def only_health(app: ASGIApp) -> ASGIApp:
    """The application for what is one too many: it says whether the service lives, and else 503."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        busy = problem(503, "the service has too many requests. Try again in a moment", headers={"Retry-After": "1"})
        await (app if scope["path"] in _HEALTH else busy)(scope, receive, _closing(send))

    return answer


def _closing(send: Send) -> Callable[[Message], Awaitable[None]]:
    async def told(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), (b"connection", b"close")]}
        await send(message)

    return told


class _Server(uvicorn.Server):
    """uvicorn's server that says at once when it is informed to stop: it continues answering what is under way."""

    def __init__(self, config: uvicorn.Config, on_stop: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_stop = on_stop

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._on_stop()
        super().handle_exit(sig, frame)


@contextmanager
def _ended_by(number: signal.Signals) -> Iterator[None]:
    """A request to stop is not a failure. When all is done, uvicorn raises the signal once more. That would end the
    process by the signal, and not with exit code 0.
    """
    before = signal.signal(number, lambda _number, _frame: None)
    try:
        yield
    finally:
        signal.signal(number, before)


class _Beside(uvicorn.Server):
    """uvicorn's server in a process whose signals are somebody else's."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def answer_beside(app: ASGIApp, address: str, port: int) -> None:
    """Answer until cancelled, in the event loop of a program that does something else. InputError as in `serve`."""
    config, sockets = _bound(app, address, port, grace_s=1, limits=Deadlines(), lifespan="off")
    server = _Beside(config)
    serving = asyncio.ensure_future(server.serve(sockets))
    try:
        await asyncio.shield(serving)
    finally:
        server.should_exit = True
        await asyncio.wait([serving])
        for one in sockets:
            one.close()


def serve(
    app: ASGIApp,
    address: str,
    port: int,
    *,
    grace_s: int,
    deadlines: Deadlines | None = None,
    on_stop: Callable[[], None] = lambda: None,
) -> None:
    """Answer until the process gets a signal to stop. Then requests under way have `grace_s` seconds. `on_stop` is
    called at once, from a signal's handler. InputError where the address cannot be used or the process may open too few
    files.
    """
    config, sockets = _bound(app, address, port, grace_s=grace_s, limits=deadlines or Deadlines(), lifespan="on")
    server = _Server(config, on_stop)
    try:
        with _ended_by(signal.SIGTERM):
            server.run(sockets=sockets)
    except KeyboardInterrupt:
        return
    finally:
        for one in sockets:
            one.close()


def _bound(
    app: ASGIApp, address: str, port: int, *, grace_s: int, limits: Deadlines, lifespan: Literal["on", "off"]
) -> tuple[uvicorn.Config, list[socket.socket]]:
    """How uvicorn serves the application, and the sockets that it accepts from."""
    crowd = Crowd(connection_cap(allow_descriptors()))
    # The event loop's own clock, which is this one too (asyncio.BaseEventLoop.time).
    try:
        sockets = listen(address, port, crowd, time.monotonic)
    except OSError as error:
        raise InputError(
            f"the API cannot be served on {address} port {port}: {error.strerror}",
            hint="give a free --port, and an address of this machine",
        ) from None

    def protocol(**given: Any) -> BoundedProtocol:
        return BoundedProtocol(crowd, limits, **given)

    config = uvicorn.Config(
        app,
        http=protocol,  # type: ignore[arg-type]  # called with keywords only, as a class would be
        loop="asyncio",
        ws="none",
        lifespan=lifespan,
        log_config=None,  # uvicorn's lines go where all lines go
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=accepted_at_once(crowd.cap),
        timeout_keep_alive=limits.idle_s,
        timeout_graceful_shutdown=grace_s,
        h11_max_incomplete_event_size=HEADER_BYTES,
    )
    return config, sockets
