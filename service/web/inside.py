"""Requests of a page to the API's own application, inside the process (ASGI, without a socket).

answer = await inside.ask("GET", "/api/v1/hosts", {"limit": "200"})
answer.status, answer.json()
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from starlette.types import ASGIApp, Message, Scope

from service.api.envelope import SESSION
from service.model.access import Principal


@dataclass(frozen=True, slots=True)
class Answer:
    """What the API answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body, read. ValueError for something else than JSON."""
        return json.loads(self.body)

    def lines(self) -> tuple[list[bytes], Any]:
        """The items of a list that has each on a line of its own, as JSON still; and the rest of the answer, read."""
        first, *items, last = self.body.split(b"\n")
        return [line.removesuffix(b",") for line in items if line], json.loads(first + last)


@dataclass(frozen=True, slots=True)
class Inside:
    """The API as one session sees it. `outer` is the scope of the request to the page: its host name and client.
    Without a `principal` nobody is signed in yet, and the API asks who calls."""

    api: ASGIApp
    principal: Principal | None
    outer: Scope

    async def ask(
        self, method: str, path: str, query: Mapping[str, Any] | None = None, body: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:  # fmt: skip
        """One request and its whole answer. `path` is not quoted yet."""
        sent = b"" if body is None else json.dumps(body).encode()
        given = dict(headers or {})
        if body is not None:
            given |= {"content-type": "application/json", "content-length": str(len(sent))}
        return await _answer(self.api, self.scope(method, path, query, given), sent)

    def scope(
        self, method: str, path: str, query: Mapping[str, Any] | None = None, headers: Mapping[str, str] | None = None
    ) -> Scope:
        """One request, as ASGI has it."""
        host = [(name, value) for name, value in self.outer["headers"] if name == b"host"]
        given = [(name.lower().encode(), value.encode("latin-1")) for name, value in (headers or {}).items()]
        pairs = [(name, str(value)) for name, value in (query or {}).items() if value not in (None, "")]
        return {
            "type": "http",
            "asgi": self.outer["asgi"],
            "http_version": "1.1",
            "method": method,
            "scheme": self.outer.get("scheme", "http"),
            "path": path,
            "raw_path": quote(path).encode(),
            "query_string": urlencode(pairs).encode(),
            "root_path": "",
            "headers": [*host, *given],
            "client": self.outer.get("client"),
            "server": self.outer.get("server"),
            "state": {},
            SESSION: self.principal,
        }


async def _answer(api: ASGIApp, scope: Scope, sent: bytes) -> Answer:
    status, headers, chunks, is_read = 500, {}, [], False

    async def receive() -> Message:
        nonlocal is_read
        if is_read:
            return {"type": "http.disconnect"}
        is_read = True
        return {"type": "http.request", "body": sent, "more_body": False}

    async def send(message: Message) -> None:
        nonlocal status, headers
        if message["type"] == "http.response.start":
            status = message["status"]
            headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in message["headers"]}
        else:
            chunks.append(bytes(message.get("body", b"")))

    await api(scope, receive, send)
    return Answer(status, headers, b"".join(chunks))
