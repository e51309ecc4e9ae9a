"""Suspensions: hosts on which no apply begins for now."""

from datetime import datetime
from typing import Annotated, Literal

from fastapi import FastAPI, Path
from pydantic import Field, StringConstraints, model_validator
from starlette.requests import Request
from starlette.responses import Response

from service.api import listings
from service.api.known import status_of
from service.api.pages import page_out
from service.api.parts import Parts
from service.api.problem import RequestRefused
from service.api.schemas import Answer, Asked, ListOf
from service.api.values import Applier, HostName, Reader, Reason, SafeStr, Time, ask, there
from service.model.access import Principal
from service.model.labels import KEY, VALUE
from service.model.suspensions import LONGEST_DEFAULT, Scope
from service.model.suspensions import Suspension as Made

PREFIX = "/api/v1"
Label = Annotated[str, StringConstraints(pattern=f"^{KEY}={VALUE}$")]
Number = Annotated[int, Path(ge=1, le=2**31 - 1, description="The number of a suspension")]
"""As large as the column of it in PostgreSQL."""


class Suspension(Answer):
    """No apply begins on these hosts."""

    id: int
    scope: Scope
    target: SafeStr = Field(description="the host, or the label as KEY=VALUE; empty for all hosts")
    reason: str
    by: str
    since: datetime
    until: datetime | None = Field(description="when it ends automatically; null: when somebody resumes")
    ended_at: datetime | None
    ended_by: str = Field(description="who ended it; `passerelle` at `until`, `git` when Git wanted something else")
    held_digest: str = Field(description="it holds only while Git wants this of the host; empty: whatever it wants")


class Suspensions(ListOf[Suspension]):
    """A page of them, and whether the stop file is there."""

    stop: str = Field(description="why no apply begins on any host: the stop file is there. Empty where it is not")


class SuspendAsked(Asked):
    """Which hosts (one of `host`, `label`, `every_host`), why, and until when: by default for 24 hours."""

    host: HostName | None = None
    label: Label | None = Field(default=None, description="hosts with this label, as KEY=VALUE")
    every_host: bool = False
    reason: Reason
    until: Time | Literal["never"] | None = Field(
        default=None, description="when it ends automatically; `never`: when somebody resumes; left out: in 24 hours"
    )

    @model_validator(mode="after")
    def _is_one(self) -> "SuspendAsked":
        if (self.host is not None) + (self.label is not None) + self.every_host != 1:
            raise ValueError("name one of host, label and every_host")
        return self

    @property
    def scope(self) -> tuple[Scope, str]:
        """What it is about."""
        if self.host is not None:
            return "host", self.host
        return ("label", self.label) if self.label is not None else ("all", "")


def add_routes(app: FastAPI, parts: Parts) -> None:
    """The routes below /suspensions."""

    @app.get(
        f"{PREFIX}/suspensions",
        operation_id="list_suspensions",
        summary="Suspensions, newest first, and whether the stop file is there",
        tags=["suspensions"],
    )
    async def list_suspensions(
        who: Reader, request: Request, response: Response, asked: listings.Suspensions
    ) -> Suspensions:
        page = await ask(parts.reads.suspensions, asked.seen_by(who.hosts), now=parts.clock.now())
        found = page_out(page, Suspension.model_validate, request, response)
        return Suspensions(items=found.items, next_cursor=found.next_cursor, stop=await ask(parts.stop))

    @app.post(
        f"{PREFIX}/suspensions",
        operation_id="create_suspension",
        summary="Let no apply begin on hosts for now",
        description="The hosts are observed nevertheless. An apply that is under way ends as it would. A suspension "
        "of the same hosts ends, and this one takes its place. A label and `every_host` need a token for every host.",
        tags=["suspensions"],
        status_code=201,
    )
    async def create_suspension(who: Applier, asked: SuspendAsked) -> Suspension:
        scope, target = asked.scope
        await _may(parts, who, scope, target)
        until = asked.until if isinstance(asked.until, datetime) else None
        if asked.until is None:
            until = parts.clock.now() + LONGEST_DEFAULT
        return Suspension.model_validate(await parts.control.suspend(scope, target, asked.reason, until, who.name))

    @app.post(
        f"{PREFIX}/suspensions/{{number}}/end",
        operation_id="end_suspension",
        summary="Let applies begin again",
        description="404 where there is no such suspension, or it has ended.",
        tags=["suspensions"],
    )
    async def end_suspension(who: Applier, number: Number) -> Suspension:
        found: Made = there(await ask(parts.reads.suspension, number), f"no suspension {number}")
        await _may(parts, who, found.scope, found.target)
        ended = await parts.control.resume(number, who.name)
        return Suspension.model_validate(there(ended, f"the suspension {number} has ended already"))


async def _may(parts: Parts, who: Principal, scope: Scope, target: str) -> None:
    """Whether this principal may decide about these hosts."""
    if scope == "host":
        await status_of(parts, who, target)
    elif not who.sees_all:
        raise RequestRefused(403, "the token is for some hosts; this concerns others, too")
