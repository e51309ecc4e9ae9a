"""Which events people are informed of, and when."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.model.notices import FAULTS, FLAP_S, WELL, Notice, NoticeStanding, judge
from service.model.runs import Event
from service.model.states import Json

START = datetime(2026, 1, 1, tzinfo=UTC)
HOLD_S = 30.0


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def state(number: int, seconds: float, reachability: str = "Reachable", host: str = "pve1", **axes: str) -> Event:
    detail: dict[str, Json] = {"sync": "Synced", "reason": "", "health": "Healthy", "reachability": reachability}
    return Event(number, at(seconds), "host.state", host, f"{host} is {reachability}", {**detail, **axes})


def apply_ended(number: int, seconds: float, phase: str) -> Event:
    return Event(number, at(seconds), "apply.finished", "pve1", f"apply {phase}", {"phase": phase})


def told(events: Sequence[Event], now_s: float, standing: NoticeStanding | None = None) -> list[Notice]:
    """Every notice that is sent until a time, each as soon as it is due."""
    standing, found = standing or NoticeStanding(), []
    for moment_s in sorted({now_s, *((one.at - START).total_seconds() + HOLD_S for one in events)}):
        if moment_s > now_s:
            break
        while True:
            there = [one for one in events if one.id > standing.after and one.at <= at(moment_s)]
            judged = judge(there, standing, at(moment_s), hold_s=HOLD_S)
            standing = judged.before if judged.notice is None else judged.then
            if judged.notice is None:
                break
            found.append(judged.notice)
    assert standing.sent == len(found)
    return found


def words(found: Sequence[Notice]) -> list[tuple[str, str]]:
    return [(one.was, one.now) for one in found]


def test_a_host_that_goes_away_and_comes_back_is_two_notices() -> None:
    events = [state(1, 0, "Unreachable"), state(2, 100, "Unreachable", health="Degraded"), state(3, 200)]
    assert words(told(events, 1000)) == [(WELL, "Unreachable"), ("Unreachable", WELL)]
    assert words(told(events, 29)) == []
    assert words(told(events, 30)) == [(WELL, "Unreachable")]


def test_what_is_over_before_it_lasted_is_no_notice() -> None:
    assert told([state(1, 0, "Unreachable"), state(2, 20)], 1000) == []


def test_one_that_keeps_changing_is_reported_once_in_ten_minutes() -> None:
    events = [state(n, n * 10, "Unreachable" if n % 2 else "Reachable") for n in range(1, 200)]
    found = told(events, 5000)
    assert 2 <= len(found) <= 2000 / FLAP_S + 2
    assert found[0].keeps_changing
    assert (found[0].at - START).total_seconds() >= FLAP_S
    assert found[-1].now == "Unreachable", "at last it stays so"
    assert not found[-1].keeps_changing or len(found) > 1


@pytest.mark.parametrize(
    ("axes", "word"),
    [
        ({"reachability": "HostKeyChanged"}, "HostKeyChanged"),
        ({"reachability": "AuthFailed", "sync": "Unknown"}, "AuthFailed"),
        ({"sync": "OutOfSync", "reason": "Drifted"}, "Drifted"),
        ({"health": "Degraded"}, "Degraded"),
    ],
)
def test_each_state_that_is_not_well_is_reported(axes: dict[str, str], word: str) -> None:
    assert words(told([state(1, 0, **axes)], 100)) == [(WELL, word)]


@pytest.mark.parametrize(
    "axes",
    [
        {"sync": "OutOfSync", "reason": "PendingChange"},
        {"reachability": "Unknown"},
        {"sync": "Unknown"},
        {"reachability": "Unreachable", "reason": "Orphaned"},
    ],
)
def test_what_is_not_known_or_not_wrong_is_not_reported(axes: dict[str, str]) -> None:
    assert told([state(1, 0, **axes)], 100) == []


def test_what_is_not_known_meanwhile_is_no_return() -> None:
    events = [state(1, 0, "Unreachable"), state(2, 100, "Unknown"), state(3, 200, "Unreachable")]
    assert words(told(events, 1000)) == [(WELL, "Unreachable")]


def test_each_fault_is_reported_at_once_and_alone() -> None:
    events = [apply_ended(1, 0, "RolledBack"), apply_ended(2, 1, "Succeeded"), apply_ended(3, 2, "RollbackFailed")]
    assert [one.event for one in told(events, 3)] == [1, 3]
    assert {"host.quarantined", "drill.failed", "certificate.renewal-failed"} <= FAULTS


def test_the_source_has_a_state_too() -> None:
    events = [Event(1, at(0), "source.trouble", "", "gone"), Event(2, at(90), "source.well", "", "well")]
    assert words(told(events, 1000)) == [(WELL, "not-followed"), ("not-followed", WELL)]


def test_what_is_older_than_a_day_is_dropped_and_counted() -> None:
    judged = judge([apply_ended(1, 0, "Failed")], NoticeStanding(), at(86_401), hold_s=HOLD_S)
    assert (judged.notice, judged.before.dropped, judged.before.after) == (None, 1, 1)


MOVES = st.lists(
    st.tuples(st.sampled_from(["pve1", "pve2"]), st.sampled_from(["Reachable", "Unreachable"]), st.integers(0, 90)),
    max_size=30,
)


@given(MOVES)
def test_the_last_notice_of_a_host_is_the_state_that_it_has(moves: list[tuple[str, str, int]]) -> None:
    seconds, events = 0, []
    for number, (host, reachability, later_s) in enumerate(moves, 1):
        seconds += later_s
        events.append(state(number, seconds, reachability, host))
    found = told(events, seconds + 100)
    for host in ("pve1", "pve2"):
        mine = [one for one in found if one.host == host]
        is_away = [reachability == "Unreachable" for name, reachability, _ in moves if name == host][-1:] == [True]
        assert (mine[-1].now if mine else WELL) == ("Unreachable" if is_away else WELL)
        assert all(one.was != one.now for one in mine)
        assert [one.was for one in mine] == [WELL, *[one.now for one in mine]][: len(mine)]
