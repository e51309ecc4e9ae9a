"""Reads about sessions of people in the browser."""

from datetime import datetime

from sqlalchemy import select

from service.history.database import Database
from service.history.tables import tokens, web_sessions
from service.model.access import Principal
from service.model.web_sessions import SessionLimits, WebSession

MOST = 1_000
"""So many at most are listed, those that end last."""


class SessionQueries:
    """The part of `Queries` that is about sessions."""

    _database: Database

    def sessions(self, limits: SessionLimits, *, now: datetime, token_id: str | None = None) -> tuple[WebSession, ...]:
        """Those in force, or those of one token, the one that ends last first. None of a token that was revoked or has
        expired."""
        of_token = (tokens.c.name, tokens.c.scopes, tokens.c.hosts, tokens.c.expires_at)
        query = (
            select(*web_sessions.c, *of_token)
            .join(tokens, tokens.c.id == web_sessions.c.token_id)
            .where(web_sessions.c.ends_at > now, web_sessions.c.used_at > now - limits.idle)
            .where(tokens.c.revoked_at.is_(None), tokens.c.expires_at > now)
            .order_by(web_sessions.c.ends_at.desc(), web_sessions.c.id.desc())
            .limit(MOST)
        )
        if token_id is not None:
            query = query.where(web_sessions.c.token_id == token_id)
        with self._database.read() as connection:
            return tuple(
                WebSession(
                    row.id,
                    Principal(row.token_id, row.name, frozenset(row.scopes), tuple(row.hosts)),
                    created_at=row.created_at,
                    used_at=row.used_at,
                    ends_at=min(row.ends_at, row.expires_at),
                )
                for row in connection.execute(query)
            )
