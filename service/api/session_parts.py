"""What the pages need of the store for people who sign in: `service.history.session_queries` and
`service.history.store.sessions`, whose docstrings hold."""

from datetime import datetime
from typing import Protocol

from service.model.web_sessions import SessionLimits, Visit, WebSession


class SessionReads(Protocol):
    """Blocks."""

    def sessions(
        self, limits: SessionLimits, *, now: datetime, token_id: str | None = None
    ) -> tuple[WebSession, ...]: ...


class SessionWrites(Protocol):
    """Blocks, but for `recognise_session`."""

    def begin_session(
        self, presented: bytes, *, limits: SessionLimits, visit: Visit, at: datetime
    ) -> tuple[str, WebSession] | None: ...

    def session_of(
        self, presented: bytes, *, limits: SessionLimits, at: datetime, is_use: bool = True
    ) -> WebSession | None: ...

    def recognise_session(
        self, presented: bytes, *, limits: SessionLimits, at: datetime, is_use: bool = True
    ) -> WebSession | None: ...

    def end_session(self, session_id: str, *, visit: Visit, at: datetime) -> bool: ...

    def close_session(self, session_id: str, *, at: datetime) -> bool: ...

    def end_sessions_of(self, token_id: str, *, visit: Visit, at: datetime) -> int: ...
