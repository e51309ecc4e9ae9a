"""Reads about leases: who has which address and name, who had them at a past time, and in which order."""

import functools
from collections.abc import Sequence
from datetime import datetime
from json.encoder import encode_basestring as _quoted
from typing import Any

from sqlalchemy import select

from service.history.columns import from_microseconds, ip_order, microseconds
from service.history.database import Database
from service.history.reading import is_exact, of_host, ordered
from service.history.tables import lease_intervals
from service.history.words import Words, words_of
from service.model.guest_lines import MOST_FACTS, LeaseFact
from service.model.listings import Key, LeaseHistoryListing, LeaseListing
from service.model.runs import LeaseInterval, LeaseRecord, Page

# Plain SQL: to build these queries again for each request would cost more than to run them.
_LIVES = "l.active = {yes} AND (l.expires_at IS NULL OR l.expires_at > :moment)"
_NOW = f"""
SELECT l.host, l.mac, l.ip, l.name, l.first_seen,
       CASE WHEN l.active THEN coalesce(k.at, l.last_seen) ELSE l.last_seen END, l.expires_at, {_LIVES}
FROM leases l LEFT JOIN lease_looks k ON k.host = l.host"""  # noqa: S608 (constants)
_HELD_THEN = (
    "l.from_at <= :moment AND (l.until_at IS NULL OR l.until_at > :moment)"
    " AND (l.expires_at IS NULL OR l.expires_at > :moment)"
)
_NAMED_THEN = """
SELECT l.host, l.mac, l.ip, l.name, l.from_at, coalesce(l.until_at, k.at, l.from_at), l.expires_at, 1
FROM lease_intervals l LEFT JOIN lease_looks k ON k.host = l.host"""
_FACTS = """
SELECT l.host, l.mac, l.ip, l.ip_order, l.name, l.first_seen,
       CASE WHEN l.active THEN coalesce(k.at, l.last_seen) ELSE l.last_seen END, l.expires_at, l.active
FROM leases l LEFT JOIN lease_looks k ON k.host = l.host"""
_ORDER = " ORDER BY l.ip_order, l.host, l.mac LIMIT :limit"
# The intervals of one lease do not overlap: the last that began before is the only one that may hold.
_THEN = """
SELECT l.host, l.mac, l.ip, i.name, i.from_at, coalesce(i.until_at, k.at, i.from_at), i.expires_at, 1
FROM leases l JOIN lease_intervals i ON i.id = (
    SELECT n.id FROM lease_intervals n
    WHERE n.host = l.host AND n.ip_order = l.ip_order AND n.mac = l.mac AND n.from_at <= :moment
    ORDER BY n.from_at DESC, n.id DESC LIMIT 1)
LEFT JOIN lease_looks k ON k.host = l.host"""
_FACTS_THEN = _THEN.replace("l.ip, i.name", "l.ip, l.ip_order, i.name")


def _statement(asked: LeaseListing, now: datetime, words: Words) -> tuple[str, dict[str, str | int]]:
    """The text of the query and its values."""
    values: dict[str, str | int] = {"moment": microseconds(asked.at or now), "limit": asked.limit + 1}
    held = _HELD_THEN if asked.name else _HELD_THEN.replace("l.", "i.")
    wheres = [held] if asked.at is not None else []
    if asked.active is not None:
        lives = _LIVES if asked.at is None else held
        wheres.append(lives if asked.active else f"NOT ({lives})")
    exact = (("host", asked.host), ("name", asked.name), ("mac", asked.mac.lower()), ("ip_order", _order_of(asked.ip)))
    for column, value in exact:
        if value:
            wheres.append(f"l.{column} = :{column}")
            values[column] = value
    if "*" not in asked.visible:
        globs = {f"visible{number}": selector for number, selector in enumerate(asked.visible)}
        chosen = [
            f"l.host = :{key}" if is_exact(selector) else words.selected_text("l.host", f":{key}")
            for key, selector in globs.items()
        ]
        wheres.append(f"({' OR '.join(chosen) or 'FALSE'})")
        values |= globs
    if len(asked.start) == 3:
        columns = ("ip_order", "host", "mac")[1 if asked.ip else 0 :]
        keys = [f"after_{column}" for column in columns]
        after = "<" if asked.is_newest_first else ">"
        wheres.append(f"({', '.join(f'l.{one}' for one in columns)}) {after} ({', '.join(f':{key}' for key in keys)})")
        values |= dict(zip(keys, asked.start[-len(keys) :], strict=True))
    where = f" WHERE {' AND '.join(wheres)}" if wheres else ""
    source = _NOW if asked.at is None else _NAMED_THEN if asked.name else _THEN
    way = " DESC" if asked.is_newest_first else ""
    text = f"{source}{where} ORDER BY l.ip_order{way}, l.host{way}, l.mac{way} LIMIT :limit"
    return text.replace("{yes}", words.YES), values


