"""What is old goes, in small batches; what is still in force stays whatever its age."""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Table, func, insert, select

from service.errors import StoreError
from service.history import History
from service.history.store.retention import BATCH
from service.history.tables import (
    applies,
    drift,
    drills,
    events,
    latches,
    lease_intervals,
    leases,
    plans,
    revisions,
    steps,
)
from service.model.facts import Step
from service.model.listings import DriftListing, DrillListing, EventListing, LeaseHistoryListing, LeaseListing
from service.model.observed import Lease
from service.model.plans import Plan
from service.model.retention import Keep
from service.model.runs import HostStatus, Proof
from service.model.trees import Commit
from service.reconcile.retention import Retention
from tests.api.world import StillClock
from tests.api.world import drift as difference

KEEP = Keep(days=100, event_days=10)
ALL = (events, drift, plans, applies, steps, drills, latches, lease_intervals, leases, revisions)


def count(history: History, table: Table) -> int:
    with history.store._database.read() as connection:
        return int(connection.execute(select(func.count()).select_from(table)).scalar_one())


def forget_all(history: History, at: datetime, keep: Keep = KEEP, pressure: int = 0) -> None:
    past: dict[str, Any] = {}
    while history.store.forget(keep, past, at=at, pressure=pressure):
        pass


def one_day(history: History, at: datetime, number: int, *, host: str = "pve1", end: str = "Succeeded") -> str:
    """Everything that a host makes: a commit, a difference, a plan, an apply with its step, a drill, leases."""
    store = history.store
    commit = f"{number:040x}"
    store.record_revision(Commit(commit, "Ann", "ann@example.org", at, f"change {number}"), at=at)
    store.set_drift(host, [difference(f"vmbr{number}")], at=at)
    plan = Plan(host, commit, f"sha256:d{number}", steps=(Step("sysctl:net.ipv4.ip_forward", "0", str(number), "nat"),))
    plan_id = store.record_plan(plan, at=at)
    apply_id = store.open_apply(
        host, plan_id=plan_id, commit=commit, plan_digest=plan.digest, desired_digest=plan.desired_digest,
        trigger="push", requested_by="git", at=at,
    )  # fmt: skip
    store.start_apply(apply_id, generation=number + 1, planned=[("sysctl", "nat")], at=at)
    store.finish_apply(apply_id, end, at=at)  # type: ignore[arg-type]
    drill_id = store.open_drill(host, requested_by="ann", at=at)
    store.start_drill(drill_id, generation=number + 1, at=at)
    store.finish_drill(drill_id, proofs=[Proof("back", True, "yes")], error="", at=at)
    store.seen_leases(host, [Lease(f"bc:24:11:00:00:{number % 250:02x}", "10.10.10.9", "g", 0)], at=at)
    return apply_id


def test_what_is_old_goes_and_the_newest_of_each_host_stays(history: History, now: datetime) -> None:
    history.store.set_host_status(HostStatus("pve1"), at=now - timedelta(days=400))
    for number in range(20):
        one_day(history, now - timedelta(days=400 - number), number)
    before = {table.name: count(history, table) for table in ALL}
    assert min(before[name] for name in ("drift", "plans", "applies", "drills", "lease_intervals", "revisions")) == 20
    forget_all(history, now)
    left = {table.name: count(history, table) for table in ALL}
    assert left == {
        "events": 0, "drift": 1, "plans": 1, "applies": 1, "apply_steps": 1, "drills": 1,
        "latches": 0, "lease_intervals": 1, "leases": 1, "revisions": 1,
    }  # fmt: skip
    newest = history.queries.current_plan("pve1")
    assert newest is not None
    assert newest.commit == f"{19:040x}"
    assert [item.resource for item in history.queries.drift(DriftListing(limit=9)).items] == ["vmbr19"]
    revision = history.queries.newest_revision()
    assert revision is not None
    assert revision.subject == "change 19"


def test_each_sort_has_its_own_time(history: History, now: datetime) -> None:
    one_day(history, now - timedelta(days=50), 1)
    one_day(history, now - timedelta(days=5), 2)
    forget_all(history, now)
    assert {table.name: count(history, table) for table in (applies, plans, drift, revisions)} == {
        "applies": 2, "plans": 2, "drift": 2, "revisions": 2,
    }  # fmt: skip
    kept = history.queries.events(EventListing(limit=200)).items
    assert kept
    assert all(event.at > now - timedelta(days=10) for event in kept)


def test_what_is_in_force_stays_whatever_its_age(history: History, now: datetime) -> None:
    """A latch, a base, a quarantine, an apply under way, the last good apply before many that failed."""
    long_ago = now - timedelta(days=3000)
    store = history.store
    for host in ("latched", "based", "quarantined", "running", "failing"):
        store.set_host_status(HostStatus(host), at=long_ago)
    latched = one_day(history, long_ago, 1, host="latched", end="RolledBack")
    store.latch("latched", "sha256:d1", apply_id=latched, at=long_ago)
    based = one_day(history, long_ago, 2, host="based")
    store.set_base("based", [], digest="sha256:d2", commit=f"{2:040x}", apply_id=based, at=long_ago)
    quarantined = one_day(history, long_ago, 3, host="quarantined", end="RollbackFailed")
    store.set_host_status(HostStatus("quarantined", quarantined=quarantined), at=long_ago)
    running = store.open_apply(
        "running", plan_id="p", commit="c" * 40, plan_digest="x", desired_digest="y", trigger="push",
        requested_by="git", at=long_ago,
    )  # fmt: skip
    succeeded = one_day(history, long_ago, 4, host="failing")
    for number in range(5, 15):
        for host in ("latched", "based", "quarantined", "running", "failing"):
            one_day(history, long_ago + timedelta(days=number), number, host=host, end="Failed")
    forget_all(history, now)
    for apply_id in (latched, based, quarantined, running, succeeded):
        assert history.queries.apply(apply_id) is not None
    assert [latch.desired_digest for latch in history.queries.latches("latched")] == ["sha256:d1"]
    assert history.queries.base("based") is not None
    for number in (1, 2, 3, 4):
        assert history.queries.revision(f"{number:040x}") is not None, number
    drills_left = {drill.host for drill in history.queries.drills(DrillListing(limit=99)).items}
    assert drills_left == {"latched", "based", "quarantined", "running", "failing"}


