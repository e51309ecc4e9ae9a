"""ETag and If-None-Match (RFC 9110, 8.8.3 and 13.1.2), in one place for every read below `/api/`.

An ETag is the digest of the answer itself. So it is another one exactly when the answer is, also where that follows
from the clock. It is part of how a route is made, so that no route is forgotten.
"""

import asyncio
import hashlib
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

PREFIX = "/api/"
MANY_BYTES = 256 << 10
"""The digest of so much is not made on the event loop."""
ENDLESS = "text/event-stream"
UNCHANGED = {"description": "the answer is the one that If-None-Match names"}

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class ConditionalRoute(APIRoute):
    """A route whose answer has an ETag where it only reads."""

    def get_route_handler(self) -> Handler:
        """What answers a request."""
        handle = super().get_route_handler()
        if not self.path.startswith(PREFIX) or "GET" not in (self.methods or ()):
            return handle

        async def conditional(request: Request) -> Response:
            return await unless_known(request, await handle(request))

        return conditional


def etag_of(body: bytes) -> str:
    """The ETag of an answer."""
    return f'"{hashlib.sha256(body).hexdigest()[:32]}"'


def is_known(request: Request, etag: str) -> bool:
    """Whether the client has it, by the weak comparison."""
    given = request.headers.get("if-none-match", "")
    known = [tag.strip().removeprefix("W/") for tag in given.split(",")]
    return etag in known or known == ["*"]


async def unless_known(request: Request, answer: Response) -> Response:
    """The answer with its ETag, or 304 where the client has it. What has no end or is refused stays as it is."""
    if answer.status_code != 200 or isinstance(answer, StreamingResponse) or answer.media_type == ENDLESS:
        return answer
    body = bytes(answer.body)
    etag = etag_of(body) if len(body) < MANY_BYTES else await asyncio.to_thread(etag_of, body)
    if not is_known(request, etag):
        answer.headers["ETag"] = etag
        return answer
    kept = {name: value for name, value in answer.headers.items() if name not in ("content-length", "content-type")}
    return Response(status_code=304, headers={**kept, "ETag": etag})
