"""Rollouts that were done but for hosts that are set aside: no host begins, or is left, in one that is not running."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from sqlalchemy import update

from service.history import History
from service.history.tables import rollout_hosts
from service.model.listings import EventListing
from service.model.rollouts import Member, Opening, Policy, Rollout, Share
from service.model.runs import HostStatus
from service.reconcile import rollout as judge

PARIS = {"site": "paris"}
EACH = Policy(max_failures=1)
BEHIND = (Member("a", "d1"), Member("x", "d1"), Member("d", "d1", needs=("x",)))


class Fleet:
    """The members of one rollout, and what becomes of them."""

    def __init__(self, history: History, members: Sequence[Member], at: datetime, policy: Policy = EACH) -> None:
        self.history, self.store, self.policy = history, history.store, policy
        self.members = {one.host: one for one in members}
        self.id = self.store.open_rollout(Opening("a" * 40, policy, tuple(members), is_plain=False), at=at)

    def begin(self, host: str, at: datetime, by: str = "") -> str:
        shell = Opening("a" * 40, self.policy, (), is_plain=False)
        return self.store.begin_in_rollout(self.members[host], shell, judge, at=at, by=by)

    def end(self, host: str, at: datetime, phase: str = "Succeeded", cause: str = "") -> None:
        apply_id = self.store.open_apply(
            host, plan_id="p", commit="a" * 40, plan_digest="x", desired_digest="d1", trigger="push", requested_by="-",
            at=at,
        )  # fmt: skip
        self.store.finish_apply(apply_id, phase, at=at, cause=cause, error="no")  # type: ignore[arg-type]

    def change(self, host: str, at: datetime, phase: str = "Succeeded", by: str = "") -> None:
        assert self.begin(host, at, by) == ""
        assert self.now().state != "done"
        self.end(host, at, phase)

    def move(self, at: datetime) -> Rollout:
        self.store.move_rollout(judge, at=at)
        return self.now()

    def now(self) -> Rollout:
        found = self.history.queries.newest_rollout()
        assert found is not None
        return found

    def free(self, at: datetime) -> None:
        for one in self.history.queries.suspended(at):
            self.store.end_suspension(one.id, by="ann", at=at)

    def told(self) -> list[object]:
        page = self.history.queries.events(EventListing(type="rollout.state", visible=("*",)))
        return [one.detail["state"] for one in page.items]


def without_x(history: History, now: datetime, policy: Policy = EACH) -> Fleet:
    """`a` has it, `x` is suspended, and `d` waits for `x`: the rollout is done."""
    fleet = Fleet(history, BEHIND, now, policy)
    fleet.store.suspend("host", "x", "work", by="ann", at=now, until=None)
    fleet.change("a", now)
    assert fleet.move(now).state == "done"
    return fleet


def test_a_host_whose_suspension_has_run_out_begins_in_a_running_rollout(history: History, now: datetime) -> None:
    """That the suspension is over is recorded later."""
    fleet = Fleet(history, (Member("a", "d1"), Member("b", "d1")), now)
    until = now + timedelta(minutes=10)
    fleet.store.suspend("host", "b", "work", by="ann", at=now, until=until)
    fleet.change("a", now)
    assert fleet.move(until - timedelta(seconds=1)).why == "set aside: b"
    assert history.queries.rollout_candidates(fleet.id, until) == ("b",)
    fleet.change("b", until)
    found = fleet.move(until)
    assert (found.state, found.done, found.pending, found.applying, found.why) == ("done", 2, 0, 0, "")
    assert history.queries.unavailable_hosts(until) == 0


def test_failures_count_from_the_moment_at_which_a_suspension_runs_out(history: History, now: datetime) -> None:
    fleet = Fleet(history, (Member("a", "d1"), *(Member(name, "d1", labels=PARIS) for name in "bcd")), now)
    until = now + timedelta(minutes=10)
    fleet.store.suspend("label", "site=paris", "work", by="ann", at=now, until=until)
    fleet.change("a", now)
    assert fleet.move(now).state == "done"
    fleet.change("b", until, "RolledBack")
    assert "is halted: 1 host has failed" in fleet.begin("c", until)
    assert fleet.now().state == "halted"


def test_a_person_applies_behind_a_host_that_is_set_aside(history: History, now: datetime) -> None:
    fleet = without_x(history, now)
    fleet.change("d", now, by="ann")
    found = fleet.move(now)
    assert (found.state, found.done, found.why) == ("done", 2, "set aside: x")
    fleet.free(now)
    fleet.change("x", now)
    assert fleet.move(now + timedelta(hours=10)).state == "done"


def test_what_a_person_applies_in_a_rollout_that_is_done_counts_when_it_fails(history: History, now: datetime) -> None:
    fleet = without_x(history, now)
    fleet.change("d", now, "RolledBack", by="ann")
    assert (fleet.move(now).state, fleet.now().failed) == ("halted", 1)


def test_a_person_applies_once_more_where_it_failed(history: History, now: datetime) -> None:
    """All the others have it, and no failure halts this rollout: it is done."""
    fleet = Fleet(history, (Member("a", "d1"), Member("b", "d1")), now, Policy())
    fleet.change("a", now)
    fleet.change("b", now, "RolledBack")
    assert (fleet.move(now).state, fleet.now().failed) == ("done", 1)
    fleet.change("b", now, by="ann")
    assert (fleet.move(now).state, fleet.now().done) == ("done", 2)


def test_a_person_applies_in_a_rollout_that_was_aborted(history: History, now: datetime) -> None:
    fleet = Fleet(history, (Member("a", "d1"), Member("b", "d1"), Member("c", "d1")), now)
    assert fleet.begin("c", now) == ""
    fleet.store.abort_rollout(fleet.id, by="ann", reason="no", at=now)
    fleet.change("a", now, by="ann")
    assert fleet.begin("b", now, by="ann") == ""
    fleet.end("b", now, "RolledBack", "interrupted")
    fleet.end("c", now, "RolledBack", "deadline")
    found = fleet.now()
    assert (found.state, found.done, found.failed, found.aborted, found.applying) == ("aborted", 1, 1, 1, 0)


def test_a_host_that_a_person_repaired_by_hand_holds_up_nobody(history: History, now: datetime) -> None:
    fleet = Fleet(history, BEHIND, now)
    fleet.store.set_host_status(HostStatus("x", quarantined="01T"), at=now)
    fleet.change("a", now)
    assert fleet.move(now).why == "set aside: d, x"
    fleet.store.set_host_status(HostStatus("x", applied_digest="d1"), at=now)  # a person released it
    fleet.store.set_base("x", [], digest="d1", commit="a" * 40, apply_id="", at=now)
    fleet.change("d", now)
    assert (fleet.move(now).state, fleet.now().done) == ("done", 3)


@pytest.mark.parametrize("begins", [True, False])
def test_a_host_that_has_it_already_is_not_waited_for(history: History, now: datetime, *, begins: bool) -> None:
    """No round of it would say so again. Such rows are of earlier versions."""
    fleet = Fleet(history, BEHIND, now)
    fleet.change("a", now)
    fleet.store.set_host_status(HostStatus("x", applied_digest="d1"), at=now)
    fleet.store.set_base("x", [], digest="d1", commit="a" * 40, apply_id="", at=now)
    of_it = update(rollout_hosts).where(rollout_hosts.c.host == "x")
    with history.store._database.write() as connection:
        connection.execute(of_it.values(state="pending", ended_at=None))
    if not begins:
        assert (fleet.move(now).done, fleet.now().pending) == (2, 1)
    fleet.change("d", now)
    assert (fleet.move(now).state, fleet.now().done) == ("done", 3)


def test_a_rollout_that_is_done_stays_so_while_nothing_can_begin(history: History, now: datetime) -> None:
    fleet = without_x(history, now)
    told = fleet.told()
    for hours in range(24):
        assert "waits for x, which it depends on" in fleet.begin("d", now + timedelta(hours=hours))
        assert fleet.now().state == "done"
    assert fleet.told() == told
    fleet.members["e"] = replace(fleet.members["d"], host="e")  # it turned out to differ, too
    assert "waits for x" in fleet.begin("e", now)
    assert (fleet.now().state, fleet.told(), fleet.now().pending) == ("done", told, 3)
    fleet.free(now)
    fleet.change("x", now)
    assert fleet.told() == [*told, "running"]
    assert fleet.begin("d", now) == ""


@pytest.mark.parametrize(
    ("status", "holds"),
    [
        (HostStatus("a", phase="RolledBack"), True),
        (HostStatus("a", phase="Pending", sync="OutOfSync"), True),
        (HostStatus("a", phase="Refused"), False),
        (HostStatus("a", phase="WaitingForApproval"), False),
        (HostStatus("a", phase="WaitingForWindow"), False),
        (HostStatus("a", phase="RolledBack", reason="RolledBackLatched"), False),
        (HostStatus("a", phase="Idle", reason="ComparisonError", reachability="Reachable"), False),
        (HostStatus("a", phase="Idle", reason="ComparisonError", reachability="Unknown"), True),  # its round failed
    ],
)
def test_an_interrupted_host_keeps_its_place_while_it_is_tried_again(
    history: History, now: datetime, status: HostStatus, *, holds: bool
) -> None:
    policy = Policy((Share(1), Share(100, is_percent=True)), max_failures=1)
    fleet = Fleet(history, (Member("a", "d1"), Member("b", "d1")), now, policy)
    assert fleet.begin("a", now) == ""
    fleet.end("a", now, "RolledBack", "interrupted")
    assert "The change of a was interrupted and is tried again first" in fleet.begin("b", now)
    fleet.store.set_host_status(status, at=now)
    assert bool(fleet.begin("b", now)) is holds
    assert fleet.now().held == ({"a"} if holds else set())


def test_a_host_that_is_quarantined_and_away_is_one_that_is_unavailable(history: History, now: datetime) -> None:
    policy = Policy(max_unavailable=Share(2))
    fleet = Fleet(history, (Member("a", "d1"), Member("b", "d1"), Member("c", "d1")), now, policy)
    fleet.change("a", now, "RollbackFailed")
    fleet.store.set_host_status(HostStatus("a", reachability="Unreachable", quarantined="01T"), at=now)
    assert history.queries.unavailable_hosts(now) == 1
    assert judge.free_places(fleet.now(), 1) == 1
    fleet.change("b", now)
    fleet.store.suspend("host", "c", "work", by="ann", at=now, until=None)
    assert history.queries.unavailable_hosts(now) == 2
