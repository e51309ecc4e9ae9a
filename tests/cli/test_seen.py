"""How old an answer is, as people are reported."""

from datetime import timedelta
from typing import Any

import pytest

from service.cli.reading import host_row, tell_seen
from service.clock import SystemClock

HOST: dict[str, Any] = dict.fromkeys(
    ("host", "sync", "reason", "health", "reachability", "phase", "message", "applied_commit"), ""
) | {"drift_items": 0, "proven_at": None}


@pytest.mark.parametrize(
    ("ago", "said"),
    [
        (timedelta(seconds=5), "5 s ago"),
        (timedelta(seconds=100), "100 s ago"),
        (timedelta(minutes=3, seconds=5), "3 min ago"),
        (timedelta(minutes=100), "100 min ago"),
        (timedelta(hours=5), "5 h ago"),
        (timedelta(days=12, hours=1), "12 days ago"),
        (timedelta(seconds=-30), "0 s ago"),
    ],
)
def test_what_was_seen_before_a_restart_is_told_with_its_age(ago: timedelta, said: str) -> None:
    at = (SystemClock().now() - ago).isoformat()
    row = host_row({**HOST, "observed_at": at, "stale": True, "before_restart": True})
    assert row["seen"] == f"{said}, before the service restarted"


def test_what_was_seen_since_is_told_with_its_time_and_age() -> None:
    at = (SystemClock().now() - timedelta(minutes=3)).isoformat()
    for is_stale, said in ((False, f"{at} (3 min ago)"), (True, f"{at} (3 min ago) (stale)")):
        assert host_row({**HOST, "observed_at": at, "stale": is_stale, "before_restart": False})["seen"] == said
    assert host_row({**HOST, "observed_at": None, "stale": True, "before_restart": False})["seen"] == "never (stale)"


def test_the_proof_of_a_drill_is_told_with_its_time_and_age() -> None:
    at = (SystemClock().now() - timedelta(days=12)).isoformat()
    row = {**HOST, "observed_at": None, "stale": True, "before_restart": False}
    assert host_row({**row, "proven_at": at})["proven"] == f"{at} (12 days ago)"
    assert host_row(row)["proven"] == "never"


def test_only_an_old_answer_is_told_with_its_age(capsys: pytest.CaptureFixture[str]) -> None:
    at = (SystemClock().now() - timedelta(minutes=3)).isoformat()
    tell_seen({"at": at, "before_restart": False})
    assert capsys.readouterr() == ("", "")
    tell_seen({"at": at, "before_restart": True})
    assert "seen 3 min ago, before the service restarted" in "".join(capsys.readouterr())
