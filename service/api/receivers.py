"""Webhooks: a forge reports that the repository has changed. The call only triggers a fetch.

An unknown receiver answers as a wrong signature does. What a call says decides at most that it is not obeyed, and what
the ledger shows. What is fetched, and from where, only the operator's settings say.
"""

import contextlib
import logging
from typing import Annotated

from fastapi import FastAPI, Path
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import Response

from service.api import hook_schemas, listings, schemas
from service.api.pages import page_out
from service.api.parts import Parts
from service.api.problem import RequestRefused
from service.api.rate import Buckets
from service.api.recorded import client_of
from service.api.values import Reader, ask
from service.errors import StoreError
from service.hooks.forges import FORGES, Forge, Told, may_be_signed
from service.hooks.signature import Call
from service.logs import fields
from service.model.access import DeliveryOutcome, Receiver, ReceiverSecret, is_name
from service.model.audit import Act
from service.model.secret import Secret

_log = logging.getLogger("passerelle.api")
_NOBODYS = Secret(b"not a receiver's secret")
"""What a call to nobody is checked against, so that it takes as long as one to somebody."""
REFUSALS_KEPT, REFUSALS_EVERY_S = 5, 10.0
"""Of the calls to a receiver that prove nothing so many are put into the ledger at once, then one each 10 s."""
WRONG = "no such receiver, or not its signature"


def add_routes(app: FastAPI, parts: Parts) -> None:
    """POST /hooks/{receiver}."""
    desk = _Desk(parts)

    @app.post(
        "/hooks/{receiver}",
        operation_id="deliver_hook",
        summary="The repository has changed: fetch it soon",
        description=(
            "From GitHub, GitLab, Gitea, Forgejo, Gogs, Bitbucket, or whoever signs as type `generic`: "
            "X-Signature: sha256=<hex>, the HMAC-SHA256 of the raw body."
        ),
        tags=["hooks"],
        status_code=202,
        responses={
            401: {"model": schemas.Problem, "description": WRONG},
            503: {"model": schemas.Problem, "description": "the receiver is suspended"},
        },
    )
    async def deliver_hook(
        request: Request, receiver: Annotated[str, Path(max_length=200, description="The receiver's name")]
    ) -> hook_schemas.Delivered:
        return await desk.take(receiver, request)


def add_ledger(app: FastAPI, parts: Parts) -> None:
    """GET /receivers and /deliveries: for who may read and sees every host."""

    @app.get(
        "/api/v1/receivers",
        operation_id="list_receivers",
        summary="Receivers of webhooks, without their secrets",
        tags=["hooks"],
    )
    async def list_receivers(who: Reader) -> schemas.ListOf[hook_schemas.Receiver]:
        found = await ask(parts.reads.receivers) if who.sees_all else ()
        return schemas.ListOf[hook_schemas.Receiver](
            items=[hook_schemas.Receiver.model_validate(one) for one in found], next_cursor=None
        )

    @app.get(
        "/api/v1/deliveries",
        operation_id="list_deliveries",
        summary="Calls to receivers, the newest first",
        description="Of each outcome the newest 10,000, of those that were refused the newest 1,000 and not all.",
        tags=["hooks"],
    )
    async def list_deliveries(
        who: Reader, request: Request, response: Response, asked: listings.Deliveries
    ) -> schemas.ListOf[hook_schemas.Delivery]:
        if not who.sees_all:
            return schemas.ListOf[hook_schemas.Delivery](items=[], next_cursor=None)
        page = await ask(parts.reads.deliveries, asked)
        return page_out(page, hook_schemas.Delivery.model_validate, request, response)


