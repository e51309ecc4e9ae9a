"""Work that a caller may ask for twice without getting it twice: Idempotency-Key (IETF draft of that name).

The same key with the same request gets the first answer again, for a day. With another request it is 422, while the
first is under way 409. Keys belong to the token.
"""

import hashlib
from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Header
from pydantic import BaseModel, StringConstraints
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from service.api.parts import Parts
from service.api.problem import RequestRefused
from service.api.values import ask
from service.model.access import Principal

KeyText = Annotated[str, StringConstraints(pattern=r"^[!-~]{1,200}$")]
Key = Annotated[
    KeyText | None,
    Header(alias="Idempotency-Key", description="Send the same key when you retry: the request is carried out once"),
]


async def once(
    parts: Parts,
    who: Principal,
    key: str | None,
    request: Request,
    work: Callable[[], Awaitable[tuple[str, BaseModel]]],
) -> Response:
    """Do the work, or answer as it was answered before: 202 with the location of what to look at."""
    if key is None:
        return _accepted(*await work())
    asked = hashlib.sha256()
    for part in (request.method, request.scope["path"], request.url.query):
        asked.update(part.encode() + b"\0")
    asked.update(await request.body())
    claim = await ask(parts.writes.claim_key, who.id, key, asked.hexdigest(), at=parts.clock.now())
    if claim.outcome == "other":
        raise RequestRefused(422, "this Idempotency-Key was used for another request", code="idempotency-key-reused")
    if claim.outcome == "busy":
        raise RequestRefused(
            409, "the first request with this key is under way", code="in-flight", headers={"Retry-After": "1"}
        )
    if claim.outcome == "done":
        return JSONResponse(claim.body, status_code=claim.status, headers={"Location": claim.location})
    try:
        location, answer = await work()
    except BaseException:
        await ask(parts.writes.release_key, who.id, key)
        raise
    body = answer.model_dump(mode="json")
    await ask(parts.writes.settle_key, who.id, key, status=202, location=location, body=body)
    return _accepted(location, answer)


def _accepted(location: str, answer: BaseModel) -> Response:
    headers = {"Location": location, "Retry-After": "1"}
    return JSONResponse(answer.model_dump(mode="json"), status_code=202, headers=headers)
