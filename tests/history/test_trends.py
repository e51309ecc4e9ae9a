"""Laws: over any history, the numbers of a day are those of a model that counts on its own. Days without a look have
none."""

import json
import random
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from service.history import History, open_history
from service.history.migrate import migrate
from service.history.store.days import day_of
from service.model.guests import PoolFill
from service.model.observed import Lease
from service.model.retention import Keep
from service.model.runs import FINISHED, HostStatus
from service.model.trees import Commit
from service.model.trends import DayTrend, LastDays, PoolDay, Trends, Waited, rounded_s, waited_of
from tests.api.world import drift as difference
from tests.history.test_history_migrations import of_former_version

HOSTS = ("pve1", "pve2", "lab1")
KEEP = Keep(days=15, event_days=5)
HOUR = timedelta(hours=1)


class Model:
    """What happens, done to the history and counted here, in no way that the history knows."""

    def __init__(self, history: History, chance: random.Random, at: datetime) -> None:
        self.history, self.at, self._chance = history, at, chance
        self.seen: set[tuple[date, str]] = set()
        self.open: dict[str, set[str]] = {host: set() for host in HOSTS}
        self.open_at_end: dict[tuple[date, str], int] = {}
        self.counts: dict[str, Counter[tuple[date, str, str]]] = defaultdict(Counter)
        self.waits: dict[tuple[date, str], list[float]] = defaultdict(list)
        self.fullest: dict[tuple[date, str], int] = {}
        self._fill: dict[str, int] = {}
        self._number = 0

    @property
    def today(self) -> date:
        return self.at.date()

    def step(self) -> None:
        for _ in range(self._chance.choice((0, 1, 5, 40))):
            self.open_at_end |= {(self.today, host): len(found) for host, found in self.open.items()}
            self.at += HOUR
        host = self._chance.choice(HOSTS)
        self._chance.choice((self._quiet, self._look, self._drift, self._drift, self._apply, self._pools, self._old))(
            host
        )
        self.open_at_end |= {(self.today, one): len(found) for one, found in self.open.items()}

    def _see(self, host: str) -> None:
        self.seen.add((self.today, host))
        if host in self._fill:
            self._full(host, self._fill[host])

    def _full(self, host: str, leased: int) -> None:
        self.fullest[self.today, host] = max(leased, self.fullest.get((self.today, host), 0))

    def _look(self, host: str) -> None:
        self.history.store.set_host_status(HostStatus(host, observed_at=self.at), at=self.at)
        self._see(host)

    def _quiet(self, host: str) -> None:
        self.history.store.seen_hosts({host: self.at})
        self._see(host)

    def _old(self, host: str) -> None:
        """It cannot be reached: the time of the last look is written again, and is none of this day."""
        self.history.store.set_host_status(HostStatus(host, observed_at=self.at - timedelta(days=30)), at=self.at)

    def _drift(self, host: str) -> None:
        self._look(host)
        now = {f"vmbr{n}" for n in range(5) if self._chance.random() < 0.4}
        self.history.store.set_drift(host, [difference(one) for one in sorted(now)], at=self.at)
        self.counts["found"][self.today, host, ""] += len(now - self.open[host])
        self.counts["cleared"][self.today, host, ""] += len(self.open[host] - now)
        self.open[host] = now

    def _apply(self, host: str) -> None:
        self._look(host)
        self._number += 1
        commit, trigger = f"{self._number:040x}", self._chance.choice(("push", "request", "drift", "rollback"))
        wait_s, phase = self._chance.choice((0.0, 3.21, 99.5, 4321.0)), self._chance.choice(FINISHED)
        fetched_at = self.at - timedelta(seconds=wait_s)
        self.history.store.record_revision(Commit(commit, "Ann", "a@example.org", fetched_at, "x"), at=fetched_at)
        opened = self.history.store.open_apply(
            host, plan_id="p", commit=commit, plan_digest="x", desired_digest=f"sha256:{self._number}",
            trigger=trigger, requested_by="ann", at=self.at,  # type: ignore[arg-type]
        )  # fmt: skip
        self.history.store.finish_apply(opened, phase, at=self.at)
        self.counts["applies"][self.today, host, phase] += 1
        if phase == "Succeeded" and trigger in ("push", "request"):
            self.waits[self.today, host].append(float(rounded_s(wait_s)))

    def _pools(self, host: str) -> None:
        leased = self._chance.randrange(101)
        fill = PoolFill(host, "vmbr1", "10.10.10.100", "10.10.10.199", 100, leased, 0)
        self.history.store.seen_pools(host, [fill], at=self.at)
        self._fill[host] = leased
        self._full(host, leased)
        self._quiet(host)

    def expected(self, days: int, hosts: tuple[str, ...], since: date) -> list[DayTrend]:
        return [self._day(self.today - timedelta(days=back), hosts, since) for back in reversed(range(days))]

    def _day(self, day: date, hosts: tuple[str, ...], since: date) -> DayTrend:
        is_over, seen = day < self.today, [host for host in hosts if (day, host) in self.seen]
        if not seen or day < since:
            return DayTrend(day, is_over)
        sums = {what: sum(self.counts[what][day, host, ""] for host in hosts) for what in ("found", "cleared")}
        ended = {end: sum(self.counts["applies"][day, host, end] for host in hosts) for end in sorted(FINISHED)}
        waits = sorted(wait for host in hosts for wait in self.waits[day, host])
        fills = [self.fullest[day, host] / 100 for host in hosts if (day, host) in self.fullest]
        return DayTrend(
            day, is_over, len(seen), sums["found"], sums["cleared"],
            sum(self.open_at_end.get((day, host), 0) for host in hosts), {k: n for k, n in ended.items() if n},
            Waited(len(waits), least(waits, 0.5), least(waits, 0.9)) if waits else None, max(fills, default=None),
        )  # fmt: skip


