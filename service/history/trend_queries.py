"""Reads of what each day was like. Nothing is counted: there are tallies by day, which the database keeps itself.

How many differences were open at the end of a day is reckoned back from now: those that are open, without those found
later, and with those cleared later. What retention deletes was found and cleared before the days that are left.
"""

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from sqlalchemy import Connection, func, select

from service.history.database import Database
from service.history.reading import of_host
from service.history.tables import host_days, pool_days, tallies
from service.model.trends import DayTrend, LastDays, PoolDay, Trends, waited_of

_EPOCH = date(1970, 1, 1)
Sums = dict[tuple[date, str], int]
"""(day, kind) → how many."""


class TrendQueries:
    """The part of `Queries` that is about days."""

    _database: Database

    def trends(self, asked: LastDays, *, now: datetime) -> Trends:
        """The numbers of these days."""
        today = now.astimezone(UTC).date()
        days = [today - timedelta(days=back) for back in reversed(range(asked.days))]
        with self._database.read() as connection:
            seen = _seen(connection, days, asked)
            found, cleared, ended, waited = (
                _sums(connection, what, days, asked)
                for what in ("found drift", "cleared drift", "ended applies", "waited applies")
            )
            is_mine = of_host(tallies.c.host, asked.host, asked.visible)
            count = select(func.sum(tallies.c.rows)).where(tallies.c.what == "open drift", tallies.c.day == 0, is_mine)
            still_open = int(connection.execute(count).scalar() or 0)
            fills = _fills(connection, days, asked)
            pools = _pools(connection, days, asked) if asked.host else ()
        items = []
        for day in reversed(days):
            came, went = found.get((day, ""), 0), cleared.get((day, ""), 0)
            if seen[day]:
                items.append(DayTrend(
                    day, day < today, seen[day], came, went, still_open,
                    {kind: number for (at, kind), number in sorted(ended.items()) if at == day},
                    waited_of([(float(kind), number) for (at, kind), number in waited.items() if at == day]),
                    fills.get(day),
                ))  # fmt: skip
            else:
                items.append(DayTrend(day, day < today))
            still_open += went - came
        return Trends(tuple(reversed(items)), pools)


def _starts(days: Iterable[date]) -> list[datetime]:
    return [datetime.combine(day, time(), UTC) for day in days]


def _seen(connection: Connection, days: list[date], asked: LastDays) -> Counter[date]:
    """How many hosts were seen on each day."""
    if not asked.host and "*" in asked.visible:
        numbers = {(day - _EPOCH).days: day for day in days}
        query = select(tallies.c.day, tallies.c.rows).where(tallies.c.what == host_days.name)
        query = query.where(tallies.c.day.in_(numbers), tallies.c.host == "", tallies.c.kind == "")
        return Counter({numbers[row.day]: row.rows for row in connection.execute(query)})
    query = select(host_days.c.day).where(of_host(host_days.c.host, asked.host, asked.visible))
    query = query.where(host_days.c.day.in_(_starts(days)))
    return Counter(at.date() for at in connection.execute(query).scalars())


def _sums(connection: Connection, what: str, days: list[date], asked: LastDays) -> Sums:
    numbers = {(day - _EPOCH).days: day for day in days}
    query = select(tallies.c.day, tallies.c.kind, func.sum(tallies.c.rows)).where(
        tallies.c.what == what, tallies.c.day.in_(numbers), of_host(tallies.c.host, asked.host, asked.visible)
    )
    rows = connection.execute(query.group_by(tallies.c.day, tallies.c.kind))
    return {(numbers[day], kind): int(number) for day, kind, number in rows}


def _fills(connection: Connection, days: list[date], asked: LastDays) -> dict[date, float]:
    """The part of the fullest pool that was in use. One query a day: each reads along the key of that day."""
    used: Any = (pool_days.c.leased + pool_days.c.reserved) * 1.0 / pool_days.c.size
    most = select(func.max(used)).where(of_host(pool_days.c.host, asked.host, asked.visible))
    found = {}
    for day, start in zip(days, _starts(days), strict=True):
        fill = connection.execute(most.where(pool_days.c.day == start)).scalar()
        if fill is not None:
            found[day] = float(fill)
    return found


def _pools(connection: Connection, days: list[date], asked: LastDays) -> tuple[PoolDay, ...]:
    columns = [pool_days.c[name] for name in ("interface", "start", "end", "size", "leased", "reserved")]
    query = select(pool_days.c.day, *columns).where(of_host(pool_days.c.host, asked.host, asked.visible))
    rows = connection.execute(query.where(pool_days.c.day.in_(_starts(days)))).all()
    return tuple(sorted(
        (PoolDay(row[0].date(), *row[1:]) for row in rows), key=lambda one: (one.interface, one.start, one.day)
    ))  # fmt: skip
