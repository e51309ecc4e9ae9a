"""Webhooks: a forge reports that the repository has changed. The payload is ignored. The call only triggers a fetch.

An unknown receiver answers as a wrong signature does.
"""

import logging
from typing import Annotated

from fastapi import FastAPI, Path
from starlette.requests import Request

from service.api import schemas
from service.api.parts import Parts
from service.api.problem import RequestRefused
from service.api.rate import Buckets
from service.api.values import ask
from service.errors import StoreError
from service.hooks.signature import HEADERS, may_be_signed, verify_generic, verify_github
from service.logs import fields
from service.model.access import ReceiverSecret, is_name
from service.model.secret import Secret

_log = logging.getLogger("passerelle.api")
_NOBODY = ReceiverSecret("", "generic", Secret(b"not a receiver's secret"))


def add_routes(app: FastAPI, parts: Parts) -> None:
    """POST /hooks/{receiver}."""
    limits = parts.limits
    failures = Buckets(parts.clock, burst=limits.hooks_burst, every_s=limits.hooks_every_s)

    @app.post(
        "/hooks/{receiver}",
        operation_id="deliver_hook",
        summary="The repository has changed: fetch it soon",
        description="`github`: X-Hub-Signature-256. `generic`: X-Signature: sha256=<hex>. HMAC-SHA256 of the raw body.",
        tags=["hooks"],
        status_code=202,
        responses={401: {"model": schemas.Problem, "description": "no such receiver, or not its signature"}},
    )
    async def deliver_hook(
        request: Request, receiver: Annotated[str, Path(max_length=200, description="The receiver's name")]
    ) -> schemas.Nudged:
        is_worth_it = is_name(receiver) and may_be_signed(request.scope["headers"])
        known = await ask(parts.reads.receiver_secret, receiver) if is_worth_it else None
        if not _is_signed(known or _NOBODY, request, await request.body()) or known is None:
            # Only what fails is counted: a flood of it never keeps the forge out, not even from the same address.
            client = request.client.host if request.client else "unknown"
            wait_s = failures.take(client)
            if wait_s:
                raise RequestRefused(429, "too many deliveries", headers={"Retry-After": str(int(wait_s) + 1)})
            _log.warning("a delivery from %s is refused: no such receiver, or not its signature", client)
            raise RequestRefused(401, "no such receiver, or not its signature")
        if await _is_new(parts, known.name, request):
            _log.info("receiver %s: the source is fetched now", known.name, extra=fields(receiver=known.name))
            await parts.control.nudge(known.name)
        return schemas.Nudged()


def _is_signed(receiver: ReceiverSecret, request: Request, body: bytes) -> bool:
    name, verify = HEADERS[receiver.type], verify_github if receiver.type == "github" else verify_generic
    given = [value for key, value in request.scope["headers"] if key == name]
    return verify(receiver.secret.reveal(), body, given[0] if len(given) == 1 else None)


async def _is_new(parts: Parts, receiver: str, request: Request) -> bool:
    """Whether this delivery was not seen before. One that cannot be recorded counts as new: it only asks to look."""
    told = request.headers.get("x-github-delivery") or request.headers.get("x-delivery-id")
    delivery_id = told or f"unnamed-{request.state.request_id}"
    try:
        return await ask(parts.writes.record_delivery, receiver, delivery_id, outcome="accepted", at=parts.clock.now())
    except StoreError:
        return True
