"""Writes about sessions of people in the browser: somebody signs in with a token, clicks, signs out.

    cookie, session = store.begin_session(b"psr_…", limits=SessionLimits(), visit=Visit("192.0.2.7"), at=now)
    store.recognise_session(cookie, …) or store.session_of(cookie, …)     the session, while its token is in force

A cookie holds `id.secret`. The database holds the HMAC of the secret, as of a token's. A session has no rights of its
own: whoever revokes its token ends it. Events: `session.began`, `session.ended`; the audit log has an entry for each.
"""

import hmac
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, insert, select, update

from service.errors import StoreError
from service.history.claims import Claims
from service.history.database import Database
from service.history.pepper import Pepper, new_session, parse_session
from service.history.store.access import LAST_USED_EVERY, AccessWrites
from service.history.store.audit import append
from service.history.store.known_tokens import KnownTokens
from service.history.store.writing import tell
from service.history.tables import tokens, web_sessions
from service.model.access import Principal
from service.model.audit import Act
from service.model.events import SessionBegan, SessionEnded
from service.model.web_sessions import SessionLimits, Visit, WebSession

MOST_OF_TOKEN = 50
"""So many sessions of one token at once. Of more, the one that was used longest ago ends."""


@dataclass(frozen=True, slots=True)
class KnownSession:
    """What the database says of a session that is in force; `digest` is that of its secret."""

    session: WebSession
    digest: str

    @property
    def key(self) -> str:
        """Whose it is."""
        return self.session.id


