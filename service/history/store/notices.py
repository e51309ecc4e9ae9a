"""Writes about who informs people."""

from dataclasses import asdict

from service.history.store.writing import Writing
from service.history.tables import notices
from service.history.words import insert_or_change
from service.model.notices import NoticeStanding


class NoticeWrites(Writing):
    """How far a channel is."""

    def keep_notices(self, channel: str, standing: NoticeStanding) -> None:
        """Record it, in place of what was recorded before."""
        values = {"standing": asdict(standing)}
        with self._database.write() as connection:
            connection.execute(insert_or_change(notices, ["channel"], {"channel": channel, **values}, values))
