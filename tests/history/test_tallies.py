"""A law: after anything that happens, a tally says how many rows there are, and nobody has to count them."""

import contextlib
import random
from collections import Counter as Count
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import MetaData, Table, create_engine, delete, insert, select, text, update
from sqlalchemy.exc import IntegrityError
from sqlmodel import SQLModel

from service.errors import PasserelleError
from service.history import History, open_history
from service.history.migrate import migrate
from service.history.sizes import since_of
from service.history.tables import applies, drift, events, idempotency_keys, latches, leases, tallies
from service.model.audit import Act
from service.model.guests import PoolFill
from service.model.observed import Lease
from service.model.retention import Keep
from service.model.runs import FINISHED, HostStatus
from tests.api.world import drift as difference
from tests.history.test_history_migrations import of_former_version
from tests.history.test_history_retention import one_day

HOSTS = ("pve1", "pve2", "pve3")
COUNTED = (
    "events", "drift", "plans", "applies", "apply_steps", "drills", "latches", "revisions", "leases", "lease_intervals",
    "deliveries", "idempotency_keys", "audit", "web_sessions", "host_days", "pool_days",
)  # fmt: skip
LATER = ("audit", "web_sessions", "host_days", "pool_days")
"""Tables that came after the tallies."""
RENAMED = {"delivery_id": "delivery"}
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
Tallies = dict[tuple[str, int, str, str], int]


def kept(history: History) -> Tallies:
    with history.store._database.read() as connection:
        return {tuple(row[:4]): row[4] for row in connection.execute(select(tallies))}


def counted(history: History) -> Tallies:
    """The same from the rows themselves."""
    found: Count[tuple[str, int, str, str]] = Count()
    by_day = {
        "drift": (("found drift", "first_seen", ""), ("cleared drift", "resolved_at", "")),
        "applies": (("ended applies", "ended_at", "phase"), ("waited applies", "ended_at", "waited")),
    }
    in_force: dict[str, tuple[str, Callable[[Any], bool], bool]] = {
        "drift": ("open drift", lambda row: row.resolved_at is None, True),
        "latches": ("held latches", lambda row: row.cleared_at is None, False),
        "leases": ("held leases", lambda row: row.active, False),
        "applies": ("open applies", lambda row: row.ended_at is None and row.phase not in FINISHED, False),
    }
    with history.store._database.read() as connection:
        for name in COUNTED:
            table = SQLModel.metadata.tables[name]
            since = since_of(table)
            for row in connection.execute(select(table)):
                day = (row._mapping[since.name] - EPOCH).days if since is not None else 0
                found[name, day, "", ""] += 1
                for what, at, kind in by_day.get(name, ()):
                    if row._mapping[at] is not None and (what != "waited applies" or row.waited):
                        of_day = (row._mapping[at] - EPOCH).days
                        found[what, of_day, row.host, row._mapping[kind] if kind else ""] += 1
                what, holds, has_kind = in_force.get(name, ("", lambda _row: False, False))
                if holds(row):
                    found[what, 0, row.host, row.kind if has_kind else ""] += 1
    return dict(found)


def without_later(found: Tallies) -> Tallies:
    """Without tables that a former version did not have, and without what it did not know of an apply."""
    return {key: rows for key, rows in found.items() if key[0] not in (*LATER, "waited applies")}


class Life:
    """What may happen to a database, drawn at random. Between them some hours pass."""

    def __init__(self, history: History, chance: random.Random, at: datetime) -> None:
        self._history, self._chance, self._at = history, chance, at
        self._number = 0
        self._past: dict[str, Any] = {}

    def step(self) -> None:
        """One of them; one in four breaks off before it is committed, as after a crash."""
        self._at += timedelta(hours=self._chance.choice((0, 1, 30)))
        happens = self._chance.choice((
            self._day, self._drift, self._leases, self._latch, self._open, self._forget, self._leave, self._rename,
            self._rows, self._deliver, self._act, self._pools,
        ))  # fmt: skip
        if self._chance.random() < 0.25:
            with contextlib.suppress(ZeroDivisionError), _cut_short(self._history, self._chance.randrange(1, 6)):
                self._try(happens)
        else:
            self._try(happens)

    def _try(self, happens: Callable[[], object]) -> None:
        with contextlib.suppress(PasserelleError, IntegrityError):
            happens()

    def _act(self) -> None:
        self._history.store.record_act(Act(by="ann", how="api", action="a", host=self._host()), at=self._at)

    def _host(self) -> str:
        return self._chance.choice(HOSTS)

    def _day(self) -> None:
        self._number += 1
        self._history.store.set_host_status(HostStatus(host := self._host(), observed_at=self._at), at=self._at)
        one_day(self._history, self._at, self._number, host=host, end=self._chance.choice(FINISHED))

    def _drift(self) -> None:
        found = [difference(f"vmbr{n}") for n in range(4) if self._chance.random() < 0.5]
        self._history.store.set_drift(self._host(), found, at=self._at)

    def _pools(self) -> None:
        host = self._host()
        fill = PoolFill(host, "vmbr1", "10.10.10.100", "10.10.10.199", 100, self._chance.randrange(101), 0)
        self._history.store.seen_pools(host, [fill], at=self._at)
        self._history.store.seen_hosts({host: self._at})

    def _leases(self) -> None:
        seen = [Lease(f"bc:24:11:00:00:0{n}", f"10.10.10.{n}", f"g{n}", 0) for n in range(5)]
        self._history.store.seen_leases(self._host(), self._chance.sample(seen, 2), at=self._at)

    def _latch(self) -> None:
        host = self._host()
        if self._chance.random() < 0.5:
            self._history.store.latch(host, f"sha256:{self._number}", apply_id="a", at=self._at)
        else:
            self._history.store.clear_latch(host, by="ann", reason="well", at=self._at)

    def _open(self) -> None:
        host = self._host()
        opened = self._history.store.open_apply(
            host, plan_id="p", commit="c", plan_digest="x", desired_digest="y", trigger="request", requested_by="ann",
            at=self._at,
        )  # fmt: skip
        if self._chance.random() < 0.5:
            self._history.store.start_apply(opened, generation=1, planned=[("a", "b")], at=self._at)

    def _forget(self) -> None:
        keep = Keep(days=20, event_days=5)
        self._past = self._past if self._chance.random() < 0.5 else {}
        self._history.store.forget(keep, self._past, at=self._at, pressure=self._chance.randrange(3))

    def _leave(self) -> None:
        host = self._host()
        self._history.store.orphan_host(host, at=self._at)
        if self._chance.random() < 0.5:
            self._history.store.forget_host(host, by="ann", at=self._at)

    def _rename(self) -> None:
        self._history.store.rename_host(self._host(), self._host(), at=self._at)

    def _deliver(self) -> None:
        number = f"{self._number}-{self._chance.random()}"
        key = {"principal": "ann", "key": number, "request_digest": "", "status": 0, "location": ""}
        self._history.store.record_delivery("forge", number, outcome="accepted", at=self._at)
        with self._history.store._database.write() as connection:
            connection.execute(insert(idempotency_keys).values(**key, body=None, at=self._at))

    def _rows(self) -> None:
        """Many rows in one statement, whatever the program would write."""
        with self._history.store._database.write() as connection:
            connection.execute(update(drift).values(kind=self._chance.choice(("nat", "link")), first_seen=self._at))
            connection.execute(update(leases).values(active=self._chance.random() < 0.5))
            connection.execute(update(applies).values(host=self._host(), ended_at=self._at))
            connection.execute(update(events).where(events.c.id % 3 == 0).values(at=self._at))
            connection.execute(delete(latches).where(latches.c.id % 2 == 0))


