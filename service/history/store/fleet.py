"""Writes about hosts that leave the fleet, get another name, or are forgotten.

Events: `host.state` when one leaves Git, `host.renamed`, `host.forgotten`.
"""

import json
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Table, and_, delete, select, update

from service.errors import InputError, NoHost
from service.history.store.agreements import leave_agreement
from service.history.store.days import DayWrites
from service.history.store.hosts import AXES, moved_axes
from service.history.store.leases import end_leases
from service.history.store.suspensions import end_of_host
from service.history.store.writing import clean, is_one_of, tell
from service.history.tables import (
    applies,
    bases,
    drift,
    drills,
    events,
    host_days,
    hosts,
    latches,
    lease_intervals,
    lease_looks,
    leases,
    plans,
    pool_days,
    releases,
    rollout_hosts,
    sightings,
    sites,
    steps,
    suspensions,
)
from service.model.events import HostForgotten, HostLeft, HostRenamed
from service.model.runs import LEFT_GIT

BATCH = 200
ONE_ROW: tuple[Table, ...] = (bases, sightings, releases, lease_looks)
"""Tables with one row a host, besides that of its status."""
MANY_ROWS: tuple[Table, ...] = (
    sites, leases, lease_intervals, drift, latches, drills, applies, plans, rollout_hosts, host_days, pool_days,
)  # fmt: skip
"""Tables with as many rows of a host as there was to record."""
ORPHANED = dict(zip(AXES, ("Unknown", "Orphaned", "Unknown", "Unknown", "Idle"), strict=True))


class FleetWrites(DayWrites):
    """How hosts leave, are renamed and are forgotten."""

    def orphan_host(self, host: str, *, at: datetime) -> None:
        """The host left Git: it is Orphaned and nothing on it is touched. Nothing is known of it any more, nobody holds
        a lease of it, and what was last applied counts no more should it come back. Its history stays. Twice is once.
        """
        with self._database.write() as connection:
            for table in (sightings, bases, releases, sites):
                connection.execute(delete(table).where(table.c.host == host))
            row = connection.execute(select(hosts).where(hosts.c.host == host)).mappings().one_or_none()
            if row is None or row["reason"] == ORPHANED["reason"]:
                return
            _end(connection, host, at)
            leave_agreement(connection, [host])
            values = ORPHANED | {"message": LEFT_GIT, "plan_id": "", "applied_digest": "", "drift_items": 0}
            connection.execute(update(hosts).where(hosts.c.host == host).values(**values, changed_at=at))
            tell(connection, HostLeft(host=host, **ORPHANED, was=moved_axes(row, ORPHANED)), at=at)
        self._forget_days((host,))

    def rename_host(self, old: str, new: str, *, at: datetime) -> bool:
        """All that is recorded of a host is that of another name from now on. False where nothing is. Where both names
        have a state, that of the new one holds: it was seen later. It does not if that host left Git: it was another
        one, of which only the history stays."""
        with self._database.write() as connection:
            leave_agreement(connection, [old, new])
            before = connection.execute(select(hosts).where(hosts.c.host == old)).mappings().one_or_none()
            if before is None:
                return False
            now = connection.execute(select(hosts).where(hosts.c.host == new)).mappings().one_or_none()
            if now is not None and now["reason"] == ORPHANED["reason"]:
                _give_way(connection, new, old)
            elif now is not None:
                _end(connection, old, at)
                _give_way(connection, old, new)
                proven = max((one["proven_at"] for one in (before, now) if one["proven_at"]), default=None)
                generation = max(before["generation"], now["generation"])
                of_both = update(hosts).where(hosts.c.host == new).values(generation=generation, proven_at=proven)
                connection.execute(of_both)
            _rename_open_drift(connection, old, new)
            for table in (hosts, *ONE_ROW, *MANY_ROWS, events):
                connection.execute(update(table).where(table.c.host == old).values(host=new))
            of_old = (suspensions.c.scope == "host", suspensions.c.target == old)
            connection.execute(update(suspensions).where(*of_old).values(target=new))
            tell(connection, HostRenamed(host=new, old=old), at=at)
        self._forget_days((old, new))
        return True

    def forget_host(self, host: str, *, by: str, reason: str = "", at: datetime) -> None:
        """A person has all that is recorded of a host that left Git removed, but for its events. NoHost where nothing
        is; InputError for one that did not leave. Its suspensions end. Records are removed in portions, and others may
        write in between. If it is interrupted, the next call does the rest.
        """
        for table in MANY_ROWS:
            while self._forget_some(host, table):
                pass
        with self._database.write() as connection:
            _is_orphan(connection, host)
            for table in (*ONE_ROW, hosts):
                connection.execute(delete(table).where(table.c.host == host))
            end_of_host(connection, host, by=by, at=at)
            tell(connection, HostForgotten(host=host, by=clean(by), why=clean(reason)), at=at)
        self._forget_days((host,))

    def _forget_some(self, host: str, table: Table) -> int:
        """How many rows were deleted of the table."""
        key = list(table.primary_key.columns)
        with self._database.write() as connection:
            _is_orphan(connection, host)
            rows = [tuple(row) for row in connection.execute(select(*key).where(table.c.host == host).limit(BATCH))]
            if table is applies:
                connection.execute(delete(steps).where(steps.c.apply_id.in_([row[0] for row in rows])))
            if rows:
                connection.execute(delete(table).where(is_one_of(table, rows)))
        return len(rows)


