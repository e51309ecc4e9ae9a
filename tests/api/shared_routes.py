"""Applications that share their routes: making those takes longer than most of the tests that send a request to them.

The routes of `service.api.create` are made once in each process. They use the parts of the application that the
request came to. What counts, and all that is before them (limits, names, tokens, bodies), is each application's own.
"""

from contextvars import ContextVar
from typing import Any, cast

from fastapi import FastAPI
from starlette.middleware import Middleware
from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from service.api import receivers
from service.api.create import add_routes, without_routes
from service.api.parts import Parts
from service.api.recorded import recording

_ASKED: ContextVar[Parts] = ContextVar("parts of the application that a request came to")


class _Asked:
    """The parts of the application that the request came to. LookupError outside of a request."""

    def __getattr__(self, name: str) -> Any:
        return getattr(_ASKED.get(), name)


class _Noted:
    """The last one before the routes: notes whose request it is."""

    def __init__(self, app: ASGIApp, parts: Parts) -> None:
        self._app, self._parts = app, parts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        before = _ASKED.set(self._parts)
        try:
            await self._app(scope, receive, send)
        finally:
            _ASKED.reset(before)


_SHARED: list[BaseRoute] = []


def app_of(parts: Parts) -> FastAPI:
    """As `create_app` makes it, with the shared routes. The first one makes them."""
    app = without_routes(parts)
    app.router.route_class = recording(parts)
    app.user_middleware.append(Middleware(_Noted, parts=parts))
    if not _SHARED:
        add_routes(app, cast(Parts, _Asked()))
        _SHARED.extend(app.router.routes)
    app.router.routes = [*_SHARED]
    receivers.add_routes(app, parts)
    return app
