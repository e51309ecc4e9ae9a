"""Deleting what is old: by age, and sooner where the database is larger than it may be.

Records in force stay at any age. For a host these are open differences, the base, and the newest plan, apply, drill and
observation. Others are applies that a latch or a quarantine names, applies under way, leases that are held, the
revisions that any of these name, and the newest revisions. Old records are looked for without the right to write. Then
each table loses one small batch in a transaction of its own, so that other writers wait for some milliseconds only.
"""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, delete, func, select, tuple_, union

from service.history.store.writing import Writing
from service.history.tables import (
    applies,
    bases,
    drift,
    drills,
    events,
    hosts,
    latches,
    lease_intervals,
    leases,
    plans,
    revisions,
    steps,
)
from service.history.ulid import first_at
from service.history.words import words_of
from service.model.retention import Keep, Kept
from service.model.runs import FINISHED

BATCH = 200
LEAST_AGE = timedelta(days=1)
"""However large the database is: what is younger than this stays."""


class RetentionWrites(Writing):
    """What is deleted, and when: one transaction a portion."""

    def forget(self, keep: Keep, *, at: datetime, pressure: int = 0) -> dict[str, int]:
        """Delete one batch of what is older than `keep` says; how many rows by table, empty when there is nothing left.

        Each step of `pressure` halves the ages, down to a day.
        """
        aged = [max(LEAST_AGE, timedelta(days=days) / 2**pressure) for days in (keep.days, keep.event_days)]
        long_ago, lately = (at - age for age in aged)
        deleted: dict[str, int] = {}
        for table, old in _old_rows(long_ago, lately):
            with self._database.read() as connection:
                keys = _found(connection, table, old)
            if not keys:
                continue
            with self._database.write() as connection:
                deleted[table.name] = _delete(connection, table, old, keys)
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
            with self._database.write() as connection:
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


def _found(connection: Connection, table: Table, old: ColumnElement[bool]) -> list[Any]:
    """The keys of the next batch. Events are in the order of their times, so only the first of them are looked at."""
    key = list(table.primary_key.columns)
    query = select(*key).where(old)
    if table is events:
        query = query.where(events.c.id <= select(func.min(events.c.id) + BATCH - 1).scalar_subquery())
    return [tuple(row) for row in connection.execute(query.limit(BATCH))]


def _delete(connection: Connection, table: Table, old: ColumnElement[bool], keys: list[Any]) -> int:
    """Delete these, as far as they may go still."""
    key = tuple_(*table.primary_key.columns)
    if table is applies:
        going = select(applies.c.id).where(key.in_(keys), old)
        connection.execute(delete(steps).where(steps.c.apply_id.in_(going)))
    return connection.execute(delete(table).where(key.in_(keys), old)).rowcount


def _old_rows(long_ago: datetime, lately: datetime) -> list[tuple[Table, ColumnElement[bool]]]:
    """Each table with what may go from it, in the order in which they go: who names others goes first."""
    return [
        (events, events.c.at < lately),
        (drift, drift.c.resolved_at < long_ago),
        (lease_intervals, lease_intervals.c.until_at < long_ago),
        (leases, _old_leases(long_ago)),
        (latches, latches.c.cleared_at < long_ago),
        (drills, _old_drills(long_ago)),
        (applies, _old_applies(long_ago)),
        (plans, _old_plans(lately)),
        (revisions, _old_revisions(long_ago)),
    ]


def _old_leases(before: datetime) -> ColumnElement[bool]:
    """Those of which no interval is left: who had an address at a past time is found by its lease."""
    held = lease_intervals.c
    same = (held.host == leases.c.host) & (held.ip_order == leases.c.ip_order) & (held.mac == leases.c.mac)
    return leases.c.active.is_(False) & (leases.c.last_seen < before) & ~select(held.id).where(same).exists()


def _newest(table: Table, *where: ColumnElement[bool]) -> Any:
    """The newest row of each host."""
    return select(func.max(table.c.id)).where(*where).group_by(table.c.host)


def _old_drills(before: datetime) -> ColumnElement[bool]:
    is_old = (drills.c.id < first_at(before)) & (drills.c.ended_at < before)
    passed = _newest(drills, drills.c.state == "Passed")
    return is_old & drills.c.id.not_in(_newest(drills)) & drills.c.id.not_in(passed)


def _old_applies(before: datetime) -> ColumnElement[bool]:
    is_old = (applies.c.id < first_at(before)) & (applies.c.ended_at < before) & applies.c.phase.in_(FINISHED)
    named = union(
        select(bases.c.apply_id), select(hosts.c.apply_id), select(hosts.c.quarantined), select(latches.c.apply_id)
    )
    well = _newest(applies, applies.c.phase == "Succeeded")
    return is_old & applies.c.id.not_in(named) & applies.c.id.not_in(_newest(applies)) & applies.c.id.not_in(well)


def _old_plans(before: datetime) -> ColumnElement[bool]:
    named = union(select(applies.c.plan_id), select(hosts.c.plan_id))
    is_old = (plans.c.id < first_at(before)) & (plans.c.state != "current")
    return is_old & plans.c.id.not_in(named) & plans.c.id.not_in(_newest(plans))


def _old_revisions(before: datetime) -> ColumnElement[bool]:
    of_hosts = (hosts.c.observed_commit, hosts.c.attempted_commit, hosts.c.applied_commit)
    named = union(*(select(one) for one in (applies.c.commit, plans.c.commit, bases.c.commit, *of_hosts)))
    newest = select(func.max(revisions.c.id)).group_by(revisions.c.state)
    return (revisions.c.fetched_at < before) & revisions.c.commit.not_in(named) & revisions.c.id.not_in(newest)