def least(ordered: list[float], part: float) -> float:
    """The least that so many are not above."""
    return next(one for one in ordered if sum(other <= one for other in ordered) >= part * len(ordered))


@pytest.mark.parametrize("seed", range(3))
def test_the_numbers_of_each_day_are_those_of_the_model(history: History, now: datetime, seed: int) -> None:
    chance = random.Random(seed)
    model = Model(history, chance, now.replace(minute=0, second=0, microsecond=0))
    since, deleted, waited = date.min, False, set()
    for _ in range(60):
        model.step()
        if chance.random() < 0.1:
            past: dict[str, Any] = {}
            while history.store.forget(KEEP, past, at=model.at):
                pass
            since, deleted = (model.at - timedelta(days=KEEP.days, microseconds=1)).date() + timedelta(days=1), True
        read = history.queries.trends
        days = model.expected(30, HOSTS, since)
        assert list(read(LastDays(30), now=model.at).days) == days
        waited |= {one.waited is not None for one in days if one.hosts_seen}
        assert list(read(LastDays(9, "pve2"), now=model.at).days) == model.expected(9, ("pve2",), since)
        for visible in (("pve*",), ("pve1", "pve2")):
            assert list(read(LastDays(9, visible=visible), now=model.at).days) == model.expected(9, HOSTS[:2], since)
    assert deleted
    assert waited == {one.hosts_seen > 0 for one in days} == {True, False}


def test_a_day_without_a_look_has_no_numbers_and_not_zero(history: History, now: datetime) -> None:
    history.store.set_host_status(HostStatus("pve1", observed_at=now - timedelta(days=4)), at=now - timedelta(days=4))
    history.store.set_drift("pve1", [difference("vmbr0")], at=now - timedelta(days=4))
    history.store.seen_hosts({"pve1": now})
    first, *gap, last = history.queries.trends(LastDays(5), now=now).days
    assert (first.drift_open, last.drift_open, last.applies) == (1, 1, {})
    assert gap == [DayTrend((now - timedelta(days=back)).date(), is_over=True) for back in (3, 2, 1)]
    assert not last.is_over


