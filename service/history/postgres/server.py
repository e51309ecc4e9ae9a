"""A database on a PostgreSQL server: its address, whose it is, which schema it has, who holds it, and migrations.

Everybody who has it open holds a lock on the schema, shared; whoever brings the schema forward holds it alone. The one
service that runs holds a second lock. Both are advisory locks of a session, so that they go with the process, whatever
ends it. A migration is one transaction: all of it is done, or nothing.
"""

import contextlib
from collections.abc import Callable
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import Connection, Integer, Table

from service.errors import InputError, StoreError
from service.history.postgres.engine import MARK, SCHEMA, SERVES, connect
from service.history.postgres.statements import USED
from service.model.secret import Secret

OLDEST = 130_000
"""The oldest server, as `server_version_num` counts."""
KILLED_MS = 1_000
"""How long a start waits for the server to notice that the service of before was killed."""
_LIKE = "write it as in postgresql://passerelle@db.example.net/passerelle, in PASSERELLE_DATABASE_URL"
_KEEPALIVES = "SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3"
_TABLES = """
SELECT table_name FROM information_schema.tables
WHERE table_schema = current_schema() AND left(table_name, 13) <> 'procrastinate' ORDER BY 1
"""
_NOT_BY_BYTES = """
SELECT table_name, column_name, data_type FROM information_schema.columns
WHERE table_schema = current_schema() AND data_type IN ('text', 'character varying')
AND left(table_name, 13) <> 'procrastinate' AND table_name <> 'alembic_version'
AND collation_name IS DISTINCT FROM 'C' ORDER BY 1, ordinal_position
"""
_OLDEST_EVENT = "SELECT (to_timestamp(at / 1000000) AT TIME ZONE 'UTC')::date::text FROM events ORDER BY id LIMIT 1"


class Server:
    """Where the database is. InputError for an address that is not valid."""

    def __init__(self, url: Secret) -> None:
        self.url = url.reveal().decode("utf-8", "replace")
        if not self.url.startswith(("postgresql://", "postgres://")):
            raise InputError("the address of the database does not begin with postgresql://", hint=_LIKE)
        try:
            parts = conninfo_to_dict(self.url)
        except psycopg.Error:  # its words have the address in them, and the address may have a password
            raise InputError("the address of the database cannot be read", hint=_LIKE) from None
        self.words = f"the database {parts.get('dbname') or '(of this user)'} on {parts.get('host') or 'this machine'}"

    def connect(self, wait_ms: int) -> psycopg.Connection[Any]:
        """One connection. StoreError where there is none."""
        try:
            return connect(self.url, wait_ms=wait_ms)
        except psycopg.Error as error:
            raise StoreError(
                f"{self.words} cannot be reached: {' '.join(str(error).split())}",
                hint="start PostgreSQL, or correct PASSERELLE_DATABASE_URL",
            ) from None


