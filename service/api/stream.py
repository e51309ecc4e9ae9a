"""`GET /api/v1/stream`: events as they happen, as Server-Sent Events (HTML standard, 9.2). `live.py` reads them.

    retry: 2000                          at the beginning: where it begins, without an event
    id: 41

    id: 42                               each event: its id, and what the list of events has of it
    data: {"id": 42, "type": "apply.finished", …}

    event: gap                           what was missed cannot be sent
    id: 90
    data: {"reason": "removed", "asked": 42, "after": 90}

    : alive                              every 15 s, with the id up to which there was nothing for this stream
    id: 97

A client that was away sends the last id as `Last-Event-ID`, and gets what it missed.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Annotated, Any

from fastapi import FastAPI, Header, Query
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from service.api import listings, schemas
from service.api.known import status_of
from service.api.live import PAGE
from service.api.parts import Parts
from service.api.problem import RequestRefused
from service.api.seen import event_seen, is_seen
from service.api.values import MAX_ID, Reader, ask
from service.errors import NoHost, StoreError
from service.model.access import Principal
from service.model.listings import EventListing
from service.model.runs import Event

PATH = "/api/v1/stream"
AGAIN_MS = 2000
CHUNK_BYTES = 32 << 10
MEDIA_TYPE = "text/event-stream"
_WORD = {"type": "string"}
MESSAGE: dict[str, Any] = {
    "description": "one message; `data` is JSON: an event, or of a `gap` why there is one",
    "type": "object",
    "properties": {"id": _WORD, "event": {"enum": ["message", "gap"]}, "data": _WORD},
    "required": ["id", "data"],
}
LastId = Annotated[
    int | None, Header(alias="Last-Event-ID", ge=0, le=MAX_ID, description="The last id that you have, for `after`")
]  # fmt: skip
After = Annotated[int | None, Query(ge=0, le=MAX_ID, description="Begin after this id; without it, with what is new")]


class EventsAnswer(Response):
    """What the description says of the answer."""

    media_type = MEDIA_TYPE


def add_routes(app: FastAPI, parts: Parts) -> None:
    """The route of the stream."""

    @app.get(
        PATH,
        operation_id="stream_events",
        summary="Events as they happen (Server-Sent Events)",
        description="Each message has the event's `id`, and as `data` the event as in the list. Send the last id as "
        "`Last-Event-ID` to continue after it. The first message is `gap` where what is after that id was removed "
        "(`removed`), or where there is no such id yet (`unknown`). The order is that of the ids.",
        tags=["events"],
        response_class=EventsAnswer,
        responses={200: {"content": {MEDIA_TYPE: {"schema": MESSAGE}}}},
    )
    async def stream_events(
        who: Reader, request: Request, asked: listings.Followed, after: After = None, last_id: LastId = None
    ) -> Response:
        place = last_id if last_id is not None else after
        if asked.host and not who.sees(asked.host):
            raise NoHost(asked.host)
        if asked.host and place is None:  # events of a host can still be followed after it is forgotten
            await status_of(parts, who, asked.host)
        edges = await ask(parts.reads.event_edges)
        if why := parts.live.refusal(who.id):
            raise RequestRefused(503, why, headers={"Retry-After": "10"})
        return EventStream(parts, who, request.state.still_good, asked.seen_by(who.hosts), place, edges)


def written(event: Event) -> bytes:
    """A message with an event."""
    text = schemas.Event.model_validate(event).model_dump_json(by_alias=True)
    return b"id: %d\ndata: %b\n\n" % (event.id, text.encode())


def beginning(place: int | None, edges: tuple[int, int]) -> tuple[int, bytes]:
    """Where a stream begins, and its first message. `edges` are the oldest and the newest id, 0 where there is none."""
    oldest, newest = edges
    retry = b"retry: %d\n" % AGAIN_MS
    start, reason = (newest if place is None else place), ""
    if start > newest:
        start, reason = newest, "unknown" if newest else "removed"
    elif start < oldest - 1:
        start, reason = oldest - 1, "removed"
    if not reason:
        return start, retry + b"id: %d\n\n" % start
    said = json.dumps({"reason": reason, "asked": place, "after": start})
    return start, retry + b"event: gap\nid: %d\ndata: %b\n\n" % (start, said.encode())


class EventStream(Response):
    """The answer: it ends with its client, its token, the service, or after `live.life_s`. `still_good` says whether
    the token is valid, with each beat."""

    def __init__(
        self, parts: Parts, who: Principal, still_good: Callable[[], Awaitable[bool]], asked: EventListing,
        place: int | None, edges: tuple[int, int],
    ) -> None:  # fmt: skip
        super().__init__(media_type=MEDIA_TYPE, headers={"X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._parts = parts
        self._live = parts.live
        self._who = who
        self._still_good = still_good
        self._asked = asked
        self._newest = edges[1]
        self._place, self._first = beginning(place, edges)
        self._is_gone = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until it ends. What the client does not read yet holds it back here, in `send`."""
        live, parts = self._live, self._parts
        live.enter(self._who.id, self._newest, parts.reads, parts.clock, written)
        watching = asyncio.ensure_future(self._watch(receive))
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            async for chunk in self._chunks():
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            watching.cancel()
            await live.leave(self._who.id)

    async def _watch(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._is_gone = True
        self._live.wake()

    async def _chunks(self) -> AsyncIterator[bytes]:
        live, clock = self._live, self._parts.clock
        until_s, beat, checked = clock.monotonic_s() + live.life_s, live.beat, live.beat
        yield self._first
        while not (live.is_stopped or self._is_gone) and live.is_followed:
            turn = live.turn()  # before the look: what comes after it is not missed
            if checked != live.beat:
                checked = live.beat
                if not await self._still_good():
                    return
            if chunk := await self._next():
                beat = live.beat
                yield chunk
            elif self._place < live.last:
                continue  # further events were read meanwhile
            elif clock.monotonic_s() >= until_s:
                return
            elif beat != live.beat:
                beat = live.beat
                yield b": alive\nid: %d\n\n" % self._place
            else:
                await turn.wait()

    async def _next(self) -> bytes:
        """What is next for this stream, about `CHUNK_BYTES` at most; empty where there is nothing."""
        kept = self._live.after(self._place)
        if kept is None:
            return await self._missed()
        chunk = bytearray()
        for one in kept:
            if is_seen(self._who, one.event, self._asked):
                shown = event_seen(self._who, one.event)
                chunk += one.sent if shown is one.event else written(shown)
            self._place = one.event.id
            if len(chunk) >= CHUNK_BYTES:
                break
        return bytes(chunk)

    async def _missed(self) -> bytes:
        """A page of the history."""
        async with self._live.behind:
            until = self._live.last  # all up to here is in the history
            try:
                asked = replace(self._asked, after=self._place, limit=PAGE)
                page = await ask(self._parts.reads.events, asked)
            except StoreError:  # the reader tries it again; it comes again with the next turn
                self._is_gone = True
                return b""
        self._place = page.items[-1].id if page.next else max([until, *(one.id for one in page.items[-1:])])
        return b"".join(written(event_seen(self._who, one)) for one in page.items)
