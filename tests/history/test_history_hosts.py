from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from service.errors import InputError
from service.history import History
from service.model.changes import Difference, Drift
from service.model.listings import DriftListing, EventListing
from service.model.runs import HostStatus

SECOND = timedelta(seconds=1)


def drift(resource: str, field: str = "up", have: object = False, moved: str = "host") -> Drift:
    return Drift(Difference("bridges", resource, field, "live", "changed", True, have), moved)  # type: ignore[arg-type]


def test_status_is_read_back_as_it_was_set(history: History, now: datetime) -> None:
    status = HostStatus(
        "pve1",
        address="198.51.100.11",
        sync_mode="auto",
        sync="OutOfSync",
        reason="Drifted",
        message="vmbr0 is down",
        health="Degraded",
        reachability="Reachable",
        phase="Running",
        observed_at=now,
        observed_commit="a" * 40,
    )
    history.store.set_host_status(status, at=now)
    assert history.queries.host("pve1") == replace(status, changed_at=now)


def test_changed_at_and_the_event_follow_the_axes_only(history: History, now: datetime) -> None:
    first = HostStatus("pve1", sync="Synced")
    assert history.store.set_host_status(first, at=now)
    assert not history.store.set_host_status(replace(first, observed_at=now + SECOND), at=now + SECOND)
    seen = history.queries.host("pve1")
    assert seen is not None
    assert (seen.observed_at, seen.changed_at) == (now + SECOND, now)
    assert [event.type for event in history.queries.events(EventListing(limit=10)).items] == ["host.state"]


def test_a_status_does_not_give_a_generation_back(history: History, now: datetime) -> None:
    assert history.store.next_generation("pve1") == 1
    history.store.set_host_status(HostStatus("pve1"), at=now)
    assert history.store.next_generation("pve1") == 2
    assert history.store.next_generation("pve1", at_least=41) == 42
    assert history.queries.generation("pve1") == 42


def test_drift_keeps_its_first_seen_until_it_is_resolved(history: History, now: datetime) -> None:
    store, queries = history.store, history.queries
    store.set_host_status(HostStatus("pve1"), at=now)
    assert store.set_drift("pve1", [drift("vmbr0"), drift("vmbr1")], at=now) == (2, 0)
    assert store.set_drift("pve1", [drift("vmbr0", have="odd", moved="both")], at=now + SECOND, resolved_by="01A") == (
        0,
        1,
    )
    [still] = queries.drift(DriftListing(limit=10)).items
    assert (still.resource, still.first_seen, still.last_seen) == ("vmbr0", now, now + SECOND)
    assert (still.have, still.moved) == ("odd", "both")
    [gone] = queries.drift(DriftListing(limit=10, resolved=True)).items
    assert (gone.resource, gone.resolved_at, gone.resolved_by) == ("vmbr1", now + SECOND, "01A")
    host = queries.host("pve1")
    assert host is not None
    assert host.drift_items == 1


def test_drift_that_comes_back_is_a_new_item(history: History, now: datetime) -> None:
    for step, found in enumerate(([drift("vmbr0")], [], [drift("vmbr0")], [])):
        history.store.set_drift("pve1", found, at=now + step * SECOND)
    past = history.queries.drift(DriftListing(limit=10, resolved=True)).items
    assert [(item.first_seen, item.resolved_at) for item in past] == [
        (now, now + SECOND),
        (now + 2 * SECOND, now + 3 * SECOND),
    ]
    assert [e.type for e in history.queries.events(EventListing(limit=9)).items] == [
        "drift.found",
        "drift.resolved",
    ] * 2


def test_drift_that_was_found_before_the_first_status_is_counted(history: History, now: datetime) -> None:
    history.store.set_drift("pve1", [drift("vmbr0"), drift("vmbr1")], at=now)
    history.store.set_host_status(HostStatus("pve1"), at=now)
    host = history.queries.host("pve1")
    assert host is not None
    assert host.drift_items == 2


def test_drift_of_one_host_leaves_the_other_alone(history: History, now: datetime) -> None:
    history.store.set_drift("pve1", [drift("vmbr0")], at=now)
    history.store.set_drift("pve2", [drift("vmbr0")], at=now)
    history.store.set_drift("pve1", [], at=now + SECOND)
    assert [item.host for item in history.queries.drift(DriftListing(limit=10)).items] == ["pve2"]


def test_a_latch_holds_for_its_digest_until_it_is_cleared(history: History, now: datetime) -> None:
    store, queries = history.store, history.queries
    store.latch("pve1", "sha256:a", apply_id="01A", at=now)
    store.latch("pve1", "sha256:a", apply_id="01B", at=now)
    store.latch("pve1", "sha256:b", apply_id="01C", at=now)
    assert [latch.apply_id for latch in queries.latches("pve1")] == ["01A", "01C"]
    assert queries.latches("pve2") == ()
    assert store.clear_latch("pve1", by="ann", reason="the cable is back", at=now) == 2
    assert queries.latches("pve1") == ()
    store.latch("pve1", "sha256:a", apply_id="01D", at=now)
    assert queries.latches("pve1")


def test_a_latch_is_not_cleared_without_a_reason(history: History, now: datetime) -> None:
    history.store.latch("pve1", "sha256:a", apply_id="01A", at=now)
    with pytest.raises(InputError, match="reason"):
        history.store.clear_latch("pve1", by="ann", reason=" \n\t", at=now)
    assert history.queries.latches("pve1")


def test_the_base_is_the_last_one_set(history: History, now: datetime) -> None:
    assert history.queries.base("pve1") is None
    for digest in ("sha256:a", "sha256:b"):
        history.store.set_base("pve1", {"x": [1, None]}, digest=digest, commit="c" * 40, apply_id="01A", at=now)
    base = history.queries.base("pve1")
    assert base is not None
    assert (base.digest, base.desired, base.at) == ("sha256:b", {"x": [1, None]}, now)


def test_text_of_hosts_is_stored_showable(history: History, now: datetime) -> None:
    status = HostStatus("pve1", message="a\x1b]0;owned\x07b\ud800\x00c\nd" + "x" * 5000)
    history.store.set_host_status(status, at=now)
    history.store.set_drift("pve1", [drift("vm\x1b[31mbr0", have={"k": ["\ud800", "\x00"]})], at=now)
    seen = history.queries.host("pve1")
    assert seen is not None
    assert seen.message.startswith("a]0;ownedbc d")
    assert len(seen.message) == 2000
    [item] = history.queries.drift(DriftListing(limit=1)).items
    assert item.resource == "vm[31mbr0"
    assert item.have == {"k": ["?", "\x00"]}


def test_a_process_that_only_answers_sees_what_changed(history: History, now: datetime) -> None:
    """The time of an observation changes alone."""
    status = HostStatus("pve1", sync="Synced", observed_at=now, observed_commit="c")
    history.store.set_host_status(status, at=now)
    [(name, (seen_at, *before))] = history.queries.stamps().items()
    assert (name, seen_at) == ("pve1", now)
    history.store.seen_hosts({"pve1": now + timedelta(seconds=5)})
    assert history.queries.stamps() == {"pve1": (now + timedelta(seconds=5), *before)}
    history.store.set_host_status(replace(status, message="x"), at=now)
    assert history.queries.stamps()["pve1"][1:] != tuple(before)