class _Desk:
    """Takes the calls of all receivers."""

    def __init__(self, parts: Parts) -> None:
        limits = parts.limits
        self._parts = parts
        self._failures = Buckets(parts.clock, burst=limits.hooks_burst, every_s=limits.hooks_every_s)
        self._kept = Buckets(parts.clock, burst=REFUSALS_KEPT, every_s=REFUSALS_EVERY_S)

    async def take(self, name: str, request: Request) -> hook_schemas.Delivered:
        """Answer one call. RequestRefused for one that is not good."""
        parts, now = self._parts, self._parts.clock.now()
        call = Call(tuple(request.scope["headers"]), await request.body())
        is_worth_it = is_name(name) and may_be_signed(call.headers)
        known = await ask(parts.reads.receiver_secret, name) if is_worth_it else None
        checked = known or ReceiverSecret(Receiver(name, "generic", now), _NOBODYS)
        forge, receiver = FORGES[checked.receiver.type], checked.receiver
        is_signed = forge.is_signed([one.reveal() for one in checked.secrets(now)], call, now)
        if known is None or not is_signed:
            raise self._refused(known, forge, call, request)
        if receiver.suspended:
            raise RequestRefused(
                503,
                f"the receiver is suspended: {receiver.suspended}",
                code="receiver-suspended",
                headers={"Retry-After": "60"},
            )
        told = forge.told(call)
        outcome, message = judged(receiver, forge, told, parts.branch)
        if not await self._is_new(receiver.name, told, outcome, message, request):
            return hook_schemas.Delivered(status="duplicate", message="this delivery was taken before")
        if outcome == "accepted":
            _log.info("receiver %s: the source is fetched now", receiver.name, extra=fields(receiver=receiver.name))
            await self._record(receiver.name, told, request)
            await parts.control.nudge(receiver.name, told.commit)
        return hook_schemas.Delivered(status=outcome, message=message)

    async def _record(self, receiver: str, told: Told, request: Request) -> None:
        """Who caused a fetch. One that cannot be recorded is obeyed, too: it changes nothing on its own."""
        said = {"delivery": told.delivery, "event": told.event, "branch": " ".join(told.branches or ())}
        act = Act(
            by=receiver, how="receiver", action="fetch_source", client=client_of(request),
            request_id=request.state.request_id, detail=said | {"commit": told.commit},
        )  # fmt: skip
        with contextlib.suppress(StoreError):
            await ask(self._parts.writes.record_act, act, at=self._parts.clock.now())

    def _refused(
        self, known: ReceiverSecret | None, forge: Forge, call: Call, request: Request
    ) -> RequestRefused:  # fmt: skip
        """Only what fails is counted: a flood of it never keeps the forge out, not even from the same address. The
        ledger is written after the answer, whose time would tell which receivers exist."""
        client = request.client.host if request.client else "unknown"
        wait_s = self._failures.take(client)
        if wait_s:
            return RequestRefused(429, "too many deliveries", headers={"Retry-After": str(int(wait_s) + 1)})
        _log.warning("a delivery from %s is refused: %s", client, WRONG)
        after = None
        if known is not None and not self._kept.take(known.name):
            is_readable = any(one.reveal() for one in known.secrets(self._parts.clock.now()))
            message = f"from {client}: {missing(forge, call) if is_readable else UNREADABLE}"
            after = BackgroundTask(self._is_new, known.name, Told(), "refused", message, request)
        return RequestRefused(401, WRONG, after=after)

    async def _is_new(
        self, receiver: str, told: Told, outcome: DeliveryOutcome, message: str, request: Request
    ) -> bool:  # fmt: skip
        """Whether this delivery was not seen before. One that cannot be recorded counts as new: it is only a hint."""
        delivery = told.delivery or f"unnamed-{request.state.request_id}"
        branch = " ".join(told.branches or ())
        try:
            return await ask(
                self._parts.writes.record_delivery, receiver, delivery, outcome=outcome, at=self._parts.clock.now(),
                event=told.event, branch=branch, commit=told.commit, message=message,
            )  # fmt: skip
        except StoreError:
            return True


def judged(receiver: Receiver, forge: Forge, told: Told, branch: str) -> tuple[DeliveryOutcome, str]:
    """Whether a call is obeyed, and why not. `branch` is the source's own. One that names no event or no branch that
    can be read is obeyed: the fetch finds out."""
    if told.event in forge.pings:
        return "ping", "the forge tries the address: nothing is fetched"
    events = receiver.events or forge.pushes
    if events and told.event and told.event not in events:
        return "other-event", f"the receiver obeys {', '.join(events)}, not {told.event}"
    of_source = (branch,) if branch and forge.pushes else ()  # what no forge sends may name anything as its `ref`
    branches = receiver.branches or of_source
    if branches and told.branches is not None and not set(told.branches) & set(branches):
        return "other-branch", f"the receiver obeys the branch {', '.join(branches)}, not {', '.join(told.branches)}"
    return "accepted", "the source is fetched soon"


UNREADABLE = "its secret was encrypted with another token.pepper: restore that file, or `passerelle receiver rotate`"


def missing(forge: Forge, call: Call) -> str:
    """Why a call did not prove itself, for the ledger."""
    if any(proof.is_given(call) for proof in forge.proofs):
        return "the signature, or its time, is wrong: compare the secret, and send the body as JSON"
    names = " or ".join(dict.fromkeys(name for proof in forge.proofs for name in proof.headers))
    return f"there is no signature in {names}: give the forge the secret, and compare the receiver's type"
