"""Leases and guests: the table of everybody behind the hosts, one address with its past, a lease made fixed."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from starlette.responses import Response

from service.web.asked import Asked, Refused, Route
from service.web.rows import Rows
from service.web.templating import with_query

MOST = 10_000
MOST_OF_ONE = 200
MOST_CONFLICTS = 50
"""So many conflicts are above the table; all of them are in it."""
MOST_POOL_HOSTS = 8
"""Pools of so many hosts are shown at once; of more, those of the host that was chosen."""
FILTERS = ("q", "host", "bridge", "kind", "conflict", "sort")
COLUMNS = (
    ("ip", "Address"), ("name", "Name"), ("kind", "Kind"), ("host", "Host"), ("bridge", "Network"), ("mac", "MAC"),
    ("declared", "Declared in"), ("first_seen", "First seen"), ("last_seen", "Last seen"), ("expires_at", "Expires"),
)  # fmt: skip
BACK = (("a day ago", timedelta(days=1)), ("a week ago", timedelta(days=7)))

_ROWS = Rows("lease_row.html", "one")
"""Ten thousand new ones take half a second, so they are made off the event loop."""


async def leases(asked: Asked) -> Response:
    """Every lease, and every guest without one. The filters are in the address."""
    at = _at(asked.query.get("at", ""))
    chosen: dict[str, str] = {name: asked.query[name] for name in FILTERS if asked.query.get(name)}
    lines, more = (await asked.answer("/api/v1/guests", **chosen, at=at, limit=MOST)).lines()
    conflicts: Sequence[Any] = ()
    if more["offered"]["conflicts"] and "conflict" not in chosen:
        bounded = {**chosen, "conflict": "true"}
        conflicts = (await asked.get("/api/v1/guests", **bounded, at=at, limit=MOST_CONFLICTS))["items"]
    hosts = [chosen["host"]] if "host" in chosen else more["offered"]["hosts"]
    shown = {**dict.fromkeys(FILTERS, ""), **chosen, "at": asked.query.get("at", "")}
    return asked.page(
        "leases.html", title="Leases", rows=await asyncio.to_thread(_ROWS.of_lines, lines), count=len(lines),
        more=more, conflicts=conflicts, chosen=shown, at=at,
        columns=[_column(key, word, shown) for key, word in COLUMNS],
        pools=await _pools(asked, hosts) if len(hosts) <= MOST_POOL_HOSTS and at is None else [],
        back=[(word, f"{asked.now - length:%Y-%m-%dT%H:%M}") for word, length in BACK],
    )  # fmt: skip


async def lease(asked: Asked) -> Response:
    """One address: who has it, on which host, and who had it."""
    ip = asked.path["ip"]
    found = await asked.get("/api/v1/guests", ip=ip, limit=MOST_OF_ONE)
    past = await asked.items("/api/v1/leases/history", most=MOST_OF_ONE, ip=ip)
    return asked.page("lease.html", title=ip, ip=ip, holders=found["items"], past=past, most=MOST_OF_ONE)


async def of_host(asked: Asked) -> Response:
    """The leases and guests of one host."""
    name = asked.path["host"]
    host = await asked.get(f"/api/v1/hosts/{name}")
    lines, more = (await asked.answer("/api/v1/guests", host=name, limit=MOST)).lines()
    pools = await _pools(asked, [name])
    return asked.page(
        "host_leases.html", title=f"{name}: leases and guests", host=host, more=more,
        rows=await asyncio.to_thread(_ROWS.of_lines, lines), count=len(lines), pools=pools,
        columns=[(word, "", "") for _, word in COLUMNS],
    )  # fmt: skip


async def fix(asked: Asked) -> Response:
    """The patch that makes a lease fixed; with `format=patch` as a file."""
    host, ip = asked.path["host"], asked.path["ip"]
    found = await asked.get(f"/api/v1/hosts/{host}/leases/{ip}/patch")
    if asked.query.get("format") == "patch":
        headers = {"Content-Disposition": f'attachment; filename="{host}-fixed.patch"'}
        return Response(found["patch"].encode(), media_type="text/x-diff", headers=headers)
    return asked.page("fix.html", title=f"{ip}: make it fixed", host=host, ip=ip, found=found)


async def _pools(asked: Asked, hosts: Sequence[str]) -> list[Mapping[str, Any]]:
    """How full the ranges of these hosts are; none of a host of which that is not known."""
    found = await asyncio.gather(*(asked.found(f"/api/v1/hosts/{host}/pools") for host in hosts))
    return [{**pool, "host": host} for host, one in zip(hosts, found, strict=True) if one for pool in one["items"]]


def _column(key: str, word: str, chosen: Mapping[str, str]) -> tuple[str, str, str]:
    """The heading of a column: its word, the address that sorts by it, how the table is sorted by it now."""
    now = chosen.get("sort") or "ip"
    way = {key: "ascending", f"-{key}": "descending"}.get(now, "")
    return word, with_query("/leases", **{**chosen, "sort": f"-{key}" if now == key else key}), way


def _at(text: str) -> str | None:
    """The time of the form as the API takes it. A form of a browser says no zone: it is UTC, as the page says."""
    if not text:
        return None
    try:
        at = datetime.fromisoformat(text)
        return (at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)).isoformat()
    except (ValueError, OverflowError):  # the year 9999 in the west is later than any time in UTC
        raise Refused(422, {"title": "The time cannot be read", "detail": "write it as in 2026-11-30T14:00"}) from None


ROUTES = (
    Route("GET", "/leases", leases),
    Route("GET", "/leases/{ip}", lease),
    Route("GET", "/hosts/{host}/leases", of_host),
    Route("GET", "/hosts/{host}/leases/{ip}/fix", fix),
)
