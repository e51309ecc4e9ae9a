"""What every part of the store writes with."""

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import Connection, insert

from service.history.database import Database
from service.history.tables import events
from service.history.ulid import Ulids
from service.model.states import Json
from service.model.trees import shown

TEXT_LIMIT = 2_000


class Writing:
    """One public method = one transaction = one named transition."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._ulids = Ulids()

    def add_event(
        self,
        type_: str,
        text: str,
        *,
        at: datetime,
        host: str = "",
        detail: Mapping[str, Json] | None = None,
    ) -> None:
        """Record something that no other transition records. Transitions add their own events."""
        with self._database.write() as connection:
            tell(connection, type_, text, at=at, host=host, detail=detail)


def tell(
    connection: Connection,
    type_: str,
    text: str,
    *,
    at: datetime,
    host: str = "",
    detail: Mapping[str, Json] | None = None,
) -> None:
    """Add an event to the running transaction."""
    values = {"at": at, "type": type_, "host": host, "text": clean(text), "detail": dict(detail or {})}
    connection.execute(insert(events).values(values))


def clean(text: str) -> str:
    """One line without control characters, bounded: what may be stored and shown."""
    return shown(text, TEXT_LIMIT)
