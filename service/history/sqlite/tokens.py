"""The tokens of a file, read without SQLAlchemy: its start takes far longer than `passerelle token list` needs."""

import json
import sqlite3
from contextlib import closing
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from service.history.locks import schema_lock
from service.history.sqlite.file import schema_version
from service.history.versions import head
from service.model.access import Token

_NAMES = tuple(one.name for one in fields(Token))
_QUERY = f"SELECT {', '.join(_NAMES)} FROM tokens ORDER BY created_at DESC, id"  # noqa: S608 (names of our own)
_TIMES = frozenset(name for name in _NAMES if name.endswith("_at"))
_LISTS = ("scopes", "hosts")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def tokens_at(path: Path) -> tuple[Token, ...] | None:
    """What `Queries.tokens` says of the file at `path`. None where more has to be done or reported first, as
    `open_history` does: no file, an older or newer schema, one that others may read. StoreError for a damaged file, or
    another program's.
    """
    try:
        if path.stat().st_mode & 0o077:
            return None
        lock = schema_lock(path)
        try:
            if not lock.take(shared=True) or schema_version(path) != int(head()):
                return None
            with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=5)) as connection:
                rows = connection.execute(_QUERY).fetchall()
        finally:
            lock.release()
    except (OSError, sqlite3.Error):
        return None
    return tuple(Token(**{name: _read(name, value) for name, value in zip(_NAMES, row, strict=True)}) for row in rows)


def _read(name: str, value: Any) -> Any:
    """A column's value as `tables.py` has it: times are microseconds since 1970, lists are JSON."""
    if name in _TIMES:
        return None if value is None else _EPOCH + timedelta(microseconds=value)
    return tuple(json.loads(value)) if name in _LISTS else value
