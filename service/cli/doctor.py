"""`passerelle doctor`: what a host or this machine lacks for passerelle to work."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from service.cli.output import Format, show_json, show_table

if TYPE_CHECKING:
    from service.model.retention import Keep
    from service.settings import Settings

Output = Annotated[Format, Parameter(name=["--output", "-o"])]


def doctor(
    host: str | None = None,
    /,
    *,
    repo: Path | None = None,
    ssh_key: Path | None = None,
    output: Output = "table",
) -> int:
    """Check this machine, or one host of a folder of specs, and say what is missing and what to do about it.

    Exit codes: 0 all is well, 1 something is missing.

    Parameters
    ----------
    host
        Look at this host of --repo over SSH, too.
    repo
        A folder with fleet.yaml and hosts/.
    ssh_key
        The private key for the host; the service's own if not given.
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


def check(name: str, *, ok: bool, what: str, then: str = "") -> dict[str, str | bool]:
    """One line of the report."""
    return {"check": name, "ok": ok, "what": what, "next": "" if ok else then}


def machine_checks() -> list[dict[str, str | bool]]:
    """What the service itself needs."""
    import shutil

    from service.history.sqlite.file import version_of_library
    from service.settings import read_settings

    settings = read_settings()
    git = shutil.which("git")
    key = settings.host_key_path
    return [
        check("git", ok=git is not None, what=git or "not found", then="install git"),
        check("sqlite", ok=True, what=f"{version_of_library()}, journal mode {journal()}"),
        *database_checks(settings.database_path, settings.keep),
        check(
            "state folder",
            ok=settings.state_dir.is_dir(),
            what=str(settings.state_dir),
            then="`passerelle serve` makes it",
        ),
        check(
            "ssh key", ok=key.is_file(), what=str(key), then="`passerelle serve` makes it; put its .pub on the hosts"
        ),
        check("ceilings", ok=True, what=ceilings(settings)),
        check("source", ok=bool(settings.source), what=settings.source or "not set", then="set PASSERELLE_SOURCE"),
    ]


def database_checks(path: Path, keep: "Keep") -> list[dict[str, str | bool]]:
    """How large the database is, and how long what is past is kept in it."""
    from service.errors import StoreError
    from service.history.sqlite.file import looked_at

    if not path.is_file():
        return []
    limit_mb = keep.size_bytes >> 20
    rule = f"{keep.days:g} days are kept, {keep.event_days:g} of events, {limit_mb} MiB at most"
    try:
        used, since = looked_at(path)
    except StoreError as error:
        return [check("database", ok=False, what=error.what, then=error.hint)]
    what = f"{used / (1 << 20):.1f} MiB, events since {since or 'now'}; {rule}"
    return [check("database", ok=used <= keep.size_bytes, what=what, then="raise PASSERELLE_KEEP_MB or keep less")]


def ceilings(settings: "Settings") -> str:
    """What a commit may ask for by itself."""
    set_ = settings.ceilings
    return f"sync at most {set_.max_sync}; raises need: {set_.raises}; may open: {settings.max_open}"


def journal() -> str:
    """The journal mode that this SQLite gets."""
    from service.history.sqlite.engine import journal_mode

    return journal_mode()


def host_checks(folder: Path, host: str, ssh_key: Path | None) -> list[dict[str, str | bool]]:
    """What a host must offer, and whether its spec could be planned."""
    from service.cli.plan import from_folder
    from service.errors import PasserelleError
    from service.observe.runner import FIX

    try:
        found = from_folder(folder, host, ssh_key)
    except PasserelleError as error:
        return [check(host, ok=False, what=error.what, then=error.hint)]
    body, foreign = found["body"], found["objections"]
    checks = [check(host, ok=True, what="reached, and its answer was read")]
    checks += [check(host, ok=False, what=sentence, then=FIX) for sentence in foreign]
    checks += [check(host, ok=False, what=r["what"], then=r["hint"]) for r in body["refusals"]]
    then = "mend the files on the host, or name the interface in its spec with everything that it needs at boot"
    checks += [
        check(host, ok=False, what=sentence, then=then) for sentence in body["at_boot"] if sentence not in foreign
    ]
    return checks
