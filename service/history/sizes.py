"""How large each table of the database is, how many rows it has, and since when. Reads all of it."""

from datetime import datetime

from sqlalchemy import Column, Table, func, select

from service.history.columns import UtcTime
from service.history.database import Database
from service.history.tables import hosts
from service.history.words import words_of
from service.model.retention import Sizes, TableSize

_SINCE = ("at", "requested_at", "created_at", "fetched_at", "first_seen", "from_at", "since", "received_at")
"""The columns that say when a row came to be, of which a table has one at most."""


def sizes(database: Database) -> Sizes:
    """In one view, but for sizes, which no database keeps in a view. StoreError."""
    tables = hosts.metadata.sorted_tables
    with database.read() as connection:
        words = words_of(connection)
        file_bytes, free_bytes = words.file_bytes(connection)
        table_bytes = words.table_bytes(connection)
        found = []
        for table in tables:
            since = since_of(table)
            oldest = select(func.min(since)) if since is not None else None
            at: datetime | None = connection.execute(oldest).scalar() if oldest is not None else None
            rows = int(connection.execute(select(func.count()).select_from(table)).scalar_one())
            found.append(TableSize(table.name, rows, table_bytes.get(table.name), at))
    found.sort(key=lambda one: (-(one.bytes or 0), one.table))
    return Sizes(words.DIALECT, file_bytes, free_bytes, tuple(found))


def since_of(table: Table) -> Column[datetime] | None:
    """When a row came to be; None where a table does not keep that."""
    return next((table.c[name] for name in _SINCE if name in table.c and isinstance(table.c[name].type, UtcTime)), None)
