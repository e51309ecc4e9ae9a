"""Reads about who informs people."""

from datetime import datetime

from sqlalchemy import select

from service.history.database import Database
from service.history.tables import notices
from service.model.listings import EventListing
from service.model.notices import AT_ONCE, NoticeStanding, waiting
from service.model.runs import Event, Page


class NoticeQueries:
    """The part of `Queries` that is about notices."""

    _database: Database

    def events(self, asked: EventListing) -> Page[Event]:
        """As `Queries` has it."""
        raise NotImplementedError

    def notices(self, channel: str) -> NoticeStanding | None:
        """How far a channel is; None where it never began."""
        with self._database.read() as connection:
            found = connection.execute(select(notices.c.standing).where(notices.c.channel == channel)).scalar()
        return NoticeStanding(**found) if isinstance(found, dict) else None

    def notice_state(self, channel: str, now: datetime, *, hold_s: float) -> tuple[NoticeStanding, int] | None:
        """How far a channel is, and how many notices are due (of the next `AT_ONCE` events); None where it never
        began."""
        standing = self.notices(channel)
        if standing is None:
            return None
        page = self.events(EventListing(after=standing.after, limit=AT_ONCE))
        return standing, waiting(page.items, standing, now, hold_s=hold_s)
