"""What a host's journal says, as the loop and people take it."""

from typing import Any

import pytest

from service.apply.document import OVERDUE_S, ended, fence, overdue
from service.apply.drilling import LATE_S, judged, why_not


@pytest.mark.parametrize(
    ("journal", "cause", "error"),
    [
        ({"cause": "deadline"}, "deadline", "nobody confirmed before the deadline, so the host rolled back"),
        ({"cause": "asked"}, "asked", "somebody requested the rollback"),
        ({"cause": "asked: changed my mind"}, "asked", "somebody requested the rollback: changed my mind"),
        (
            {"cause": "asked: probe lost: dns 10.0.0.1: no answer; ssh: \x1b[31mno"},
            "probe lost",
            "something that has to answer after the change did not, so the host rolled back: "
            "dns 10.0.0.1: no answer; ssh:  [31mno",
        ),
        ({"cause": "made up"}, "made up", "made up"),
    ],
)
def test_why_a_change_was_undone_is_a_fixed_word_and_a_sentence(
    journal: dict[str, Any], cause: str, error: str
) -> None:
    found = ended({"state": "rolled_back", **journal})
    assert found is not None
    assert (found.ending, found.cause, found.error) == ("rolled_back", cause, error)


def test_a_rollback_that_failed_says_what_stood_in_its_way() -> None:
    found = ended({"state": "rollback_failed", "cause": "deadline", "rollback_error": "/etc/x is a directory"})
    assert found is not None
    assert found.error.endswith(": the rollback failed: /etc/x is a directory")


@pytest.mark.parametrize(("verified", "is_verified"), [(True, True), (False, False), (None, None), ("yes", None)])
def test_whether_the_old_state_was_compared_is_told(verified: object, is_verified: bool | None) -> None:
    found = ended({"state": "rolled_back", "verified_old": verified})
    assert found is not None
    assert found.is_verified is is_verified


def status(now_s: object = 100.0, deadline_s: object = 50.0, state: str = "applied") -> dict[str, Any]:
    journals = [{"id": "01B", "state": "confirmed"}, {"id": "01A", "state": state, "deadline_boottime_s": deadline_s}]
    return {"armed": "01A", "boottime_s": now_s, "journals": journals}


@pytest.mark.parametrize(
    ("answer", "late"),
    [
        (status(), "01A"),
        (status(now_s=50.0 + OVERDUE_S), ""),
        (status(deadline_s=200.0), ""),
        (status(state="rollback_failed"), ""),
        (status() | {"armed": None}, ""),
        (status() | {"armed": "01B"}, ""),
        (status(deadline_s=None), ""),
        (status(now_s="soon"), ""),
        ({"journals": ["garbage", None]}, ""),
        ({}, ""),
    ],
)
def test_what_should_have_been_undone_long_ago_is_found(answer: dict[str, Any], late: str) -> None:
    assert overdue(answer) == late
    assert fence(answer).generation == 0


UNDONE = {
    "state": "rolled_back", "verified_old": True, "deadline_boottime_s": 100.0,
    "restore_began": {"verb": "watch", "boottime_s": 100.2}, "woke": {"watch": 100.1, "expire": 100.2},
}  # fmt: skip


@pytest.mark.parametrize(
    ("journal", "missing", "said"),
    [
        (UNDONE, set(), "it came 0.1 s after the deadline and rolled the change back"),
        ({**UNDONE, "restore_began": None}, set(), "it came 0.2 s after the deadline"),
        ({**UNDONE, "woke": {"watch": 100.1}}, {"timer fired"}, "does not say that it came"),
        ({**UNDONE, "woke": {"expire": 100.1}}, {"watcher fired"}, "does not say that it came"),
        ({**UNDONE, "woke": {"watch": 100.1, "expire": 101.0 + LATE_S}}, {"timer fired"}, "4.0 s after"),
        ({**UNDONE, "woke": {"watch": 99.0, "expire": 100.0}}, {"watcher fired"}, "-1.0 s after"),
        ({**UNDONE, "woke": None}, {"watcher fired", "timer fired"}, "does not say that it came"),
        ({**UNDONE, "woke": "both"}, {"watcher fired", "timer fired"}, "does not say that it came"),
        ({**UNDONE, "verified_old": None}, {"rollback"}, "the transaction is rolled_back"),
        ({**UNDONE, "state": "confirmed"}, {"rollback"}, "the transaction is confirmed"),
        ({**UNDONE, "state": "rollback_failed", "rollback_error": "no room"}, {"rollback"}, "rollback_failed: no room"),
        ({}, {"rollback"}, "its end is not known"),
    ],
)
def test_a_drill_is_judged_by_the_journal(journal: dict[str, Any], missing: set[str], said: str) -> None:
    proofs = judged(journal)
    assert {proof.name for proof in proofs if not proof.ok} == missing
    assert said in " ".join(proof.told for proof in proofs)


def test_why_a_drill_was_not_armed_is_said_in_words() -> None:
    told = why_not({"state": "refused", "reason": "armed", "error": "transaction 01A is armed"})
    assert told == "another transaction is armed on this host: transaction 01A is armed"
