"""Hosts that leave, are renamed, are forgotten: in every table that has a host's name."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlmodel import SQLModel

from service.errors import InputError, NotFound
from service.history import History
from service.history.store import fleet
from service.model.changes import Difference, Drift
from service.model.facts import Step
from service.model.guests import PoolFill
from service.model.listings import (
    ApplyListing,
    DriftListing,
    DrillListing,
    EventListing,
    LeaseHistoryListing,
    LeaseListing,
)
from service.model.observed import Lease, Watch
from service.model.plans import Plan
from service.model.rollouts import Member, Opening, Policy
from service.model.runs import HostStatus
from service.model.sightings import Sighting
from service.model.sites.records import SiteRecord

MINUTE = timedelta(minutes=1)
DESIRED: list[Any] = [["bridges", "vmbr0", "up", "live", True]]
OF_A_HOST = [table for table in SQLModel.metadata.sorted_tables if "host" in table.c and table.name != "audit"]
"""Nobody changes an entry of the audit log: it has the name that the host had then."""


def lived(history: History, host: str, at: datetime) -> None:
    """A host with a row in every table that knows hosts."""
    store = history.store
    status = HostStatus(
        host, sync="Synced", health="Healthy", reachability="Reachable", applied_digest="sha256:d", observed_at=at
    )
    store.set_host_status(status, at=at)
    store.set_base(host, DESIRED, digest="sha256:d", commit="c" * 40, apply_id="", at=at)
    plan = Plan(host, "c" * 40, "sha256:d", steps=(Step("sysctl:net.ipv4.ip_forward", "0", "1", "nat"),))
    apply_id = store.open_apply(
        host, plan_id=store.record_plan(plan, at=at), commit="c" * 40, plan_digest=plan.digest,
        desired_digest="sha256:d", trigger="request", requested_by="ann", at=at,
    )  # fmt: skip
    store.start_apply(apply_id, generation=store.next_generation(host), planned=[("sysctl:a", "nat")], at=at)
    store.finish_apply(apply_id, "RolledBack", at=at)
    store.latch(host, "sha256:d", apply_id=apply_id, at=at)
    drill_id = store.open_drill(host, requested_by="ann", at=at)
    store.start_drill(drill_id, generation=2, at=at)
    store.finish_drill(drill_id, proofs=(), error="", at=at)
    store.open_rollout(Opening("c" * 40, Policy(), (Member(host, "sha256:e"),), is_plain=False), at=at)
    store.ask_release(host, apply_id, by="ann", reason="looked", at=at)
    store.keep_sighting(Sighting(host, at, "f", "ab", Watch(), b"sent"))
    store.seen_leases(host, [Lease("bc:24:11:00:00:01", "10.10.10.9", "dev", 0)], at=at)
    store.seen_pools(host, [PoolFill(host, "vmbr1", "10.10.10.9", "10.10.10.19", 11, 1, 0)], at=at)
    store.seen_sites(host, [SiteRecord(host, "www.example.org", "published", "well", "issued.")], at=at)
    store.set_drift(host, [Drift(Difference("bridges", "vmbr0", "up", "live", "changed", True, False), "host")], at=at)


def rows(history: History, host: str) -> dict[str, int]:
    """How many rows each table has of a host."""
    counts = {}
    with history.queries._database.read() as connection:
        for table in OF_A_HOST:
            counts[table.name] = connection.execute(
                select(func.count()).select_from(table).where(table.c.host == host)
            ).scalar_one()
    return counts


def test_every_table_with_a_host_is_filled_here(history: History, now: datetime) -> None:
    lived(history, "pve1", now)
    assert [name for name, count in rows(history, "pve1").items() if not count] == []


def test_a_host_that_left_git_is_orphaned_and_keeps_its_history(history: History, now: datetime) -> None:
    lived(history, "pve1", now)
    for minutes in (1, 2):
        history.store.orphan_host("pve1", at=now + minutes * MINUTE)
    queries = history.queries
    seen = queries.host("pve1")
    assert seen is not None
    assert (seen.sync, seen.reason, seen.health, seen.reachability, seen.phase) == (
        "Unknown", "Orphaned", "Unknown", "Unknown", "Idle",
    )  # fmt: skip
    assert (seen.changed_at, seen.drift_items, seen.plan_id, seen.applied_digest) == (now + MINUTE, 0, "", "")
    assert seen.proven_at == now
    assert queries.drift(DriftListing()).items == ()
    assert queries.leases(LeaseListing(active=True), now=now).items == ()
    (held,) = queries.lease_history(LeaseHistoryListing()).items
    assert (held.ip, held.until_at) == ("10.10.10.9", now + MINUTE)
    assert (queries.base("pve1"), queries.sighting("pve1"), queries.release_asked("pve1")) == (None, None, None)
    plan = queries.current_plan("pve1")
    assert plan is not None
    assert plan.state == "superseded"
    assert len(queries.applies(ApplyListing(host="pve1")).items) == 1
    assert [event.type for event in queries.events(EventListing(limit=200)).items].count("host.state") == 2


def test_what_counts_for_metrics_knows_no_orphan(history: History, now: datetime) -> None:
    lived(history, "pve1", now)
    lived(history, "pve2", now)
    history.store.orphan_host("pve1", at=now)
    counts = history.queries.counts()
    assert {host for host, _ in counts.drift} == {"pve2"} == set(counts.leases)


def test_a_renamed_host_has_all_that_it_had_before(history: History, now: datetime) -> None:
    lived(history, "pve1", now)
    before = rows(history, "pve1")
    assert history.store.rename_host("pve1", "pve9", at=now + MINUTE)
    assert rows(history, "pve9") == before | {"events": before["events"] + 1}
    assert set(rows(history, "pve1").values()) == {0}
    assert not history.store.rename_host("pve1", "pve9", at=now + MINUTE)
    status = history.queries.host("pve9")
    assert status is not None
    assert (status.sync, status.proven_at, history.queries.generation("pve9")) == ("Synced", now, 1)
    (event,) = history.queries.events(EventListing(limit=200, type="host.renamed")).items
    assert (event.host, event.detail) == ("pve9", {"old": "pve1"})


def test_a_name_of_before_leads_to_the_present_one(history: History, now: datetime) -> None:
    """Also over several renames, and to nobody once the host is forgotten."""
    lived(history, "pve1", now)
    history.store.rename_host("pve1", "pve9", at=now)
    history.store.rename_host("pve9", "pve7", at=now)
    known = history.queries.name_now
    assert (known("pve1"), known("pve9"), known("pve7"), known("pve2")) == ("pve7", "pve7", "", "")
    lived(history, "pve1", now)
    history.store.rename_host("pve1", "pve8", at=now)
    assert (known("pve1"), known("pve9")) == ("pve8", "pve7")
    history.store.orphan_host("pve8", at=now)
    history.store.forget_host("pve8", by="ann", at=now)
    assert (known("pve1"), known("pve9")) == ("pve7", "pve7")


def test_what_differs_goes_on_under_the_new_name(history: History, now: datetime) -> None:
    lived(history, "pve1", now)
    history.store.rename_host("pve1", "pve9", at=now)
    still = [Drift(Difference("bridges", "vmbr0", "up", "live", "changed", True, False), "host")]
    assert history.store.set_drift("pve9", still, at=now + MINUTE) == (0, 0)
    (item,) = history.queries.drift(DriftListing(host="pve9")).items
    assert (item.first_seen, item.last_seen) == (now, now + MINUTE)


def test_of_two_names_with_a_state_each_the_new_one_holds(history: History, now: datetime) -> None:
    lived(history, "pve1", now + MINUTE)
    history.store.next_generation("pve1", at_least=7)
    lived(history, "pve9", now)
    both = {name: count + rows(history, "pve9")[name] for name, count in rows(history, "pve1").items()}
    assert history.store.rename_host("pve1", "pve9", at=now + 2 * MINUTE)
    alone = (
        "hosts", "bases", "sightings", "releases", "lease_looks", "leases", "latches", "sites", "host_days",
        "pool_days",
    )  # fmt: skip
    one_each = dict.fromkeys(alone, 1)
    assert rows(history, "pve9") == both | one_each | {"events": both["events"] + 1, "tallies": 6}
    assert set(rows(history, "pve1").values()) == {0}
    queries = history.queries
    status = queries.host("pve9")
    assert status is not None
    assert (status.proven_at, queries.generation("pve9")) == (now + MINUTE, 8)
    assert len(queries.drift(DriftListing()).items) == 1
    assert len(queries.leases(LeaseListing(active=True), now=now).items) == 1
    assert len(queries.drills(DrillListing(host="pve9")).items) == 2


@pytest.mark.parametrize("batch", [1, 500])
def test_a_forgotten_host_has_nothing_left_but_its_events(
    history: History, now: datetime, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleet, "BATCH", batch)
    lived(history, "pve1", now)
    lived(history, "pve2", now)
    before = rows(history, "pve2")
    history.store.orphan_host("pve1", at=now)
    history.store.forget_host("pve1", by="ann", reason="scrapped", at=now)
    assert {name for name, count in rows(history, "pve1").items() if count} == {"events"}
    assert rows(history, "pve2") == before
    (event,) = history.queries.events(EventListing(limit=200, type="host.forgotten")).items
    assert (event.text, event.origin.part) == ("ann removed all records of pve1: scrapped", "person")
    with pytest.raises(NotFound, match="no host pve1"):
        history.store.forget_host("pve1", by="ann", at=now)


def test_a_host_in_git_is_not_forgotten(history: History, now: datetime) -> None:
    lived(history, "pve1", now)
    before = rows(history, "pve1")
    with pytest.raises(InputError, match="pve1 is still in Git, or its last round has not ended"):
        history.store.forget_host("pve1", by="ann", at=now)
    assert rows(history, "pve1") == before
