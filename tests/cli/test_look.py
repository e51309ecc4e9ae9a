"""`passerelle look` while it waits: what it follows, what it says at the end, by a clock that the test moves."""

from collections.abc import Iterator
from typing import Any

import pytest

from service.cli.look import told_end, watch

ASKED = "2026-03-01T12:00:30Z"
BEFORE = {
    "host": "pve1", "tried_at": "2026-03-01T12:00:00Z",
    "health": "Degraded", "reachability": "Reachable", "sync": "OutOfSync",
    "reason": "PendingChange", "phase": "WaitingForApproval", "message": "the plan waits for approval",
    "drift_items": 2, "apply_id": "01A",
}  # fmt: skip
LOOKED = BEFORE | {"tried_at": "2026-03-01T12:00:30.5Z"}
RUNNING = BEFORE | {"health": "Progressing", "phase": "Running", "apply_id": "01B"}
APPLIED = RUNNING | {"phase": "Succeeded", "tried_at": LOOKED["tried_at"]}
SYNCED = LOOKED | {"sync": "Synced", "reason": "", "health": "Healthy", "phase": "Succeeded", "message": "",
                   "drift_items": 0, "apply_id": "01B"}  # fmt: skip
UNDONE = LOOKED | {"reason": "RolledBackLatched", "phase": "RolledBack", "apply_id": "01B", "message": "undone"}
AWAY = LOOKED | {"reachability": "Unreachable", "sync": "Unknown", "message": "no route"}


def followed(*answers: dict[str, Any], timeout_s: float = 60) -> tuple[int, float]:
    """The exit code, and how long it took."""
    at_s = [0.0]
    given: Iterator[dict[str, Any]] = iter(answers)
    last = [BEFORE]

    def ask(wait_s: float) -> dict[str, Any]:
        at_s[0] += min(wait_s, 0.5)
        last[0] = next(given, last[0])
        return last[0]

    found = watch(ASKED, ask, timeout_s, lambda: at_s[0])
    return told_end(ASKED, BEFORE, found), at_s[0]


@pytest.mark.parametrize(
    ("answers", "code", "said"),
    [
        ((BEFORE, RUNNING, APPLIED, SYNCED), 0, "pve1 is as Git wants it"),
        ((BEFORE, LOOKED), 1, "pve1 is OutOfSync: the plan waits for approval"),
        ((RUNNING, UNDONE), 3, "pve1 is OutOfSync: undone"),
        ((BEFORE, AWAY), 4, "pve1 is Unreachable: no route"),
        (
            (AWAY | {"tried_at": None}, AWAY | {"tried_at": BEFORE["tried_at"]}, AWAY),
            4,
            "pve1 is Unreachable: no route",
        ),
    ],
    ids=["applied", "waits", "undone", "away", "still away, in the same words"],
)
def test_it_follows_the_look_to_its_end(
    answers: tuple[dict[str, Any], ...], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert followed(*answers) == (code, 0.5 * len(answers))
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("reachability", "fix"),
    [
        ("AuthFailed", "add the service's key on the host; `passerelle key` prints the line"),
        ("HostKeyChanged", "compare the fingerprint on the host's console; if it is right, commit the new key"),
        ("Unreachable", "check that the host is up, and that its address and port in the spec are right"),
        ("Unknown", "see `passerelle status pve1`"),
    ],
)
def test_a_host_that_is_not_reached_has_the_fix_of_its_cause(
    reachability: str, fix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert told_end(ASKED, BEFORE, AWAY | {"reachability": reachability, "message": "why"}) == 4
    assert capsys.readouterr().err == f"passerelle: pve1 is {reachability}: why\n  Fix: {fix}\n"


def test_each_move_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    followed(BEFORE, RUNNING, RUNNING, APPLIED, SYNCED)
    assert [line for line in capsys.readouterr().err.splitlines() if line.startswith("  ")] == [
        "  Reachable  OutOfSync  PendingChange  Running  2 differences",
        "  Reachable  OutOfSync  PendingChange  Succeeded  2 differences",
        "  Reachable  Synced  Succeeded  0 differences",
    ]


def test_what_does_not_come_is_waited_for_no_longer_than_asked(capsys: pytest.CaptureFixture[str]) -> None:
    assert followed(BEFORE, timeout_s=5) == (1, 5.0)
    assert "the look at pve1 did not end in time" in capsys.readouterr().err
