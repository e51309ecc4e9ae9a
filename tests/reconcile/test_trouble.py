"""The same failure again is counted, said once an hour, and its end is reported once."""

import logging

import pytest

from service.errors import StoreError
from service.reconcile.trouble import REMIND_S, Troubles, kind_of, sentence
from tests.reconcile.clocks import StoppedClock


def broken(words: str = "no such key") -> KeyError:
    """An error that nobody expected, with the place where it was raised."""
    try:
        raise KeyError(words)
    except KeyError as error:
        return error


def said(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str, bool]]:
    """What was logged since the last look: level, words, and whether with a traceback."""
    found = [(one.levelname, one.getMessage(), bool(one.exc_info)) for one in caplog.records]
    caplog.clear()
    return found


def test_once_an_hour_it_is_said_how_often(caplog: pytest.LogCaptureFixture) -> None:
    clock, counted = StoppedClock(), list[str]()
    troubles = Troubles(clock, counted.append)
    what = troubles.failed("round", "pve1", broken())
    assert said(caplog) == [("ERROR", f"the round of pve1 failed: {what}", True)]
    for times, passed_s in enumerate((1.0, REMIND_S - 2.0), start=2):
        clock.move(passed_s)
        troubles.failed("round", "pve1", broken())
        assert (said(caplog), len(counted)) == ([], times)
    again = "the round of pve1 failed {} times now, each time the same: " + what
    clock.move(1.0)
    troubles.failed("round", "pve1", broken())
    assert said(caplog) == [("ERROR", again.format(4), False)]
    clock.move(REMIND_S - 1.0)
    troubles.failed("round", "pve1", broken())
    assert said(caplog) == []
    clock.move(1.0)
    troubles.failed("round", "pve1", broken())
    assert said(caplog) == [("ERROR", again.format(6), False)]
    assert counted == ["round"] * 6


@pytest.mark.parametrize(("times", "words"), [(1, "1 failure"), (3, "3 failures")])
def test_its_end_is_said_once(times: int, words: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    troubles = Troubles(StoppedClock())
    for _ in range(times):
        troubles.failed("round", "pve1", broken())
    said(caplog)
    troubles.well("round", "pve2")
    troubles.well("round", "pve1")
    troubles.well("round", "pve1")
    assert said(caplog) == [("INFO", f"the round of pve1 works again after {words}", False)]


def test_news_is_another_kind_another_place_or_another_host(caplog: pytest.LogCaptureFixture) -> None:
    troubles = Troubles(StoppedClock())
    assert troubles.is_news("round", "pve1", broken())
    troubles.failed("round", "pve1", broken())
    assert not troubles.is_news("round", "pve1", broken("other words"))
    assert troubles.is_news("round", "pve2", broken())
    assert troubles.is_news("record", "pve1", broken())
    assert troubles.is_news("round", "pve1", StoreError("the disk is full"))
    said(caplog)
    troubles.failed("round", "pve1", StoreError("the disk is full"))
    ((level, words, traced),) = said(caplog)
    assert (level, traced) == ("ERROR", False), "what is expected needs no traceback"
    assert "the disk is full" in words
    assert not troubles.is_news("round", "pve1", StoreError("the disk is full"))
    troubles.well("round", "pve1")
    assert troubles.is_news("round", "pve1", StoreError("the disk is full"))


def test_a_sentence_has_the_place_and_no_words_of_a_library() -> None:
    assert "(KeyError at test_trouble.py:" in sentence(broken())
    assert "no such key" in sentence(broken())

    class OfALibrary(Exception):  # noqa: N818
        pass

    told = sentence(OfALibrary("a password that it was given"))
    assert "password" not in told
    assert "OfALibrary at an unknown place" in told
    assert kind_of(OfALibrary("x")) == kind_of(OfALibrary("y"))
