"""A client of the stream, over the application itself: it reads as quickly as the test wants it to.

async with following(world, "?host=pve1", last_id=7) as stream:
    await stream.messages(3)        the next three, each with its fields
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from starlette.types import Message

from tests.api.world import World

Said = dict[str, str]


class Stream:
    """One request, under way."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.chunks: asyncio.Queue[bytes] = asyncio.Queue(maxsize=1)
        self.left = asyncio.Event()
        self.ended = asyncio.Event()
        self._text = ""

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
            return
        if message.get("body"):
            await self.chunks.put(message["body"])
        if not message.get("more_body"):
            self.ended.set()

    async def receive(self) -> Message:
        if not hasattr(self, "_asked"):
            self._asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def message(self) -> Said:
        """The next message, a comment under the name `comment`."""
        async with asyncio.timeout(20):
            while "\n\n" not in self._text:
                self._text += (await self.chunks.get()).decode()
        text, _, self._text = self._text.partition("\n\n")
        found = [line.partition(": ") if line[0] != ":" else ("comment", "", line[2:]) for line in text.splitlines()]
        return {name: value for name, _, value in found}

    async def messages(self, number: int) -> list[Said]:
        return [await self.message() for _ in range(number)]

    async def events(self, number: int) -> list[dict[str, Any]]:
        """The next messages that are events, but for beats."""
        found: list[dict[str, Any]] = []
        while len(found) < number:
            said = await self.message()
            if "data" in said:
                found.append(json.loads(said["data"]))
        return found

    def is_silent(self) -> bool:
        """Whether nothing is there that was not read."""
        return not self._text and self.chunks.empty()


@asynccontextmanager
async def following(
    world: World, query: str = "", *, last_id: int | None = None, token: str | None = None
) -> AsyncIterator[Stream]:
    """A stream that has begun; it is left in the end."""
    stream = Stream()
    headers = [(b"host", b"passerelle.test"), (b"authorization", f"Bearer {token or world.token()}".encode())]
    headers += [] if last_id is None else [(b"last-event-id", str(last_id).encode())]
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "scheme": "http",
        "path": "/api/v1/stream", "raw_path": b"/api/v1/stream", "query_string": query.removeprefix("?").encode(),
        "root_path": "", "headers": headers, "client": ("192.0.2.1", 40000), "server": ("passerelle.test", 80),
    }  # fmt: skip
    task = asyncio.ensure_future(world.app(scope, stream.receive, stream.send))
    try:
        yield stream
    finally:
        stream.left.set()
        while not stream.chunks.empty():
            stream.chunks.get_nowait()
        async with asyncio.timeout(20):
            await task
