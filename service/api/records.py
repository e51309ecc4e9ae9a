"""What is looked back at: drift of the fleet, revisions and their findings, events."""

from dataclasses import replace
from typing import Annotated

from fastapi import FastAPI, Path
from starlette.requests import Request
from starlette.responses import Response

from service.api import listings, schemas
from service.api.known import looked_at, of_host, status_of
from service.api.pages import page_out
from service.api.parts import Parts
from service.api.seen import event_seen, revision_seen, source_seen
from service.api.values import CommitId, HostPath, Reader, ask, there

PREFIX = "/api/v1"
MAX_NAMED = 1000
"""At most so many hosts are named next to a list that has nothing of them."""


def add_routes(app: FastAPI, parts: Parts) -> None:
    """The routes below /drift, /source, /revisions, /findings and /events."""
    _add_drift(app, parts)
    _add_revisions(app, parts)
    _add_events(app, parts)


def _add_drift(app: FastAPI, parts: Parts) -> None:
    @app.get(f"{PREFIX}/drift", operation_id="list_drift", summary="The differences in the whole fleet", tags=["drift"])
    async def list_drift(
        who: Reader, request: Request, response: Response, asked: listings.Drift
    ) -> schemas.DriftOfFleet:
        if asked.host and not asked.resolved:
            await looked_at(parts, who, asked.host)
        if not asked.resolved and (why := parts.answers.unread()):
            raise why
        page = await ask(parts.reads.drift, asked.seen_by(who.hosts))
        hidden = frozenset[str]() if asked.resolved else parts.answers.uncompared()
        is_compared = parts.answers.is_compared
        page = replace(page, items=tuple(one for one in page.items if asked.resolved or is_compared(one.host)))
        shown = page_out(page, schemas.Drift.model_validate, request, response)
        return schemas.DriftOfFleet(
            items=shown.items, next_cursor=shown.next_cursor,
            not_compared=sorted(host for host in hidden if who.sees(host))[:MAX_NAMED],
        )  # fmt: skip

    @app.get(
        f"{PREFIX}/hosts/{{host}}/drift",
        operation_id="list_host_drift",
        summary="The differences on one host",
        tags=["drift", "hosts"],
    )
    async def list_host_drift(
        who: Reader, request: Request, response: Response, host: HostPath, asked: listings.DriftOfHost
    ) -> schemas.ListOf[schemas.Drift]:
        # what is past is history, whether the host is looked at now or not
        await (status_of if asked.resolved else looked_at)(parts, who, host)
        page = await ask(parts.reads.drift, replace(asked, host=host, visible=who.hosts))
        return page_out(page, schemas.Drift.model_validate, request, response)


def _add_revisions(app: FastAPI, parts: Parts) -> None:
    @app.get(
        f"{PREFIX}/source",
        operation_id="get_source",
        summary="Whether the repository is followed, and why not",
        tags=["revisions"],
    )
    async def get_source(who: Reader) -> schemas.Source:
        return schemas.Source.model_validate(source_seen(who, await parts.answers.source()))

    @app.get(f"{PREFIX}/revisions", operation_id="list_revisions", summary="Commits, newest first", tags=["revisions"])
    async def list_revisions(
        who: Reader, request: Request, response: Response, asked: listings.Revisions
    ) -> schemas.ListOf[schemas.Revision]:
        page = await ask(parts.reads.revisions, asked)
        return page_out(page, lambda one: schemas.Revision.model_validate(revision_seen(who, one)), request, response)

    @app.get(f"{PREFIX}/revisions/{{commit}}", operation_id="get_revision", summary="One commit", tags=["revisions"])
    async def get_revision(
        who: Reader, commit: Annotated[CommitId, Path(description="The full commit id")]
    ) -> schemas.Revision:
        found = there(await ask(parts.reads.revision, commit), f"no revision {commit}")
        return schemas.Revision.model_validate(revision_seen(who, found))

    @app.get(
        f"{PREFIX}/findings",
        operation_id="get_findings",
        summary="Lint's findings about the newest commit",
        tags=["revisions"],
    )
    async def get_findings(who: Reader) -> schemas.Findings:
        newest = there(await ask(parts.reads.newest_revision, None), "no commit was looked at yet")
        return schemas.Findings.model_validate(revision_seen(who, newest))


def _add_events(app: FastAPI, parts: Parts) -> None:
    @app.get(
        f"{PREFIX}/events",
        operation_id="list_events",
        summary="Events, in order",
        description="Give the last `id` as `after` to continue. An empty list means that nothing has happened since.",
        tags=["events"],
    )
    async def list_events(
        who: Reader, request: Request, response: Response, asked: listings.Events
    ) -> schemas.ListOf[schemas.Event]:
        page = await ask(parts.reads.events, asked.seen_by(who.hosts))
        if not asked.after:  # events of a host can still be followed after it is forgotten
            await of_host(parts, who, asked.host, page)
        return page_out(page, lambda one: schemas.Event.model_validate(event_seen(who, one)), request, response)
