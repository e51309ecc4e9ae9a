"""The connection to SQLite, and the two ways to use it: `read` and `write`.

One process serves the file (see `locks`). A writing transaction begins with BEGIN IMMEDIATE, so that a
read-modify-write can lose nothing; Python's own implicit BEGIN is switched off for it (SQLAlchemy, "SQLite:
serializable isolation and transactional DDL"). Journal mode is DELETE below SQLite 3.51.3, whose WAL can be damaged
by a race of two connections at a checkpoint (sqlite.org/wal.html, "the WAL-reset bug"), and WAL from there on.
"""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DatabaseError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from service.errors import StoreError

APPLICATION_ID = 0x50535231
"""`PSR1` in the file's header: no other program's database is ever written to."""

BUSY_TIMEOUT_MS = 5_000
WAL_IS_SAFE_FROM = (3, 51, 3)


def journal_mode() -> str:
    """DELETE or WAL, by the SQLite library in use."""
    return "WAL" if sqlite3.sqlite_version_info >= WAL_IS_SAFE_FROM else "DELETE"


def make_engine(path: Path, *, busy_timeout_ms: int = BUSY_TIMEOUT_MS) -> Engine:
    """An engine whose connections are set up as this module's first lines say."""
    engine = create_engine(
        f"sqlite:///{path}", pool_size=8, max_overflow=8, pool_timeout=busy_timeout_ms / 1000,
        hide_parameters=True,  # an error of SQLAlchemy would else show in the log what was to be written, secrets too
    )  # fmt: skip

    def set_up(connection: Any, _record: object) -> None:
        connection.isolation_level = None
        for pragma in (
            f"busy_timeout={busy_timeout_ms}",
            f"journal_mode={journal_mode()}",
            "synchronous=FULL",
            "foreign_keys=ON",
            "trusted_schema=OFF",
            "journal_size_limit=67108864",
        ):
            connection.execute(f"PRAGMA {pragma}").close()

    def begin(connection: Connection) -> None:
        reads = connection.get_execution_options().get("reads", False)
        connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")

    event.listen(engine, "connect", set_up)
    event.listen(engine, "begin", begin)
    return engine


class Database:
    """One open database file. Safe to use from many threads: readers side by side, one writer at a time."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._writes = threading.Lock()

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """One transaction, committed at the end, undone on any error. StoreError if the file cannot be written now."""
        with self._writes, _in_our_words(), self._engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """One consistent view. StoreError if the file cannot be read now."""
        with _in_our_words(), self._engine.connect() as plain:
            connection = plain.execution_options(reads=True)
            with connection.begin():
                yield connection

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()


@contextmanager
def _in_our_words() -> Iterator[None]:
    try:
        yield
    except OperationalError as error:
        raise unavailable(error.orig) from error
    except PoolTimeout as error:
        raise unavailable(TimeoutError("too many wait for it")) from error
    except DatabaseError as error:
        if isinstance(error.orig, sqlite3.IntegrityError):
            raise
        raise StoreError(f"the database is damaged: {error.orig}", hint="restore the copy next to it") from error


def unavailable(cause: BaseException | None) -> StoreError:
    """The StoreError for an SQLite error that may pass: locked, disk full, read-only, input/output error."""
    return StoreError(f"the database cannot be used now: {cause}", hint="see `passerelle doctor`")
