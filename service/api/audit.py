"""Who did what."""

from dataclasses import asdict
from datetime import datetime
from typing import Any, get_args

from fastapi import FastAPI
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from service.api import listings, schemas
from service.api.pages import page_out
from service.api.parts import Parts
from service.api.values import Reader, ask
from service.model.audit import Entry as Known
from service.model.audit import How, Outcome


class Entry(schemas.Answer):
    """An action. begun: the API was about to carry it out. refused: it then did not. done: it was carried out."""

    id: int = Field(description="Counts from 1, without gaps")
    at: datetime
    by: str = Field(description="A token's name, `local:` and a user of the service's machine, or a receiver's name")
    token: str = Field(description="The id of the token")
    how: How
    client: str = Field(description="The address that the request came from")
    request_id: str = Field(description="The X-Request-ID of the answer")
    action: str = Field(description="The operation id, or what a command did")
    host: str = Field(description="Empty where it concerns no one host")
    outcome: Outcome
    detail: dict[str, Any]
    broken: str = Field(description="Why the stored entry cannot be shown whole; empty if it can")
    previous: str = Field(description="The hash of the entry before")
    hash: str


def add_routes(app: FastAPI, parts: Parts) -> None:
    """GET /audit."""

    @app.get(
        "/api/v1/audit",
        operation_id="list_audit",
        summary="The audit log: who requested which action, the newest first",
        description="A token for some hosts sees what was done to these. `passerelle history verify` checks the chain "
        "of hashes.",
        tags=["audit"],
    )
    async def list_audit(
        who: Reader, request: Request, response: Response, asked: listings.Audit
    ) -> schemas.ListOf[Entry]:
        page = await ask(parts.reads.acts, asked.seen_by(who.hosts))
        return page_out(page, as_answer, request, response)


def as_answer(entry: Known) -> Entry:
    """An entry as callers see it, also one that somebody wrote to without passerelle: it names what cannot be read."""
    said: dict[str, Any] = asdict(entry)
    broken = []
    if not isinstance(said["detail"], dict):
        broken.append("its detail is not a JSON object")
        said["detail"] = {}
    for name, words, known in (("how", get_args(How), "service"), ("outcome", get_args(Outcome), "done")):
        if said[name] not in words:
            broken.append(f"{name} is not one of {', '.join(words)}")
            said[name] = known
    what = f"{'; '.join(broken)}. Fix: `passerelle history verify` names the first entry that was changed"
    return Entry(**said, broken=what if broken else "")
