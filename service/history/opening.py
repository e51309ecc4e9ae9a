"""How a database is opened: who may, and that its schema is the newest. Locks that are taken are added to `held`."""

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from sqlalchemy import Engine

from service.clock import SystemClock
from service.errors import StoreError
from service.history.locks import FileLock, is_served, schema_lock, serve_lock
from service.history.migrate import migrate, needs_migration, upgrade
from service.history.sqlite.engine import make_engine
from service.history.sqlite.file import CleanEnd
from service.history.versions import head
from service.model.secret import Secret

if TYPE_CHECKING:
    from service.history.postgres.place import Ear, Place
    from service.history.postgres.server import Server

SCHEMA_WAIT_S = 10.0
"""How long somebody waits for others to close a database with an older schema."""


class Lock(Protocol):
    """What is held while a database is open."""

    def release(self) -> None: ...


OLDER = "is of an earlier version, and was left as it is"
OLDER_FIX = "the service brings it to this version when it starts"


def open_file(path: Path, serve: bool, wait_s: float, held: list[Lock], *, migrates: bool = True) -> Engine:
    """The file at `path`. StoreError where it cannot be used now, or is older and `migrates` is not set. A file that a
    service has not closed in order, or that somebody wrote to since, is read as a whole by who opens it next."""
    if serve:
        held.append(serve_lock(path))
    end = CleanEnd(path)
    is_checked = not (end.take() if serve else end.holds() or is_served(path))
    held.append(_with_newest_schema(path, wait_s, is_checked=is_checked, migrates=migrates))
    _refuse_open(path)
    return make_engine(path)


def server_at(url: Secret) -> "Server":
    """The server with this address. InputError where it is not valid."""
    # psycopg is loaded only where it is used: most databases are a file
    from service.history.postgres.server import Server  # noqa: PLC0415

    return Server(url)


def ear_at(url: Secret) -> "Ear":
    """What the processes that serve one database tell each other. InputError where the address is not valid."""
    from service.history.postgres.place import Ear  # noqa: PLC0415

    return Ear(server_at(url))


def open_on_server(
    server: "Server", serve: bool, wait_s: float, held: list[Lock], *, together: bool = False, migrates: bool = True
) -> "tuple[Engine, Place | None]":
    """The database on a server. `together`: as one of several processes that serve it; then it holds a `Place`.
    StoreError where it cannot be used now, or is older and `migrates` is not set."""
    from service.history.postgres.engine import make_engine as make_server_engine  # noqa: PLC0415
    from service.history.postgres.place import Place  # noqa: PLC0415
    from service.history.postgres.server import Held, sort_by_bytes  # noqa: PLC0415

    place = Place(server, wait_s=wait_s) if together else None
    locks: Place | Held = place or Held(server, serve=serve, wait_s=wait_s)
    held.append(locks)
    engine = make_server_engine(server.url, may_write=locks.may_write)

    def upgraded() -> None:
        if not migrates:
            raise StoreError(f"{server.words} {OLDER}", hint=OLDER_FIX)
        upgrade(engine, sort_by_bytes)

    try:
        locks.with_newest_schema(head(), upgraded)
    except BaseException:
        engine.dispose()
        raise
    return engine, place


def _refuse_open(path: Path) -> None:
    if path.stat().st_mode & 0o077:
        raise StoreError(
            f"the database {path} can be read by other users; it holds the secrets of the receivers",
            hint=f"run `chmod 600 {path}`",
        )


def _with_newest_schema(path: Path, wait_s: float, *, is_checked: bool, migrates: bool) -> FileLock:
    """The schema lock, held shared, over a file with the newest schema."""
    lock = schema_lock(path)
    try:
        _wait_for(lock, path, wait_s, shared=True)
        while needs_migration(path, is_checked=is_checked):
            if not migrates:
                raise StoreError(f"{path} {OLDER}", hint=OLDER_FIX)
            lock.release()
            _wait_for(lock, path, wait_s, shared=False)
            migrate(path)
            lock.release()
            _wait_for(lock, path, wait_s, shared=True)
    except BaseException:
        lock.release()
        raise
    return lock


def _wait_for(lock: FileLock, path: Path, wait_s: float, *, shared: bool) -> None:
    clock, pause = SystemClock(), threading.Event()
    deadline_s = clock.monotonic_s() + wait_s
    while not lock.take(shared=shared):
        if clock.monotonic_s() > deadline_s:
            raise StoreError(
                f"{path} has to be brought to a newer schema, but is in use",
                hint="stop the passerelle that uses it",
            )
        pause.wait(0.05)
