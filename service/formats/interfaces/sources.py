"""Which files a `source` line takes."""

import re
from collections.abc import Mapping
from fnmatch import translate

MAX_SOURCED_FILES = 256


def sourced(pattern: str, paths: Mapping[str, bytes] | tuple[str, ...]) -> tuple[str, ...]:
    """The paths that a `source` line takes, sorted. A name with a leading dot needs one in the pattern (glob(7))."""
    parts = pattern.split("/")
    matchers = [re.compile(translate(part)) for part in parts]

    def takes(path: str) -> bool:
        pieces = path.split("/")
        return len(pieces) == len(parts) and all(
            matcher.fullmatch(piece) is not None and (part.startswith(".") or not piece.startswith("."))
            for part, matcher, piece in zip(parts, matchers, pieces, strict=True)
        )

    return tuple(sorted(path for path in paths if takes(path)))