def test_a_lease_that_is_held_stays_and_one_of_the_past_goes(history: History, now: datetime) -> None:
    held, gone = (Lease(f"bc:24:11:00:00:0{n}", f"10.10.10.{n}", f"g{n}", 0) for n in (1, 2))
    history.store.seen_leases("pve1", [held, gone], at=now - timedelta(days=900))
    history.store.seen_leases("pve1", [held], at=now - timedelta(days=800))
    forget_all(history, now)
    assert [lease.ip for lease in history.queries.leases(LeaseListing(limit=9), now=now).items] == ["10.10.10.1"]
    assert [one.ip for one in history.queries.lease_history(LeaseHistoryListing(limit=9)).items] == ["10.10.10.1"]


def test_it_goes_in_small_batches(history: History, now: datetime) -> None:
    with history.store._database.write() as connection:
        rows = [{"at": now - timedelta(days=99), "type": "t", "host": "", "text": "x", "detail": {}}] * (3 * BATCH + 5)
        connection.execute(insert(events), rows)
    batches = []
    past: dict[str, Any] = {}
    while gone := history.store.forget(KEEP, past, at=now):
        batches.append(gone["events"])
    assert batches == [BATCH] * 3 + [5]


def test_what_finds_nothing_writes_nothing(history: History, now: datetime) -> None:
    """Looking for old rows takes no right to write, so it never makes anybody wait."""
    one_day(history, now, 1)
    with history.store._database.write():
        assert history.store.forget(KEEP, {}, at=now) == {}


def test_while_it_deletes_a_writer_waits_for_one_portion_of_a_table(history: History, now: datetime) -> None:
    with history.store._database.write() as connection:
        rows = [{"at": now - timedelta(days=99), "type": "t", "host": "", "text": "x" * 500, "detail": {}}] * 5_000
        connection.execute(insert(events), rows)
    past: dict[str, Any] = {}
    portions = []
    while gone := history.store.forget(KEEP, past, at=now):
        portions.append(gone["events"])
    assert max(portions) == BATCH
    assert sum(portions) == 5_000


def test_a_database_that_is_too_large_loses_the_oldest_before_its_time(history: History, now: datetime) -> None:
    with history.store._database.write() as connection:
        rows = [
            {"at": now - timedelta(days=9 - n / 500), "type": "t", "host": "", "text": "x" * 1500, "detail": {}}
            for n in range(4000)
        ]
        connection.execute(insert(events), rows)
    full = history.store.kept().size_bytes
    assert full > 6_000_000
    clock = StillClock()
    clock.at = now
    told: list[tuple[int, int]] = []
    keep = Keep(days=100, event_days=10, size_bytes=full * 2 // 3)

    async def run() -> None:
        retention = Retention(
            history.store, keep, clock, lambda kept, gone: told.append((kept.size_bytes, sum(gone.values())))
        )
        await retention.run_once()

    asyncio.run(run())
    [(size, gone)] = told
    assert size <= keep.size_bytes
    assert gone == 4000 - sum(count(history, table) for table in ALL)
    assert 0 < gone < 4000
    assert history.queries.events(EventListing(limit=1)).items[0].at > now - timedelta(days=8)


def test_a_clock_that_jumps_deletes_nothing(history: History, now: datetime, caplog: pytest.LogCaptureFixture) -> None:
    one_day(history, now, 1)
    one_day(history, now, 2)
    clock = StillClock()
    clock.at = now

    async def run() -> list[dict[str, int]]:
        retention = Retention(history.store, KEEP, clock)
        clock.at += timedelta(days=4000)
        jumped = await retention.run_once()
        clock.at -= timedelta(days=4000)
        back = await retention.run_once()
        clock.pass_time(3600)
        return [jumped, back, await retention.run_once()]

    assert asyncio.run(run()) == [{}, {}, {}]
    assert "the clock jumped" in caplog.text
    assert count(history, applies) == 2


def test_a_database_that_cannot_be_written_is_tried_again(history: History) -> None:
    class Away:
        asked = 0
        enough: Callable[[], object]

        def forget(self, keep: Keep, past: dict[str, Any], *, at: datetime, pressure: int = 0) -> dict[str, int]:
            self.asked += 1
            if self.asked == 3:
                self.enough()
            raise StoreError("the database cannot be used now: database is locked")

        kept = history.store.kept
        give_back = history.store.give_back

    away, clock = Away(), StillClock()

    async def run() -> None:
        loop, enough = asyncio.get_running_loop(), asyncio.Event()
        away.enough = lambda: loop.call_soon_threadsafe(enough.set)
        task = asyncio.ensure_future(Retention(away, KEEP, clock).run())
        await enough.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(run())
    assert away.asked >= 3
