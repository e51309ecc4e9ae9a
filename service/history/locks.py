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


def is_served(database: Path) -> bool:
    """Whether a service holds the file now, by proc_locks(5): who tried to take the lock could be in a service's way.
    False where that is not known."""
    try:
        found = database.with_name(database.name + ".serve.lock").stat()
        held = Path("/proc/locks").read_text()
    except OSError:
        return False
    where = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}"
    return any({"FLOCK", "WRITE", where} <= set(line.split()) for line in held.splitlines())


def schema_lock(database: Path) -> FileLock:
    """The lock that says who has the database open; not yet taken."""
    return FileLock(database.with_name(database.name + ".schema.lock"))
