"""The History edge: the one room that knows SQLModel, SQLAlchemy and Alembic. All of it blocks: call it in threads.

    history = open_history(database, serve=True)     # the service: migrates, holds the file for itself
    history = open_history(database)                 # a command next to it: tokens, receivers
    history.store    service.history.store.Store     every write, one named transition each
    history.queries  service.history.queries.Queries every read
    history.close()

Values in and out are those of service.model.runs and service.model.access.
"""

import threading
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from service.clock import SystemClock
from service.errors import StoreError
from service.history.database import Database, Listener
from service.history.locks import FileLock, schema_lock, serve_lock
from service.history.migrate import migrate, needs_migration
from service.history.pepper import read_pepper
from service.history.queries import Queries
from service.history.sqlite.engine import make_engine
from service.history.store import Store

PEPPER_FILE = "token.pepper"
SCHEMA_WAIT_S = 10.0


@dataclass(frozen=True, slots=True)
class History:
    """An open database."""

    path: Path
    store: Store
    queries: Queries
    _database: Database
    _locks: tuple[FileLock, ...]

    def tell_to(self, listener: Listener) -> None:
        """Tell a listener of every event that is written here from now on, once it is on disk. It must be quick."""
        self._database.tell_to(listener)

    def close(self) -> None:
        """Close the connections, then let go of the locks."""
        self._database.close()
        for lock in self._locks:
            lock.release()

    def __enter__(self) -> "History":
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()


def open_history(path: Path, *, serve: bool = False, wait_s: float = SCHEMA_WAIT_S) -> History:
    """Open the database at `path`; make it if there is none, and bring it to the newest schema.

    With `serve` it is held for one service: StoreError if another one runs. Without it, the database is used while the
    service runs. StoreError too if the file is damaged, belongs to another program, or is newer than this program. The
    folder is made with mode 0700, and holds the pepper of the tokens. `wait_s` is how long it waits for others to close
    a file that has to be brought to a newer schema.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"the state folder {path.parent} cannot be made: {error.strerror}",
            hint="run as the service's user, or give another folder in PASSERELLE_STATE_DIR",
        ) from None
    held: list[FileLock] = []
    try:
        if serve:
            held.append(serve_lock(path))
        held.append(_with_newest_schema(path, wait_s))
        _refuse_open(path)
        pepper = read_pepper(path.parent / PEPPER_FILE)
        database = Database(make_engine(path))
        history = History(path, Store(database, pepper), Queries(database), database, tuple(held))
        if serve:
            history.store.release_unsettled_keys()
        return history
    except BaseException as error:
        for lock in held:
            lock.release()
        if isinstance(error, OSError):
            raise StoreError(
                f"the state folder {path.parent} cannot be used: {error.strerror}",
                hint="the service's user must be able to write there; is it mounted read-only, or is the disk full?",
            ) from None
        raise


def _refuse_open(path: Path) -> None:
    if path.stat().st_mode & 0o077:
        raise StoreError(
            f"the database {path} can be read by other users; it holds the secrets of the receivers",
            hint=f"run `chmod 600 {path}`",
        )


def _with_newest_schema(path: Path, wait_s: float) -> FileLock:
    """The schema lock, held shared, over a file with the newest schema."""
    lock = schema_lock(path)
    try:
        _wait_for(lock, path, wait_s, shared=True)
        while needs_migration(path):
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


__all__ = ["History", "Queries", "Store", "open_history"]
