"""A consistent copy of a database in use, and what is in it."""

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from service.errors import StoreError
from service.history.sqlite.file import APPLICATION_ID, damaged


def snapshot(path: Path, beside: Path) -> None:
    """All that is committed now, in one step. Whoever writes meanwhile is not stopped. `beside` has no WAL. StoreError
    where it cannot be copied, or is none of ours."""
    try:
        with (
            closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=30)) as source,
            closing(sqlite3.connect(beside)) as target,
        ):
            if source.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
                raise StoreError(f"{path} is not a database of passerelle", hint="name another state directory")
            source.backup(target)
            target.execute("PRAGMA journal_mode=DELETE")
    except sqlite3.Error as error:
        raise StoreError(f"{path} cannot be copied: {error}", hint="is there room on the disk?") from None


def contents(path: Path) -> tuple[int, Mapping[str, int]]:
    """The number of the schema, and the rows of each table, of a file that nobody uses. StoreError where it is damaged,
    or a row of it refers to nothing."""
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            found = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
            broken = connection.execute("PRAGMA foreign_key_check").fetchone()
            application = connection.execute("PRAGMA application_id").fetchone()[0]
            if found != "ok" or broken is not None or application != APPLICATION_ID:
                raise damaged(path, str(found) if found != "ok" else "a row refers to nothing, or it is none of ours")
            named = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite@_%' ESCAPE '@'"
            names = sorted(str(name) for (name,) in connection.execute(named).fetchall())
            rows = {
                name: int(connection.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0])  # noqa: S608 (its own name)
                for name in names
            }
            return int(connection.execute("PRAGMA user_version").fetchone()[0]), rows
    except sqlite3.DatabaseError as error:
        raise damaged(path, str(error)) from None