class Held:
    """The locks of one process that has the database open; the session they belong to."""

    def __init__(self, server: Server, *, serve: bool, wait_s: float, alone: bool = True) -> None:
        self._server, self._serve, self._wait_ms = server, serve, max(1, int(wait_s * 1000))
        self._alone = alone
        self._session = server.connect(self._wait_ms)
        try:
            self._session.execute(_KEEPALIVES)
            self._refuse_unfit()
            if serve:
                self._take_serving()
        except BaseException:
            self.release()
            raise

    def with_newest_schema(self, newest: str, upgrade: Callable[[], None]) -> None:
        """Hold the schema, shared, once it is the newest one. `upgrade` brings it there."""
        self._lock("pg_advisory_lock_shared")
        while (version := self._version()) != int(newest):
            if version > int(newest):
                raise StoreError(
                    f"{self._server.words} has schema {version:04d}, this passerelle knows up to {newest};"
                    " nothing was changed",
                    hint="install the newer passerelle again",
                )
            self._unlock("pg_advisory_unlock_shared")
            self._lock("pg_advisory_lock")
            if self._version() < int(newest):
                upgrade()
            self._unlock("pg_advisory_unlock")
            self._lock("pg_advisory_lock_shared")

    def may_write(self) -> None:
        """StoreError where another process serves by now. After a restart of the server the lock is taken again."""
        if not self._serve:
            return
        try:
            self._session.execute("SELECT 1")
        except psycopg.Error:
            self._session.close()
            self._session = self._server.connect(self._wait_ms)
            self._session.execute(_KEEPALIVES)
            self._lock("pg_advisory_lock_shared")
            self._take_serving()
            self._again()

    def _again(self) -> None:
        """The session is another one, and holds what every session of ours holds."""

    def release(self) -> None:
        """Let go of both locks. The server would notice some time after the end of the session only."""
        with contextlib.suppress(psycopg.Error):
            self._session.execute("SELECT pg_advisory_unlock_all()")
        self._session.close()

    def _take_serving(self) -> None:
        try:
            self._session.execute(f"SET lock_timeout = {min(self._wait_ms, KILLED_MS)}")
            self._session.execute(f"SELECT pg_advisory_lock{'' if self._alone else '_shared'}({MARK}, {SERVES})")
            self._session.execute(f"SET lock_timeout = {self._wait_ms}")
        except psycopg.errors.LockNotAvailable:
            raise StoreError(
                f"another passerelle already serves {self._server.words}",
                hint="stop it first, or give this one another database. Several serve one database where each has"
                " --role api or worker",
            ) from None

    def _lock(self, function: str) -> None:
        try:
            self._session.execute(f"SELECT {function}({MARK}, {SCHEMA})")
        except psycopg.errors.LockNotAvailable:
            raise StoreError(
                f"{self._server.words} has to be brought to a newer schema, but is in use",
                hint="stop the passerelle that uses it",
            ) from None

    def _unlock(self, function: str) -> None:
        self._session.execute(f"SELECT {function}({MARK}, {SCHEMA})")

    def _version(self) -> int:
        """The number of the schema; 0 for none. StoreError for another program's database."""
        tables = {row[0] for row in self._session.execute(_TABLES).fetchall()}
        if not tables:
            return 0
        found = self._scalar("SELECT max(version_num) FROM alembic_version") if "alembic_version" in tables else None
        if not isinstance(found, str) or not found.isdecimal() or not {"hosts", "events"} <= tables:
            raise StoreError(
                f"{self._server.words} holds tables of another program ({min(tables)}); nothing was changed",
                hint="give passerelle a database of its own: createdb passerelle",
            )
        return int(found)

    def _refuse_unfit(self) -> None:
        number = int(self._scalar("SHOW server_version_num"))
        if number < OLDEST:
            raise StoreError(
                f"{self._server.words} runs PostgreSQL {number // 10_000}, which is older than {OLDEST // 10_000}",
                hint="upgrade the server",
            )
        encoding = self._scalar("SHOW server_encoding")
        if encoding != "UTF8":
            raise StoreError(
                f"{self._server.words} keeps texts as {encoding}, so it cannot keep all of them",
                hint="remove it, and make it with: createdb --encoding UTF8 --template template0 passerelle",
            )
        if self._scalar("SELECT current_schema()") is None:
            raise StoreError(
                f"{self._server.words} has no schema in which its user may make tables",
                hint="make the user the owner of the database: ALTER DATABASE passerelle OWNER TO passerelle",
            )

    def _scalar(self, query: str) -> Any:
        return _one(self._session, query)


def sort_by_bytes(connection: Connection) -> None:
    """Let all texts sort as in SQLite, byte by byte, whatever the language of the server. A migration ends with it."""
    tables: dict[str, list[str]] = {}
    for table, column, kind in connection.exec_driver_sql(_NOT_BY_BYTES):
        kind_ = "varchar" if kind == "character varying" else "text"
        tables.setdefault(table, []).append(f'ALTER COLUMN "{column}" TYPE {kind_} COLLATE "C"')
    for table, changes in tables.items():
        connection.exec_driver_sql(f'ALTER TABLE "{table}" {", ".join(changes)}')


def continue_after(connection: Connection, table: Table, number: int) -> None:
    """The next id of a table that numbers its rows follows those that it has, and `number`."""
    if [column.name for column in table.primary_key.columns] == ["id"] and isinstance(table.c.id.type, Integer):
        connection.exec_driver_sql(
            f"SELECT setval(pg_get_serial_sequence('{table.name}', 'id'), last) FROM"  # noqa: S608 (numbers, our names)
            f" (SELECT greatest(coalesce(max(id), 0), {number}) AS last FROM {table.name}) AS numbered WHERE last > 0"
        )


def looked_at_server(server: Server) -> tuple[int, str, str]:
    """(bytes in use, day of the oldest event or empty, version of the server), for whoever is not the service.
    StoreError where it cannot be read."""
    with server.connect(1_000) as session:
        try:
            version = _one(session, "SHOW server_version")
            if _one(session, "SELECT to_regclass('events')::text") is None:
                return 0, "", str(version)
            return int(_one(session, USED)), str(_one(session, _OLDEST_EVENT) or ""), str(version)
        except psycopg.Error as error:
            raise StoreError(f"{server.words}: {error}", hint="see the log of the service") from None


def _one(session: psycopg.Connection[Any], query: str) -> Any:
    row = session.execute(query).fetchone()
    return row[0] if row is not None else None
