"""Which hosts need a person: each state that does is named, and none that continues automatically."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from service.errors import AuthFailed, HostError, HostKeyChanged
from service.model.attention import attention_of
from service.model.axes import Phase, SyncState
from service.model.rollouts import Member, Policy, Rollout, RolloutState
from service.model.runs import HostStatus, SyncReason
from service.model.telling import Ended, Ending
from service.reconcile import status as statuses
from service.reconcile.decide import Decision, blocked, decide
from service.reconcile.rollout import why_waits
from tests.reconcile.test_decide import DRIFTED

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
WELL = HostStatus("pve1", sync="Synced", health="Healthy", reachability="Reachable", phase="Idle", observed_at=NOW)


def seen(decision: Decision, before: HostStatus = WELL, drift_items: int = 2) -> HostStatus:
    """As the loop makes it."""
    return statuses.seen(
        before, decision, at=NOW, commit="c" * 40, desired_digest="sha256:d", drift_items=drift_items
    )  # fmt: skip


def ended(before: HostStatus, ending: Ending, *, is_latched: bool = False) -> HostStatus:
    return statuses.ended(
        before, Ended(ending), apply_id="a", commit="c", desired_digest="d", is_latched=is_latched
    )  # fmt: skip


def out(
    phase: Phase, message: str = "", reason: SyncReason = "PendingChange", sync: SyncState = "OutOfSync"
) -> HostStatus:
    return seen(Decision("wait", sync, reason, phase, message))


def kind(status: HostStatus, *, is_stale: bool = False, is_suspended: bool = False) -> str:
    found = attention_of(status, is_stale=is_stale, is_suspended=is_suspended)
    return "" if found is None else found.kind


def test_a_host_that_is_as_wanted_needs_nobody() -> None:
    assert kind(WELL) == ""
    assert kind(WELL, is_stale=True) == "stale"
    assert kind(seen(Decision("nothing", "Synced", "", "Idle", "dnsmasq does not run"), drift_items=0)) == "degraded"


@pytest.mark.parametrize("reason", ["PendingChange", "Drifted", "Diverged"])
def test_what_continues_automatically_needs_nobody(reason: SyncReason) -> None:
    apply = Decision("apply", "OutOfSync", reason, "Running")
    shut = seen(blocked(apply, "the window night is shut until 22:00", "WaitingForWindow"))
    turn = seen(blocked(apply, "rollout 01R: the host waits for wave 2 of 3"))
    held = seen(blocked(apply, "suspended by ann: moving house"))
    running = replace(seen(apply), health="Progressing")
    assert [kind(one) for one in (shut, turn, running, seen(apply))] == ["", "", "", ""]
    assert kind(held, is_suspended=True) == ""
    assert kind(statuses.awaited(WELL, "an apply is not confirmed yet")) == ""
    assert kind(ended(running, "unconfirmed")) == ""


def test_a_rollback_that_git_has_followed_is_over() -> None:
    undone = ended(WELL, "rolled_back", is_latched=True)
    assert kind(undone) == "rolled-back"
    assert kind(out("RolledBack", "this desired state was rolled back", "RolledBackLatched")) == "rolled-back"
    assert kind(seen(Decision("nothing", "Synced", "", "Idle"), before=undone, drift_items=0)) == ""


@pytest.mark.parametrize(
    ("phase", "message", "reason", "expected"),
    [
        ("Idle", "sync: observe never writes", "PendingChange", "drifted"),
        ("Idle", "", "Drifted", "drifted"),
        ("WaitingForApproval", "the plan waits for approval", "PendingChange", "waits-for-approval"),
        ("WaitingForApproval", "the plan waits for approval", "ComparisonError", "waits-for-approval"),
        ("Refused", "vmbr0 would go down", "Drifted", "refused"),
        ("Refused", "vmbr0 would go down", "ComparisonError", "refused"),
        ("Idle", "the firewall cannot be read", "ComparisonError", "not-compared"),
        ("Pending", "rollout 01R: the host waits for wave 2 of 3", "ComparisonError", "not-compared"),
    ],
)
def test_what_only_a_person_moves_on_is_named(phase: Phase, message: str, reason: SyncReason, expected: str) -> None:
    assert kind(out(phase, message, reason)) == expected


@pytest.mark.parametrize("state", ["halted", "aborted"])
def test_a_host_whose_rollout_stands_still_is_named(state: RolloutState) -> None:
    rollout = Rollout("01R", "c" * 40, state, Policy(), why="pve2 rolled back", hosts=2, pending=1)
    why = why_waits(rollout, Member("pve1", "sha256:d"), NOW, unavailable=0)
    assert kind(out("Pending", why)) == "degraded"


def test_a_host_on_which_something_fights_back_is_named() -> None:
    contested = decide(DRIFTED, "auto", latched=False, request=None, contested=True)
    assert kind(seen(contested)) == "degraded"
    assert kind(seen(contested), is_suspended=True) == ""


@pytest.mark.parametrize(
    ("error", "expected"),
    [(HostError("away"), "unreachable"), (AuthFailed("no"), "login"), (HostKeyChanged("other"), "host-key")],
)
def test_a_host_that_is_away_is_named_suspended_or_not(error: HostError, expected: str) -> None:
    away = statuses.unreachable(WELL, error, is_compared=True)
    assert kind(away) == kind(away, is_suspended=True) == expected


@pytest.mark.parametrize(
    ("ending", "expected"),
    [("rollback_failed", "rollback-failed"), ("refused", "refused"), ("conflict", "failed")],
)
def test_an_apply_that_ended_badly_is_named(ending: Ending, expected: str) -> None:
    assert kind(ended(WELL, ending)) == expected


def test_a_quarantine_and_a_login_that_fails_are_named_while_suspended() -> None:
    held = out("Pending", "suspended by ann")
    assert kind(replace(held, quarantined="01A"), is_suspended=True) == "quarantined"
    assert kind(statuses.doubted(held, "nobody can log in again"), is_suspended=True) == "degraded"
    assert kind(statuses.failed(WELL, "an error", apply_id="a")) == "not-compared"
