"""Copying every record of the file to a database on a PostgreSQL server: all of it and checked, or nothing.

Nobody else may use either of them meanwhile. The rows go over in one transaction of the new database. Then each table
is read there again and compared, row by row in the order of its key, before it is committed. The file stays as it is.
"""

import hashlib
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Column, Connection, Engine, MetaData, Table, insert, select
from sqlalchemy.types import TypeDecorator

from service.errors import StoreError
from service.history.database import Database
from service.history.opening import SCHEMA_WAIT_S, Lock, open_file, open_on_server
from service.history.postgres.server import Server, continue_after
from service.history.postgres.statements import count_rows
from service.history.sqlite.file import last_numbers
from service.history.tables import events
from service.model.secret import Secret

BATCH = 1_000


@dataclass(frozen=True, slots=True)
class Copied:
    """A table, and how many rows of it were copied and compared."""

    table: str
    rows: int


def copy_records(path: Path, url: Secret) -> tuple[Copied, ...]:
    """Copy what the file has to the server. StoreError where a service uses one of them, where the new database has
    records already, or where a table there is not what was sent. InputError for an address that is not valid."""
    server = Server(url)
    if not path.is_file():
        raise StoreError(f"there is no database at {path}", hint="name the service's folder with --state-dir")
    held: list[Lock] = []
    with ExitStack() as opened:
        opened.callback(_release, held)
        old, new = (
            Database(_closed_by(opened, engine))
            for engine in (
                open_file(path, True, SCHEMA_WAIT_S, held),
                open_on_server(server, True, SCHEMA_WAIT_S, held)[0],
            )
        )
        source, target = opened.enter_context(old.read()), opened.enter_context(new.write())
        tables = [_plain(table) for table in events.metadata.sorted_tables]
        for table in tables:
            if target.execute(select(*table.primary_key.columns).limit(1)).first() is not None:
                raise StoreError(
                    f"{server.words} has records already (in {table.name}); nothing was copied",
                    hint="name an empty database in PASSERELLE_DATABASE_URL",
                )
        numbers = last_numbers(source)
        count_rows(target, on=False)  # the tallies are copied, too
        copied = tuple(_copied(source, target, table, numbers.get(table.name, 0)) for table in tables)
        count_rows(target, on=True)
        return copied


def _release(held: list[Lock]) -> None:
    for lock in held:
        lock.release()


def _closed_by(opened: ExitStack, engine: Engine) -> Engine:
    opened.callback(engine.dispose)
    return engine


def _plain(table: Table) -> Table:
    """The same table without our types: what is stored goes over as it is."""

    def type_of(column: Column[Any]) -> Any:
        return column.type.impl if isinstance(column.type, TypeDecorator) else column.type

    columns = [Column(one.name, type_of(one), primary_key=one.primary_key) for one in table.columns]
    return Table(table.name, MetaData(), *columns)


def _copied(source: Connection, target: Connection, table: Table, number: int) -> Copied:
    sent, rows, names = hashlib.sha256(), 0, [column.name for column in table.columns]
    for batch in _batches(source, table):
        target.execute(insert(table), [dict(zip(names, row, strict=True)) for row in batch])
        sent.update(repr(batch).encode())
        rows += len(batch)
    found = hashlib.sha256()
    for batch in _batches(target, table):
        found.update(repr(batch).encode())
    if found.digest() != sent.digest():
        raise StoreError(
            f"the rows of {table.name} are not what was copied; nothing was changed",
            hint="copy again. If it happens again, restore a copy of the file first",
        )
    continue_after(target, table, number)
    return Copied(table.name, rows)


def _batches(connection: Connection, table: Table) -> Iterator[list[tuple[Any, ...]]]:
    query = select(table).order_by(*table.primary_key.columns).execution_options(yield_per=BATCH)
    for rows in connection.execute(query).partitions():
        yield [tuple(_storable(value) for value in row) for row in rows]


def _storable(value: Any) -> Any:
    """PostgreSQL keeps every character but NUL, which an old row of a lease may have."""
    return value.replace("\0", "\N{REPLACEMENT CHARACTER}") if isinstance(value, str) else value
