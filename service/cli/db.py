"""`passerelle db`: the database itself. Works on the state directory."""

from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from cyclopts import App

from service.cli.token import Output, StateDir

if TYPE_CHECKING:
    from service.model.retention import Keep, TableSize

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
    """Show the size of the database, how fast it grows, and when old records are deleted.

    Of each table: the rows, the bytes with its indexes, and the day of the oldest row. Then the new rows for each day
    of the last week, and until when the oldest row is kept. The service may run. A large file takes some seconds.

    Parameters
    ----------
    state_dir
        The service's state directory. Without it, PASSERELLE_STATE_DIR, or what the service's environment file says.
    output
        table or json.
    """
    from service.cli.output import show_json, show_table, tell
    from service.cli.state import open_state
    from service.clock import SystemClock
    from service.settings import read_settings, settings_beside

    keep = (settings_beside() if state_dir is None else read_settings(state_dir=state_dir)).keep
    with open_state(state_dir) as history:
        found = history.sizes(SystemClock().now())
    rows = [_row(one, keep) for one in found.tables]
    full_in_days = keep.full_in_days(found.used_bytes, found.bytes_a_day)
    if output == "json":
        figures = {
            "kind": found.kind, "file_bytes": found.file_bytes, "free_bytes": found.free_bytes,
            "bytes_a_day": round(found.bytes_a_day), "limit_bytes": keep.size_bytes,
            "full_in_days": None if full_in_days is None else round(full_in_days, 1),
        }  # fmt: skip
        show_json(figures | {"tables": rows})
        return 0
    shown = [
        one | {"bytes": _mb(one["bytes"]), "oldest": _day(one["oldest"]), "kept until": _day(one["kept_until"])}
        for one in rows
    ]
    show_table(["table", "rows", "bytes", "oldest", "rows_a_day", "kept until"], shown, empty="no table")
    tell(f"{found.kind}: {_mb(found.file_bytes)}, of which {_mb(found.free_bytes)} are free for new records")
    tell(_when(full_in_days, keep.size_bytes, found.bytes_a_day))
    return 0


def _row(one: "TableSize", keep: "Keep") -> dict[str, Any]:
    """A table as it is shown. Times as in the API."""
    days = keep.days_of(one.table)
    until = one.oldest + timedelta(days=days) if one.oldest is not None and days is not None else None
    return {
        "table": one.table, "rows": one.rows, "bytes": one.bytes, "oldest": one.oldest and one.oldest.isoformat(),
        "rows_a_day": None if one.rows_a_day is None else round(one.rows_a_day, 1),
        "kept_until": until and until.isoformat(),
    }  # fmt: skip


def _when(days: float | None, limit: int, a_day: float) -> str:
    """When the limit of the size acts, in words."""
    if days is None:
        return f"it does not grow; the limit is {_mb(limit)} (PASSERELLE_KEEP_MB)"
    grows = f"it grows by {_mb(a_day)} a day"
    if days == 0:
        return f"{grows} and is over the limit of {_mb(limit)} (PASSERELLE_KEEP_MB): each hour the oldest records go"
    return f"{grows}; without deletion by age the limit of {_mb(limit)} (PASSERELLE_KEEP_MB) is {days:.0f} days away"


def _day(at: str | None) -> str:
    """The day of a time."""
    return at[:10] if at else ""


def _mb(size: Any) -> str:
    """A size for people."""
    if size is None:
        return "unknown"
    return f"{size / 1024:.0f} KiB" if size < 1 << 20 else f"{size / (1 << 20):.1f} MiB"
