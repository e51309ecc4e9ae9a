"""The log: the same error once, then counted."""

import contextlib
import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from service.errors import InputError, StoreError
from service.history import open_history
from service.history.store.writing import tell
from service.logs import MOST_CHARACTERS, MOST_KEYS, JsonLines, Once, TextLines, about, fields, log_event, log_to
from service.model.events import ApplyFinished, TokenRevoked
from service.model.listings import EventListing
from tests.state_folders import made
from tests.test_events import NOW, everything


class Log:
    """A logger of its own with a clock that stands still."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.text = io.StringIO()
        self.logger = logging.Logger("test")
        self.handler = Once(logging.StreamHandler(self.text), now_s=lambda: self.now_s)
        self.logger.addHandler(self.handler)

    @property
    def lines(self) -> list[str]:
        return self.text.getvalue().splitlines()

    def fail(self, text: str, *args: object) -> None:
        try:
            raise OSError(24, "Too many open files")
        except OSError:
            self.logger.exception(text, *args)


@pytest.fixture
def log() -> Iterator[Log]:
    made = Log()
    yield made
    made.handler.close()


def test_the_same_traceback_is_written_once_and_then_counted(log: Log) -> None:
    for number in range(5_000):
        log.fail("request %s failed", number)
    assert sum("Traceback" in line for line in log.lines) == 1
    assert log.lines[0] == "request 0 failed"
    log.now_s += 61
    log.logger.info("something else")
    assert log.lines[-2:] == [
        "request 0 failed [the same 4,999 times more since it was last written]",
        "something else",
    ]


def test_what_goes_on_is_counted_once_a_minute(log: Log) -> None:
    for _ in range(10):
        for _ in range(100):
            log.logger.warning("no descriptor left")
        log.now_s += 61
    log.handler.flush()
    assert len(log.lines) == 11


def test_what_ended_is_written_anew_when_it_comes_back(log: Log) -> None:
    log.logger.warning("gone")
    log.now_s += 61
    log.logger.warning("gone")
    assert log.lines == ["gone", "gone"]


def test_different_errors_and_all_else_are_written_each(log: Log) -> None:
    for host in ("pve1", "pve2", "pve3"):
        log.logger.error("%s does not answer", host)
        log.logger.info("the same word")
    assert len(log.lines) == 6


def test_the_same_error_at_another_place_is_another_one(log: Log) -> None:
    log.fail("failed")
    try:
        raise OSError(24, "Too many open files")
    except OSError:
        log.logger.exception("failed")
    assert sum("Traceback" in line for line in log.lines) == 2


def test_what_was_counted_is_written_at_the_end(log: Log) -> None:
    for _ in range(3):
        log.logger.warning("again")
    log.handler.close()
    assert log.lines == ["again", "again [the same 2 times more since it was last written]"]


def test_the_count_has_no_fields_of_the_first_request() -> None:
    """The others were of other requests."""
    text = io.StringIO()
    plain = logging.StreamHandler(text)
    plain.setFormatter(TextLines(with_time=False))
    logger = logging.Logger("test")
    logger.addHandler(handler := Once(plain, now_s=lambda: 0.0))
    for number in range(3):
        with about(request=f"r{number}"):
            logger.warning("again", extra=fields(host="pve1"))
    handler.close()
    assert text.getvalue().splitlines() == [
        "WARNING test: again host=pve1 request=r0",
        "WARNING test: again [the same 2 times more since it was last written] host=pve1",
    ]


def test_it_does_not_grow_without_end(log: Log) -> None:
    for number in range(3 * MOST_KEYS):
        log.logger.warning("warning %d", number)
    assert len(log.handler._told) <= MOST_KEYS


HOSTILE = "\x1b[2J\nERROR fake: \u202eevil\x00"


def record(message: str, at_level: int = logging.INFO, **named: object) -> logging.LogRecord:
    made = logging.LogRecord("passerelle.events", at_level, __file__, 1, message, (), None)
    made.__dict__.update(fields(**named), created=1_772_366_400.125, msecs=125.0)
    return made


def test_a_line_of_text_has_its_fields_and_is_one_line_whatever_a_host_says() -> None:
    said = TextLines(with_time=True).format(
        record(
            f"pve1: apply Failed: {HOSTILE}", event="apply.finished", host="pve1", apply="01A", by=HOSTILE, items=["x"]
        )
    )
    assert said == (
        "2026-03-01T12:00:00Z INFO passerelle.events: pve1: apply Failed: "
        r"\x1b[2J\nERROR fake: \u202eevil\x00 event=apply.finished host=pve1 apply=01A "
        r'by="\u001b[2J\nERROR fake: \u202eevil\u0000"'
    )
    assert TextLines(with_time=False).format(record("x", host="", by='a "b"')) == (
        r'INFO passerelle.events: x by="a \"b\""'
    )


def test_a_value_cannot_pass_for_another_field() -> None:
    said = TextLines(with_time=False).format(record("x", by="ann host=pve9", path="/a=b"))
    assert said == 'INFO passerelle.events: x by="ann host=pve9" path="/a=b"'


def test_a_line_of_json_is_one_object() -> None:
    said = JsonLines().format(record(HOSTILE, logging.WARNING, host="pve1", items=["x"], level="fake", time="fake"))
    assert said.isascii()
    assert said.isprintable()
    assert json.loads(said) == {
        "time": "2026-03-01T12:00:00.125Z", "level": "warning", "logger": "passerelle.events", "message": HOSTILE,
        "host": "pve1", "items": ["x"],
    }  # fmt: skip


@pytest.mark.parametrize("form", [TextLines(with_time=False), JsonLines()], ids=["text", "json"])
def test_a_traceback_pretends_no_line_of_its_own(form: logging.Formatter) -> None:
    made = record("it failed", logging.ERROR)
    try:
        raise ValueError(HOSTILE)
    except ValueError as error:
        made.exc_info = (type(error), error, error.__traceback__)
    first, *rest = form.format(made).split("\n")
    assert "it failed" in first
    assert all(line.startswith("    ") and line.isprintable() for line in rest)
    assert "Traceback" in form.format(made)


def test_a_long_message_is_cut() -> None:
    for form in (TextLines(with_time=False), JsonLines()):
        assert len(form.format(record("x" * 100_000))) < 2 * MOST_CHARACTERS


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    """What the log of this process gets, as JSON."""
    text, root = io.StringIO(), logging.getLogger()
    before = (root.handlers[:], root.level)
    with contextlib.closing(log_to(text, form="json")):
        yield text
    root.handlers[:], root.level = before


def lines(text: io.StringIO) -> list[dict[str, Any]]:
    """Those of events; alembic writes some of its own."""
    return [said for line in text.getvalue().splitlines() if "event" in (said := json.loads(line))]


def test_two_applies_that_end_in_the_same_words_are_two_lines(written: io.StringIO) -> None:
    for apply_id in ("01A", "01B"):
        log_event(ApplyFinished(host="pve1", apply=apply_id, phase="RolledBack", cause="deadline", error="nobody came"))
    assert [(one["level"], one["event"], one["apply"], one["cause"]) for one in lines(written)] == [
        ("warning", "apply.finished", "01A", "deadline"), ("warning", "apply.finished", "01B", "deadline"),
    ]  # fmt: skip


def test_what_history_records_is_logged_once_it_is_on_disk(tmp_path: Path, written: io.StringIO) -> None:
    with open_history(made(tmp_path / "state" / "passerelle.sqlite")) as history:
        history.tell_to(log_event)
        everything(history)
        said = lines(written)
        silent = {"apply.reached", "apply.step", "lease.seen", "revision.refused"}
        told = history.queries.events(EventListing(limit=200)).items
        assert [one["event"] for one in said] == [one.type for one in told if one.type not in silent]
        with pytest.raises(InputError):
            history.store.create_token("no name", scopes=("read",), by="ann", at=NOW)
        with pytest.raises(StoreError), history.store._database.write() as connection:
            tell(connection, TokenRevoked(token="x", by="ann"), at=NOW)
            raise StoreError("the disk is full")
        assert lines(written) == said
    of_hosts = ("apply.suspended", "apply.resumed")
    of_apply = [one for one in said if one["event"].startswith("apply.") and one["event"] not in of_hosts]
    assert len(of_apply) == 4
    assert all(one["host"] == "pve1" and one["apply"] for one in of_apply)
