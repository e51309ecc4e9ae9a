"""How a connection to PostgreSQL is set up, and how a transaction begins.

A writing transaction first takes the database's one right to write, so that a read-modify-write can lose nothing.
Events get their numbers in the order in which others can see them, too. Who asks for what came after number n never
misses one. A reading transaction has one view of everything (REPEATABLE READ). As in `sqlite/engine.py`, the driver
begins no transaction of its own.
"""

from collections.abc import Callable
from typing import Any

import psycopg
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.pool import QueuePool

WAIT_MS = 5_000
CONNECT_S = 5
MARK = 0x50535231
"""`PSR1`: the first half of the numbers of our advisory locks."""
WRITES, SCHEMA, SERVES = 1, 2, 3
"""The second half: who writes now, who has the schema open, who serves."""
_LIMITS = {
    "connect_timeout": CONNECT_S, "application_name": "passerelle", "client_encoding": "UTF8",
    "keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3, "tcp_user_timeout": 15_000,
}  # fmt: skip
"""A server that ends silently is noticed in some 15 s."""
_DURABLE = "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
"""What was answered as written is on disk, so that a generation is never given out twice."""


def connect(url: str, *, wait_ms: int = WAIT_MS) -> psycopg.Connection[Any]:
    """One connection. Raises psycopg.Error."""
    connection = psycopg.connect(url, autocommit=True, **_LIMITS)  # type: ignore[arg-type]  # one type for all values
    connection.execute(f"SET lock_timeout = {wait_ms}; SET idle_in_transaction_session_timeout = 600000; {_DURABLE}")
    return connection


def make_engine(url: str, *, wait_ms: int = WAIT_MS, may_write: Callable[[], None] = lambda: None) -> Engine:
    """An engine whose connections are set up as this module's first lines say. A transaction of a connection with the
    execution option `reads` cannot write. One with `upkeep` changes no record, so it needs no right to. `may_write`
    raises where the process lost that right."""
    engine = create_engine(
        "postgresql+psycopg://", creator=lambda: connect(url, wait_ms=wait_ms), poolclass=QueuePool,
        pool_size=8, max_overflow=8, pool_timeout=wait_ms / 1000,
        pool_pre_ping=True,  # after a restart of the server no connection of before is used
        use_native_hstore=False,
        hide_parameters=True,
    )  # fmt: skip

    def begin(connection: Connection) -> None:
        if connection.get_execution_options().get("reads", False):
            connection.exec_driver_sql("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            return
        connection.exec_driver_sql("BEGIN")
        if connection.get_execution_options().get("upkeep", False):
            return
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({MARK}, {WRITES})")
        may_write()

    event.listen(engine, "begin", begin)
    return engine
