"""Deleting what is old: by age, and sooner where the database is larger than it may be.

Records in force stay at any age. For a host these are open differences, the base, and the newest plan, apply and drill.
Others are applies that a latch or a quarantine names, applies under way, leases that are held, the revisions that any
of these name, and the newest revisions.

Days are deleted before what was counted of them: of a day that is there, every row is still there that was counted.

Of the audit log the oldest entries go, and an entry says so (`store/audit.py`).

Each table is walked once, from its oldest row to the first that is young enough, a small portion at a time. A portion
is looked at without the right to write, and each row of it is judged by an index. Then those that may go are deleted in
a transaction of their own, so that other writers wait for some milliseconds only, however large the database is.
"""

from collections.abc import MutableMapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, and_, delete, false, func, literal, or_, select, true, tuple_

from service.history.store.audit import AuditWrites
from service.history.store.writing import is_one_of
from service.history.tables import (
    agreements,
    applies,
    audit,
    bases,
    drift,
    drills,
    events,
    host_days,
    hosts,
    latches,
    lease_intervals,
    leases,
    plans,
    pool_days,
    revisions,
    steps,
    web_sessions,
)
from service.history.ulid import first_at
from service.history.words import words_of
from service.model.retention import Keep, Kept
from service.model.runs import FINISHED

BATCH = 200
LEAST_AGE = timedelta(days=1)
"""However large the database is: what is younger than this stays."""

Past = MutableMapping[str, Any]
"""How far a walk has come: the order of the last row that was looked at, by table; `_DONE` at its end."""
_DONE = "done"


@dataclass(frozen=True, slots=True)
class _Walk:
    """A table: the columns along whose index it is walked, which rows are `old`, and which of them `may_go`. The walks
    of the tables `after` have to be over first: their rows name rows of this one."""

    table: Table
    along: tuple[Any, ...]
    old: ColumnElement[bool]
    may_go: ColumnElement[bool]
    after: tuple[Table, ...] = ()


class RetentionWrites(AuditWrites):
    """What is deleted, and when: one transaction a portion."""

    def forget(self, keep: Keep, past: Past, *, at: datetime, pressure: int = 0) -> dict[str, int]:
        """Look at one portion of each table of what is older than `keep` says, and delete what may go. How many rows by
        table, 0 too; empty when there is nothing left to look at. `past` is empty at first, and the same in each call
        of one walk through the database.

        Each step of `pressure` halves the ages, down to a day.
        """
        aged = [max(LEAST_AGE, timedelta(days=days) / 2**pressure) for days in (keep.days, keep.event_days)]
        long_ago, lately = (at - age for age in aged)
        deleted: dict[str, int] = {}
        if past.get(audit.name) != _DONE:
            trimmed = self.trim_acts(long_ago, at=at)
            past[audit.name] = None if trimmed else _DONE
            if trimmed:
                deleted[audit.name] = trimmed
        for walk in _walks(long_ago, lately):
            name = walk.table.name
            if past.get(name) == _DONE or any(past.get(one.name) != _DONE for one in walk.after):
                continue
            with self._database.read() as connection:
                looked_at, going = _portion(connection, walk, past.get(name))
            past[name] = looked_at[-1] if len(looked_at) == BATCH else _DONE
            if going:
                with self._database.write() as connection:
                    deleted[name] = _delete(connection, walk, going)
            elif looked_at:
                deleted[name] = 0
        return deleted

    def give_back(self) -> int:
        """Give room that deleted rows left back to the disk, one small batch. How many pages; 0 when it is done."""
        with self._database.write() as connection:
            return words_of(connection).give_back(connection)

    def kept(self) -> Kept:
        """How large the database is, without pages that are free, and since when it knows what."""
        with self._database.read() as connection:
            words = words_of(connection)
        if words.IS_MEASURED:
            with self._database.upkeep() as connection:
                words.measure(connection, events.metadata.sorted_tables)
        with self._database.read() as connection:
            used = words.used_bytes(connection)
            oldest = {
                table.name: found
                for table, column in (
                    (events, events.c.at),
                    (plans, plans.c.created_at),
                    (applies, applies.c.requested_at),
                )
                if (found := connection.execute(select(column).order_by(table.c.id).limit(1)).scalar()) is not None
            }
        return Kept(used, oldest)


def _portion(connection: Connection, walk: _Walk, last: Any) -> tuple[list[Any], list[Any]]:
    """The next rows of a walk: where each is in its order, and the keys of those that may go."""
    along, key = walk.along, list(walk.table.primary_key.columns)
    bounds = (literal(value, column.type) for value, column in zip(last or (), along, strict=False))
    later = tuple_(*along) > tuple_(*bounds) if last else true()
    if walk.table is events:  # in the order of their times, which no index has: it ends at the first that is young
        query = select(*along, *key, (walk.old & walk.may_go).label("goes"), walk.old.label("is_old")).where(later)
        rows = list(connection.execute(query.order_by(*along).limit(BATCH)))
        rows = [row for row in rows if row.is_old]
    else:
        query = select(*along, *key, walk.may_go.label("goes")).where(walk.old, later)
        rows = list(connection.execute(query.order_by(*along).limit(BATCH)))
    width = len(along)
    going = [tuple(row[width : width + len(key)]) for row in rows if row.goes]
    return [tuple(row[:width]) for row in rows], going


