"""Who is at work on what was claimed. Whatever ends the process ends its claims: nobody has to clean up after it.

    claims.begin("a key")     False where somebody is at work on it, in this process or another one
    claims.end("a key")       nobody is any more

Where one process serves alone they are `OwnClaims`. Of several, each holds a lock of the server for every claim:
`service.history.postgres.place.Place`.
"""

import threading
from typing import Protocol


class Claims(Protocol):
    """Both block. StoreError where the server is away."""

    def begin(self, name: str) -> bool: ...

    def end(self, name: str) -> None: ...


class OwnClaims:
    """The claims of the one process that serves."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._names: set[str] = set()

    def begin(self, name: str) -> bool:
        """Whether it was free; now it is held."""
        with self._guard:
            is_free = name not in self._names
            self._names.add(name)
            return is_free

    def end(self, name: str) -> None:
        """It is free again."""
        with self._guard:
            self._names.discard(name)