class LeaseQueries:
    """The part of `Queries` that is about leases."""

    _database: Database

    def leases(self, asked: LeaseListing, *, now: datetime) -> Page[LeaseRecord]:
        """Leases by address, as numbers. One that ran out before `now` is not active, whatever the file said.

        With `at` those that were held then: `first_seen` and `last_seen` are of the interval, all are active.
        """
        rows, key = self._rows(asked, now)
        return Page(tuple(_record(row) for row in rows), key)

    def leases_json(self, asked: LeaseListing, *, now: datetime) -> tuple[str, Key | None]:
        """As `leases`: the items as JSON text, and the sort key of the last one. Dashboards ask for it all the time."""
        rows, key = self._rows(asked, now)
        return f"[{','.join(_as_json(row) for row in rows)}]", key

    def lease_facts(self, at: datetime | None = None) -> Sequence[LeaseFact]:
        """The whole fleet's leases by address: `MOST_FACTS` that are in the lease files, and as many of the past. With
        `at` those that were held then."""
        if at is None:
            asked = [f"{_FACTS} WHERE l.active = {way}{_ORDER}" for way in ("{yes}", "{no}")]
        else:
            asked = [f"{_FACTS_THEN} WHERE {_HELD_THEN.replace('l.', 'i.')}{_ORDER}"]
        values = {"limit": MOST_FACTS} | ({} if at is None else {"moment": microseconds(at)})
        with self._database.read() as connection:
            words = words_of(connection)
            texts = (text.replace("{yes}", words.YES).replace("{no}", words.NO) for text in asked)
            return [fact for text in texts for fact in words.rows_of(connection, text, values)]

    def _rows(self, asked: LeaseListing, now: datetime) -> tuple[list[Any], Key | None]:
        """The rows as the database has them, and the key to continue after."""
        with self._database.read() as connection:
            words = words_of(connection)
            text, values = _statement(asked, now, words)
            rows = words.rows_of(connection, text, values)
        more, rows = len(rows) > asked.limit, rows[: asked.limit]
        return rows, (ip_order(rows[-1][2]), rows[-1][0], rows[-1][1]) if more else None

    def lease_history(self, asked: LeaseHistoryListing) -> Page[LeaseInterval]:
        """Who had what from when until when."""
        table = lease_intervals.c
        columns = [table[name] for name in ("host", "mac", "ip", "name", "from_at", "until_at", "expires_at", "id")]
        query = select(*columns).where(of_host(table.host, asked.host, asked.visible))
        exact = ((table.name, asked.name), (table.mac, asked.mac.lower()), (table.ip_order, _order_of(asked.ip)))
        for column, value in exact:
            query = query.where(column == value) if value else query
        start, limit = asked.start, asked.limit
        key: tuple[Any, ...] = (from_microseconds(int(start[0])), start[1]) if len(start) == 2 else ()
        query = ordered(query, lease_intervals, asked, key)
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


def _as_json(row: Any) -> str:
    host, mac, ip, name, first_seen, last_seen, expires_at, active = row
    expires = f'"{_time(expires_at)}"' if expires_at is not None else "null"
    return (
        f'{{"host":"{host}","mac":{_quoted(mac)},"ip":"{ip}","name":{_quoted(name)},'
        f'"first_seen":"{_time(first_seen)}","last_seen":"{_time(last_seen)}",'
        f'"expires_at":{expires},"active":{"true" if active else "false"}}}'
    )


@functools.lru_cache(maxsize=4096)
def _time(value: int) -> str:
    """RFC 3339 in UTC, as everywhere in the API. Many leases share the times at which they were seen."""
    return from_microseconds(value).isoformat().replace("+00:00", "Z")


def _order_of(ip: str) -> str:
    return ip_order(ip) if ip else ""