def _delete(connection: Connection, walk: _Walk, keys: list[Any]) -> int:
    """Delete these, as far as they may go still."""
    table = walk.table
    if table is applies:
        going = select(applies.c.id).where(applies.c.id.in_([key for (key,) in keys]), walk.old, walk.may_go)
        connection.execute(delete(steps).where(steps.c.apply_id.in_(going)))
    return connection.execute(delete(table).where(is_one_of(table, keys), walk.old, walk.may_go)).rowcount


def _walks(long_ago: datetime, lately: datetime) -> list[_Walk]:
    """Every table that loses rows, and what may go from it."""
    before = first_at(long_ago)
    ended = and_(applies.c.ended_at < long_ago, applies.c.phase.in_(FINISHED))
    fetched = (revisions.c.fetched_at, revisions.c.id)
    lost = (leases.c.last_seen, leases.c.host, leases.c.mac, leases.c.ip)
    unheld = and_(leases.c.active == false(), leases.c.last_seen < long_ago)
    return [
        _Walk(events, (events.c.id,), events.c.at < lately, true()),
        _Walk(web_sessions, (web_sessions.c.ends_at, web_sessions.c.id), web_sessions.c.ends_at < lately, true()),
        _Walk(host_days, (host_days.c.day, host_days.c.host), host_days.c.day < long_ago, true()),
        _Walk(pool_days, tuple(pool_days.primary_key.columns), pool_days.c.day < long_ago, true()),
        _Walk(
            drift, (drift.c.resolved_at, drift.c.id), drift.c.resolved_at < long_ago, true(), (host_days,),
        ),
        _Walk(
            lease_intervals, (lease_intervals.c.until_at, lease_intervals.c.id),
            lease_intervals.c.until_at < long_ago, true(),
        ),
        _Walk(latches, (latches.c.cleared_at, latches.c.id), latches.c.cleared_at < long_ago, true()),
        _Walk(drills, (drills.c.id,), drills.c.id < before, _is_past_drill(long_ago)),
        _Walk(leases, lost, unheld, _has_no_interval(), (lease_intervals,)),
        _Walk(applies, (applies.c.id,), applies.c.id < before, ended & _is_past_apply(), (latches, host_days)),
        _Walk(plans, (plans.c.id,), plans.c.id < first_at(lately), _is_past_plan(), (applies,)),
        _Walk(revisions, fetched, revisions.c.fetched_at < long_ago, _is_past_revision(), (applies, plans)),
    ]  # fmt: skip


def _has_no_interval() -> ColumnElement[bool]:
    """Of a lease: who had an address at a past time is found by its lease."""
    held = lease_intervals.c
    same = (held.host == leases.c.host) & (held.ip_order == leases.c.ip_order) & (held.mac == leases.c.mac)
    return ~select(held.id).where(same).exists()


def _is_before_newest(table: Table, **values: str) -> ColumnElement[bool]:
    """Its host has a newer row, one with these values."""
    newer = table.alias()
    of_host = select(func.max(newer.c.id)).where(newer.c.host == table.c.host)
    for name, value in values.items():
        of_host = of_host.where(newer.c[name] == value)
    newest = of_host.correlate(table).scalar_subquery()
    is_older = table.c.id < newest
    return or_(is_older, *(table.c[name] != value for name, value in values.items())) if values else is_older


def _is_past_drill(before: datetime) -> ColumnElement[bool]:
    return and_(drills.c.ended_at < before, _is_before_newest(drills), _is_before_newest(drills, state="Passed"))


def _is_past_apply() -> ColumnElement[bool]:
    of_host = (
        select(hosts.c.host).where(
            hosts.c.host == applies.c.host, or_(hosts.c.apply_id == applies.c.id, hosts.c.quarantined == applies.c.id)
        ),
        select(bases.c.host).where(bases.c.host == applies.c.host, bases.c.apply_id == applies.c.id),
        select(latches.c.id).where(latches.c.apply_id == applies.c.id),
    )
    newest = (_is_before_newest(applies), _is_before_newest(applies, phase="Succeeded"))
    return and_(*newest, *(~one.correlate(applies).exists() for one in of_host))


def _is_past_plan() -> ColumnElement[bool]:
    named = (
        select(applies.c.id).where(applies.c.plan_id == plans.c.id),
        select(hosts.c.host).where(hosts.c.host == plans.c.host, hosts.c.plan_id == plans.c.id),
    )
    unnamed = (~one.correlate(plans).exists() for one in named)
    return and_(plans.c.state != "current", _is_before_newest(plans), *unnamed)


def _is_past_revision() -> ColumnElement[bool]:
    of_hosts = (
        hosts.c.observed_commit, hosts.c.attempted_commit, hosts.c.applied_commit, bases.c.commit,
        agreements.c.agreed_commit,
    )  # fmt: skip
    named = (
        select(applies.c.id).where(applies.c.commit == revisions.c.commit),
        select(plans.c.id).where(plans.c.commit == revisions.c.commit),
    )
    later = revisions.alias()
    newest = select(later.c.id).where(later.c.state == revisions.c.state).correlate(revisions)
    newest = newest.order_by(later.c.fetched_at.desc(), later.c.id.desc()).limit(1)
    unnamed = (~one.correlate(revisions).exists() for one in named)
    in_force = (revisions.c.commit.not_in(select(one)) for one in of_hosts)
    return and_(*unnamed, *in_force, revisions.c.id != newest.scalar_subquery())
