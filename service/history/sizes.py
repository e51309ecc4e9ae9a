"""How large each table of the database is, how many rows it has, and since when. Nobody counts the rows: see
`tallying.py`. For the bytes a file is read as a whole."""

from datetime import UTC, datetime, timedelta

from sqlalchemy import Column, Table, func, select

from service.history.columns import UtcTime
from service.history.database import Database
from service.history.tables import hosts, tallies
from service.history.words import words_of
from service.model.retention import Sizes, TableSize

_SINCE = ("at", "requested_at", "created_at", "fetched_at", "first_seen", "from_at", "since", "received_at", "day")
"""The columns that say when a row came to be, of which a table has one at most."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
WEEK = 7


def sizes(database: Database, at: datetime) -> Sizes:
    """In one view, but for sizes, which no database keeps in a view. `at` ends the week that says how fast tables grow.
    StoreError."""
    today = (at - _EPOCH).days
    every, lately = (
        func.sum(tallies.c.rows),
        func.sum(tallies.c.rows).filter(tallies.c.day.between(today - WEEK, today - 1)),
    )
    of_table = select(tallies.c.what, every, func.min(tallies.c.day), lately).group_by(tallies.c.what)
    with database.read() as connection:
        words = words_of(connection)
        file_bytes, free_bytes = words.file_bytes(connection)
        table_bytes = words.table_bytes(connection)
        tallied = {row[0]: row[1:] for row in connection.execute(of_table)}
        found = []
        for table in hosts.metadata.sorted_tables:
            size, since = table_bytes.get(table.name), since_of(table)
            if table.name in tallied:
                rows, first, week = tallied[table.name]
                oldest = _EPOCH + timedelta(days=first) if first else None
                found.append(TableSize(table.name, int(rows), size, oldest, float(week or 0) / WEEK if first else None))
                continue
            least = select(func.min(since)) if since is not None else None  # a small table: nothing of it is past
            at_least: datetime | None = connection.execute(least).scalar() if least is not None else None
            rows = connection.execute(select(func.count()).select_from(table)).scalar_one()
            found.append(TableSize(table.name, int(rows), size, at_least))
    found.sort(key=lambda one: (-(one.bytes or 0), one.table))
    return Sizes(words.DIALECT, file_bytes, free_bytes, tuple(found))


def since_of(table: Table) -> Column[datetime] | None:
    """When a row came to be; None where a table does not keep that."""
    return next((table.c[name] for name in _SINCE if name in table.c and isinstance(table.c[name].type, UtcTime)), None)
