"""Drills, latches that end on their own, quarantines and probes: what the history keeps of them."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from service.errors import InputError
from service.history import History
from service.model.listings import ApplyListing, DrillListing, EventListing
from service.model.runs import HostStatus, ProbeRecord, Proof

LATER = timedelta(seconds=12)
HELD = (Proof("timer fired", ok=True, told="0.1 s after"), Proof("rollback", ok=True, told="as\nbefore"))


def types(history: History) -> list[str]:
    return [event.type for event in history.queries.events(EventListing(limit=50)).items]


def test_a_drill_that_proved_everything_is_the_last_proven_rollback(history: History, now: datetime) -> None:
    store, queries = history.store, history.queries
    store.set_host_status(HostStatus("pve1"), at=now)
    drill_id = store.open_drill("pve1", requested_by="ann", at=now)
    assert [drill.id for drill in queries.unfinished_drills("pve1")] == [drill_id]
    store.start_drill(drill_id, generation=7, at=now)
    assert store.finish_drill(drill_id, proofs=HELD, error="", at=now + LATER)
    assert not store.finish_drill(drill_id, proofs=(), error="again", at=now + LATER)
    found = queries.drill(drill_id)
    assert found is not None
    assert (found.state, found.generation, found.requested_by) == ("Passed", 7, "ann")
    assert (found.requested_at, found.started_at, found.ended_at) == (now, now, now + LATER)
    assert found.proofs == (HELD[0], replace(HELD[1], told="as before"))
    assert queries.unfinished_drills("pve1") == ()
    status = queries.host("pve1")
    assert status is not None
    assert status.proven_at == now + LATER
    store.set_host_status(replace(status, proven_at=None, message="a round later"), at=now + LATER)
    status = queries.host("pve1")
    assert status is not None
    assert status.proven_at == now + LATER
    assert types(history) == ["host.state", "drill.requested", "drill.started", "drill.passed"]


def test_a_drill_that_failed_proves_nothing_and_is_told_with_its_reason(history: History, now: datetime) -> None:
    history.store.set_host_status(HostStatus("pve1"), at=now)
    drill_id = history.store.open_drill("pve1", requested_by="ann", at=now)
    assert history.store.finish_drill(drill_id, proofs=(), error="timer: it is\x1b gone", at=now)
    found, status = history.queries.drill(drill_id), history.queries.host("pve1")
    assert found is not None
    assert status is not None
    assert (found.state, found.error) == ("Failed", "timer: it is gone")
    assert status.proven_at is None
    with pytest.raises(InputError, match="no drill"):
        history.store.start_drill(drill_id, generation=1, at=now)


def test_drills_come_newest_first_and_by_host(history: History, now: datetime) -> None:
    made = []
    for host in ("pve1", "pve2", "pve1"):
        made.append(history.store.open_drill(host, requested_by="ann", at=now))
        history.store.start_drill(made[-1], generation=1, at=now)
    first = history.queries.drills(DrillListing(limit=2))
    assert [drill.id for drill in first.items] == [made[2], made[1]]
    assert first.next is not None
    assert [drill.id for drill in history.queries.drills(DrillListing(limit=2, start=first.next)).items] == [made[0]]
    assert [drill.id for drill in history.queries.drills(DrillListing(limit=9, host="pve1")).items] == [
        made[2],
        made[0],
    ]
    assert history.queries.drills(DrillListing(limit=9, visible=("pve3",))).items == ()


def test_another_wanted_state_ends_every_latch_but_its_own(history: History, now: datetime) -> None:
    store, queries = history.store, history.queries
    for digest in ("sha256:a", "sha256:b"):
        store.latch("pve1", digest, apply_id="01A", at=now)
    store.latch("pve2", "sha256:a", apply_id="01B", at=now)
    assert store.drop_latches("pve1", wanted="sha256:b", at=now) == 1
    assert store.drop_latches("pve1", wanted="sha256:b", at=now) == 0
    assert [latch.desired_digest for latch in queries.latches("pve1")] == ["sha256:b"]
    assert len(queries.latches("pve2")) == 1
    assert types(history)[-1] == "latch.cleared"


def test_a_latch_says_why_its_apply_was_rolled_back(history: History, now: datetime) -> None:
    store = history.store
    named = {"plan_id": "", "commit": "c", "plan_digest": "p", "desired_digest": "sha256:a"}
    apply_id = store.open_apply("pve1", **named, trigger="push", requested_by="x", at=now)  # type: ignore[arg-type]
    store.finish_apply(apply_id, "RolledBack", at=now, cause="probe lost", error="dns 10.0.0.1: no answer")
    store.latch("pve1", "sha256:a", apply_id=apply_id, at=now)
    (latch,) = history.queries.latches("pve1")
    assert (latch.apply_id, latch.cause, latch.error) == (apply_id, "probe lost", "dns 10.0.0.1: no answer")


def test_a_quarantine_and_its_end_are_told_once(history: History, now: datetime) -> None:
    held = HostStatus("pve1", phase="RollbackFailed", quarantined="01A", message="it failed; look")
    for status in (HostStatus("pve1"), held, held, replace(held, quarantined="")):
        history.store.set_host_status(status, at=now)
    told = [event for event in history.queries.events(EventListing(limit=50)).items if event.type != "host.state"]
    assert [event.type for event in told] == ["host.quarantined", "host.released"]
    assert "it failed; look" in told[0].text


def test_what_was_probed_stands_with_its_apply(history: History, now: datetime) -> None:
    store = history.store
    named = {"plan_id": "", "commit": "c", "plan_digest": "p", "desired_digest": "d"}
    apply_id = store.open_apply("pve1", **named, trigger="push", requested_by="x", at=now)  # type: ignore[arg-type]
    probes = (ProbeRecord("dns 10.0.0.1", "ok", "no\nanswer"), ProbeRecord("ssh", "ok"))
    store.set_probes(apply_id, probes[1:])
    store.set_probes(apply_id, probes)
    found = history.queries.apply(apply_id)
    assert found is not None
    assert found.probes == (ProbeRecord("dns 10.0.0.1", "ok", "no answer"), ProbeRecord("ssh", "ok"))
    assert history.queries.applies(ApplyListing(limit=5)).items[0].probes == ()
