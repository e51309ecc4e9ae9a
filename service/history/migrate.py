"""Bringing the database file to the newest schema: all of it, or nothing at all.

SQLite's DDL cannot be trusted to one transaction through Alembic (`transactional_ddl` is False there): a migration that
stops half-way would leave a schema that no later run can go on from. So it never touches the file in use:

    copy (online backup)  →  migrate the copy  →  integrity_check  →  fsync  →  keep the old as *.pre-<revision>
    →  rename over  →  fsync of the folder

Killed anywhere, the next start finds the old file whole, or the new one. A file with a newer schema is refused and left
as it is; so is a file that another program made.
"""

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from sqlalchemy import event

from service.errors import StoreError
from service.history.database import APPLICATION_ID, make_engine

Witness = Callable[[str], None]


def migrations_folder() -> Path:
    """Where the migrations are: in the installed package, or at the top of a checkout."""
    package = Path(__file__).resolve().parent.parent
    for folder in (package / "_migrations", package.parent / "migrations"):
        if (folder / "env.py").is_file():
            return folder
    raise StoreError("the migrations are not installed", hint="install passerelle again")


def head(folder: Path | None = None) -> str:
    """The newest revision this program knows. Revisions are numbered `0001`, `0002`… in one line."""
    versions = (folder or migrations_folder()) / "versions"
    return max(path.name[:4] for path in versions.glob("[0-9][0-9][0-9][0-9]_*.py"))


def schema_version(path: Path) -> int:
    """The number of the schema in a file; 0 for none. StoreError for a file that is no database of ours or damaged."""
    if not path.exists() or path.stat().st_size == 0:
        return 0
    try:
        with closing(sqlite3.connect(path, timeout=5)) as connection:
            application = connection.execute("PRAGMA application_id").fetchone()[0]
            version = int(connection.execute("PRAGMA user_version").fetchone()[0])
            if application != APPLICATION_ID:
                raise StoreError(f"{path} is not a database of passerelle", hint="name another state directory")
            first = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.DatabaseError as error:
        raise _damaged(path, str(error)) from error
    if first != "ok":
        raise _damaged(path, str(first))
    return version


def needs_migration(path: Path, *, folder: Path | None = None) -> bool:
    """Whether the file is behind. StoreError if it is ahead: a newer passerelle wrote it."""
    version = schema_version(path)
    newest = head(folder)
    if version > int(newest):
        raise StoreError(
            f"{path} has schema {version:04d}, this passerelle knows up to {newest}; nothing was changed",
            hint=f"install the newer passerelle again, or go back to the copy {path.name}.pre-{version:04d}",
        )
    return version < int(newest)


def migrate(path: Path, *, folder: Path | None = None, witness: Witness = lambda _point: None) -> bool:
    """Bring the file to the newest schema; False if it was there. The caller holds the schema lock alone.

    `folder` holds the migrations, the program's own if it is not given. `witness` is told every statement and every
    step before it is done.
    """
    beside = path.with_name(path.name + ".migrating")
    for left_over in (beside, beside.with_name(beside.name + "-journal")):
        left_over.unlink(missing_ok=True)
    folder = folder or migrations_folder()
    if not needs_migration(path, folder=folder):
        return False
    old, newest = schema_version(path), head(folder)
    witness("copy")
    os.close(os.open(beside, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    if old:
        _copy(path, beside)
    _upgrade(beside, folder, newest, witness)
    witness("check")
    _check(beside)
    witness("sync")
    _fsync(beside)
    if old:
        witness("keep")
        kept = path.with_name(f"{path.name}.pre-{newest}")
        kept.unlink(missing_ok=True)
        os.link(path, kept)
    witness("swap")
    beside.replace(path)
    witness("folder")
    _fsync(path.parent)
    return True


def _copy(path: Path, beside: Path) -> None:
    with closing(sqlite3.connect(path, timeout=5)) as source, closing(sqlite3.connect(beside)) as target:
        # What a WAL holds goes into the file first, so that no left-over WAL is read with the new file.
        source.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        source.execute("PRAGMA journal_mode=DELETE")
        source.backup(target)


def _upgrade(beside: Path, folder: Path, newest: str, witness: Witness) -> None:
    # Loading Alembic takes a third of what a start takes, and all but the first start have nothing to migrate.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415

    engine = make_engine(beside)

    def tell(_c: object, _cursor: object, statement: str, *_rest: object) -> None:
        witness(statement)

    event.listen(engine, "before_cursor_execute", tell)
    config = Config()
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    try:
        with engine.begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            connection.exec_driver_sql(f"PRAGMA application_id={APPLICATION_ID}")
            connection.exec_driver_sql(f"PRAGMA user_version={int(newest)}")
    finally:
        engine.dispose()


def _check(beside: Path) -> None:
    with closing(sqlite3.connect(beside)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.execute("PRAGMA journal_mode=DELETE")
        found = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
        broken = connection.execute("PRAGMA foreign_key_check").fetchone()
    if found != "ok" or broken is not None:
        raise _damaged(beside, str(found if found != "ok" else f"a row of {broken[0]} refers to nothing"))


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _damaged(path: Path, why: str) -> StoreError:
    return StoreError(
        f"{path} is damaged ({why}); nothing was changed",
        hint="put a copy of it back; what Git wants and what the hosts are is found again from them",
    )
