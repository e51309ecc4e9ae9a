"""`passerelle doctor`: what a host or this machine lacks for passerelle to work."""

import difflib
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

from cyclopts import Parameter

from service.cli.output import Format, show_json, show_table

if TYPE_CHECKING:
    from service.settings import Settings

LEAST_FREE_MB = 32
"""With less than that on its disk, the service may soon record nothing any more."""
Check: TypeAlias = dict[str, str | bool]
OTHER_VARIABLES = (
    "PASSERELLE_URL", "PASSERELLE_TOKEN", "PASSERELLE_TOKEN_FILE", "PASSERELLE_CA_FILE", "PASSERELLE_ENV_FILE",
)  # fmt: skip
"""What the commands read in addition to the settings of the service."""
Output = Annotated[Format, Parameter(name=["--output", "-o"])]


def doctor(
    host: str | None = None,
    /,
    *,
    repo: Path | None = None,
    ssh_key: Path | None = None,
    output: Output = "table",
) -> int:
    """Check this machine or a host, and list what is missing, each with a fix.

    The settings are the service's own: those of /etc/passerelle/service.env, which the systemd unit reads too, or of
    the file that PASSERELLE_ENV_FILE names. A variable that this shell sets counts before the file's.
    Exit codes: 0 all is well, 1 something is missing.

    Parameters
    ----------
    host
        Also look at this host of --repo over SSH.
    repo
        A folder with fleet.yaml and hosts/.
    ssh_key
        The private key for the host. Default: the service's own key.
    output
        table for people, json for programs.
    """
    checks = machine_checks()
    if host is not None:
        checks += host_checks(repo or Path(), host, ssh_key)
    if output == "json":
        show_json(checks)
    else:
        show_table(["check", "ok", "what", "next"], checks, empty="nothing to check")
    return 0 if all(check["ok"] for check in checks) else 1


def check(name: str, *, ok: bool, what: str, then: str = "") -> Check:
    """One line of the report."""
    return {"check": name, "ok": ok, "what": what, "next": "" if ok else then}


def machine_checks() -> list[Check]:
    """What the service itself needs."""
    import shutil

    from service.errors import InputError
    from service.history.sqlite.file import version_of_library
    from service.settings import settings_beside

    git = shutil.which("git")
    checks = [
        check("git", ok=git is not None, what=git or "not found", then="install git"),
        check("sqlite", ok=True, what=f"{version_of_library()}, journal mode {journal()}"),
    ]
    try:
        settings = settings_beside()
    except InputError as error:
        return [*checks, check("settings", ok=False, what=error.what, then=error.hint)]
    return [*checks, *settings_checks(), *state_checks(settings), *source_checks(settings)]


def settings_checks() -> list[Check]:
    """Where the settings come from, and what in them counts for nothing."""
    from service.environment import environment_file, read_environment_file
    from service.settings import Settings

    path = environment_file()
    if not path.is_file():
        return [check("settings", ok=True, what=f"from this shell; there is no {path}")]
    of_file = read_environment_file(path)
    ours = {name: text for name, text in of_file.items() if name.startswith("PASSERELLE_")}
    checks = [check("settings", ok=True, what=f"{len(ours)} from {path}")]
    known = [*(f"PASSERELLE_{name.upper()}" for name in Settings.model_fields), *OTHER_VARIABLES]
    for name in [name for name in ours if name not in known]:
        close = difflib.get_close_matches(name, known, n=1)
        then = f"did you mean {close[0]}?" if close else f"remove it from {path}"
        checks.append(check("settings", ok=False, what=f"{name} in {path} is not a setting", then=then))
    for name in [name for name in ours if os.environ.get(name, ours[name]) != ours[name]]:
        what = f"this shell sets {name} to another value than {path}"
        checks.append(check("settings", ok=False, what=what, then=f"unset {name}: the service does not see this shell"))
    return checks


def state_checks(settings: "Settings") -> list[Check]:
    """The state folder and what is in it."""
    from service.cli.state import local_user

    folder, key = settings.state_dir, settings.host_key_path
    made = "`passerelle serve` makes it"
    try:
        return [
            *database_checks(settings),
            *notice_checks(settings),
            check("state folder", ok=folder.is_dir(), what=str(folder), then=made),
            check("ssh key", ok=key.is_file(), what=str(key), then=f"{made}; `passerelle key` prints its public half"),
            stop_check(settings),
            check("ceilings", ok=True, what=ceilings(settings)),
        ]
    except PermissionError as error:
        what = f"{error.filename} cannot be read by {local_user().removeprefix('local:')}"
        then = "run this as root or as the service's user: sudo -u passerelle passerelle doctor"
        return [check("state folder", ok=False, what=what, then=then)]


def stop_check(settings: "Settings") -> Check:
    """Whether the stop file is there."""
    from service.stop_file import stop_reason

    why = stop_reason(settings.state_dir)
    then = "remove the file when applies may begin again"
    return check("stop file", ok=not why, what=why or f"none in {settings.state_dir}", then=then)


