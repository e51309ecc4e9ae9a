"""The rules of a host's firewall, in the order in which they are tried."""

import asyncio
from collections import OrderedDict
from collections.abc import Mapping

from fastapi import FastAPI
from starlette.responses import Response

from service.api import firewall_schemas
from service.api.known import in_git
from service.api.parts import Parts
from service.api.values import HostPath, Reader
from service.model.runs import FirewallView
from service.model.states import Json

PREFIX = "/api/v1"
MOST_TEXTS = 32
"""So many hosts' rules are kept as text. They are made again where they are others."""


class FirewallTexts:
    """The rules of hosts as text: thousands of them are checked and written once."""

    def __init__(self) -> None:
        self.kept: OrderedDict[str, tuple[Mapping[str, Json], bytes]] = OrderedDict()

    async def text(self, view: FirewallView) -> bytes:
        """The whole answer."""
        kept = self.kept.pop(view.host, None)
        if kept is None or kept[0] is not view.tables:
            kept = view.tables, await asyncio.to_thread(_rules, view.tables)
        self.kept[view.host] = kept
        if len(self.kept) > MOST_TEXTS:
            self.kept.popitem(last=False)
        standing = firewall_schemas.Standing.model_validate(view).model_dump_json().encode()
        return standing[:-1] + b"," + kept[1][1:]


def _rules(tables: Mapping[str, Json]) -> bytes:
    return firewall_schemas.Tables.model_validate(tables).model_dump_json().encode()


def add_routes(app: FastAPI, parts: Parts) -> None:
    """The route below /hosts/{host}/firewall."""
    texts = FirewallTexts()

    @app.get(
        f"{PREFIX}/hosts/{{host}}/firewall",
        operation_id="get_firewall",
        summary="Every rule of the host in the order in which it is tried, and whether it can decide",
        tags=["hosts"],
        response_model=firewall_schemas.Firewall,
    )
    async def get_firewall(who: Reader, host: HostPath) -> Response:
        await in_git(parts, who, host)
        return Response(await texts.text(await parts.answers.firewall(host)), media_type="application/json")
