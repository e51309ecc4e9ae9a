"""Reads about who informs people."""

from sqlalchemy import select

from service.history.database import Database
from service.history.tables import notices
from service.model.notices import NoticeStanding


class NoticeQueries:
    """The part of `Queries` that is about notices."""

    _database: Database

    def notices(self, channel: str) -> NoticeStanding | None:
        """How far a channel is; None where it never began."""
        with self._database.read() as connection:
            found = connection.execute(select(notices.c.standing).where(notices.c.channel == channel)).scalar()
        return NoticeStanding(**found) if isinstance(found, dict) else None