def _is_orphan(connection: Connection, host: str) -> None:
    reason = connection.execute(select(hosts.c.reason).where(hosts.c.host == host)).scalar()
    if reason is None:
        raise NoHost(host)
    if reason != ORPHANED["reason"]:
        raise InputError(
            f"{host} is still in Git, or its last round has not ended yet, so it cannot be forgotten",
            hint="remove its file from the repository, and ask again in a minute",
        )


def _end(connection: Connection, host: str, at: datetime) -> None:
    """Nobody looks at the host any more: what was open or current of it is not."""
    end_leases(connection, host, at)
    still_open = (drift.c.host == host, drift.c.resolved_at.is_(None))
    connection.execute(update(drift).where(*still_open).values(open_key=None, resolved_at=at, resolved_by="git"))
    current = (plans.c.host == host, plans.c.state == "current")
    connection.execute(update(plans).where(*current).values(state="superseded"))


def _give_way(connection: Connection, name: str, holds: str) -> None:
    """Of what two names have, the state of `name` goes, and its rows that the other one has, too."""
    for table in (hosts, bases):  # the base of another time is not what was last applied under the name that holds
        connection.execute(delete(table).where(table.c.host == name))
    for table in ONE_ROW:
        _drop_twins(connection, table, (), name, holds)
    _drop_twins(connection, leases, ("mac", "ip"), name, holds)
    _drop_twins(connection, sites, ("site",), name, holds)
    _drop_twins(connection, rollout_hosts, ("rollout_id",), name, holds)
    _drop_twins(connection, host_days, ("day",), name, holds)
    _drop_twins(connection, pool_days, ("day", "interface", "start"), name, holds)
    _drop_twins(connection, latches, ("desired_digest", "cleared_at"), name, holds)


def _drop_twins(connection: Connection, table: Table, columns: tuple[str, ...], name: str, holds: str) -> None:
    """Delete rows of `name` where the name that holds has a row that agrees in these columns."""
    other = table.alias()
    agrees = and_(other.c.host == holds, *(other.c[column].is_not_distinct_from(table.c[column]) for column in columns))
    connection.execute(delete(table).where(table.c.host == name, select(other.c.host).where(agrees).exists()))


def _rename_open_drift(connection: Connection, old: str, new: str) -> None:
    """Open differences continue under the new name: the identity of a difference has the host's name in it."""
    still_open: Any = connection.execute(
        select(drift.c.id, drift.c.open_key).where(drift.c.host == old, drift.c.open_key.is_not(None))
    ).all()
    for row in still_open:
        key = json.dumps([new, *json.loads(row.open_key)[1:]], ensure_ascii=True)
        connection.execute(update(drift).where(drift.c.id == row.id).values(open_key=key))