def notice_checks(settings: "Settings") -> list[Check]:
    """Whether people are informed, for each way that is set."""
    from service.cli.notices import rows_of
    from service.errors import PasserelleError
    from service.history import open_history
    from service.notices.channels import channels_of

    try:
        channels = channels_of(settings.notices)
        is_there = settings.database is not None or settings.database_path.is_file()
        if not channels or not is_there:
            return []
        with open_history(settings.database_path, url=settings.database) as history:
            rows = rows_of(settings, channels, history)
    except PasserelleError as error:
        return [check("notices", ok=False, what=error.what, then=error.hint)]
    then = "`passerelle notices test` sends one now"
    return [check(f"notices by {row['channel']}", ok=not row["error"], what=_noticed(row), then=then) for row in rows]


def _noticed(row: dict[str, Any]) -> str:
    failed = f", last failed {row['last failed']}: {row['error']}" if row["error"] else ""
    return f"{row['where']}: {row['sent']} sent, last {row['last sent']}; {row['waiting']} wait{failed}"


def source_checks(settings: "Settings") -> list[Check]:
    """The settings of the repository. It is not contacted."""
    from service.errors import InputError
    from service.git.source import parse_source

    if not settings.source:
        return [check("source", ok=False, what="not set", then="set PASSERELLE_SOURCE")]
    try:
        parse_source(settings.source, settings.branch)
        settings.check_files()
    except InputError as error:
        return [check("source", ok=False, what=error.what, then=error.hint)]
    return [check("source", ok=True, what=f"{settings.source}, branch {settings.branch}")]


def database_checks(settings: "Settings") -> list[Check]:
    """How large the database is, and how long what is past is kept in it."""
    from service.errors import PasserelleError

    keep = settings.keep
    limit_mb = keep.size_bytes >> 20
    rule = f"{keep.days:g} days are kept, {keep.event_days:g} of events, {limit_mb} MiB at most"
    try:
        used, since, where = _looked_at(settings)
    except FileNotFoundError:
        return []
    except PasserelleError as error:
        return [check("database", ok=False, what=error.what, then=error.hint)]
    what = f"{where}{used / (1 << 20):.1f} MiB, events since {since or 'now'}; {rule}"
    found = [check("database", ok=used <= keep.size_bytes, what=what, then="raise PASSERELLE_KEEP_MB or keep less")]
    if settings.database is None:
        free_mb = shutil.disk_usage(settings.state_dir).free >> 20
        then = "free some room on this disk, and the service continues on its own. For later, lower PASSERELLE_KEEP_MB"
        what = f"{free_mb} MiB are free in {settings.state_dir}, and a record needs some"
        found.append(check("disk", ok=free_mb >= LEAST_FREE_MB, what=what, then=then))
    return found


def _looked_at(settings: "Settings") -> tuple[int, str, str]:
    """(bytes in use, day of the oldest event, which server)"""
    if settings.database is None:
        from service.history.sqlite.file import looked_at

        if not settings.database_path.is_file():
            raise FileNotFoundError(settings.database_path)
        return *looked_at(settings.database_path), ""
    from service.history.postgres.server import Server, looked_at_server

    server = Server(settings.database)
    used, since, version = looked_at_server(server)
    return used, since, f"{server.words}, PostgreSQL {version}: "


def ceilings(settings: "Settings") -> str:
    """What a commit may ask for on its own."""
    set_ = settings.ceilings
    return f"sync at most {set_.max_sync}; raises need: {set_.raises}; may open: {settings.max_open}"


def journal() -> str:
    """The journal mode that this SQLite gets."""
    from service.history.sqlite.engine import journal_mode

    return journal_mode()


def hints_check(host: str, kinds: Sequence[str]) -> Check:
    """Which changes by hand the service hears of at once. It finds all others at its next look, so a host that reports
    none of them is well."""
    from service.observe.hints import KINDS

    if not kinds:
        return check(host, ok=True, what="reports no change on its own: it is looked at every PASSERELLE_OBSERVE_S")
    missing = [kind for kind in KINDS if kind not in kinds]
    rest = f"; not of {', '.join(missing)}" if missing else ""
    return check(host, ok=True, what=f"reports changes of {', '.join(kinds)} on its own{rest}")


def host_checks(folder: Path, host: str, ssh_key: Path | None) -> list[Check]:
    """What a host must offer, and whether its spec could be planned."""
    from service.cli.plan import from_folder
    from service.errors import PasserelleError
    from service.observe.runner import FIX

    try:
        found = from_folder(folder, host, ssh_key, hears=True)
    except PasserelleError as error:
        return [check(host, ok=False, what=error.what, then=error.hint)]
    body, foreign = found["body"], found["objections"]
    checks = [check(host, ok=True, what="reached, and its answer was read"), hints_check(host, found["hints"])]
    checks += [check(host, ok=False, what=sentence, then=FIX) for sentence in foreign]
    checks += [check(host, ok=False, what=r["what"], then=r["hint"]) for r in body["refusals"]]
    then = "correct the files on the host, or describe the interface in its spec with everything that it needs at boot"
    checks += [
        check(host, ok=False, what=sentence, then=then) for sentence in body["at_boot"] if sentence not in foreign
    ]
    return checks
