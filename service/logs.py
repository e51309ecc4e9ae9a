"""What the service writes to its log: lines for people, on standard error.

The same error again and again is written once, and after a minute once more with a count: a fault that comes back a
thousand times a second must not fill the disk, nor hide everything else. Two errors are the same when they have the
same logger and text, or where there is a traceback the same template, kind of error and place in the code.
"""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TextIO

from service.clock import SystemClock

EVERY_S = 60.0
MOST_KEYS = 1_000
FORMAT = "%(levelname)s %(name)s: %(message)s"

Key = tuple[object, ...]


@dataclass(slots=True)
class _Told:
    """An error that was written, and how often it came again since."""

    first: logging.LogRecord
    at_s: float
    again: int = 0
    keys: list[Key] = field(default_factory=list)


class Once(logging.Handler):
    """Hands records on to another handler; warnings and errors that repeat only once a minute, with their count."""

    def __init__(self, to: logging.Handler, *, every_s: float = EVERY_S, now_s: Callable[[], float]) -> None:
        super().__init__()
        self._to = to
        self._every_s = every_s
        self._now_s = now_s
        self._told: dict[Key, _Told] = {}
        self._timer: threading.Timer | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Called by logging with the handler's lock held."""
        self._tell_due()
        if record.levelno < logging.WARNING:
            self._to.handle(record)
            return
        key = key_of(record)
        told = self._told.get(key)
        if told is not None:
            told.again += 1
            self._wake()
            return
        if len(self._told) >= MOST_KEYS:
            self._told.pop(next(iter(self._told)))
        self._told[key] = _Told(record, self._now_s())
        self._to.handle(record)

    def flush(self) -> None:
        """Write the counts that are due, and what the other handler holds."""
        self.acquire()
        try:
            self._tell_due()
        finally:
            self.release()
        self._to.flush()

    def close(self) -> None:
        """Write every count that is left."""
        self.acquire()
        try:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            for told in self._told.values():
                self._tell_count(told)
            self._told.clear()
        finally:
            self.release()
        super().close()

    def _tell_due(self) -> None:
        now_s = self._now_s()
        for key, told in list(self._told.items()):
            if now_s - told.at_s < self._every_s:
                break  # they stand in the order of their times
            del self._told[key]
            self._tell_count(told)
            if told.again:  # it goes on: the next one only counts again
                self._told[key] = _Told(told.first, now_s)

    def _tell_count(self, told: _Told) -> None:
        if not told.again:
            return
        times = f"{told.again:,} time{'s' * (told.again > 1)}"
        text = f"{told.first.getMessage()} [the same {times} more since it was last written]"
        self._to.handle(logging.makeLogRecord({"name": told.first.name, "levelno": told.first.levelno,
                                               "levelname": told.first.levelname, "msg": text}))  # fmt: skip

    def _wake(self) -> None:
        """See to it that the count is written although nothing else is logged."""
        if self._timer is None or not self._timer.is_alive():
            self._timer = threading.Timer(self._every_s, self.flush)
            self._timer.daemon = True
            self._timer.start()


def key_of(record: logging.LogRecord) -> Key:
    """What makes two records the same error."""
    if not record.exc_info or record.exc_info[0] is None:
        return (record.name, record.levelno, record.getMessage())
    kind, _, trace = record.exc_info
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = (trace.tb_frame.f_code.co_filename, trace.tb_lineno) if trace is not None else ()
    return (record.name, record.levelno, str(record.msg), kind, *place)


def log_to(stream: TextIO | None = None) -> Once:
    """Write the log of this process to `stream`, standard error if none is given. Close what it returns at the end."""
    plain = logging.StreamHandler(stream)
    plain.setFormatter(logging.Formatter(FORMAT))
    handler = Once(plain, now_s=SystemClock().monotonic_s)
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.getLogger("asyncssh").setLevel(logging.WARNING)
    return handler
