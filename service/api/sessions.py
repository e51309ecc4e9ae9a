"""Sessions of people who signed in on the pages: see which there are, end one."""

from datetime import datetime
from typing import Annotated

from fastapi import FastAPI, Path, Query
from pydantic import Field
from starlette.responses import Response

from service.api import schemas
from service.api.parts import Parts
from service.api.values import Reader, TokenId, TokenKeeper, ask, there
from service.model.access import Principal
from service.model.web_sessions import WebSession

PREFIX = "/api/v1"


class Session(schemas.Answer):
    """A session that is in force, without its secret."""

    id: str
    token_id: str = Field(description="the token that somebody signed in with; the session ends with it")
    name: str = Field(description="the token's name")
    created_at: datetime
    used_at: datetime = Field(description="when somebody clicked last, to the minute")
    until: datetime = Field(description="when it ends if nobody clicks")
    ends_at: datetime = Field(description="when it ends in any case")


class Sessions(schemas.Answer):
    """Sessions, the one that ends last first."""

    items: list[Session]


def add_routes(app: FastAPI, parts: Parts) -> None:
    """The routes below /sessions."""

    async def seen_by(who: Principal, token_id: str | None = None) -> list[WebSession]:
        of_token = token_id if who.may("tokens") else who.id
        found = await ask(parts.reads.sessions, parts.sessions, now=parts.clock.now(), token_id=of_token)
        return [one for one in found if sees(who, one)]

    @app.get(
        f"{PREFIX}/sessions",
        operation_id="list_sessions",
        summary="Sessions on the pages: those of this token, or of all tokens that the caller may see",
        tags=["tokens"],
    )
    async def list_sessions(
        who: Reader, token_id: Annotated[TokenId | None, Query(description="Only those of this token")] = None
    ) -> Sessions:
        found = [one for one in await seen_by(who, token_id) if token_id in (None, one.principal.id)]
        return Sessions(items=[shown(one, one.over_at(parts.sessions)) for one in found])

    @app.delete(
        f"{PREFIX}/sessions/{{session_id}}",
        operation_id="end_session",
        summary="Sign somebody out on the pages",
        tags=["tokens"],
        status_code=204,
    )
    async def end_session(
        who: TokenKeeper, session_id: Annotated[TokenId, Path(description="As the list has it")]
    ) -> Response:
        is_seen = any(one.id == session_id for one in await seen_by(who))
        is_done = is_seen and await ask(parts.writes.close_session, session_id, at=parts.clock.now())
        there(is_done or None, f"session {session_id} does not exist or has ended")
        return Response(status_code=204)


def sees(who: Principal, session: WebSession) -> bool:
    """Whether a session is one's own, or of a token that one sees."""
    return session.principal.id == who.id or (who.may("tokens") and who.covers(session.principal.hosts))


def shown(session: WebSession, until: datetime) -> Session:
    """As the list has it."""
    who = session.principal
    return Session(
        id=session.id, token_id=who.id, name=who.name, created_at=session.created_at, used_at=session.used_at,
        until=until, ends_at=session.ends_at,
    )  # fmt: skip
