"""Bringing a database to the newest schema: all of it, or nothing at all. A database on a server: `postgres/server.py`.

SQLite's DDL cannot be trusted to one transaction through Alembic (`transactional_ddl` is False there): a migration that
stops half-way would leave a schema that no later run can continue from. So it never touches the file in use:

    copy (online backup)  →  migrate the copy  →  integrity_check  →  fsync  →  keep the old as *.pre-<revision>
    →  rename over  →  fsync of the folder

Killed anywhere, the next start finds the old file whole, or the new one. A file with a newer schema is refused and left
as it is; so is a file that another program made.
"""

import os
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import Connection, Engine, event

from service.errors import StoreError
from service.history.sqlite.engine import make_engine
from service.history.sqlite.file import begin, check, copy, fsync, schema_version, stamp
from service.history.versions import head, migrations_folder

Witness = Callable[[str], None]


def needs_migration(path: Path, *, folder: Path | None = None, is_checked: bool = True) -> bool:
    """Whether the file is behind. StoreError if it is ahead: a newer passerelle wrote it; and where it `is_checked`, if
    it is damaged."""
    version = schema_version(path, is_checked=is_checked)
    newest = head(folder)
    if version > int(newest):
        raise StoreError(
            f"{path} has schema {version:04d}, this passerelle knows up to {newest}; nothing was changed",
            hint=f"install the newer passerelle again, or go back to the copy {path.name}.pre-{version:04d}",
        )
    return version < int(newest)


def migrate(path: Path, *, folder: Path | None = None, witness: Witness = lambda _point: None) -> bool:
    """Bring the file to the newest schema; False if it was there. The caller holds the schema lock alone.

    `folder` holds the migrations, the program's own if it is not given. `witness` is reported every statement and every
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
        copy(path, beside)
    else:
        begin(beside)
    _upgrade(beside, folder, newest, witness)
    witness("check")
    check(beside)
    witness("sync")
    fsync(beside)
    if old:
        witness("keep")
        kept = path.with_name(f"{path.name}.pre-{newest}")
        kept.unlink(missing_ok=True)
        os.link(path, kept)
    witness("swap")
    beside.replace(path)
    witness("folder")
    fsync(path.parent)
    return True


def upgrade(engine: Engine, then: Callable[[Connection], None], folder: Path | None = None) -> None:
    """Every migration that is missing, and what comes after them, in one transaction."""
    # Loading Alembic takes a third of what a start takes, and all but the first start have nothing to migrate.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(folder or migrations_folder()).replace("%", "%%"))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        then(connection)


def _upgrade(beside: Path, folder: Path, newest: str, witness: Witness) -> None:
    engine = make_engine(beside)

    def tell(_c: object, _cursor: object, statement: str, *_rest: object) -> None:
        witness(statement)

    event.listen(engine, "before_cursor_execute", tell)
    try:
        upgrade(engine, lambda connection: stamp(connection, int(newest)), folder)
    finally:
        engine.dispose()
