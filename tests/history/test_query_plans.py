"""What the database does for each read: it never looks through a table that grows, and never sorts one.

Every statement is explained by `EXPLAIN QUERY PLAN`: of all lists with all pairs of their filters, and of other reads.
A list without a filter walks along its order and ends at its limit. An index over rows in force is as long as they are
many, however long the history is.
"""

import inspect
import itertools
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, get_args

import pytest
from sqlalchemy import event, text

from service.history import History, Queries, open_history
from service.history.tables import events
from service.model.listings import (
    LISTINGS,
    ApplyListing,
    AuditListing,
    DeliveryListing,
    DriftListing,
    DrillListing,
    EventListing,
    HostListing,
    LeaseHistoryListing,
    LeaseListing,
    Listing,
    RevisionListing,
    RolloutHostListing,
    RolloutListing,
    SiteListing,
    SuspensionListing,
    filters_of,
)
from service.model.trends import LastDays
from service.model.web_sessions import SessionLimits
from tests import explained
from tests.explained import faults
from tests.state_folders import made

SAMPLES: dict[str, Any] = {
    "host": "pve1", "text": "dev", "mac": "bc:24:11:00:00:01", "ip": "10.10.10.9", "commit": "c" * 40, "id": 7,
    "flag": True, "either": True, "time": datetime.fromisoformat("2026-03-01T12:00:00+00:00"),
}  # fmt: skip
START = {int: 1, str: "x"}
LISTS: dict[type[Listing], str] = {
    HostListing: "hosts", DriftListing: "drift", ApplyListing: "applies", DrillListing: "drills",
    RevisionListing: "revisions", EventListing: "events", LeaseListing: "leases",
    LeaseHistoryListing: "lease_history", SiteListing: "sites", DeliveryListing: "deliveries",
    SuspensionListing: "suspensions", AuditListing: "acts",
    RolloutListing: "rollouts", RolloutHostListing: "rollout_hosts",
}  # fmt: skip
ONE: dict[str, dict[str, Any]] = {
    "notices": {"channel": "webhook"}, "notice_state": {"channel": "webhook", "now": SAMPLES["time"], "hold_s": 30},
    "host": {"name": "pve1"}, "name_now": {"old": "pve1"}, "generation": {"host": "pve1"}, "plan": {"plan_id": "p"},
    "current_plan": {"host": "pve1"}, "plan_digests": {"host": "pve1", "prefix": "sha256:ab"},
    "apply": {"apply_id": "a"}, "last_ended": {"host": "pve1", "desired_digest": "d", "before": "z"},
    "unfinished_applies": {}, "revision": {"commit": "c" * 40}, "newest_revision": {}, "rewrite": {"commit": "c" * 40},
    "newest_event_id": {}, "event_edges": {}, "state": {}, "latches": {"host": "pve1"}, "drill": {"drill_id": "d"},
    "unfinished_drills": {"host": "pve1"}, "base": {"host": "pve1"}, "tokens": {}, "receivers": {},
    "receiver_secret": {"name": "forge"}, "counts": {}, "waiting_apply": {"host": "pve1"}, "stamp": {"host": "pve1"},
    "waiting_drill": {"host": "pve1"}, "release_asked": {"host": "pve1"}, "sighting": {"host": "pve1"},
    "stamps": {}, "suspended": {"now": SAMPLES["time"]}, "suspension": {"number": 7}, "acts_after": {"last": 5},
    "applies_between": {"host": "pve1", "since": SAMPLES["time"], "until": SAMPLES["time"], "most": 5},
    "accepted_by": {"at": SAMPLES["time"]},
    "rollout": {"rollout_id": "r"}, "newest_rollout": {}, "applied_digests": {}, "unavailable_hosts": {},
    "trends": {"asked": LastDays(30, "pve1"), "now": SAMPLES["time"]},
    "rollout_candidates": {"rollout_id": "r"}, "commits": {"prefix": "abcdef0"}, "lease_facts": {},
    "sessions": {"limits": SessionLimits(), "now": SAMPLES["time"]},
}  # fmt: skip
"""The reads of one thing, with words for each."""
HALVES = "SEARCH events USING INTEGER PRIMARY KEY (rowid>?)"
"""One row from a place on: the first event of a time is found by halves."""
PORTIONS = ("acts_after", "lease_facts", "sessions")
"""Reads that walk along the key from a place, and end at their limit."""


