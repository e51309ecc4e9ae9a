"""The words that a verb is called with: a reason in several of them, and one that is missing."""

from tests.hostside.scratch import ID, Scratch


def test_a_reason_may_be_several_words(applied: Scratch) -> None:
    assert applied.call("rollback", ID, "changed", "my", "mind")["cause"] == "asked: changed my mind"


def test_a_number_of_seconds_that_is_missing_is_no_number(applied: Scratch) -> None:
    assert "1 to 3600 seconds" in str(applied.call("extend", ID, code=2))
    assert applied.call("status", ID)["state"] == "applied"