def test_a_day_begins_and_ends_in_utc(history: History) -> None:
    late = datetime(2026, 3, 2, 0, 30, tzinfo=UTC) + timedelta(0)
    there = late.astimezone(tz=datetime.fromisoformat("2026-03-01T23:30:00-01:00").tzinfo)
    assert day_of(there) == datetime(2026, 3, 2, tzinfo=UTC)
    history.store.set_host_status(HostStatus("pve1", observed_at=there), at=there)
    assert [one.hosts_seen for one in history.queries.trends(LastDays(2), now=there).days] == [0, 1]


def test_what_was_applied_already_did_not_wait(history: History, now: datetime) -> None:
    """A commit that is restored days later, or that wanted of the host what it had, was not waiting all that time."""
    store = history.store
    store.set_host_status(HostStatus("pve1", observed_at=now), at=now)
    store.record_revision(Commit("c" * 40, "Ann", "a", now, "x"), at=now - timedelta(days=3))
    store.set_base("pve1", [], digest="sha256:d", commit="c" * 40, apply_id="", at=now)
    for digest in ("sha256:d", "sha256:e"):
        opened = store.open_apply(
            "pve1", plan_id="p", commit="c" * 40, plan_digest="x", desired_digest=digest, trigger="request",
            requested_by="ann", at=now,
        )  # fmt: skip
        store.finish_apply(opened, "Succeeded", at=now)
    unknown = store.open_apply(
        "pve1", plan_id="p", commit="d" * 40, plan_digest="x", desired_digest="sha256:f", trigger="push",
        requested_by="git", at=now,
    )  # fmt: skip
    store.finish_apply(unknown, "Succeeded", at=now)
    (today,) = history.queries.trends(LastDays(1), now=now).days
    assert (today.applies, today.waited) == ({"Succeeded": 3}, Waited(1, 260_000.0, 260_000.0))


def test_a_pool_keeps_its_fullest_hour_over_a_restart(path: Any, now: datetime) -> None:
    noon = now.replace(hour=12)

    def fill(leased: int, interface: str = "vmbr1") -> PoolFill:
        return PoolFill("pve1", interface, "10.10.10.10", "10.10.10.19", 10, leased, 1)

    with open_history(path) as history:
        history.store.seen_pools("pve1", [fill(7), fill(1, "vmbr2")], at=noon)
        history.store.seen_pools("pve1", [fill(3)], at=noon + HOUR)
    with open_history(path) as history:
        history.store.seen_pools("pve1", [fill(4)], at=noon + 2 * HOUR)
        history.store.seen_pools("pve1", [fill(2)], at=noon + 24 * HOUR)
        history.store.seen_hosts({"pve1": noon + 48 * HOUR})
        found = history.queries.trends(LastDays(3, "pve1"), now=noon + 48 * HOUR)
        assert [(one.day, one.interface, one.leased, one.free) for one in found.pools] == [
            (noon.date() + timedelta(days=0), "vmbr1", 7, 2),
            (noon.date() + timedelta(days=1), "vmbr1", 2, 7),
            (noon.date() + timedelta(days=2), "vmbr1", 2, 7),
            (noon.date() + timedelta(days=0), "vmbr2", 1, 8),
        ]
        assert history.queries.trends(LastDays(3), now=noon + 48 * HOUR).pools == ()


def test_a_pool_that_is_read_no_more_is_not_written_for_a_later_day(history: History, now: datetime) -> None:
    fill = PoolFill("pve1", "vmbr1", "10.10.10.10", "10.10.10.19", 10, 7, 0)
    history.store.set_host_status(HostStatus("pve1"), at=now)
    history.store.seen_pools("pve1", [fill], at=now)
    history.store.orphan_host("pve1", at=now)
    history.store.set_host_status(HostStatus("pve1", observed_at=now + 24 * HOUR), at=now + 24 * HOUR)
    days = history.queries.trends(LastDays(2, "pve1"), now=now + 24 * HOUR)
    assert [one.day for one in days.pools] == [now.date()]
    assert isinstance(days.pools[0], PoolDay)


