"""What is on a host and behind it: as data, and as a picture."""

import asyncio
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import FastAPI, Query
from starlette.responses import Response

from service.api import topology_schemas
from service.api.known import in_git
from service.api.parts import Parts
from service.api.topology_schemas import Topology
from service.api.values import HostPath, Reader
from service.model.access import Principal
from service.model.fleet_topology import FleetTopology
from service.model.topology import Topology as Told
from service.pictures.fleet_topology import draw_fleet, fleet_outline
from service.pictures.svg import MEDIA_TYPE, POLICY, Drawing
from service.pictures.topology import LEAST, MOST, WIDE, draw
from service.pictures.topology_words import outline

PREFIX = "/api/v1"
Width = Annotated[int, Query(ge=LEAST, le=MOST, description="Pixels; boxes are in as many columns as it holds")]
PICTURE: dict[int | str, dict[str, Any]] = {
    200: {"content": {MEDIA_TYPE: {"schema": {"type": "string"}}}, "description": "the picture"}
}


def add_routes(app: FastAPI, parts: Parts) -> None:
    """The topology of a host, and of the fleet."""

    _add_fleet(app, parts)

    async def found(who: Principal, host: str) -> Told:
        status = await in_git(parts, who, host)
        if why := parts.answers.unread():
            raise why
        return await parts.answers.topology(host, status)

    @app.get(
        f"{PREFIX}/hosts/{{host}}/topology",
        operation_id="get_topology",
        summary="Uplinks, bridges, guests, forwards and sites of a host, and what of them has drifted",
        tags=["hosts"],
        response_model=Topology,
    )
    async def get_topology(who: Reader, host: HostPath) -> Response:
        told = await found(who, host)
        # a host decides how much it is: not on the event loop
        text = await asyncio.to_thread(_as_json, told)
        return Response(text, media_type="application/json")

    @app.get(
        f"{PREFIX}/hosts/{{host}}/topology.svg",
        operation_id="draw_topology",
        summary="The topology of a host as a picture",
        tags=["hosts"],
        response_class=Response,
        responses=PICTURE,
    )
    async def draw_topology(who: Reader, host: HostPath, width: Width = WIDE) -> Response:
        told = await found(who, host)
        return await asyncio.to_thread(lambda: picture(draw(told, width)))


def _add_fleet(app: FastAPI, parts: Parts) -> None:
    async def found(who: Principal) -> FleetTopology:
        if why := parts.answers.unread():
            raise why
        return await parts.answers.fleet_topology(who.sees)

    @app.get(
        f"{PREFIX}/topology",
        operation_id="get_fleet_topology",
        summary="The hosts and what connects them: jump hosts, dependencies, clusters",
        tags=["hosts"],
    )
    async def get_fleet_topology(who: Reader) -> topology_schemas.FleetTopology:
        told = await found(who)
        words = asdict(fleet_outline(told))
        return topology_schemas.FleetTopology.model_validate({**asdict(told), "outline": words})

    @app.get(
        f"{PREFIX}/topology.svg",
        operation_id="draw_fleet_topology",
        summary="The hosts and what connects them, as a picture",
        tags=["hosts"],
        response_class=Response,
        responses=PICTURE,
    )
    async def draw_fleet_topology(who: Reader, width: Width = WIDE) -> Response:
        told = await found(who)
        return await asyncio.to_thread(lambda: picture(draw_fleet(told, width)))


def picture(drawing: Drawing) -> Response:
    """A picture as an answer, with the policy that allows its own style sheet and nothing else."""
    return Response(drawing.alone(), media_type=MEDIA_TYPE, headers={"Content-Security-Policy": POLICY})


def _as_json(told: Told) -> str:
    return Topology.model_validate({**asdict(told), "outline": asdict(outline(told))}).model_dump_json()
