"""ULIDs: ids that sort by the time they were made (github.com/ulid/spec): 48 bits of milliseconds, 80 random bits."""

import secrets
import threading
from datetime import datetime

from service.history.columns import microseconds

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


class Ulids:
    """Makes ids that never repeat and never run backwards within one process."""

    def __init__(self) -> None:
        self._last = 0
        self._lock = threading.Lock()

    def new(self, at: datetime) -> str:
        """26 characters of Crockford's base 32."""
        fresh = (microseconds(at) // 1000 << 80) | secrets.randbits(80)
        with self._lock:
            self._last = fresh if fresh > self._last else self._last + 1
            value = self._last
        return _text(value)


def first_at(at: datetime) -> str:
    """What sorts before every id made at this time or later."""
    return _text(microseconds(at) // 1000 << 80)


def _text(value: int) -> str:
    return "".join(_ALPHABET[value >> shift & 31] for shift in range(125, -1, -5))
