"""Suspensions: what the history keeps of them, on both kinds of database."""

from datetime import datetime, timedelta

import pytest

from service.errors import InputError
from service.history import History
from service.history.store import suspensions
from service.model.listings import EventListing, SuspensionListing
from service.model.runs import HostStatus

HOUR = timedelta(hours=1)
WHY = "the switch is replaced"


def test_a_suspension_is_in_force_until_it_is_ended(history: History, now: datetime) -> None:
    made = history.store.suspend("host", "pve1", WHY, by="ann", at=now, until=None)
    assert history.queries.suspended(now + 1000 * HOUR) == (made,)
    assert history.queries.suspension(made.id) == made
    ended = history.store.end_suspension(made.id, by="bob", at=now + HOUR)
    assert ended is not None
    assert (ended.ended_at, ended.ended_by) == (now + HOUR, "bob")
    assert history.queries.suspended(now + HOUR) == ()
    assert history.store.end_suspension(made.id, by="bob", at=now + HOUR) is None
    assert history.store.end_suspension(99, by="bob", at=now) is None


def test_one_that_has_run_out_holds_nobody_and_is_reported_once(history: History, now: datetime) -> None:
    history.store.suspend("all", "", WHY, by="ann", at=now, until=now + HOUR)
    assert len(history.queries.suspended(now + HOUR - timedelta(microseconds=1))) == 1
    assert history.queries.suspended(now + HOUR) == ()
    assert history.store.end_due_suspensions(at=now) == ()
    (ended,) = history.store.end_due_suspensions(at=now + HOUR)
    assert ended.ended_by == "passerelle"
    assert history.store.end_due_suspensions(at=now + HOUR) == ()
    texts = [one.text for one in history.queries.events(EventListing()).items]
    assert texts == [
        f"ann suspended all hosts until {now + HOUR:%Y-%m-%d %H:%M} UTC: {WHY}",
        "the suspension of all hosts has run out",
    ]


def test_a_new_one_of_the_same_hosts_takes_the_place_of_the_old_one(history: History, now: datetime) -> None:
    history.store.suspend("label", "site=paris", "first", by="ann", at=now, until=None)
    second = history.store.suspend("label", "site=paris", "second", by="bob", at=now, until=now + HOUR)
    other = history.store.suspend("label", "site=lyon", "third", by="bob", at=now, until=now + HOUR)
    assert history.queries.suspended(now) == (second, other)


def test_a_hold_and_a_suspension_of_one_host_stand_beside_each_other(history: History, now: datetime) -> None:
    hold = history.store.suspend("host", "pve1", WHY, by="ann", at=now, until=None, held_digest="sha256:a")
    other = history.store.suspend("host", "pve1", WHY, by="bob", at=now, until=None)
    assert history.queries.suspended(now) == (hold, other)
    again = history.store.suspend("host", "pve1", WHY, by="ann", at=now, until=None, held_digest="sha256:b")
    assert history.queries.suspended(now) == (other, again)


def test_the_list_is_the_newest_first_and_by_its_filters(history: History, now: datetime) -> None:
    for host in ("pve1", "pve2", "pve3"):
        history.store.suspend("host", host, WHY, by="ann", at=now, until=None)
    history.store.suspend("all", "", WHY, by="ann", at=now, until=now + HOUR)
    history.store.end_suspension(1, by="ann", at=now)

    def listed(at: datetime = now, **asked: object) -> list[str]:
        found = history.queries.suspensions(SuspensionListing(**asked), now=at)  # type: ignore[arg-type]
        return [one.target for one in found.items]

    assert listed() == ["", "pve3", "pve2", "pve1"]
    assert listed(in_force=True) == ["", "pve3", "pve2"]
    assert listed(now + HOUR, in_force=True) == ["pve3", "pve2"]
    assert listed(in_force=False) == ["pve1"]
    assert listed(scope="host", target="pve2") == ["pve2"]
    assert listed(visible=("pve2",)) == ["", "pve2"]
    first = history.queries.suspensions(SuspensionListing(limit=3), now=now)
    assert first.next is not None
    rest = history.queries.suspensions(SuspensionListing(limit=3, start=first.next), now=now)
    assert [one.target for one in rest.items] == ["pve1"]


@pytest.mark.parametrize(("reason", "minutes", "said"), [("  ", 5, "needs a reason"), (WHY, 0, "is over")])
def test_no_reason_or_a_time_in_the_past_is_rejected(
    history: History, now: datetime, reason: str, minutes: int, said: str
) -> None:
    with pytest.raises(InputError, match=said):
        history.store.suspend("all", "", reason, by="ann", at=now, until=now + timedelta(minutes=minutes))
    assert history.queries.suspended(now) == ()


def test_a_renamed_host_is_still_suspended(history: History, now: datetime) -> None:
    history.store.set_host_status(HostStatus("pve1"), at=now)
    history.store.suspend("host", "pve1", WHY, by="ann", at=now, until=None)
    history.store.rename_host("pve1", "pve9", at=now)
    assert [one.target for one in history.queries.suspended(now)] == ["pve9"]


def test_those_of_a_host_that_is_forgotten_end_with_it(history: History, now: datetime) -> None:
    history.store.set_host_status(HostStatus("pve1"), at=now)
    history.store.suspend("host", "pve1", WHY, by="ann", at=now, until=None)
    other = history.store.suspend("host", "pve2", WHY, by="ann", at=now, until=None)
    history.store.orphan_host("pve1", at=now)
    assert len(history.queries.suspended(now)) == 2
    history.store.forget_host("pve1", by="bob", at=now)
    assert history.queries.suspended(now) == (other,)


def test_of_those_that_have_ended_the_newest_are_kept(
    history: History, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(suspensions, "KEPT", 3)
    for _ in range(8):
        history.store.suspend("all", "", WHY, by="ann", at=now, until=None)
    found = history.queries.suspensions(SuspensionListing(), now=now).items
    assert [one.ended_at is None for one in found] == [True, False, False, False]
