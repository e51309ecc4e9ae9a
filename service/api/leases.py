"""Leases: who has which address and name now, who had them at a past time, and everybody who ever had one.

The list is read by dashboards again and again: the database gives it as JSON, without a model for each row.
"""

import json
from ipaddress import ip_address
from typing import Annotated
from urllib.parse import urlencode

from fastapi import FastAPI, Path, Query
from pydantic import AwareDatetime
from starlette.requests import Request
from starlette.responses import Response

from service.api import schemas
from service.api.pages import page_out
from service.api.parts import Parts
from service.api.problem import Refused
from service.api.values import (
    Cursor,
    HostFilter,
    HostPath,
    Ip,
    Limit,
    Mac,
    Reader,
    SafeStr,
    ask,
    read_cursor,
    seen_by,
    write_cursor,
)

PREFIX = "/api/v1"
NameFilter = Annotated[SafeStr, Query(description="Only this name")]
MacFilter = Annotated[Mac | None, Query(description="Only this hardware address")]
IpFilter = Annotated[Ip | None, Query(description="Only this address")]


def add_routes(app: FastAPI, parts: Parts) -> None:
    """The routes below /leases, and the guests, pools and patches of leases below a host."""
    _add_list(app, parts)
    _add_history(app, parts)
    _add_guests(app, parts)


def _add_list(app: FastAPI, parts: Parts) -> None:
    @app.get(
        f"{PREFIX}/leases",
        operation_id="list_leases",
        summary="Leases by address, now or at a past time",
        tags=["leases"],
        response_model=schemas.ListOf[schemas.Lease],
    )
    async def list_leases(
        *,
        who: Reader,
        request: Request,
        limit: Limit = 50,
        cursor: Cursor = "",
        host: HostFilter = None,
        name: NameFilter = "",
        mac: MacFilter = None,
        ip: IpFilter = None,
        active: Annotated[bool | None, Query(description="Only those in force, or only those of the past")] = None,
        at: Annotated[
            AwareDatetime | None,
            Query(description="Those that were held at this time (RFC 3339); first and last seen are of that interval"),
        ] = None,
    ) -> Response:
        items, key = await ask(
            parts.reads.leases_json,
            limit=limit,
            now=parts.clock.now(),
            at=at,
            after=read_cursor(cursor, (str, str, str)),
            host=host or "",
            name=name,
            mac=mac or "",
            ip=_canonical(ip),
            active=active,
            visible=who.hosts,
        )
        return _answer(items, key, request)


def _add_history(app: FastAPI, parts: Parts) -> None:
    @app.get(
        f"{PREFIX}/leases/history",
        operation_id="list_lease_history",
        summary="Who had which address and name from when until when, newest first",
        tags=["leases"],
    )
    async def list_lease_history(
        *,
        who: Reader,
        request: Request,
        response: Response,
        limit: Limit = 50,
        cursor: Cursor = "",
        host: HostFilter = None,
        name: NameFilter = "",
        mac: MacFilter = None,
        ip: IpFilter = None,
    ) -> schemas.ListOf[schemas.LeaseInterval]:
        page = await ask(
            parts.reads.lease_history,
            limit=limit,
            after=read_cursor(cursor, (int, int)),
            host=host or "",
            name=name,
            mac=mac or "",
            ip=_canonical(ip),
            visible=who.hosts,
        )
        return page_out(page, schemas.LeaseInterval.model_validate, request, response)


def _add_guests(app: FastAPI, parts: Parts) -> None:
    @app.get(
        f"{PREFIX}/hosts/{{host}}/guests",
        operation_id="list_guests",
        summary="Who is behind a host: declared, silent, foreign; names that two want",
        tags=["leases", "hosts"],
    )
    async def list_guests(who: Reader, host: HostPath) -> schemas.Guests:
        return schemas.Guests.model_validate(await parts.answers.guests(seen_by(who, host)))

    @app.get(
        f"{PREFIX}/hosts/{{host}}/pools",
        operation_id="list_pools",
        summary="How full the ranges of addresses are",
        tags=["leases", "hosts"],
    )
    async def list_pools(who: Reader, host: HostPath) -> schemas.Pools:
        return schemas.Pools(
            items=[schemas.Pool.model_validate(p) for p in await parts.answers.pools(seen_by(who, host))]
        )

    @app.get(
        f"{PREFIX}/hosts/{{host}}/leases/{{ip}}/patch",
        operation_id="fix_lease",
        summary="A lease made fixed, as a patch of the spec; writes nothing",
        tags=["leases", "hosts"],
    )
    async def fix_lease(
        who: Reader, host: HostPath, ip: Annotated[Ip, Path(description="The address of a lease")]
    ) -> schemas.Patch:
        return schemas.Patch.model_validate(await parts.answers.fix_lease(seen_by(who, host), _canonical(ip)))


def _answer(items: str, key: tuple[str | int, ...] | None, request: Request) -> Response:
    """As `schemas.ListOf[schemas.Lease]` would be written."""
    cursor = write_cursor(key)
    headers = {}
    if cursor is not None:
        query = [(name, value) for name, value in request.query_params.multi_items() if name != "cursor"]
        headers["Link"] = f'<{request.scope["path"]}?{urlencode([*query, ("cursor", cursor)])}>; rel="next"'
    body = f'{{"items":{items},"next_cursor":{json.dumps(cursor)}}}'
    return Response(body.encode(), media_type="application/json", headers=headers)


def _canonical(ip: str | None) -> str:
    if ip is None:
        return ""
    try:
        return str(ip_address(ip))
    except ValueError:
        raise Refused(422, "ip is not an address") from None
