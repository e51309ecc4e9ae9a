"""A text that was read is not read again: what a file says depends on its bytes alone, whoever asks and how often.

    @read_once
    def parse(data: bytes, path: str = "") -> File: …

The reader is pure, its further arguments can be hashed, and what it returns is never changed. The last `KEPT_TEXTS`
texts of each reader are remembered, if they have up to `KEPT_BYTES`. Larger ones are read again each time, so that
hostile files do not take much memory.
"""

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Concatenate, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

KEPT_TEXTS = 64
KEPT_BYTES = 16 << 10

KEPT_WORDS = 4096
WORD_CHARS = 100

_memories: list[Callable[[], None]] = []


def read_once(read: Callable[Concatenate[bytes, P], T]) -> Callable[Concatenate[bytes, P], T]:
    """The same reader, with a memory."""
    remembered = lru_cache(KEPT_TEXTS)(read)
    _memories.append(remembered.cache_clear)

    @wraps(read)
    def once(data: bytes, /, *args: P.args, **kwargs: P.kwargs) -> T:
        if len(data) > KEPT_BYTES:
            return read(data, *args, **kwargs)
        return remembered(data, *args, **kwargs)  # type: ignore[arg-type]  # they can be hashed, as said above

    return once


def word_once(read: Callable[P, T]) -> Callable[P, T]:
    """The same for a reader of words, as addresses are: the last `KEPT_WORDS` of up to `WORD_CHARS` are remembered."""
    remembered = lru_cache(KEPT_WORDS)(read)
    _memories.append(remembered.cache_clear)

    @wraps(read)
    def once(*words: P.args, **named: P.kwargs) -> T:
        if named or sum(map(len, words)) > WORD_CHARS:  # type: ignore[arg-type]  # they are text, as said above
            return read(*words, **named)
        return remembered(*words)

    return once


def forget() -> None:
    """Read everything again from now on: for whoever measures what reading takes."""
    for clear in _memories:
        clear()
