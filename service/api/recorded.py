"""Who did what: each request that may change something is put into the audit log before it is carried out.

It is part of how a route is made, so that no route can be forgotten. Whoever cannot be recorded is refused: 503. A
request that then failed has a second entry that says so, with the same request id.
"""

import functools
import inspect
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.requests import Request

from service.api.conditional import ConditionalRoute
from service.api.parts import Parts
from service.api.problem import RequestRefused
from service.api.values import ask
from service.errors import PasserelleError, StoreError
from service.model.access import Principal
from service.model.audit import Act

READS = frozenset({"GET", "HEAD"})
DELIVERIES = "/hooks/"
"""Nobody with a token calls these. Each delivery has a line in the ledger, and one that caused a fetch has an entry."""
REQUEST = "request"
_log = logging.getLogger("passerelle.api")


def recording(parts: Parts) -> type[APIRoute]:
    """The class of the routes of an application with these parts."""

    class RecordedRoute(ConditionalRoute):
        """A route whose requests are recorded where they may change something."""

        def __init__(self, path: str, endpoint: Callable[..., Any], **given: Any) -> None:
            if set(given.get("methods") or ("GET",)) - READS and not path.startswith(DELIVERIES):
                endpoint = recorded(parts, str(given["operation_id"]), endpoint)
            super().__init__(path, endpoint, **given)

    return RecordedRoute


def recorded(parts: Parts, action: str, endpoint: Callable[..., Any]) -> Callable[..., Any]:
    """The same endpoint, which records who called it, and with which of its own checked parameters."""
    given = inspect.signature(endpoint)
    names = given.parameters
    asked = [] if REQUEST in names else [inspect.Parameter(REQUEST, inspect.Parameter.KEYWORD_ONLY, annotation=Request)]

    @functools.wraps(endpoint)
    async def carried_out(**values: Any) -> Any:
        request: Request = values[REQUEST] if REQUEST in names else values.pop(REQUEST)
        act = act_of(action, request, values)
        await ask(parts.writes.record_act, act, at=parts.clock.now())
        try:
            return await endpoint(**values)
        except Exception as error:
            await _record_refusal(parts, act, error)
            raise

    carried_out.__signature__ = given.replace(  # type: ignore[attr-defined]  # as `listings.py` does
        parameters=sorted([*names.values(), *asked], key=lambda one: one.kind)
    )
    return carried_out


def act_of(action: str, request: Request, values: Mapping[str, Any]) -> Act:
    """What is recorded of a request: of its body only what the operation declares."""
    who = next(value for value in values.values() if isinstance(value, Principal))
    detail: dict[str, Any] = {name: value for name, value in values.items() if name in request.path_params}
    for value in values.values():
        if isinstance(value, BaseModel):
            detail |= value.model_dump(mode="json", exclude_none=True)
    return Act(
        by=who.name, token=who.id, how=request.state.how, action=action, host=str(detail.pop("host", "")),
        client=client_of(request), request_id=request.state.request_id, outcome="begun", detail=detail,
    )  # fmt: skip


def client_of(request: Request) -> str:
    """The address that a request came from."""
    return request.client.host if request.client else ""


async def _record_refusal(parts: Parts, act: Act, error: Exception) -> None:
    why = "a fault of passerelle"
    if isinstance(error, RequestRefused | PasserelleError):
        why = error.detail if isinstance(error, RequestRefused) else error.what
    try:
        refused = replace(act, outcome="refused", detail={"why": why})
        await ask(parts.writes.record_act, refused, at=parts.clock.now())
    except StoreError:
        _log.warning("request %s failed, and the audit log cannot say so now", act.request_id)
