"""Lock files next to the database: who may serve it, and who may swap it for a migrated one.

`<name>.serve.lock`    held exclusively by the one running service
`<name>.schema.lock`   held shared by everyone who has the database open, exclusively by who swaps the file

Both are flock(2) locks: they go with the process, whatever ends it.
"""

import fcntl
import os
from pathlib import Path

from service.errors import StoreError


class FileLock:
    """A lock that is held from `take` until `release`. The file itself stays, empty but for the holder's pid."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = -1

    def take(self, *, shared: bool = False) -> bool:
        """Take the lock, or change an own one, without waiting. False: another process holds it."""
        if self._descriptor < 0:
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(self._descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def release(self) -> None:
        """Let go."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def serve_lock(database: Path) -> FileLock:
    """The lock of the one running service, taken. StoreError: another one runs."""
    lock = FileLock(database.with_name(database.name + ".serve.lock"))
    if not lock.take():
        lock.release()
        raise StoreError(
            f"another passerelle already serves {database}",
            hint="stop it first, or give this one another state directory",
        )
    return lock


def schema_lock(database: Path) -> FileLock:
    """The lock that says who has the database open; not yet taken."""
    return FileLock(database.with_name(database.name + ".schema.lock"))
