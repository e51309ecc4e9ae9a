"""An open database, and how it is opened: in a file or on a PostgreSQL server."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from service.errors import InputError, StoreError
from service.history.database import Database, Listener
from service.history.opening import SCHEMA_WAIT_S, Lock, ear_at, open_file, open_on_server, server_at
from service.history.pepper import read_pepper
from service.history.queries import Queries
from service.history.sizes import sizes
from service.history.sqlite.changes import Changes
from service.history.sqlite.file import CleanEnd
from service.history.store import Store
from service.model.retention import Sizes
from service.model.secret import Secret

if TYPE_CHECKING:
    from service.history.postgres.place import Ear, Place

PEPPER_FILE = "token.pepper"
TOGETHER = "name one in PASSERELLE_DATABASE_URL, or serve with --role all"


@dataclass(frozen=True, slots=True)
class History:
    """An open database."""

    path: Path
    store: Store
    queries: Queries
    _database: Database
    _locks: tuple[Lock, ...]
    place: "Place | None" = None
    """What this process holds among several that serve the same database; None where it serves alone."""

    def tell_to(self, listener: Listener) -> None:
        """Tell a listener of every event that is written here from now on, once it is on disk. It must be quick."""
        self._database.tell_to(listener)

    def sizes(self, at: datetime) -> Sizes:
        """How large each table is, and how fast it grew in the week before `at`. Reads the whole file. StoreError."""
        return sizes(self._database, at)

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


def open_history(
    path: Path, *, serve: bool = False, wait_s: float = SCHEMA_WAIT_S, url: Secret | None = None,
    together: bool = False, migrates: bool = True,
) -> History:  # fmt: skip
    """Open the database at `path`; make it if there is none, and bring it to the newest schema.

    With `serve` it is held for one service: StoreError if another one runs. Without it, the database is used while the
    service runs. StoreError too if the file is damaged, belongs to another program, or is newer than this program. The
    folder is made with mode 0700, and holds the pepper of the tokens. `wait_s` is how long it waits for others to close
    a file that has to be brought to a newer schema.

    With `url` it is the database on that PostgreSQL server instead, under the same rules. StoreError too if the server
    is away; InputError for an address that is not valid. With `together`, too, it is served by several processes.
    Without `migrates`, one of an earlier version is left as it is: StoreError.
    """
    server = None if url is None else server_at(url)
    if together and server is None:
        raise InputError("several processes serve a database on a PostgreSQL server only", hint=TOGETHER)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(
            f"the state folder {path.parent} cannot be made: {error.strerror}",
            hint="run as the service's user, or give another folder in PASSERELLE_STATE_DIR",
        ) from None
    held: list[Lock] = []
    try:
        place: Place | None = None
        if server is None:
            opened = open_file(path, serve, wait_s, held, migrates=migrates)
        else:
            opened, place = open_on_server(server, serve, wait_s, held, together=together, migrates=migrates)
        pepper = read_pepper(path.parent / PEPPER_FILE)
        database = Database(opened, Changes(path) if serve and server is None else None)
        ends = [CleanEnd(path)] if serve and server is None else []
        store = Store(database, pepper, place)
        store.is_command = not serve
        return History(path, store, Queries(database, pepper), database, (*ends, *held), place)
    except BaseException as error:
        for lock in held:
            lock.release()
        if isinstance(error, OSError):
            raise StoreError(
                f"the state folder {path.parent} cannot be used: {error.strerror}",
                hint="the service's user must be able to write there; is it mounted read-only, or is the disk full?",
            ) from None
        raise


def listen(url: Secret) -> "Ear":
    """What the processes that serve one database tell each other. InputError for an address that is not valid."""
    return ear_at(url)