@pytest.fixture
def history(path: Path) -> Iterator[History]:
    """A file: the plans of PostgreSQL depend on how many rows there are, and have other words."""
    with open_history(made(path)) as opened:
        yield opened


class Plans:
    """The plans of all statements that reads make from now on."""

    def __init__(self, history: History) -> None:
        self._database = history.store._database
        self._engine = self._database._engine
        self._said: list[tuple[str, Any]] = []

    def of(self, read: Callable[[], Any]) -> list[str]:
        """The lines of the plans for one read."""
        self._said.clear()
        event.listen(self._engine, "before_cursor_execute", self._hear)
        try:
            read()
        finally:
            event.remove(self._engine, "before_cursor_execute", self._hear)
        found = []
        with self._database.read() as connection:
            for statement, values in self._said:
                lines = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values)
                found.append("\n".join(row[3] for row in lines))
        return found

    def _hear(self, _c: object, _cursor: object, statement: str, values: Any, *_rest: object) -> None:
        if statement.startswith(("SELECT", "\nSELECT")):
            self._said.append((statement, values))


def sample(metadata: Any) -> Any:
    form = metadata["form"]
    return SAMPLES[form] if isinstance(form, str) else get_args(form)[0]


def asked(kind: type[Listing]) -> Iterator[Listing]:
    """A list with each pair of its filters, its first page and a later one, for who sees all and who sees one host."""
    names = [(one.name, sample(one.metadata)) for one in filters_of(kind)]
    pairs = [()] + [(one,) for one in names] + list(itertools.combinations(names, 2))
    newest: list[dict[str, Any]] = [{"newest": True}] if kind is EventListing else []
    newest += [{"sort": kind.sorts_by}, {"sort": f"-{kind.sorts_by}"}]
    for pair in pairs:
        for start in ((), tuple(START[one] for one in kind.key)):
            for more in ({}, *newest):
                yield kind(**dict(pair) | more, start=start)  # type: ignore[arg-type]
    yield kind(visible=("pve1",))


@pytest.mark.parametrize("kind", LISTINGS, ids=lambda kind: kind.__name__)
def test_no_list_looks_through_what_it_does_not_return(history: History, now: datetime, kind: type[Listing]) -> None:
    plans, read = Plans(history), getattr(history.queries, LISTS[kind])
    more = {"now": now} if kind in (LeaseListing, SuspensionListing) else {}
    seen = 0
    for listing in asked(kind):
        sees_all = "*" in listing.visible or kind in (
            RevisionListing,
            HostListing,
            SiteListing,
            DeliveryListing,
            RolloutListing,
        )
        whole = {"newest", "after", "since", "until", "resolved", "at"}
        whole |= {"active"} if "at" in listing.asked else set()
        is_whole = not set(listing.asked) - whole and sees_all
        for plan in plans.of(partial(read, listing, **more)):
            if {"since", "until"} & set(listing.asked) and plan == HALVES:
                continue
            assert faults(plan, is_bounded=is_whole) == [], (listing.asked, listing.visible)
            seen += 1
    assert seen


@pytest.mark.parametrize("name", ONE)
def test_no_read_looks_through_a_table_that_grows(history: History, name: str) -> None:
    for plan in Plans(history).of(lambda: getattr(history.queries, name)(**ONE[name])):
        assert faults(plan, is_bounded=name in PORTIONS) == []


def test_every_read_is_asked() -> None:
    public = {name for name, _ in inspect.getmembers(Queries, inspect.isfunction) if not name.startswith("_")}
    assert public - set(ONE) - set(LISTS.values()) == {"leases_json"}


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM events WHERE text = 'x'",
        "SELECT * FROM applies WHERE error = 'x' ORDER BY id LIMIT 50",
        "SELECT * FROM events WHERE host = 'pve1' ORDER BY at LIMIT 50",
        "SELECT phase, count(*) FROM applies GROUP BY phase",
    ],
)
def test_a_read_without_an_index_would_be_noticed(history: History, query: str) -> None:
    def read() -> None:
        with history.store._database.read() as connection:
            connection.execute(text(query)).all()

    assert [found for plan in Plans(history).of(read) for found in faults(plan)]


def test_without_an_index_a_list_would_be_noticed(history: History) -> None:
    with history.store._database.write() as connection:
        for index in events.indexes:
            index.drop(connection)
    explained.forget()
    plans = Plans(history).of(lambda: history.queries.events(EventListing(type="host.state")))
    assert [found for plan in plans for found in faults(plan)]
    assert explained.found()
    explained.forget()
