"""Leases: who has which address and name now, who had them at a past time, and everybody who ever had one.

The list is read by dashboards again and again: the database gives it as JSON, without a model for each row.
"""

import json
from datetime import datetime
from typing import Annotated
from urllib.parse import urlencode

from fastapi import FastAPI, Path
from starlette.requests import Request
from starlette.responses import Response

from service.api import guest_schemas, listings, schemas
from service.api.known import in_git, looked_at, was_seen
from service.api.pages import page_out, sort_of
from service.api.parts import Parts
from service.api.values import HostPath, Ip, Reader, ask, write_cursor

PREFIX = "/api/v1"


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
    async def list_leases(who: Reader, request: Request, asked: listings.Leases) -> Response:
        if asked.host and asked.at is None:  # what was is history, whether the host is in Git or not
            await in_git(parts, who, asked.host)
        if asked.host:
            await was_seen(parts, who, asked.host)
        items, key = await ask(parts.reads.leases_json, asked.seen_by(who.hosts), now=parts.clock.now())
        return _answer(items, key, request)


def _add_history(app: FastAPI, parts: Parts) -> None:
    @app.get(
        f"{PREFIX}/leases/history",
        operation_id="list_lease_history",
        summary="Past and present leases, with their times, newest first",
        tags=["leases"],
    )
    async def list_lease_history(
        who: Reader, request: Request, response: Response, asked: listings.LeaseHistory
    ) -> schemas.ListOf[schemas.LeaseInterval]:
        if asked.host:
            await was_seen(parts, who, asked.host)
        page = await ask(parts.reads.lease_history, asked.seen_by(who.hosts))
        return page_out(page, schemas.LeaseInterval.model_validate, request, response)


def _add_guests(app: FastAPI, parts: Parts) -> None:
    @app.get(
        f"{PREFIX}/hosts/{{host}}/guests",
        operation_id="list_guests",
        summary="The guests of a host: declared, silent, unknown, and names that two guests claim",
        tags=["leases", "hosts"],
    )
    async def list_guests(who: Reader, host: HostPath) -> guest_schemas.Guests:
        await looked_at(parts, who, host)
        found = await parts.answers.guests(host)
        is_before = parts.is_before_restart(datetime.fromisoformat(str(found["at"])))
        return guest_schemas.Guests.model_validate({**found, "before_restart": is_before})

    @app.get(
        f"{PREFIX}/hosts/{{host}}/pools",
        operation_id="list_pools",
        summary="How full the ranges of addresses are",
        tags=["leases", "hosts"],
    )
    async def list_pools(who: Reader, host: HostPath) -> schemas.Pools:
        await looked_at(parts, who, host)
        return schemas.Pools(items=[schemas.Pool.model_validate(p) for p in await parts.answers.pools(host)])

    @app.get(
        f"{PREFIX}/hosts/{{host}}/leases/{{ip}}/patch",
        operation_id="fix_lease",
        summary="A lease made fixed, as a patch of the spec; writes nothing",
        tags=["leases", "hosts"],
    )
    async def fix_lease(
        who: Reader, host: HostPath, ip: Annotated[Ip, Path(description="The address of a lease")]
    ) -> schemas.Patch:
        await looked_at(parts, who, host)
        return schemas.Patch.model_validate(await parts.answers.fix_lease(host, listings.canonical(ip)))


def _answer(items: str, key: tuple[str | int, ...] | None, request: Request) -> Response:
    """As `schemas.ListOf[schemas.Lease]` would be written."""
    cursor = write_cursor(key, sort_of(request))
    headers = {}
    if cursor is not None:
        query = [(name, value) for name, value in request.query_params.multi_items() if name != "cursor"]
        headers["Link"] = f'<{request.scope["path"]}?{urlencode([*query, ("cursor", cursor)])}>; rel="next"'
    body = f'{{"items":{items},"next_cursor":{json.dumps(cursor)}}}'
    return Response(body.encode(), media_type="application/json", headers=headers)
