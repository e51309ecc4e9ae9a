"""The log: the same error once, then counted."""

import io
import logging
from collections.abc import Iterator

import pytest

from service.logs import MOST_KEYS, Once


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


def test_it_does_not_grow_without_end(log: Log) -> None:
    for number in range(3 * MOST_KEYS):
        log.logger.warning("warning %d", number)
    assert len(log.handler._told) <= MOST_KEYS
