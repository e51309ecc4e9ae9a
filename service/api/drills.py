"""Drills: let a host undo a change of nothing, and see what that proved."""

from typing import Annotated

from fastapi import FastAPI, Path
from starlette.requests import Request
from starlette.responses import Response

from service.api import drill_schemas, listings, schemas
from service.api.known import of_host, status_of
from service.api.once import Key, once
from service.api.pages import page_out
from service.api.parts import Parts
from service.api.values import Applier, Reader, Ulid, ask, there
from service.errors import InputError
from service.model.access import Principal

PREFIX = "/api/v1"


def add_routes(app: FastAPI, parts: Parts) -> None:
    """The routes below /drills."""

    @app.get(f"{PREFIX}/drills", operation_id="list_drills", summary="Drills, newest first", tags=["drills"])
    async def list_drills(
        who: Reader, request: Request, response: Response, asked: listings.Drills
    ) -> schemas.ListOf[drill_schemas.Drill]:
        page = await ask(parts.reads.drills, asked.seen_by(who.hosts))
        await of_host(parts, who, asked.host, page)
        return page_out(page, drill_schemas.Drill.model_validate, request, response)

    @app.get(
        f"{PREFIX}/drills/{{drill_id}}",
        operation_id="get_drill",
        summary="One drill with everything that it proved",
        tags=["drills"],
    )
    async def get_drill(who: Reader, drill_id: Annotated[Ulid, Path(description="A ULID")]) -> drill_schemas.Drill:
        return await read_drill(parts, who, drill_id)

    @app.post(
        f"{PREFIX}/drills",
        operation_id="create_drill",
        summary="Prove that a host can roll back",
        description="Arms a harmless test change on the host and lets its deadline pass, about 15 seconds. With "
        "`reboot` the host reboots instead, which interrupts its guests. The boot rolls the change back, and the host "
        "has to be reachable again. 409 `waits-already` when another drill of the host waits for its turn.",
        tags=["drills"],
        status_code=202,
        response_model=drill_schemas.Drill,
    )
    async def create_drill(
        who: Applier, request: Request, asked: drill_schemas.DrillAsked, key: Key = None
    ) -> Response:
        await status_of(parts, who, asked.host)

        if asked.reboot and asked.confirm != asked.host:
            raise InputError(
                f"a reboot of {asked.host} interrupts all its guests and was not confirmed",
                hint=f'Fix: send "confirm": "{asked.host}" together with "reboot": true',
            )

        async def work() -> tuple[str, drill_schemas.Drill]:
            drill_id = await parts.control.drill(asked.host, who.name, reboot=asked.reboot)
            return f"{PREFIX}/drills/{drill_id}", await read_drill(parts, who, drill_id)

        return await once(parts, who, key, request, work)


async def read_drill(parts: Parts, who: Principal, drill_id: str) -> drill_schemas.Drill:
    """A drill of a host that the principal sees."""
    found = there(await ask(parts.reads.drill, drill_id), f"no drill {drill_id}")
    if not who.sees(found.host):
        there(None, f"no drill {drill_id}")
    return drill_schemas.Drill.model_validate(found)