class SessionWrites(AccessWrites):
    """The transitions of sessions: one transaction each."""

    def __init__(self, database: Database, pepper: Pepper, claims: Claims | None = None) -> None:
        super().__init__(database, pepper, claims)
        self._known_sessions: KnownTokens[KnownSession] = KnownTokens()

    def begin_session(
        self, presented: bytes, *, limits: SessionLimits, visit: Visit, at: datetime
    ) -> tuple[str, WebSession] | None:
        """Sign in with a token. Returns what the cookie holds, which nobody can read again, and the session; None for
        every reason why it is nobody's token."""
        who = self.authenticate(presented, at=at)
        if who is None:
            return None
        session_id, secret = new_session()
        with self._database.write() as connection:
            in_force = (tokens.c.id == who.id, tokens.c.revoked_at.is_(None), tokens.c.expires_at > at)
            expires_at = connection.execute(select(tokens.c.expires_at).where(*in_force)).scalar()
            if expires_at is None:  # it was revoked a moment ago
                return None
            self._make_room(connection, who.id, visit, at)
            ends_at = min(at + limits.life, expires_at)
            session = WebSession(session_id, who, created_at=at, used_at=at, ends_at=ends_at)
            connection.execute(
                insert(web_sessions).values(
                    id=session_id, digest=self._pepper.session_digest(secret), token_id=who.id, created_at=at,
                    used_at=at, ends_at=ends_at,
                )
            )  # fmt: skip
            tell(connection, SessionBegan(session=session_id, token=who.id, called=who.name), at=at)
            said = {"session_id": session_id, "ends_at": ends_at.isoformat(timespec="seconds")}
            append(connection, _act("sign_in", who.id, who.name, visit, **said), at=at)
        return f"{session_id}.{secret.decode()}", session

    def session_of(
        self, presented: bytes, *, limits: SessionLimits, at: datetime, is_use: bool = True
    ) -> WebSession | None:
        """The session of what a cookie holds; None for every reason why there is none, at the same cost. With `is_use`
        somebody clicked: `used_at` moves, at most once a minute, and the token's `last_used_at` with it."""
        session_id, secret = parse_session(presented) or ("", b"")
        state = self._database.state()
        with self._database.read() as connection:
            row = connection.execute(_with_token().where(web_sessions.c.id == session_id)).one_or_none()
        known = row.digest if row is not None else ""
        is_right = hmac.compare_digest(self._pepper.session_digest(secret).encode(), known.encode())
        if not is_right or row is None or row.revoked_at is not None:
            return None
        session = _session(row)
        if session.over_at(limits) <= at:
            return None
        self._known_sessions.keep(KnownSession(session, known), state)
        if not is_use or at - session.used_at < LAST_USED_EVERY:
            return session
        self._clicked(session, at)
        return replace(session, used_at=at)

    def recognise_session(
        self, presented: bytes, *, limits: SessionLimits, at: datetime, is_use: bool = True
    ) -> WebSession | None:
        """The same without a read: of one that `session_of` read since anything was last written to the database, by
        any process. Never waits. None says nothing: `session_of` has to be called."""
        session_id, secret = parse_session(presented) or ("", b"")
        one = self._known_sessions.of(session_id, self._database.state())
        known = (one.digest if one else "").encode()
        is_right = hmac.compare_digest(self._pepper.session_digest(secret).encode(), known)
        if one is None or not is_right or one.session.over_at(limits) <= at:
            return None
        is_noted = not is_use or at - one.session.used_at < LAST_USED_EVERY
        return one.session if is_noted else None

    def end_session(self, session_id: str, *, visit: Visit, at: datetime) -> bool:
        """Sign out. False where the session had ended already."""
        with self._database.write() as connection:
            ended = self._end(connection, web_sessions.c.id == session_id, at)
            for row in ended:
                said = _act("sign_out", row.token_id, row.name, visit, session_id=row.id)
                append(connection, said, at=at)
        return bool(ended)

    def close_session(self, session_id: str, *, at: datetime) -> bool:
        """End somebody else's session: who did it has an entry of its own. False where it had ended already."""
        with self._database.write() as connection:
            return bool(self._end(connection, web_sessions.c.id == session_id, at))

    def end_sessions_of(self, token_id: str, *, visit: Visit, at: datetime) -> int:
        """Sign out of every session of a token. How many there were."""
        with self._database.write() as connection:
            ended = self._end(connection, web_sessions.c.token_id == token_id, at)
            if ended:
                said = _act("sign_out_everywhere", token_id, ended[0].name, visit, sessions=len(ended))
                append(connection, said, at=at)
        return len(ended)

    def _clicked(self, session: WebSession, at: datetime) -> None:
        try:
            with self._database.write() as connection:
                mine = (web_sessions.c.id == session.id, web_sessions.c.ends_at > at)
                connection.execute(update(web_sessions).where(*mine).values(used_at=at))
                token = tokens.c.id == session.principal.id
                connection.execute(update(tokens).where(token).values(last_used_at=at))
        except StoreError:
            return  # reading continues while the disk is full; the next click writes it

    def _make_room(self, connection: Connection, token_id: str, visit: Visit, at: datetime) -> None:
        mine = (web_sessions.c.token_id == token_id, web_sessions.c.ends_at > at)
        found = connection.execute(select(web_sessions.c.used_at, web_sessions.c.id).where(*mine)).all()
        for _, session_id in sorted(map(tuple, found), reverse=True)[MOST_OF_TOKEN - 1 :]:
            for row in self._end(connection, web_sessions.c.id == session_id, at):
                said = _act("sign_out", token_id, row.name, visit, session_id=session_id, why="too many sessions")
                append(connection, said, at=at)

    def _end(self, connection: Connection, which: Any, at: datetime) -> list[Row[Any]]:
        """End those in force. Returns what they were."""
        found = connection.execute(_with_token().where(which, web_sessions.c.ends_at > at)).all()
        for row in found:
            connection.execute(update(web_sessions).where(web_sessions.c.id == row.id).values(ends_at=at))
            tell(connection, SessionEnded(session=row.id, token=row.token_id, called=row.name), at=at)
        return list(found)


def _with_token() -> Select[Any]:
    of_token = (tokens.c.name, tokens.c.scopes, tokens.c.hosts, tokens.c.expires_at, tokens.c.revoked_at)
    return select(*web_sessions.c, *of_token).join(tokens, tokens.c.id == web_sessions.c.token_id)


def _session(row: Row[Any]) -> WebSession:
    who = Principal(row.token_id, row.name, frozenset(row.scopes), tuple(row.hosts))
    ends_at = min(row.ends_at, row.expires_at)
    return WebSession(row.id, who, created_at=row.created_at, used_at=row.used_at, ends_at=ends_at)


def _act(action: str, token_id: str, name: str, visit: Visit, **detail: str | int) -> Act:
    return Act(
        by=name, token=token_id, how="web", action=action, client=visit.client, request_id=visit.request_id,
        detail=detail,
    )  # fmt: skip
