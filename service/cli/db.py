"""`passerelle db`: the database itself. Works on the state directory."""

from dataclasses import asdict
from typing import Any

from cyclopts import App

from service.cli.token import Output, StateDir

db = App(name="db", help="Show the size of the service's database, or copy it to a PostgreSQL server.")


@db.command(name="copy")
def copy(*, state_dir: StateDir = None, output: Output = "table") -> int:
    """Copy all records from the file in the state folder to the database in PASSERELLE_DATABASE_URL, and compare them.

    The service has to be stopped, and the new database has to be empty. The file stays as it is.

    Parameters
    ----------
    state_dir
        The service's state directory. Without it, PASSERELLE_STATE_DIR, or what the service's environment file says.
    output
        table or json.
    """
    from service.cli.output import show_json, show_table, tell
    from service.errors import InputError
    from service.history.copying import copy_records
    from service.settings import read_settings, settings_beside

    settings = settings_beside() if state_dir is None else read_settings(state_dir=state_dir)
    if settings.database is None:
        raise InputError(
            "no PostgreSQL server is named to copy to",
            hint="set PASSERELLE_DATABASE_URL, in the service's environment file or in this shell",
        )
    copied = copy_records(settings.database_path, settings.database)
    if output == "json":
        show_json([asdict(one) for one in copied])
    else:
        show_table(["table", "rows"], [asdict(one) for one in copied], empty="no table")
        tell(f"{sum(one.rows for one in copied)} rows were copied, and are the same there")
    return 0


@db.command(name="stats")
def stats(*, state_dir: StateDir = None, output: Output = "table") -> int:
    """Show the size of the database: of each table the rows, the bytes with its indexes, and the oldest row.

    The service may run. All records are read, so a large database takes some seconds.

    Parameters
    ----------
    state_dir
        The service's state directory. Without it, PASSERELLE_STATE_DIR, or what the service's environment file says.
    output
        table or json.
    """
    from service.cli.output import show_json, show_table, tell
    from service.cli.state import open_state
    from service.cli.times import dated

    with open_state(state_dir) as history:
        found = history.sizes()
    rows: list[dict[str, Any]] = [
        {"table": one.table, "rows": one.rows, "bytes": one.bytes, "oldest": one.oldest and one.oldest.isoformat()}
        for one in found.tables
    ]
    if output == "json":
        show_json({"kind": found.kind, "file_bytes": found.file_bytes, "free_bytes": found.free_bytes, "tables": rows})
        return 0
    shown = [one | {"bytes": _mb(one["bytes"]), "oldest": dated(one["oldest"])} for one in rows]
    show_table(["table", "rows", "bytes", "oldest"], shown, empty="no table")
    tell(f"{found.kind}: {_mb(found.file_bytes)}, of which {_mb(found.free_bytes)} are free for new records")
    return 0


def _mb(size: Any) -> str:
    """A size for people."""
    if size is None:
        return "unknown"
    return f"{size / 1024:.0f} KiB" if size < 1 << 20 else f"{size / (1 << 20):.1f} MiB"
