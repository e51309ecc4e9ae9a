"""What every part of the store writes with."""

from collections.abc import Callable, Collection
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, and_, false, insert, or_

from service.history.database import Database, tell_after
from service.history.tables import events
from service.history.ulid import Ulids
from service.model.events import Happened
from service.model.guests import PoolFill
from service.model.trees import shown

TEXT_LIMIT = 2_000
_TOLD = insert(events)
"""Made once: to make a statement takes longer than to carry it out."""


class Writing:
    """One public method = one transaction = one named transition."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._ulids = Ulids()
        self._days: dict[str, datetime] = {}
        self._fills: dict[str, tuple[PoolFill, ...]] = {}
        self._fullest: dict[tuple[str, str, str], tuple[datetime, int]] = {}
        self.is_command = False
        """Whether a command next to the service writes. Then the transitions of tokens and receivers record who did
        it. What the service does, the API records with its request."""
        self.may_begin: Callable[[str], None] = lambda _host: None
        """What raises HostRefused where nothing may be begun on a host, although it was planned."""

    def add_event(self, event: Happened, *, at: datetime) -> None:
        """Record something that no other transition records. Transitions add their own events."""
        with self._database.write() as connection:
            tell(connection, event, at=at)


def tell(connection: Connection, event: Happened, *, at: datetime) -> None:
    """Add an event to the running transaction."""
    values = {"at": at, "type": event.name, "host": event.host, "text": clean(event.text), "detail": event.detail}
    connection.execute(_TOLD, values)
    tell_after(connection, event)


def is_one_of(table: Table, keys: Collection[tuple[Any, ...]]) -> ColumnElement[bool]:
    """Whether a row has one of these keys. A key of several columns is written out: SQLite takes no index for a list of
    them, and would look through the table."""
    columns = list(table.primary_key.columns)
    if len(columns) == 1:
        return columns[0].in_([key for (key,) in keys])
    return or_(false(), *(and_(*(c == value for c, value in zip(columns, key, strict=True))) for key in keys))


def clean(text: str) -> str:
    """One line without control characters, bounded: what may be stored and shown."""
    return shown(text, TEXT_LIMIT)
