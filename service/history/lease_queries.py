"""Reads about leases: who has which address and name, who had them at a past time, and in which order."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Select, and_, case, func, or_, select

from service.history.columns import from_microseconds, ip_order, microseconds
from service.history.database import Database
from service.history.reading import EVERY_HOST, Key, of_host, ordered
from service.history.tables import lease_intervals, lease_looks, leases
from service.model.runs import LeaseInterval, LeaseRecord, Page


class LeaseQueries:
    """The part of `Queries` that is about leases."""

    _database: Database

    def leases(
        self,
        *,
        limit: int,
        now: datetime,
        at: datetime | None = None,
        after: Key = (),
        host: str = "",
        name: str = "",
        mac: str = "",
        ip: str = "",
        active: bool | None = None,
        visible: Sequence[str] = EVERY_HOST,
    ) -> Page[LeaseRecord]:
        """Leases by address, as numbers. One that ran out before `now` is not active, whatever the file said.

        With `at` those that were held then: `first_seen` and `last_seen` are of the interval, all are active.
        """
        query = _now(now, active) if at is None else _then(at, active)
        table = leases if at is None else lease_intervals
        query = query.where(of_host(table.c.host, host, visible))
        for column, value in ((table.c.name, name), (table.c.mac, mac.lower()), (table.c.ip_order, _order_of(ip))):
            query = query.where(column == value) if value else query
        order = [table.c.ip_order, table.c.host, table.c.mac]
        with self._database.read() as connection:
            rows = connection.execute(ordered(query, order, after).limit(limit + 1)).all()
        items = tuple(_record(row) for row in rows[:limit])
        last = items[-1] if len(rows) > limit else None
        return Page(items, (ip_order(last.ip), last.host, last.mac) if last else None)

    def lease_history(
        self,
        *,
        limit: int,
        after: Key = (),
        host: str = "",
        name: str = "",
        mac: str = "",
        ip: str = "",
        visible: Sequence[str] = EVERY_HOST,
    ) -> Page[LeaseInterval]:
        """Who had what from when until when, newest first."""
        table = lease_intervals.c
        columns = [table[name] for name in ("host", "mac", "ip", "name", "from_at", "until_at", "expires_at", "id")]
        query = select(*columns).where(of_host(table.host, host, visible))
        for column, value in ((table.name, name), (table.mac, mac.lower()), (table.ip_order, _order_of(ip))):
            query = query.where(column == value) if value else query
        key: tuple[Any, ...] = (from_microseconds(int(after[0])), after[1]) if len(after) == 2 else ()
        query = ordered(query, [table.from_at, table.id], key, descending=True)
        with self._database.read() as connection:
            rows = connection.execute(query.limit(limit + 1)).all()
        last = rows[limit - 1] if len(rows) > limit else None
        return Page(
            tuple(LeaseInterval(*row[:-1]) for row in rows[:limit]),
            (microseconds(last.from_at), last.id) if last is not None else None,
        )


def _now(now: datetime, active: bool | None) -> Select[Any]:
    """The leases as they were last seen."""
    table = leases.c
    not_over = or_(table.expires_at.is_(None), table.expires_at > now)
    seen = case((table.active, func.coalesce(lease_looks.c.at, table.last_seen)), else_=table.last_seen)
    first = [table.host, table.mac, table.ip, table.name, table.first_seen]
    query = select(*first, seen, table.expires_at, and_(table.active, not_over))
    query = query.outerjoin_from(leases, lease_looks, lease_looks.c.host == table.host)
    if active is None:
        return query
    return query.where(table.active, not_over) if active else query.where(~and_(table.active, not_over))


def _then(at: datetime, active: bool | None) -> Select[Any]:
    """The leases that were held at `at`. Of the past only those are told: with `active` false there are none."""
    table = lease_intervals.c
    seen = func.coalesce(table.until_at, lease_looks.c.at, table.from_at)
    held = and_(
        table.from_at <= at,
        or_(table.until_at.is_(None), table.until_at > at),
        or_(table.expires_at.is_(None), table.expires_at > at),
    )
    query = select(table.host, table.mac, table.ip, table.name, table.from_at, seen, table.expires_at, held)
    query = query.outerjoin_from(lease_intervals, lease_looks, lease_looks.c.host == table.host)
    return query.where(held, *([] if active is not False else [~held]))


def _record(row: Any) -> LeaseRecord:
    host, mac, ip, name, first_seen, last_seen, expires_at, active = row
    return LeaseRecord(host, mac, ip, name, first_seen, last_seen, expires_at, bool(active))


def _order_of(ip: str) -> str:
    return ip_order(ip) if ip else ""
