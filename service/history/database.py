"""The two ways to use the database: `read` and `write`. How a connection is set up is `sqlite/engine.py`'s."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DatabaseError, IntegrityError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from service.errors import StoreError
from service.model.events import Happened

Listener = Callable[[Happened], None]
_TOLD = "told"
_FULL = "free some room on its disk, and the service continues on its own. For later, lower PASSERELLE_KEEP_MB"


class Changing(Protocol):
    """Who notices that anything was written to the database, by whichever process."""

    def count(self) -> int | None: ...

    def close(self) -> None: ...


class Database:
    """One open database. Safe to use from many threads: readers side by side, one writer at a time."""

    def __init__(self, engine: Engine, changes: Changing | None = None) -> None:
        self._engine = engine
        self._changes = changes
        self._listeners: list[Listener] = []
        self._writes = threading.Lock()

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """One transaction, committed at the end, rolled back on any error. StoreError if the database cannot be written
        now.
        """
        with self._writes, _in_our_words(), self._engine.connect() as connection:
            told: list[Happened] = []
            connection.info[_TOLD] = told
            with connection.begin():
                yield connection
        for event in told:
            for listener in self._listeners:
                listener(event)

    def tell_to(self, listener: Listener) -> None:
        """Tell a listener of every event that is written from now on, once it is on disk, in the thread that wrote."""
        self._listeners.append(listener)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """One consistent view. StoreError if the database cannot be read now."""
        with _in_our_words(), self._engine.connect() as plain:
            connection = plain.execution_options(reads=True)
            with connection.begin():
                yield connection

    @contextmanager
    def upkeep(self) -> Iterator[Connection]:
        """A transaction that changes no record, so that nobody waits for it. StoreError if there is no database now."""
        with _in_our_words(), self._engine.connect() as plain:
            connection = plain.execution_options(upkeep=True)
            with connection.begin():
                yield connection

    def state(self) -> int | None:
        """A number that is higher once anything was written to the database, by whoever; None where that is not known
        now. Never waits."""
        return self._changes.count() if self._changes is not None else None

    def close(self) -> None:
        """Close every connection."""
        if self._changes is not None:
            self._changes.close()
        self._engine.dispose()


def tell_after(connection: Connection, event: Happened) -> None:
    """Tell an event when the running transaction is committed, never if it is rolled back."""
    connection.info[_TOLD].append(event)


@contextmanager
def _in_our_words() -> Iterator[None]:
    try:
        yield
    except OperationalError as error:
        raise unavailable(error.orig) from error
    except PoolTimeout as error:
        raise unavailable(TimeoutError("too many wait for it")) from error
    except IntegrityError:
        raise
    except DatabaseError as error:
        if error.connection_invalidated:
            raise unavailable(error.orig) from error
        what = f"the database is damaged, or does not take what passerelle asks for: {error.orig}"
        raise StoreError(what, hint="restore a copy of it") from error


def unavailable(cause: BaseException | None) -> StoreError:
    """The StoreError for an error that may pass: locked, disk full, read-only, input/output error."""
    full = any(words in str(cause) for words in ("disk is full", "No space left on device"))
    return StoreError(f"the database cannot be used now: {cause}", hint=_FULL if full else "see `passerelle doctor`")
