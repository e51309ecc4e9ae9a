"""Pages that were made, for as long as what they show is the same.

A page is given again only in the very state of the database in which it was made, and to a session that sees the same.
After `LIFE_S` seconds it is made again: what follows from the clock alone, as what is stale, is so much late at most.
"""

from collections import OrderedDict
from dataclasses import dataclass
from typing import NamedTuple

from starlette.responses import Response, StreamingResponse

LIFE_S = 5.0
MOST_BYTES = 16 << 20
"""So much all kept pages hold; of more, the one that was used longest ago goes."""


class Key(NamedTuple):
    """All that a page depends on but the data: the address, who looks, the form token of the session, light or dark."""

    address: str
    principal: object
    csrf: str
    theme: str


@dataclass(frozen=True, slots=True)
class _Kept:
    state: int
    until_s: float
    answer: Response


class KeptPages:
    """Used from one thread (the event loop's)."""

    def __init__(self, *, most_bytes: int = MOST_BYTES) -> None:
        self._kept: OrderedDict[Key, _Kept] = OrderedDict()
        self._bytes = 0
        self._most_bytes = most_bytes

    def find(self, key: Key, state: int | None, now_s: float) -> Response | None:
        """The page as it was made, None where it has to be made again."""
        one = self._kept.get(key)
        if one is None or state is None or one.state != state or one.until_s <= now_s:
            return None
        self._kept.move_to_end(key)
        return one.answer

    def keep(self, key: Key, state: int | None, now_s: float, answer: Response) -> None:
        """Keep a page that was made in this state: the state of before the first read for it."""
        if isinstance(answer, StreamingResponse):
            return
        size = len(answer.body)
        if state is None or answer.status_code != 200 or size > self._most_bytes:
            return
        self._drop(key)
        self._kept[key] = _Kept(state, now_s + LIFE_S, answer)
        self._bytes += size
        while self._bytes > self._most_bytes:
            self._drop(next(iter(self._kept)))

    def clear(self) -> None:
        """Keep nothing: somebody changed something that may not be in the database yet."""
        self._kept.clear()
        self._bytes = 0

    def _drop(self, key: Key) -> None:
        gone = self._kept.pop(key, None)
        if gone is not None:
            self._bytes -= len(gone.answer.body)
