"""GET /guests: everybody behind the fleet's hosts in one table, as JSON or CSV.

People leave such a table open. What was read of the database is kept while nothing is written to it, and an answer
while its lines are the same.
"""

import functools
import json
from collections import OrderedDict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from json.encoder import encode_basestring as _quoted
from typing import Annotated, Literal

from fastapi import Depends, FastAPI, Query
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from service.api.guest_schemas import FleetGuests
from service.api.known import status_of
from service.api.listings import canonical
from service.api.parts import Parts
from service.api.values import HostName, Ip, Mac, Reader, SafeStr, Time, ask
from service.formats import csv_cells
from service.model.access import Principal
from service.model.guest_lines import (
    MOST_FACTS,
    MOST_LINES,
    Chosen,
    GuestLine,
    LeaseFact,
    LineKind,
    LinesAsked,
    LineSort,
    Offered,
    chosen,
    is_cut,
    offered,
)
from service.model.states import well_formed

PREFIX = "/api/v1"
COLUMNS = ("ip", "name", "mac", "host", "bridge", "kind", "source", "reserved", "first_seen", "last_seen", "expires_at",
           "declared", "conflict")  # fmt: skip
"""Those of the CSV."""
MOST_KEPT = 8
"""So many answers are kept; of more, the one that was used longest ago goes."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
Format = Literal["json", "csv"]


async def _asked(
    host: HostName | None = None,
    bridge: Annotated[SafeStr, Query(description="Only addresses in the network of this interface")] = "",
    name: Annotated[SafeStr, Query(description="Only this name")] = "",
    mac: Annotated[Mac | None, Query(description="Only this hardware address")] = None,
    ip: Annotated[Ip | None, Query(description="Only this address")] = None,
    kind: Annotated[LineKind | None, Query(description="Only lines of this kind")] = None,
    conflict: Annotated[bool | None, Query(description="Only lines with a conflict, or only those without")] = None,
    q: Annotated[SafeStr, Query(description="Words that all have to be in a line, in any column of text")] = "",
    sort: Annotated[LineSort, Query(description="The column, with - the other way round")] = "ip",
    limit: Annotated[int, Query(ge=1, le=MOST_LINES, description="How many at most")] = 50,
) -> LinesAsked:
    return LinesAsked(
        host=host or "", bridge=bridge, name=name, mac=mac or "", ip=canonical(ip) if ip else "", kind=kind or "",
        conflict=conflict, q=q, sort=sort, limit=limit,
    )  # fmt: skip


def add_routes(app: FastAPI, parts: Parts) -> None:
    """The route below /guests."""
    table = _Table(parts)

    @app.get(
        f"{PREFIX}/guests",
        operation_id="list_fleet_guests",
        summary="Everybody behind the hosts: leases, guests without one, who is declared where",
        description="CSV with `format=csv` or `Accept: text/csv`. A cell that a spreadsheet would take as a formula "
        "begins with `'` (OWASP, CSV Injection).",
        tags=["leases"],
        response_model=FleetGuests,
        responses={200: {"content": {"text/csv": {"schema": {"type": "string"}}}}},
    )
    async def list_fleet_guests(
        who: Reader, request: Request, asked: Annotated[LinesAsked, Depends(_asked)],
        at: Annotated[Time | None, Query(description="The leases that were held at this time (RFC 3339)")] = None,
        format: Annotated[Format | None, Query(description="json or csv, whatever Accept says")] = None,  # noqa: A002
    ) -> Response:  # fmt: skip
        if asked.host:
            await status_of(parts, who, asked.host)
        is_csv = format == "csv" or (format is None and "text/csv" in request.headers.get("accept", ""))
        body, has_more = await table.answer(who, asked, at, is_csv=is_csv)
        if not is_csv:
            return Response(body, media_type="application/json", headers={"Vary": "Accept"})
        name = f"guests{f'-{at:%Y%m%dT%H%M}' if at else ''}.csv"
        headers = {"Vary": "Accept", "Content-Disposition": f'attachment; filename="{name}"'}
        return Response(body, media_type="text/csv; header=present", headers=headers | _cut(has_more=has_more))


def _cut(*, has_more: bool) -> dict[str, str]:
    """CSV has no place for it, so the header says that lines were left out."""
    return {"Passerelle-Cut": "1"} if has_more else {}


class _Table:
    """Used from the event loop's thread."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._read: tuple[tuple[int, datetime | None], Sequence[LeaseFact]] | None = None
        self._kept: OrderedDict[tuple[object, ...], tuple[Sequence[GuestLine], bytes, bool]] = OrderedDict()

    async def answer(
        self, who: Principal, asked: LinesAsked, at: datetime | None, *, is_csv: bool
    ) -> tuple[bytes, bool]:
        """The body, and whether lines are left out."""
        facts = await self._facts(at)
        lines = await self._parts.answers.guest_lines(facts, is_past=at is not None)
        not_known = [host for host in sorted(self._parts.answers.uncompared()) if who.sees(host)]
        key = (who.hosts, asked, at, is_csv, tuple(not_known))
        kept = self._kept.get(key)
        if kept is None or kept[0] is not lines:
            body, has_more = await run_in_threadpool(_body, facts, lines, who, asked, at, not_known, is_csv=is_csv)
            kept = lines, body, has_more
            self._kept[key] = kept
            while len(self._kept) > MOST_KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return kept[1], kept[2]

    async def _facts(self, at: datetime | None) -> Sequence[LeaseFact]:
        state = self._parts.reads.state()
        if state is not None and self._read is not None and self._read[0] == (state, at):
            return self._read[1]
        facts = await ask(self._parts.reads.lease_facts, at)
        if state is not None:
            self._read = (state, at), facts
        return facts


