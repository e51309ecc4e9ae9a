"""`passerelle backup` and `passerelle restore`: one file with what the service needs. On its own machine."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from service.cli.token import Output, StateDir

if TYPE_CHECKING:
    from service.history.archive import Manifest
    from service.model.secret import Secret
    from service.settings import Settings


def backup(file: Path, /, *, state_dir: StateDir = None, output: Output = "table") -> int:
    """Write the database, the pepper of the tokens and the SSH key to one file. The service may run.

    The file has secrets. Only its owner can read it. Files outside of the state folder are not in it, but for the SSH
    key: copy /etc/passerelle, too. A database on a PostgreSQL server is not in it: use pg_dump for that.

    Parameters
    ----------
    file
        The file to write. It must not exist.
    state_dir
        The service's state directory. Without it, PASSERELLE_STATE_DIR, or what the service's environment file says.
    output
        table or json.
    """
    from service.cli.output import tell
    from service.clock import SystemClock
    from service.errors import InputError
    from service.history.archive import DATABASE, KEY, PEPPER, make
    from service.settings import read_settings, settings_beside

    settings = settings_beside() if state_dir is None else read_settings(state_dir=state_dir)
    sources = {DATABASE: settings.database_path, PEPPER: settings.state_dir / PEPPER, KEY: settings.host_key_path}
    if settings.database is not None:
        del sources[DATABASE]
        tell("The records are on a PostgreSQL server, and not in this file. Fix: back them up by pg_dump")
    if missing := [str(path) for path in sources.values() if not path.exists()]:
        raise InputError(
            f"there is no {' and no '.join(missing)}",
            hint="run as the service's own user, or name its directory with --state-dir",
        )
    manifest = make(file, sources, at=SystemClock().now())
    _show(file, manifest, output)
    _enter_if_possible("backup", settings, file, manifest)
    return 0


def restore(file: Path, /, *, state_dir: StateDir = None, output: Output = "table") -> int:
    """Put what `passerelle backup` wrote into the state folder, and check it. The folder must have none of these files.

    Run it as the service's own user, before the service is started. Never run two services with the same hosts.

    Parameters
    ----------
    file
        The file of a backup.
    state_dir
        The service's state directory. Without it, PASSERELLE_STATE_DIR, or what the service's environment file says.
    output
        table or json.
    """
    from service.history.archive import DATABASE
    from service.history.archive import restore as restored
    from service.settings import read_settings, settings_beside

    settings = settings_beside() if state_dir is None else read_settings(state_dir=state_dir)

    def entered(database: Path, manifest: "Manifest") -> None:
        _enter("restore", database, None, file, manifest)

    manifest = restored(file, settings.state_dir, entered)
    _show(settings.state_dir, manifest, output)
    if DATABASE not in manifest.files and settings.database is not None:
        _enter_if_possible("restore", settings, file, manifest)
    return 0


def _enter_if_possible(action: str, settings: "Settings", file: Path, manifest: "Manifest") -> None:
    from service.cli.output import complain
    from service.errors import PasserelleError

    try:
        _enter(action, settings.database_path, settings.database, file, manifest)
    except PasserelleError as error:
        complain(f"it was done, and the audit log has no entry of it: {error.what}", error.hint)


def _enter(action: str, database: Path, url: "Secret | None", file: Path, manifest: "Manifest") -> None:
    """Add an entry to the audit log. A backup holds every secret of the service."""
    from service.cli.state import local_user
    from service.clock import SystemClock
    from service.history import open_history
    from service.model.audit import Act

    detail = {"file": str(file.absolute()), "files": sorted(manifest.files), "made_at": manifest.made_at}
    act = Act(by=local_user(), how="cli", action=action, detail=detail)
    # who makes a backup before an upgrade has not upgraded yet
    with open_history(database, url=url, migrates=action == "restore") as history:
        history.store.record_act(act, at=SystemClock().now())


def _show(where: Path, manifest: "Manifest", output: str) -> None:
    from service.cli.output import show_json, tell

    if output == "json":
        show_json(asdict(manifest))
        return
    rows = sum(manifest.tables.values())
    has = [*manifest.files, *([f"{len(manifest.tables)} tables with {rows:,} rows"] if manifest.tables else [])]
    tell(f"{where}: {', '.join(has)}; of {manifest.made_at}, version {manifest.version}")
