"""Writes about leases: who had which address and name, from the host's own lease file.

Events: `lease.seen` for leases that were not there before, `name.moved` where a name went from one guest to another.
"""

import ipaddress
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, and_, bindparam, insert, select, update

from service.history.columns import from_microseconds, ip_order
from service.history.store.writing import Writing, clean, tell
from service.history.tables import lease_intervals, lease_looks, leases
from service.history.words import insert_or_replace_columns
from service.model.events import LeaseSeen, NameMoved
from service.model.observed import Lease

_TOLD = 50
_LATEST_S = 253_402_300_799  # the end of the year 9999, the last that a datetime can tell

Key = tuple[str, str]
"""(MAC, address): what makes it the same lease at the next look."""

Rows = Mapping[Key, Mapping[str, Any]]

_ACTIVE = (
    select(leases.c.mac, leases.c.ip, leases.c.name, leases.c.expires_at, lease_looks.c.at)
    .outerjoin_from(leases, lease_looks, lease_looks.c.host == leases.c.host)
    .where(leases.c.host == bindparam("of_host"), leases.c.active)
)
_LOOKED = insert_or_replace_columns(lease_looks, ["host"], ["at"])
"""Made once: this is read and written in each round of each host."""


class LeaseWrites(Writing):
    """The transitions of leases, and who had them: one transaction each."""

    def seen_leases(self, host: str, seen: Iterable[Lease], *, at: datetime) -> int:
        """The host's lease file, all of it, as it was read at `at`; one that ran out before `at` counts as gone.

        A lease that is there at two looks was there in between. Returns how many were not active before. Only what
        changed is written. A line whose address is none is passed over.
        """
        rows = {(row["mac"], row["ip"]): row for lease in seen if (row := _row(host, lease, at))}
        rows = {key: row for key, row in rows.items() if row["expires_at"] is None or row["expires_at"] > at}
        with self._database.write() as connection:
            before = _active(connection, host)
            new = [key for key in rows if key not in before]
            gone = [key for key in before if key not in rows]
            changed = [key for key in rows if key in before and _differs(rows[key], before[key])]
            renamed = [key for key in changed if rows[key]["name"] != before[key]["name"]]
            _end_intervals(connection, host, [*gone, *renamed], at)
            _set_current(connection, host, rows, [*new, *changed], gone)
            _begin_intervals(connection, [rows[key] for key in [*new, *renamed]], at)
            _prolong_intervals(connection, host, rows, [key for key in changed if key not in set(renamed)])
            connection.execute(_LOOKED, {"host": host, "at": at})
            _tell_new(connection, host, [rows[key] for key in new], at)
            _tell_moved(connection, host, before, rows, [*new, *renamed], at)
        return len(new)


def end_leases(connection: Connection, host: str, at: datetime) -> None:
    """Nobody looks at the host any more: nobody is known to hold a lease of it."""
    gone = list(_active(connection, host))
    _end_intervals(connection, host, gone, at)
    _set_current(connection, host, {}, [], gone)


def _active(connection: Connection, host: str) -> Rows:
    """What was in the lease file at the last look."""
    found = connection.execute(_ACTIVE, {"of_host": host}).mappings()
    return {(row["mac"], row["ip"]): dict(row) for row in found}


def _differs(row: Mapping[str, Any], before: Mapping[str, Any]) -> bool:
    return bool((row["name"], row["expires_at"]) != (before["name"], before["expires_at"]))


def _set_current(connection: Connection, host: str, rows: Rows, now: list[Key], gone: list[Key]) -> None:
    """The current-state table: what is new or changed, and what is there no more (seen last at the look before)."""
    if gone:
        last = select(lease_looks.c.at).where(lease_looks.c.host == host).scalar_subquery()
        statement = update(leases).where(_is_lease(leases.c, host)).values(active=False, last_seen=last)
        connection.execute(statement, _named(gone))
    if now:
        changing = ("name", "last_seen", "expires_at", "active")
        new = insert_or_replace_columns(leases, ["host", "mac", "ip"], changing)
        connection.execute(new, [dict(rows[key]) for key in now])


def _end_intervals(connection: Connection, host: str, keys: list[Key], at: datetime) -> None:
    if keys:
        ended = update(lease_intervals).where(_is_lease(lease_intervals.c, host), lease_intervals.c.until_at.is_(None))
        connection.execute(ended.values(until_at=at), _named(keys))


def _begin_intervals(connection: Connection, rows: Collection[Mapping[str, Any]], at: datetime) -> None:
    if rows:
        kept = ("host", "mac", "ip", "ip_order", "name", "expires_at")
        connection.execute(insert(lease_intervals), [{k: row[k] for k in kept} | {"from_at": at} for row in rows])


def _prolong_intervals(connection: Connection, host: str, rows: Rows, keys: list[Key]) -> None:
    if keys:
        longer = update(lease_intervals).where(_is_lease(lease_intervals.c, host), lease_intervals.c.until_at.is_(None))
        values = [named | {"ends": rows[key]["expires_at"]} for named, key in zip(_named(keys), keys, strict=True)]
        connection.execute(longer.values(expires_at=bindparam("ends")), values)


def _is_lease(columns: Any, host: str) -> Any:
    return and_(columns.host == host, columns.mac == bindparam("of_mac"), columns.ip == bindparam("of_ip"))


def _named(keys: list[Key]) -> list[dict[str, Any]]:
    return [{"of_mac": mac, "of_ip": ip} for mac, ip in keys]


def _tell_new(connection: Connection, host: str, new: list[Mapping[str, Any]], at: datetime) -> None:
    if not new:
        return
    items = [{k: row[k] for k in ("mac", "ip", "name")} for row in new[:_TOLD]]
    tell(connection, LeaseSeen(host=host, count=len(new), leases=items), at=at)


def _tell_moved(connection: Connection, host: str, before: Rows, rows: Rows, fresh: list[Key], at: datetime) -> None:
    """A name that one guest had at the last look and another one has now: a guest with a new MAC, or another guest that
    took it.
    """
    had = {row["name"]: key for key, row in before.items() if row["name"]}
    for key in [key for key in fresh if rows[key]["name"] in had][:_TOLD]:
        name, old = rows[key]["name"], had[rows[key]["name"]]
        if old[0] == key[0]:  # the same guest at another address
            continue
        tell(connection, NameMoved(host=host, name_=name, from_=old, to=key), at=at)


def _row(host: str, lease: Lease, at: datetime) -> dict[str, Any] | None:
    if not lease.address.isprintable():  # the name of a zone, as in fe80::1%eth0, may be anything to Python
        return None
    try:
        ip = str(ipaddress.ip_address(lease.address))
    except ValueError:
        return None
    expires = min(max(lease.expires, 0), _LATEST_S)
    return {
        "host": host,
        "mac": clean(lease.mac).lower(),
        "ip": ip,
        "ip_order": ip_order(ip),
        "name": clean(lease.name),
        "first_seen": at,
        "last_seen": at,
        "expires_at": from_microseconds(expires * 1_000_000) if expires else None,
        "active": True,
    }
