"""`passerelle db`: the database itself. Works on the state directory, while the service is stopped."""

from dataclasses import asdict

from cyclopts import App

from service.cli.token import Output, StateDir

db = App(name="db", help="Copy the service's database to a PostgreSQL server.")


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
