"""Published sites: the state of each, and the certificate with which it answers."""

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from service.api import listings, site_schemas
from service.api.known import in_git, of_host
from service.api.pages import page_out
from service.api.parts import Parts
from service.api.schemas import ListOf
from service.api.values import Reader, ask

PREFIX = "/api/v1"


def add_routes(app: FastAPI, parts: Parts) -> None:
    """The route /sites."""

    @app.get(
        f"{PREFIX}/sites",
        operation_id="list_sites",
        summary="Published sites, their state and certificates, by host and name",
        tags=["sites"],
    )
    async def list_sites(
        who: Reader, request: Request, response: Response, asked: listings.Sites
    ) -> ListOf[site_schemas.Site]:
        if asked.host:
            await in_git(parts, who, asked.host)
        page = await ask(parts.reads.sites, asked.seen_by(who.hosts))
        await of_host(parts, who, asked.host, page)
        return page_out(page, site_schemas.shown, request, response)
