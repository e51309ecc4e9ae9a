"""How a connection to SQLite is set up, and how a transaction begins.

One process serves the file (see `history.locks`). A writing transaction begins with BEGIN IMMEDIATE, so that a
read-modify-write can lose nothing; Python's own implicit BEGIN is switched off for it (SQLAlchemy, "SQLite:
serializable isolation and transactional DDL"). Journal mode is DELETE below SQLite 3.51.3, whose WAL can be damaged
by a race of two connections at a checkpoint (sqlite.org/wal.html, "the WAL-reset bug"), and WAL from there on.
"""

import sqlite3
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event

BUSY_TIMEOUT_MS = 5_000
WAL_IS_SAFE_FROM = (3, 51, 3)


def journal_mode() -> str:
    """DELETE or WAL, by the SQLite library in use."""
    return "WAL" if sqlite3.sqlite_version_info >= WAL_IS_SAFE_FROM else "DELETE"


def make_engine(path: Path, *, busy_timeout_ms: int = BUSY_TIMEOUT_MS) -> Engine:
    """An engine whose connections are set up as this module's first lines say. A transaction of a connection with the
    execution option `reads` takes no right to write."""
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
