"""May an apply begin on this host now: the pure function, and the suspensions that it judges by."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.model.suspensions import Scope, Suspension, of_host
from service.reconcile.gate import Begin, may_begin
from service.stop_file import NAME, stop_reason

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
LABELS = {"site": "paris"}


def held(scope: Scope = "host", target: str = "pve1", minutes: int | None = 60, **more: str) -> Suspension:
    until = None if minutes is None else NOW + timedelta(minutes=minutes)
    return Suspension(1, scope, target, "the switch is replaced", "ann", NOW, until, held_digest=more.get("digest", ""))


def asked(*suspensions: Suspension, **more: str) -> Begin:
    return Begin("pve1", NOW, LABELS, more.get("wanted", ""), more.get("stop", ""), suspensions)


def test_it_begins_where_nothing_is_in_force() -> None:
    assert may_begin(asked()) is None


@pytest.mark.parametrize(
    ("suspension", "why"),
    [
        (held(), "suspended by ann until 2026-03-01 13:00 UTC: the switch is replaced"),
        (held(minutes=None), "suspended by ann until somebody resumes: the switch is replaced"),
        (
            held("label", "site=paris"),
            "suspended by ann (hosts with site=paris) until 2026-03-01 13:00 UTC: the switch is replaced",
        ),
        (held("all", ""), "suspended by ann (all hosts) until 2026-03-01 13:00 UTC: the switch is replaced"),
    ],
)
def test_a_suspended_host_says_who_why_and_until_when(suspension: Suspension, why: str) -> None:
    blocked = may_begin(asked(suspension))
    assert blocked is not None
    assert (blocked.cause, blocked.why, blocked.until) == ("suspended", why, suspension.until)


@pytest.mark.parametrize(
    "suspension",
    [held(target="pve2"), held("label", "site=lyon"), held("label", "rack=4"), held(minutes=0), held(minutes=-5)],
    ids=["another host", "another value", "another key", "just over", "over"],
)
def test_others_and_those_that_are_over_hold_nobody(suspension: Suspension) -> None:
    assert may_begin(asked(suspension)) is None


def test_a_hold_ends_once_git_wants_something_else() -> None:
    hold = held(minutes=None, digest="sha256:a")
    assert may_begin(asked(hold, wanted="sha256:a")) is not None
    assert may_begin(asked(hold, wanted="sha256:b")) is None


def test_the_stop_file_comes_first() -> None:
    blocked = may_begin(asked(held(), stop="no apply begins while the stop file is there"))
    assert blocked is not None
    assert blocked.cause == "stop-file"
    assert blocked.until is None


@given(st.lists(st.one_of(st.none(), st.integers(-90, 90)), max_size=6))
def test_the_longest_suspension_is_the_one_that_is_named(minutes: list[int | None]) -> None:
    found = of_host(tuple(held(minutes=one) for one in minutes), "pve1", {}, NOW)
    left = [one for one in minutes if one is None or one > 0]
    if not left:
        assert found is None
    else:
        longest = None if None in left else max(one for one in left if one is not None)
        assert found == held(minutes=longest)


def test_a_stop_file_is_there_whatever_is_in_it(tmp_path: Path) -> None:
    assert stop_reason(tmp_path) == ""
    (tmp_path / NAME).touch()
    assert stop_reason(tmp_path) == f"no apply begins while the stop file {tmp_path / NAME} is there"
    (tmp_path / NAME).write_bytes(b"the storage\x1b[2J moves\n\xff" + b"x" * 10_000)
    assert "the storage" in stop_reason(tmp_path)
    assert "\x1b" not in stop_reason(tmp_path)
    assert len(stop_reason(tmp_path)) < 700
    (tmp_path / NAME).unlink()
    (tmp_path / NAME).mkdir()
    assert stop_reason(tmp_path)


def test_where_nobody_knows_whether_it_is_there_nothing_begins(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "it is not known whether there is a stop file" in stop_reason(tmp_path / "file")
