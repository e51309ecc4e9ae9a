"""What the service writes to its log, on standard error: one line for each thing that happened, as text or JSON.

    log.warning("cannot read %s", name, extra=fields(host="pve1"))     a line with its fields
    log_event(event)                                                  what history recorded, with host and apply id
    with about(request="4f2a91c0de"): …                               all lines from here on have this field, too
    2026-11-29T13:40:02Z INFO passerelle.events: pve1: apply Succeeded event=apply.finished host=pve1 apply=01…
    {"time": "2026-11-29T13:40:02.125Z", "level": "info", "logger": "passerelle.events", "message": …, "host": "pve1"}

What hosts, repositories and people wrote cannot end a line or move a cursor: it is escaped.

A repeated error is written once, and after a minute once more with a count. A fault that comes back a thousand times a
second must not fill the disk, nor hide everything else. Two errors are the same when they have the same logger and
text, or where there is a traceback the same template, kind of error and place in the code.
"""

import json
import logging
import os
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, TextIO

from service.clock import SystemClock
from service.model.events import Happened

Form = Literal["text", "json"]
EVERY_S = 60.0
MOST_KEYS = 1_000
MOST_CHARACTERS = 4_000
"""Of one message. Nothing that is longer is read as a line."""
_PLAIN = re.compile(r"[!#-<>-\[\]-~]+")
"""A value that needs no quotes in a line of text: no space, quote, equals sign or backslash."""
_EVENTS = logging.getLogger("passerelle.events")
_ABOUT: ContextVar[Mapping[str, Any]] = ContextVar("about", default=MappingProxyType({}))

Key = tuple[object, ...]


@dataclass(slots=True)
class _Told:
    """An error that was written, and how often it came again since."""

    first: logging.LogRecord
    own: Mapping[str, Any]
    """Its fields without those that were around it: the later ones were of other requests."""
    at_s: float
    again: int = 0
    keys: list[Key] = field(default_factory=list)


def fields(**named: Any) -> dict[str, Any]:
    """The `extra` of a line: what it is about, by name."""
    return {"fields": named}


@contextmanager
def about(**named: Any) -> Iterator[None]:
    """All that this task or thread logs until the end has these fields, too; also threads and tasks that it begins."""
    before = _ABOUT.set({**_ABOUT.get(), **named})
    try:
        yield
    finally:
        _ABOUT.reset(before)


def note(**named: Any) -> None:
    """The same from now on, until the end of the `about` around it."""
    _ABOUT.set({**_ABOUT.get(), **named})


def noted(name: str) -> str:
    """What this task or thread is about; empty where that was not noted."""
    return str(_ABOUT.get().get(name, ""))


def fields_of(record: logging.LogRecord) -> Mapping[str, Any]:
    """What a line is about."""
    found = getattr(record, "fields", {})
    return found if isinstance(found, Mapping) else {}


def log_event(event: Happened) -> None:
    """Write what happened, if the log does not say it in another way."""
    if event.weighs == "silent":
        return
    level = logging.WARNING if event.weighs == "trouble" else logging.INFO
    named = {"event": event.name, **({"host": event.host} if event.host else {}), **event.detail}
    _EVENTS.log(level, "%s", event.text, extra=fields(**named))


def escaped(text: str) -> str:
    """Text in one line that no terminal obeys: what is not printable as Python writes it."""
    cut = text if len(text) <= MOST_CHARACTERS else text[:MOST_CHARACTERS] + "…"
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in cut)


class TextLines(logging.Formatter):
    """Lines for people: time (not where the journal has it), level, logger, message, fields. A traceback is in."""

    def __init__(self, *, with_time: bool) -> None:
        super().__init__()
        self._with_time = with_time

    def format(self, record: logging.LogRecord) -> str:
        """One line, and one for each of a traceback."""
        at = f"{_moment(record, '%Y-%m-%dT%H:%M:%SZ')} " if self._with_time else ""
        named = "".join(f" {name}={_value(value)}" for name, value in fields_of(record).items() if _is_one(value))
        line = f"{at}{record.levelname} {record.name}: {escaped(record.getMessage())}{named}"
        if record.exc_info:
            line += "".join(f"\n    {escaped(one)}" for one in self.formatException(record.exc_info).splitlines())
        return line


class JsonLines(logging.Formatter):
    """One JSON object in one line, in ASCII: time, level, logger, message, the fields, and a traceback as one text."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        said: dict[str, Any] = {
            "time": f"{_moment(record, '%Y-%m-%dT%H:%M:%S')}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage()[:MOST_CHARACTERS],
        }
        if record.exc_info:
            said["traceback"] = self.formatException(record.exc_info)
        return json.dumps(said | {k: v for k, v in fields_of(record).items() if k not in said}, default=str)


def _moment(record: logging.LogRecord, form: str) -> str:
    return time.strftime(form, time.gmtime(record.created))


def _is_one(value: object) -> bool:
    """Whether a value fits into a line: lists and objects are for programs."""
    return isinstance(value, str | int | float) and value != ""


def _value(value: object) -> str:
    text = str(value)
    return text if _PLAIN.fullmatch(text) else escaped(json.dumps(text, ensure_ascii=False))


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
        """Called by logging with the handler's lock held, in the thread that logs."""
        self._tell_due()
        own = fields_of(record)
        if around := _ABOUT.get():
            record.__dict__["fields"] = {**own, **{name: value for name, value in around.items() if name not in own}}
        if record.levelno < logging.WARNING or "event" in fields_of(record):
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
        self._told[key] = _Told(record, own, self._now_s())
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
                break  # they are in the order of their times
            del self._told[key]
            self._tell_count(told)
            if told.again:  # it continues: the next one only counts again
                self._told[key] = _Told(told.first, told.own, now_s)

    def _tell_count(self, told: _Told) -> None:
        if not told.again:
            return
        times = f"{told.again:,} time{'s' * (told.again > 1)}"
        text = f"{told.first.getMessage()} [the same {times} more since it was last written]"
        self._to.handle(logging.makeLogRecord({"name": told.first.name, "levelno": told.first.levelno,
                                               "levelname": told.first.levelname, "msg": text,
                                               "fields": told.own}))  # fmt: skip

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


def log_to(stream: TextIO | None = None, *, form: Form = "text") -> Once:
    """Write the log of this process to `stream`, standard error if none is given. Close what it returns at the end."""
    plain = logging.StreamHandler(stream)
    plain.setFormatter(JsonLines() if form == "json" else TextLines(with_time="JOURNAL_STREAM" not in os.environ))
    handler = Once(plain, now_s=SystemClock().monotonic_s)
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    for name in ("asyncssh", "alembic.runtime.plugins"):
        logging.getLogger(name).setLevel(logging.WARNING)
    return handler
