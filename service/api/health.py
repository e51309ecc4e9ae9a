"""Is the process alive, can it do its work, and the numbers. The first two need no token and tell no secret."""

import asyncio
from html import escape

from fastapi import FastAPI
from starlette.responses import HTMLResponse, JSONResponse, Response

from service.api import health_schemas, metrics
from service.api.parts import Parts
from service.api.values import Reader
from service.errors import PasserelleError


def add_routes(app: FastAPI, parts: Parts) -> None:
    """/livez, /readyz, /metrics, /openapi.json and /docs."""
    add_probes(app, parts)
    _add_descriptions(app)


def add_probes(app: FastAPI, parts: Parts) -> None:
    """/livez, /readyz and /metrics, which a process has that serves no API, too."""

    @app.get("/livez", operation_id="livez", summary="Is the process alive", tags=["health"])
    async def livez() -> health_schemas.Live:
        return health_schemas.Live()

    @app.get(
        "/readyz",
        operation_id="readyz",
        summary="Can the service do its work",
        tags=["health"],
        response_model=health_schemas.Ready,
        responses={503: {"model": health_schemas.Ready, "description": "not yet, or not now"}},
    )
    async def readyz() -> Response:
        missing = {name for name, why in (await parts.answers.readiness()).items() if why}
        if parts.is_behind():
            missing.add("source")
        try:
            # Not in the threads of the requests: it must be answered while all of these are taken.
            await asyncio.to_thread(parts.reads.newest_event_id)
        except PasserelleError:
            missing.add("database")
        ready = health_schemas.Ready(status="not ready" if missing else "ready", missing=sorted(missing))
        return JSONResponse(ready.model_dump(mode="json"), status_code=503 if missing else 200)

    @app.get(
        "/metrics",
        operation_id="metrics",
        summary="Numbers in Prometheus' text form",
        tags=["health"],
        response_class=Response,
        responses={200: {"content": {"text/plain": {}}, "description": "the numbers"}},
    )
    async def numbers(who: Reader) -> Response:
        counted = await parts.remembered.read(parts.reads.state, parts.reads.counts)
        source = await parts.answers.source()
        page = parts.metrics.page(
            counted, visible=lambda host: who.sees(host) and parts.owns(host), at=parts.clock.now(),
            held=parts.answers.unrecorded(), source=source,
            uncompared=parts.answers.uncompared(one.host for one in counted.hosts),
            sees_all=who.sees_all,
        )  # fmt: skip
        return Response(page, media_type=metrics.CONTENT_TYPE)


def _add_descriptions(app: FastAPI) -> None:
    @app.get("/openapi.json", operation_id="openapi", summary="This description", tags=["health"])
    async def openapi(who: Reader) -> dict[str, object]:
        return app.openapi()

    @app.get(
        "/docs",
        operation_id="docs",
        summary="Every operation, for people",
        tags=["health"],
        response_class=HTMLResponse,
    )
    async def docs(who: Reader) -> HTMLResponse:
        return HTMLResponse(_page(app.openapi()))


def _page(document: dict[str, dict[str, dict[str, dict[str, str]]]]) -> str:
    rows = [
        f"<tr><td><code>{escape(method.upper())} {escape(path)}</code></td><td>{escape(operation['summary'])}</td></tr>"
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    ]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>passerelle: the API</title></head>'
        f"<body><h1>passerelle: the API</h1><table>{''.join(rows)}</table>"
        "<p>The whole description is at <code>/openapi.json</code>.</p></body></html>"
    )