def _body(
    facts: Sequence[LeaseFact], lines: Sequence[GuestLine], who: Principal, asked: LinesAsked, at: datetime | None,
    not_known: Sequence[str], *, is_csv: bool,
) -> tuple[bytes, bool]:  # fmt: skip
    if not who.sees_all:
        seen = {host for host in {one.host for one in lines} if who.sees(host)}
        lines = [one for one in lines if one.host in seen]
    found = chosen(lines, asked)
    has_more = any(is_cut(facts, held=held) for held in (True, False))
    if is_csv:
        text = csv_cells.written(COLUMNS, map(_cells, found.lines))
        return text.encode(), has_more or found.total > len(found.lines)
    return _json(found, offered(lines), at, not_known, is_cut=has_more).encode("utf-8"), has_more


def _json(found: Chosen, offers: Offered, at: datetime | None, not_known: Sequence[str], *, is_cut: bool) -> str:
    """As `FleetGuests` would be written, each item on a line of its own."""
    more = {
        "total": found.total, "at": None if at is None else at.isoformat().replace("+00:00", "Z"), "is_cut": is_cut,
        "offered": {"hosts": [*offers.hosts], "bridges": [*offers.bridges], "kinds": {**offers.kinds},
                    "conflicts": offers.conflicts},
        "not_known": [*not_known],
    }  # fmt: skip
    items = ",\n".join(map(_item, found.lines))
    return f'{{"items":[\n{items}\n],{json.dumps(more, ensure_ascii=False)[1:]}'


@functools.lru_cache(maxsize=MOST_FACTS)
def _item(one: GuestLine) -> str:
    text = _text
    return (
        f'{{"host":{text(one.host)},"ip":"{one.ip}","name":{text(one.name)},"mac":{text(one.mac)},'
        f'"bridge":{text(one.bridge)},"kind":"{one.kind}","source":{text(one.source)},"reserved":"{one.reserved}",'
        f'"in_pool":{"true" if one.in_pool else "false"},"file":{text(one.file)},"line":{one.line},'
        f'"first_seen":{text(_time(one.first_seen))},"last_seen":{text(_time(one.last_seen))},'
        f'"expires_at":{text(_time(one.expires_at))},"conflict":{text(one.conflict)},"text":{text(one.text)}}}'
    )


def _text(value: str | None) -> str:
    return "null" if value is None else _quoted(str(well_formed(value)))


def _cells(one: GuestLine) -> list[str | None]:
    declared = f"{one.file}:{one.line}" if one.line else one.file
    return [
        one.ip, one.name, one.mac, one.host, one.bridge, one.kind, one.source, one.reserved, _time(one.first_seen),
        _time(one.last_seen), _time(one.expires_at), declared, one.text,
    ]  # fmt: skip


@functools.lru_cache(maxsize=4096)
def _time(value: int | None) -> str | None:
    """RFC 3339 in UTC. Many leases share the times at which they were seen."""
    return None if value is None else (_EPOCH + timedelta(microseconds=value)).isoformat().replace("+00:00", "Z")
