"""Progress of long work on stderr: one rewritten line on a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Callable

Say = Callable[[str], None]
"""What long work is given to tell where it is; one short line a call."""

QUIET_S = 2.0
EVERY_S = 5.0


def silent(_line: str) -> None:
    """Tell nobody."""


class Progress:
    """Says what is being done, once it has taken longer than two seconds.

    On a terminal the line is rewritten in place; in a log a line appears when the stage changes, at most one
    every five seconds for the same stage. Use as a context manager: the end is reported when anything was.
    """

    def __init__(self, title: str) -> None:
        self.title = title
        self._started = time.monotonic()
        self._last = self._started
        self._told = False
        self._tty = sys.stderr.isatty()

    def __call__(self, line: str) -> None:
        now = time.monotonic()
        if now - self._started < QUIET_S and not line.endswith("!"):
            return
        if not self._tty and self._told and now - self._last < EVERY_S and not line.endswith("!"):
            return
        self._last, self._told = now, True
        text = f"{self.title}: {line} ({now - self._started:.0f} s)"
        sys.stderr.write(f"\r\033[K{text[:110]}" if self._tty else f"{text}\n")
        sys.stderr.flush()

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._told:
            end = "done" if kind is None else "failed"
            lead = "\r\033[K" if self._tty else ""
            sys.stderr.write(f"{lead}{self.title}: {end} after {time.monotonic() - self._started:.1f} s\n")