def test_leases_alone_are_no_look_at_a_host(history: History, now: datetime) -> None:
    assert history.queries.trends(LastDays(1), now=now) == Trends((DayTrend(now.date(), is_over=False),))
    history.store.seen_leases("pve1", [Lease("bc:24:11:00:00:01", "10.10.10.9", "g", 0)], at=now)
    assert history.queries.trends(LastDays(1), now=now).days[0].hosts_seen == 0


def test_parts_of_nothing_and_of_one() -> None:
    assert waited_of([]) is None
    assert waited_of([(5.0, 1)]) == Waited(1, 5.0, 5.0)
    assert waited_of([(1.0, 9), (100.0, 1)]) == Waited(10, 1.0, 1.0)
    assert waited_of([(1.0, 8), (100.0, 2)]) == Waited(10, 1.0, 100.0)


class Meanwhile(set[str]):
    """Hosts. While somebody looks for one in here, another thread writes."""

    def __init__(self, hosts: tuple[str, ...], write: Callable[[], None]) -> None:
        super().__init__(hosts)
        self._write = write

    def __contains__(self, host: object) -> bool:
        self._write()
        return super().__contains__(host)


def test_a_host_is_forgotten_while_pools_of_others_are_written(history: History) -> None:
    at, numbers = datetime(2026, 3, 1, tzinfo=UTC), iter(range(100))
    store = history.store

    def write() -> None:
        host = f"other{next(numbers)}"
        store.seen_pools(host, [PoolFill(host, "vmbr0", "10.0.0.1", "10.0.0.9", 9, 1, 0)], at=at)

    for _ in range(3):
        write()
    store._forget_days(Meanwhile(("other0",), write))
    assert sorted(host for host, *_ in store._fullest) == [f"other{number}" for number in range(1, 6)]


def test_a_former_version_s_events_say_on_which_days_a_host_was_reached(tmp_path: Path) -> None:
    """Not those of a host that could not be reached, whatever it was before, and not the end of an apply that nobody
    looks at any more."""
    path = of_former_version(tmp_path, "0022")
    before = {"health": "Healthy", "phase": "Idle", "reachability": "Reachable", "reason": ""}
    away = {**before, "reachability": "Unreachable", "reason": "ComparisonError", "sync": "Unknown"}
    here = {**before, "sync": "Synced"}
    found: tuple[tuple[str, Any], ...] = (
        ("host.state", {**away, "was": before}), ("host.state", {**here, "was": {"reachability": "Unreachable"}}),
        ("host.state", away), ("host.state", here), ("apply.finished", {"phase": "Failed", "cause": "left git"}),
        ("drift.found", {}),
    )  # fmt: skip
    with closing(sqlite3.connect(path)) as connection, connection:
        for day, (kind, detail) in enumerate(found):
            text = json.dumps(detail, sort_keys=True, separators=(",", ":"))
            row = (day * 86_400_000_000 + 5, kind, "pve1", "", text)
            connection.execute("INSERT INTO events (at, type, host, text, detail) VALUES (?, ?, ?, ?, ?)", row)
        names = [row[1] for row in connection.execute("PRAGMA table_info(hosts)")]
        values = ["pve1" if name == "host" else 0 for name in names]
        connection.execute(f"INSERT INTO hosts VALUES ({', '.join('?' * len(names))})", values)
    assert migrate(path)
    with open_history(path) as history:
        days = history.queries.trends(LastDays(6), now=datetime(1970, 1, 6, 12, tzinfo=UTC)).days
    assert [one.hosts_seen for one in days] == [0, 1, 0, 1, 0, 1]
