"""Making the application out of its parts."""

import copy
from typing import Any

from fastapi import Depends, FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.middleware import Middleware

from service import __version__
from service.api import (
    about,
    access,
    applies,
    audit,
    drills,
    firewalls,
    fleet,
    guest_table,
    health,
    hosts,
    leases,
    notices,
    problem,
    problem_pages,
    proposals,
    receivers,
    records,
    rollbacks,
    rollouts,
    sessions,
    sites,
    stream,
    suspensions,
    topology,
    traces,
    trends,
    whoami,
    windows,
)
from service.api.conditional import ENDLESS, UNCHANGED
from service.api.conditional import PREFIX as CONDITIONAL
from service.api.envelope import PUBLIC, Bodies, Envelope, Gate, HostNames
from service.api.examples import put_examples
from service.api.parts import Parts
from service.api.recorded import recording
from service.api.schemas import Problem
from service.api.values import known_query

DESCRIPTION = """\
GitOps for the networks of hypervisors and their guests. Everything but `/livez`, `/readyz`,
`/problems/{code}` and `/hooks/{receiver}` needs `Authorization: Bearer psr_<id>.<secret>`, or the token of a person who
signed in at the operator's issuer. Errors are `application/problem+json` (RFC 9457): `code` is stable, and `type` is
the address of the page that explains it. Lists are pages: `limit`, `cursor`, `next_cursor`. A query parameter that the
operation does not have, or twice the same, is 400.
"""


def create_app(parts: Parts, *, lifespan: Any = None) -> FastAPI:
    """The API. Every route is on the app itself, so that `app.routes` is all there is."""
    app = without_routes(parts, lifespan=lifespan)
    add_routes(app, parts)
    receivers.add_routes(app, parts)
    return app


def create_probes(parts: Parts) -> FastAPI:
    """What a process answers that serves no API: /livez, /readyz, /problems/{code}, and /metrics with a token."""
    app = without_routes(parts)
    health.add_probes(app, parts)
    problem_pages.add_routes(app)
    return app


def without_routes(parts: Parts, *, lifespan: Any = None) -> FastAPI:
    """The application with all that is before its routes. It answers each request that gets so far with 404."""
    app = FastAPI(
        title="passerelle",
        version=__version__,
        description=DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        dependencies=[Depends(known_query)],
        lifespan=lifespan,
        middleware=[
            Middleware(Envelope),
            Middleware(HostNames, allowed=parts.hosts_allowed),
            Middleware(Gate, parts=parts),
            Middleware(Bodies, parts=parts),
        ],
    )
    problem.install(app)
    app.openapi = lambda: _document(app)  # type: ignore[method-assign]  # FastAPI's own way to extend the document
    return app


def add_routes(app: FastAPI, parts: Parts) -> None:
    """All routes but that of the receivers, which counts. They ask the parts for nothing before a request comes."""
    app.router.route_class = recording(parts)
    of_hosts = (hosts, fleet, traces, firewalls, applies, proposals, drills, rollbacks, rollouts, suspensions, windows)
    of_guests = (leases, guest_table, sites, topology)
    of_people = (access, sessions, audit, whoami)
    for room in (*of_hosts, records, stream, *of_guests, trends, *of_people, notices, about, health):
        room.add_routes(app, parts)
    receivers.add_ledger(app, parts)
    problem_pages.add_routes(app)


def _document(app: FastAPI) -> dict[str, Any]:
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title, version=app.version, description=DESCRIPTION, routes=app.routes, license_info=_LICENSE
        )
        schemas = document["components"]["schemas"]
        schemas.pop("HTTPValidationError", None)
        schemas.pop("ValidationError", None)
        schemas["Problem"] = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
        document["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        for path, operations in document["paths"].items():
            for method, operation in operations.items():
                _finish(path, method, operation)
        put_examples(document, problem.MEDIA_TYPE)
        app.openapi_schema = document
    return app.openapi_schema


_LICENSE = {"name": "Apache-2.0", "identifier": "Apache-2.0"}
_PROBLEM = {
    "description": "what went wrong",
    "content": {problem.MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
}


def _finish(path: str, method: str, operation: dict[str, Any]) -> None:
    """Errors as they really look, what is not sent again, and the token where one is needed."""
    responses = operation["responses"]
    responses.pop("422", None)
    if method == "get" and path.startswith(CONDITIONAL) and ENDLESS not in responses["200"].get("content", ()):
        responses["304"] = copy.deepcopy(UNCHANGED)
    for status, response in responses.items():
        if status[0] in "45":
            response["content"] = copy.deepcopy(_PROBLEM["content"])
    responses["default"] = copy.deepcopy(_PROBLEM)
    if not any(public.fullmatch(path) for public in PUBLIC):
        operation["security"] = [{"token": []}]
