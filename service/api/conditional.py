"""ETag and If-None-Match (RFC 9110, 8.8.3 and 13.1.2): one way for all answers that are read again and again."""

import hashlib
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

UNCHANGED: dict[int | str, dict[str, Any]] = {304: {"description": "as the ETag in If-None-Match says"}}


def etag_of(body: bytes) -> str:
    """The ETag of an answer: another one whenever the answer is another one, whatever it was made of."""
    return f'"{hashlib.sha256(body).hexdigest()[:32]}"'


def is_known(request: Request, etag: str) -> bool:
    """Whether the client has it, by the weak comparison."""
    given = request.headers.get("if-none-match", "")
    known = [tag.strip().removeprefix("W/") for tag in given.split(",")]
    return etag in known or known == ["*"]


def unless_known(request: Request, body: bytes) -> Response:
    """JSON with its ETag, or 304 where the client has it."""
    etag = etag_of(body)
    if is_known(request, etag):
        return Response(status_code=304, headers={"ETag": etag})
    return Response(body, media_type="application/json", headers={"ETag": etag})
