"""Writes about days: that a host was seen on one, and how full its pools were when they were fullest.

What was written is remembered, so that a round writes nothing here but at its first look of a day, or where a pool is
fuller than before. Several processes may write: a row is never made less full.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime

from sqlalchemy import Connection, bindparam, insert, select, update

from service.history.store.writing import Writing, clean
from service.history.tables import host_days, pool_days
from service.history.words import insert_where_missing
from service.model.guests import PoolFill

_SEEN = insert_where_missing(host_days, ["day", "host"], {"day": bindparam("on_day"), "host": bindparam("of_host")})
_KEY = ("day", "host", "interface", "start")
_ROW = select(pool_days.c.leased, pool_days.c.reserved, pool_days.c.size).where(
    *(pool_days.c[name] == bindparam(f"of_{name}", type_=pool_days.c[name].type) for name in _KEY)
)
_FULLER = update(pool_days).where(
    *(pool_days.c[name] == bindparam(f"of_{name}", type_=pool_days.c[name].type) for name in _KEY)
)


def day_of(at: datetime) -> datetime:
    """The beginning of the day in UTC."""
    return at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


class DayWrites(Writing):
    """The part of the store that keeps days."""

    def seen_pools(self, host: str, fills: Sequence[PoolFill], *, at: datetime) -> None:
        """How full the pools of a host are now. Written where the day is new to one of them, or it is fuller than it
        was on this day."""
        day = day_of(at)
        self._fills[host] = tuple(fills)
        fuller = [one for one in fills if self._is_news(day, one)]
        if not fuller:
            return
        with self._database.write() as connection:
            _keep_fullest(connection, day, fuller)
        self._written(day, fuller)

    def _unseen(self, times: Mapping[str, datetime | None], at: datetime | None = None) -> dict[str, datetime]:
        """The day of each host that was not written yet. With `at`, times of another day than that one do not count:
        a host that cannot be reached was last seen long ago, maybe on a day that is deleted."""
        days = {host: day_of(seen_at) for host, seen_at in times.items() if seen_at is not None}
        today = day_of(at) if at is not None else None
        return {h: d for h, d in days.items() if self._days.get(h) != d and (today is None or d == today)}

    def _see_days(self, connection: Connection, days: Mapping[str, datetime]) -> list[PoolFill]:
        """Write that these hosts were seen, and that their pools are as full as they were. Returns those pools, for
        `_saw_days` once it is committed."""
        if not days:
            return []
        connection.execute(_SEEN, [{"on_day": day, "of_host": host} for host, day in days.items()])
        fills = []
        for host, day in days.items():
            still = [one for one in self._fills.get(host, ()) if self._is_news(day, one)]
            _keep_fullest(connection, day, still)
            fills += still
        return fills

    def _saw_days(self, days: Mapping[str, datetime], fills: Iterable[PoolFill]) -> None:
        self._days.update(days)
        for one in fills:
            self._written(days[one.host], [one])

    def _forget_days(self, hosts: Collection[str]) -> None:
        """What is remembered of these hosts is not what is written any more."""
        for host in hosts:
            self._days.pop(host, None)
            self._fills.pop(host, None)
        for key in tuple(self._fullest):  # a copy in one step: other threads write here
            if key[0] in hosts:
                self._fullest.pop(key, None)

    def _is_news(self, day: datetime, one: PoolFill) -> bool:
        written_day, free = self._fullest.get((one.host, one.interface, one.start), (None, 0))
        return written_day != day or one.free < free

    def _written(self, day: datetime, fills: Iterable[PoolFill]) -> None:
        for one in fills:
            self._fullest[one.host, one.interface, one.start] = (day, one.free)


def _keep_fullest(connection: Connection, day: datetime, fills: Iterable[PoolFill]) -> None:
    for one in fills:
        key = {"day": day, "host": one.host, "interface": clean(one.interface), "start": clean(one.start)}
        values = {"end": clean(one.end), "size": one.size, "leased": one.leased, "reserved": one.reserved}
        of_key = {f"of_{name}": value for name, value in key.items()}
        row = connection.execute(_ROW, of_key).one_or_none()
        if row is None:
            connection.execute(insert(pool_days), {**key, **values})
        elif one.free < row.size - row.leased - row.reserved:
            connection.execute(_FULLER.values(**values), of_key)
