"""Whether anything was written to a file since, by whichever process."""

import sqlite3
import threading
from pathlib import Path


class Changes:
    """A connection that only asks for `PRAGMA data_version`, which other connections change when they commit."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
        self._asking = threading.Lock()
        self._version = -1
        self._count = 0

    def count(self) -> int | None:
        """How many times it was seen to have changed. None where somebody holds the file right now. Never waits."""
        with self._asking:
            try:
                version = self._connection.execute("PRAGMA data_version").fetchone()[0]
            except sqlite3.Error:
                return None
            if version != self._version:
                self._version = version
                self._count += 1
            return self._count

    def close(self) -> None:
        """Close the connection."""
        with self._asking:
            self._connection.close()
