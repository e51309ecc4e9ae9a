"""The status that is shown after a round, and when the next one is due; a host that something fights over."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import cast

import pytest

from service.errors import AuthFailed, Garbled, HostError, HostKeyChanged, HostRefused, Unreachable
from service.model.changes import Difference, Drift, Moved
from service.model.plans import Plan
from service.model.runs import HostStatus
from service.model.telling import Ended, Ending
from service.reconcile import status as statuses
from service.reconcile.decide import Decision
from service.reconcile.standing import CONTESTED_TIMES, CONTESTED_WITHIN_S, Standing
from service.reconcile.turn import known_addresses
from tests.laws.specs import head, spec_of

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SPEC = spec_of(head(extra="  console: https://console.example.net/pve1\n"))
KNOWN = HostStatus("pve1", address="198.51.100.12", sync="Synced", health="Healthy", applied_commit="a", console="x")


@pytest.mark.parametrize(
    ("failures", "seconds"), [(0, 2), (1, 2), (2, 4), (3, 8), (8, 256), (9, 300), (50, 300), (5000, 300), (10**9, 300)]
)
def test_the_pause_doubles_up_to_five_minutes_however_long_a_host_is_away(failures: int, seconds: float) -> None:
    assert statuses.backoff_s(failures) == seconds


def test_a_host_seen_for_the_first_time_is_where_its_spec_says() -> None:
    made = statuses.fresh(SPEC, None)
    assert (made.host, made.address, made.sync_mode) == ("pve1", "198.51.100.11", "auto")
    assert (made.sync, made.reachability, made.console) == ("Unknown", "Unknown", "https://console.example.net/pve1")


def test_a_known_host_stays_where_it_answered_last() -> None:
    made = statuses.fresh(SPEC, KNOWN)
    assert made.address == "198.51.100.12"
    assert known_addresses(SPEC, made) == ["198.51.100.11", "198.51.100.12"]
    assert known_addresses(SPEC, replace(made, address="198.51.100.11")) == ["198.51.100.11"]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (Unreachable("no answer"), "Unreachable"),
        (HostKeyChanged("another key"), "HostKeyChanged"),
        (AuthFailed("not let in"), "AuthFailed"),
        (Garbled("no frame"), "Unreachable"),
        (HostRefused("no python3", reason="no-python"), "Unreachable"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, HostError) else value,
)
def test_a_host_that_could_not_be_looked_at_is_unknown_and_never_fine(error: HostError, said: str) -> None:
    made = statuses.unreachable(KNOWN, error, is_compared=True)
    assert (made.sync, made.health, made.reason, made.reachability) == ("Unknown", "Unknown", "ComparisonError", said)
    assert made.message == str(error)
    assert made.applied_commit == "a"


def test_a_plan_of_an_older_spec_waits_for_no_approval() -> None:
    waiting = replace(KNOWN, phase="WaitingForApproval", plan_id="01P")
    kept = statuses.unreachable(waiting, Unreachable("no answer"), is_compared=True)
    assert (kept.phase, kept.plan_id) == ("WaitingForApproval", "01P")
    void = statuses.unreachable(waiting, Unreachable("no answer"), is_compared=False)
    assert (void.phase, void.plan_id) == ("Idle", "")
    rolled_back = statuses.unreachable(replace(KNOWN, phase="RolledBack"), Unreachable("no answer"), is_compared=False)
    assert rolled_back.phase == "RolledBack"


def seen(status: HostStatus, decision: Decision) -> HostStatus:
    return statuses.seen(status, decision, at=NOW, commit="c", desired_digest="d", drift_items=0)


IN_SYNC = Decision("nothing", "Synced", "", "Idle")
WAITS = Decision("wait", "OutOfSync", "PendingChange", "WaitingForApproval", "waits")


def test_what_was_seen_is_shown_with_its_age_and_commit() -> None:
    made = seen(KNOWN, IN_SYNC)
    assert (made.sync, made.health, made.reachability, made.observed_at) == ("Synced", "Healthy", "Reachable", NOW)
    assert (made.observed_commit, made.desired_digest) == ("c", "d")
    assert (seen(KNOWN, WAITS).health, seen(KNOWN, WAITS).phase) == ("Degraded", "WaitingForApproval")


def test_the_end_of_an_apply_stays_shown_while_nothing_else_happens() -> None:
    done = replace(KNOWN, phase="Succeeded")
    assert seen(done, IN_SYNC).phase == "Succeeded"
    assert seen(done, WAITS).phase == "WaitingForApproval"
    assert seen(replace(KNOWN, phase="Failed"), IN_SYNC).phase == "Idle"
    assert seen(done, Decision("nothing", "OutOfSync", "Drifted", "Idle", "stuck")).phase == "Idle"


def ended(ending: Ending, *, is_latched: bool, known: HostStatus = KNOWN) -> HostStatus:
    told = Ended(ending, "x", "why")
    return statuses.ended(known, told, apply_id="i", commit="c", desired_digest="d", is_latched=is_latched)


@pytest.mark.parametrize(
    ("ending", "phase", "reason", "health"),
    [
        ("confirmed", "Succeeded", "", "Progressing"),
        ("latched", "RolledBack", "RolledBackLatched", "Degraded"),
        ("rolled_back", "RolledBack", "", "Degraded"),
        ("rollback_failed", "RollbackFailed", "", "Degraded"),
        ("unconfirmed", "AwaitingConfirmation", "", "Degraded"),
        ("refused", "Refused", "", "Degraded"),
        ("conflict", "Failed", "", "Degraded"),
    ],
)
def test_how_an_apply_ended_is_shown(ending: str, phase: str, reason: str, health: str) -> None:
    made = ended(cast(Ending, "rolled_back" if ending == "latched" else ending), is_latched=ending == "latched")
    assert (made.phase, made.reason, made.health) == (phase, reason, health)
    assert (made.apply_id, made.attempted_commit) == ("i", "c")
    assert made.applied_commit == ("c" if ending == "confirmed" else "a")
    assert "why" in made.message or ending == "confirmed"


def test_when_the_rollback_failed_the_console_is_named() -> None:
    made = ended("rollback_failed", is_latched=True)
    assert made.message == "why; console: x"
    bare = ended("rollback_failed", is_latched=True, known=replace(KNOWN, console=""))
    assert bare.message == "why"


def plan_with(moved: Moved, resource: str = "vmbr0") -> Plan:
    return Plan("pve1", "c", "d", drifts=(Drift(Difference("b", resource, "up", "live", "changed", 1, 0), moved),))


def test_a_difference_that_comes_back_five_times_in_five_minutes_is_contested() -> None:
    standing = Standing()
    for turn in range(CONTESTED_TIMES):
        assert not standing.is_contested(plan_with("host"), turn)
        standing.heals(plan_with("host"), turn)
    assert standing.is_contested(plan_with("host"), CONTESTED_TIMES)
    assert not standing.is_contested(plan_with("host", "vmbr1"), CONTESTED_TIMES)
    assert not standing.is_contested(plan_with("git"), CONTESTED_TIMES)
    assert standing.is_contested(plan_with("host"), CONTESTED_WITHIN_S - 1)
    assert not standing.is_contested(plan_with("host"), CONTESTED_WITHIN_S)


def test_what_git_moves_again_and_again_is_not_contested() -> None:
    standing = Standing()
    for turn in range(3 * CONTESTED_TIMES):
        standing.heals(plan_with("git"), turn)
        standing.heals(plan_with("both"), turn)
    assert not standing.is_contested(plan_with("host"), 1)
