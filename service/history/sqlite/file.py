"""The database's file: whose it is, which schema it has, whether it is whole, and a copy of it."""

import contextlib
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from service.errors import StoreError

if TYPE_CHECKING:
    from sqlalchemy import Connection

INCREMENTAL = 2
"""`PRAGMA auto_vacuum`: free pages can be cut off."""

APPLICATION_ID = 0x50535231
"""`PSR1` in the file's header: no other program's database is ever written to."""


class CleanEnd:
    """Says which file a service closed in order: `<name>.closed` has its inode, size and time of change. Where they are
    the same at the next start, nobody has written to it since, and it need not be read as a whole."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._note = path.with_name(path.name + ".closed")

    def holds(self) -> bool:
        """Whether the file is as it was closed."""
        try:
            return self._note.read_text() == self._seen()
        except FileNotFoundError:
            return False

    def take(self) -> bool:
        """The same, for whoever serves now. The note goes, and is gone from the disk, before anybody writes."""
        if holds := self.holds():
            self._note.unlink()
            fsync(self._note.parent)
        return holds

    def release(self) -> None:
        """All connections were closed in order."""
        with contextlib.suppress(OSError):  # the next start reads the whole file, no more than that
            descriptor = os.open(
                self._note, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600
            )
            with os.fdopen(descriptor, "w") as file:
                file.write(self._seen())

    def _seen(self) -> str:
        found = self._path.stat()
        return f"{found.st_ino} {found.st_size} {found.st_mtime_ns}\n"


def fsync(path: Path) -> None:
    """What was written to a file, or to the names in a folder, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def schema_version(path: Path, *, is_checked: bool = True) -> int:
    """The number of the schema in a file; 0 for none. StoreError for another program's, and where it `is_checked` for
    a damaged one: that reads the whole file."""
    if not path.exists() or path.stat().st_size == 0:
        return 0
    try:
        with closing(sqlite3.connect(path, timeout=5)) as connection:
            application = connection.execute("PRAGMA application_id").fetchone()[0]
            version = int(connection.execute("PRAGMA user_version").fetchone()[0])
            if application != APPLICATION_ID:
                raise StoreError(f"{path} is not a database of passerelle", hint="name another state directory")
            first = connection.execute("PRAGMA quick_check(1)").fetchone()[0] if is_checked else "ok"
    except sqlite3.DatabaseError as error:
        raise damaged(path, str(error)) from error
    if first != "ok":
        raise damaged(path, str(first))
    return version


def stamp(connection: "Connection", version: int) -> None:
    """Say that the file is ours, and which schema it has."""
    connection.exec_driver_sql(f"PRAGMA application_id={APPLICATION_ID}")
    connection.exec_driver_sql(f"PRAGMA user_version={version}")


def copy(path: Path, beside: Path) -> None:
    """An online copy. What a WAL holds goes into the file first, so that no left-over WAL is read with the new file.
    Free pages of the copy can be cut off (`statements.give_back`)."""
    with closing(sqlite3.connect(path, timeout=5)) as source, closing(sqlite3.connect(beside)) as target:
        source.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        source.execute("PRAGMA journal_mode=DELETE")
        source.backup(target)
        if target.execute("PRAGMA auto_vacuum").fetchone()[0] != INCREMENTAL:
            target.execute(f"PRAGMA auto_vacuum={INCREMENTAL}")
            target.execute("VACUUM")


def begin(beside: Path) -> None:
    """An empty database whose free pages can be cut off."""
    with closing(sqlite3.connect(beside)) as target:
        target.execute(f"PRAGMA auto_vacuum={INCREMENTAL}")
        target.execute("VACUUM")


def check(path: Path) -> None:
    """StoreError where the file is damaged, or a row of it refers to nothing."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.execute("PRAGMA journal_mode=DELETE")
        found = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
        broken = connection.execute("PRAGMA foreign_key_check").fetchone()
    if found != "ok" or broken is not None:
        raise damaged(path, str(found if found != "ok" else f"a row of {broken[0]} refers to nothing"))


def last_numbers(connection: "Connection") -> dict[str, int]:
    """The last id that was given out, of each table whose ids are never used twice."""
    found = connection.exec_driver_sql("SELECT name, seq FROM sqlite_sequence")
    return {str(name): int(number) for name, number in found}


def looked_at(path: Path) -> tuple[int, str]:
    """(bytes in use, day of the oldest event or empty) of a file, read without the right to write; for whoever is not
    the service. StoreError where it cannot be read."""
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=2)) as connection:
            pages, free, size = (
                connection.execute(f"PRAGMA {name}").fetchone()[0]
                for name in ("page_count", "freelist_count", "page_size")
            )
            since = connection.execute(
                "SELECT date(at / 1000000, 'unixepoch') FROM events ORDER BY id LIMIT 1"
            ).fetchone()
    except sqlite3.Error as error:
        raise StoreError(f"{path}: {error}", hint="see the log of the service") from None
    return (pages - free) * size, since[0] if since else ""


def version_of_library() -> str:
    """Of the SQLite in use."""
    return sqlite3.sqlite_version


def damaged(path: Path, why: str) -> StoreError:
    """What is reported of a file that cannot be used."""
    return StoreError(
        f"{path} is damaged ({why}); nothing was changed",
        hint="restore a copy of it. The service reads the repository and the hosts again",
    )