@contextlib.contextmanager
def _cut_short(history: History, statements: int) -> Iterator[None]:
    """Whatever is written breaks off after so many statements."""
    database = history.store._database
    write = database.write

    @contextlib.contextmanager
    def cut() -> Iterator[Any]:
        with write() as connection:
            execute, left = connection.execute, statements

            def counting(*words: Any) -> Any:
                nonlocal left
                left -= 1
                if left < 0:
                    raise ZeroDivisionError
                return execute(*words)

            connection.execute = counting  # type: ignore[method-assign, assignment]
            yield connection

    database.write = cut  # type: ignore[method-assign]
    try:
        yield
    finally:
        database.write = write  # type: ignore[method-assign]


@pytest.mark.parametrize("seed", range(4))
def test_a_tally_is_what_a_count_would_be(history: History, now: datetime, seed: int) -> None:
    life = Life(history, random.Random(seed), now)
    for _ in range(40):
        life.step()
        assert kept(history) == counted(history)
    assert len({what for what, *_ in kept(history)}) >= 12


def test_the_metrics_numbers_are_those_of_the_rows(history: History, now: datetime) -> None:
    life = Life(history, random.Random(9), now)
    for _ in range(40):
        life.step()
    numbers = history.queries.counts()
    assert {("open drift", 0, host, kind): rows for (host, kind), rows in numbers.drift.items()} | {
        (what, 0, host, ""): rows
        for what, of_hosts in (
            ("held latches", numbers.latched), ("held leases", numbers.leases), ("open applies", numbers.under_way),
        )
        for host, rows in of_hosts.items()
    } == {key: rows for key, rows in counted(history).items() if key[0] not in COUNTED and not key[1]}  # fmt: skip


def test_a_statement_that_no_trigger_follows_would_be_noticed(history: History, path: Path, now: datetime) -> None:
    with history.store._database.write() as connection:
        connection.execute(text("DROP TRIGGER tally_open_drift_came"))
        connection.execute(text("DROP TRIGGER tally_events_gone"))
    life = Life(history, random.Random(1), now)
    for _ in range(40):
        life.step()
    assert kept(history) != counted(history)


def test_a_former_version_s_rows_are_counted_by_the_migration(tmp_path: Path, now: datetime) -> None:
    """The rows are the newest version's, without the columns that came later, and with the former name of one."""
    path = of_former_version(tmp_path, "0012")
    full = tmp_path / "full" / "passerelle.sqlite"
    with open_history(full) as history:
        life = Life(history, random.Random(3), now)
        for _ in range(40):
            life.step()
        expected = without_later(kept(history))
        with history.store._database.read() as connection:
            tables = [SQLModel.metadata.tables[name] for name in COUNTED if name not in LATER]
            rows = {table.name: connection.execute(select(table)).all() for table in tables}
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        for name, found in rows.items():
            former = Table(name, MetaData(), autoload_with=connection)
            newest = {column.name: column.type for column in SQLModel.metadata.tables[name].columns}
            for column in former.columns:
                column.type = newest[RENAMED.get(column.name, column.name)]
            for row in found:
                values = {column.name: row._mapping[RENAMED.get(column.name, column.name)] for column in former.columns}
                connection.execute(insert(former).values(values))
    engine.dispose()
    assert migrate(path)
    with open_history(path) as history:
        assert kept(history) == counted(history)
        assert without_later(kept(history)) == expected
