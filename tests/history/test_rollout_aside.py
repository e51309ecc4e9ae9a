"""Hosts of a rollout on which nothing can begin until a person acts: they are named, and keep no other one waiting."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import event

from service.history import History
from service.model.listings import RolloutHostListing
from service.model.rollouts import Member, Opening, Policy, Rollout, Share
from service.model.runs import HostStatus
from service.reconcile import rollout as judge

PARIS = {"site": "paris"}
MEMBERS = (
    Member("pve1", "d1"),
    Member("pve2", "d1", labels=PARIS),
    Member("pve3", "d1"),
    Member("router", "d1", is_last=True),
)
ALL = Policy(max_failures=1, last=("router",))


def opened(
    history: History, now: datetime, members: Sequence[Member] = MEMBERS, policy: Policy = ALL, stop: str = ""
) -> str:
    opening = Opening("a" * 40, policy, tuple(members), stop, is_plain=False)
    return history.store.open_rollout(opening, at=now)


def begin(history: History, host: str, now: datetime, members: Sequence[Member] = MEMBERS) -> str:
    own = next(one for one in members if one.host == host)
    shell = Opening("a" * 40, ALL, (), is_plain=False)
    return history.store.begin_in_rollout(own, shell, judge, at=now)


def change(history: History, host: str, now: datetime, members: Sequence[Member] = MEMBERS) -> None:
    """Its change, from the beginning to a good end."""
    assert begin(history, host, now, members) == ""
    apply_id = history.store.open_apply(
        host, plan_id="p", commit="a" * 40, plan_digest="x", desired_digest="d1", trigger="push", requested_by="-",
        at=now,
    )  # fmt: skip
    history.store.finish_apply(apply_id, "Succeeded", at=now)


def found(history: History) -> Rollout:
    newest = history.queries.newest_rollout()
    assert newest is not None
    return newest


def aside(history: History, rollout_id: str) -> dict[str, str]:
    page = history.queries.rollout_hosts(RolloutHostListing(rollout_id=rollout_id))
    return {one.host: one.aside for one in page.items if one.aside}


def test_a_quarantined_host_keeps_neither_the_last_one_waiting_nor_the_rollout_running(
    history: History, now: datetime
) -> None:
    store, rollout_id = history.store, opened(history, now)
    store.set_host_status(HostStatus("pve3", quarantined="01T"), at=now)
    assert "pve3" not in history.queries.rollout_candidates(rollout_id)
    change(history, "pve1", now)
    assert "comes last" in begin(history, "router", now)
    change(history, "pve2", now)
    change(history, "router", now)
    moved = store.move_rollout(judge, at=now)
    assert moved is not None
    assert (moved.state, moved.why, moved.pending, moved.aside) == ("done", "set aside: pve3", 1, 1)
    assert aside(history, rollout_id) == {"pve3": "quarantined: the rollback of 01T failed"}
    store.set_host_status(HostStatus("pve3"), at=now)  # a person released it
    change(history, "pve3", now)
    assert (found(history).state, found(history).why) == ("running", "")
    moved = store.move_rollout(judge, at=now)
    assert moved is not None
    assert (moved.state, moved.done, moved.aside) == ("done", 4, 0)


def test_suspended_hosts_are_set_aside_by_name_and_by_label_and_all_of_them_are_a_pause(
    history: History, now: datetime
) -> None:
    store, rollout_id = history.store, opened(history, now)
    for scope, target in (("label", "site=paris"), ("host", "pve3"), ("all", "")):
        store.suspend(scope, target, "work", by="ann", at=now, until=None)  # type: ignore[arg-type]
    assert set(aside(history, rollout_id)) == {"pve2", "pve3"}
    assert aside(history, rollout_id)["pve2"].startswith("suspended by ann (hosts with site=paris)")
    change(history, "pve1", now)
    change(history, "router", now)
    moved = store.move_rollout(judge, at=now)
    assert moved is not None
    assert (moved.state, moved.why) == ("done", "set aside: pve2, pve3")
    for one in history.queries.suspended(now):
        store.end_suspension(one.id, by="ann", at=now)
    assert aside(history, rollout_id) == {}
    change(history, "pve2", now)
    change(history, "pve3", now)
    assert found(history).done == 4


def test_a_suspended_host_counts_as_unavailable_but_not_for_the_last(history: History, now: datetime) -> None:
    opened(history, now, policy=replace(ALL, max_unavailable=Share(1)))
    history.store.suspend("host", "pve1", "work", by="ann", at=now, until=None)
    assert "1 hosts are in a change, away after it, suspended or quarantined" in begin(history, "pve2", now)
    assert judge.free_places(found(history), history.queries.unavailable_hosts()) == 0
    assert begin(history, "pve1", now) == ""  # its suspension has just run out: it does not count for itself


def test_hosts_that_depend_on_one_that_is_set_aside_or_failed_are_set_aside_too(
    history: History, now: datetime
) -> None:
    members = (
        Member("pve1", "d1"),
        Member("pve2", "d1", needs=("pve1",)),
        Member("pve3", "d1", needs=("pve2",)),
        Member("pve4", "d1"),
        Member("router", "d1", is_last=True),
    )
    rollout_id = opened(history, now, members, replace(ALL, max_failures=2, max_unavailable=Share(2)))
    history.store.suspend("host", "pve1", "work", by="ann", at=now, until=None)
    assert list(aside(history, rollout_id)) == ["pve1", "pve2", "pve3"]
    assert found(history).out == {"pve1"}
    change(history, "pve4", now, members)
    change(history, "router", now, members)
    assert history.store.move_rollout(judge, at=now) is not None
    assert found(history).state == "done"
    for one in history.queries.suspended(now):
        history.store.end_suspension(one.id, by="ann", at=now)
    assert begin(history, "pve1", now, members) == ""
    apply_id = history.store.open_apply(
        "pve1", plan_id="p", commit="a" * 40, plan_digest="x", desired_digest="d1", trigger="push", requested_by="-",
        at=now,
    )  # fmt: skip
    history.store.finish_apply(apply_id, "RolledBack", at=now, cause="deadline", error="no")
    moved = history.store.move_rollout(judge, at=now)
    assert moved is not None
    assert (moved.state, moved.why) == ("done", "set aside: pve2, pve3")


def written(history: History, now: datetime, looks: int) -> int:
    """How often something is written while the rollout is looked at so many times, once a second."""
    begun: list[str] = []

    def hear(connection: Any) -> None:
        if not connection.get_execution_options().get("reads"):
            begun.append("a transaction that writes")

    engine = history.store._database._engine
    event.listen(engine, "begin", hear)
    try:
        for second in range(looks):
            assert history.store.move_rollout(judge, at=now + timedelta(seconds=second)) is not None
    finally:
        event.remove(engine, "begin", hear)
    return len(begun)


def test_a_rollout_that_does_not_move_writes_nothing(history: History, now: datetime) -> None:
    rollout_id = opened(history, now)
    assert written(history, now, 10) == 0
    history.store.halt_rollout(rollout_id, by="ann", reason="lunch", at=now)
    assert written(history, now, 10) == 0
    opening = Opening("b" * 40, ALL, (Member("pve1", "d2"),), "it changes many", is_plain=False)
    history.store.resume_rollout(rollout_id, by="ann", reason="back", at=now)
    history.store.open_rollout(opening, at=now)
    assert found(history).state == "waiting"
    assert written(history, now, 10) == 0
