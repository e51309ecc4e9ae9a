"""Reads about leases: who has which address and name, who had them at a past time, and in which order."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import select

from service.history.columns import from_microseconds, ip_order, microseconds
from service.history.database import Database
from service.history.reading import EVERY_HOST, Key, of_host, ordered
from service.history.tables import lease_intervals
from service.model.runs import LeaseInterval, LeaseRecord, Page

# Plain SQL: to build these queries anew for each request would cost more than to run them.
_LIVES = "l.active = 1 AND (l.expires_at IS NULL OR l.expires_at > :moment)"
_NOW = f"""
SELECT l.host, l.mac, l.ip, l.name, l.first_seen,
       CASE WHEN l.active THEN coalesce(k.at, l.last_seen) ELSE l.last_seen END, l.expires_at, {_LIVES}
FROM leases l LEFT JOIN lease_looks k ON k.host = l.host"""  # noqa: S608 (constants)
_HELD_THEN = (
    "l.from_at <= :moment AND (l.until_at IS NULL OR l.until_at > :moment)"
    " AND (l.expires_at IS NULL OR l.expires_at > :moment)"
)
_THEN = """
SELECT l.host, l.mac, l.ip, l.name, l.from_at, coalesce(l.until_at, k.at, l.from_at), l.expires_at, 1
FROM lease_intervals l LEFT JOIN lease_looks k ON k.host = l.host"""


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
        moment = microseconds(now if at is None else at)
        values: dict[str, str | int] = {"moment": moment, "limit": limit + 1}
        wheres = [_HELD_THEN] if at is not None else []
        if active is not None:
            lives = _LIVES if at is None else _HELD_THEN
            wheres.append(lives if active else f"NOT ({lives})")
        for column, value in (("host", host), ("name", name), ("mac", mac.lower()), ("ip_order", _order_of(ip))):
            if value:
                wheres.append(f"l.{column} = :{column}")
                values[column] = value
        if "*" not in visible:
            globs = {f"visible{number}": selector for number, selector in enumerate(visible)}
            wheres.append(f"({' OR '.join(f'l.host GLOB :{key}' for key in globs) or 'FALSE'})")
            values |= globs
        if len(after) == 3:
            wheres.append("(l.ip_order, l.host, l.mac) > (:after_ip, :after_host, :after_mac)")
            values |= dict(zip(("after_ip", "after_host", "after_mac"), after, strict=True))
        where = f" WHERE {' AND '.join(wheres)}" if wheres else ""
        text = f"{_NOW if at is None else _THEN}{where} ORDER BY l.ip_order, l.host, l.mac LIMIT :limit"
        with self._database.read() as connection:
            rows = connection.exec_driver_sql(text, values).all()
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


def _record(row: Any) -> LeaseRecord:
    host, mac, ip, name, first_seen, last_seen, expires_at, active = row
    return LeaseRecord(
        host, mac, ip, name, from_microseconds(first_seen), from_microseconds(last_seen),
        None if expires_at is None else from_microseconds(expires_at), bool(active),
    )  # fmt: skip


def _order_of(ip: str) -> str:
    return ip_order(ip) if ip else ""
