"""Writes about leases: who had which address and name, from the host's own lease file.

Event: `lease.seen` for leases that were not there before.
"""

import ipaddress
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.dialects.sqlite import insert

from service.history.columns import from_microseconds, ip_order
from service.history.store.writing import Writing, clean, tell
from service.history.tables import leases
from service.model.observed import Lease
from service.model.states import Json

_TOLD = 50
_LATEST_S = 253_402_300_799  # the end of the year 9999, the last that a datetime can tell


class LeaseWrites(Writing):
    """See the module."""

    def seen_leases(self, host: str, seen: Iterable[Lease], *, at: datetime) -> int:
        """The host's lease file, all of it: known ones move their `last_seen`, those that are gone become inactive.
        Returns how many were not active before. A line whose address is none is passed over."""
        rows = {(row["mac"], row["ip"]): row for lease in seen if (row := _row(host, lease, at))}
        with self._database.write() as connection:
            before = {
                (row.mac, row.ip)
                for row in connection.execute(
                    select(leases.c.mac, leases.c.ip).where(leases.c.host == host, leases.c.active.is_(True))
                )
            }
            if before - rows.keys():
                connection.execute(
                    update(leases).where(leases.c.host == host, leases.c.active.is_(True)).values(active=False)
                )
            if rows:
                statement = insert(leases)
                changed = {name: statement.excluded[name] for name in ("name", "last_seen", "expires_at", "active")}
                connection.execute(
                    statement.on_conflict_do_update(["host", "mac", "ip"], set_=changed), list(rows.values())
                )
            new = [row for key, row in rows.items() if key not in before]
            if new:
                items: list[Json] = [{k: row[k] for k in ("mac", "ip", "name")} for row in new[:_TOLD]]
                first = f"{new[0]['ip']} {new[0]['name'] or new[0]['mac']}"
                text = f"{host}: {len(new)} new lease{'s' * (len(new) > 1)}: {first}"
                detail: dict[str, Json] = {"count": len(new), "leases": items}
                tell(connection, "lease.seen", text, at=at, host=host, detail=detail)
        return len(new)


def _row(host: str, lease: Lease, at: datetime) -> dict[str, Any] | None:
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
