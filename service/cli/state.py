"""The state directory as commands on the service's own machine use it, next to a running service."""

import getpass
import re
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from service.errors import InputError

if TYPE_CHECKING:
    from service.history import History
    from service.model.access import Token

_LIFETIME = re.compile(r"([0-9]{1,6})([smhdw])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def open_state(state_dir: Path | None) -> "History":
    """The database in this directory, or in the service's own. InputError if it cannot be entered."""
    from service.history import open_history
    from service.settings import read_settings, settings_beside

    settings = settings_beside() if state_dir is None else read_settings(state_dir=state_dir)
    try:
        return open_history(settings.database_path, url=settings.database)
    except OSError as error:
        raise InputError(
            f"{settings.state_dir} cannot be used: {error.strerror}",
            hint="run as the service's own user, or name its directory with --state-dir",
        ) from error


def tokens_in(state_dir: Path | None) -> "tuple[Token, ...]":
    """Every token in this directory, or in the service's own, newest first. InputError if it cannot be entered."""
    from service.environment import DATABASE_FILE, STATE_DIR, variables, variables_beside
    from service.history.sqlite.tokens import tokens_at

    said = variables_beside() if state_dir is None else variables()
    if not said.get("database_url"):
        found = tokens_at((state_dir or Path(said.get("state_dir", STATE_DIR))) / DATABASE_FILE)
        if found is not None:
            return found
    with open_state(state_dir) as history:
        return history.queries.tokens()


def local_user() -> str:
    """Who runs this command, for the record."""
    try:
        return f"local:{getpass.getuser()}"
    except (KeyError, OSError):
        return "local"


def lifetime(text: str) -> timedelta:
    """`90d`, `12h`, `30m`, `4w`, `45s`. InputError for anything else."""
    match = _LIFETIME.fullmatch(text)
    if match is None:
        raise InputError(f"{text!r} is not a time span", hint="a number with s, m, h, d or w, as in 90d")
    return timedelta(seconds=int(match[1]) * _SECONDS[match[2]])
