"""The application that a browser talks to: pages, their files, and everything else to the API."""

import logging
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, quote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Match
from starlette.routing import Route as Path
from starlette.types import ASGIApp, Receive, Scope, Send

from service.api.envelope import Envelope, HostNames
from service.api.parts import Parts
from service.api.rate import Buckets
from service.errors import StoreError
from service.web import described, files, live
from service.web.asked import Asked, Refused, Route
from service.web.banner import banner_of
from service.web.forms import FormRefused, form_of
from service.web.inside import Inside
from service.web.kept import KeptPages, Key
from service.web.pages import ROUTES, errors, helping, sign_in
from service.web.session import Session, session_of

OF_THE_API = ("/api/", "/hooks/", "/problems/", "/livez", "/readyz", "/metrics", "/docs", "/openapi.json")
"""The beginnings of the addresses that are not pages."""
CSP = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
_HEADERS = {
    "Content-Security-Policy": CSP,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
}
"""`no-referrer`, as of the API, would make browsers send `Origin: null` with our own forms."""
_READS = ("GET", "HEAD")
_log = logging.getLogger("passerelle.web")
FIELDS = 100
"""So many fields has an address at most."""


def create_site(parts: Parts, api: ASGIApp) -> ASGIApp:
    """The pages in front of the API's application. Whoever starts and ends the program talks to the API (lifespan)."""
    pages = Envelope(HostNames(Pages(parts, api), parts.hosts_allowed))

    async def site(scope: Scope, receive: Receive, send: Send) -> None:
        is_http = scope["type"] == "http"
        is_page = is_http and (not scope["path"].startswith(OF_THE_API) or described.is_asked(scope))
        await (pages if is_page else api)(scope, receive, send)

    return site


class Pages:
    """All pages. Each request is made a call of the function that its route names."""

    def __init__(self, parts: Parts, api: ASGIApp, routes: tuple[Route, ...] = ROUTES) -> None:
        self._parts = parts
        self._api = api
        self._kept = KeptPages()
        limits = parts.limits
        self._requests = Buckets(parts.clock, burst=limits.requests_burst, every_s=limits.requests_every_s)
        self._routes = [(route, Path(route.path, _never, methods=[route.method])) for route in routes]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = await self._answer(Request(scope, receive))
        for name, value in _HEADERS.items():
            answer.headers.setdefault(name, value)
        await answer(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        path = request.scope["path"]
        if path.startswith(files.PREFIX):
            return files.answer_file(path) or errors.not_found()
        if b"psr_" in request.scope["query_string"]:
            return errors.plain(400, "A token does not belong in an address.", self._parts)
        if request.scope["query_string"].count(b"&") >= FIELDS:
            return errors.plain(400, f"An address has at most {FIELDS} fields.", self._parts)
        try:
            session = await session_of(request.scope, self._parts, is_click=path != live.PATH)
            if path in sign_in.PATHS:
                return await sign_in.answer(request, self._parts, self._api, session)
        except StoreError:
            return errors.plain(503, "The database cannot be used now. Try again in a moment.", self._parts)
        if session is None and path == live.PATH:
            return Response(status_code=401)
        if session is None:
            return _to_sign_in(request)
        if wait_s := self._requests.take(session.principal.id):
            return errors.too_many(wait_s)
        if path == live.PATH and request.method == "GET":
            return live.News(Inside(self._api, session.principal, request.scope), session)
        if path in described.PATHS:
            return await described.answer(Inside(self._api, session.principal, request.scope), request.method, path)
        return await self._of_session(request, session)

    async def _of_session(self, request: Request, session: Session) -> Response:
        route, named = self._route(request.scope)
        if route is None:
            asked = self._asked(request, session, {}, {})
            return errors.not_so(asked, named) if named else errors.of_status(404, asked)
        if route.method in _READS:
            return await self._read(request, session, route, named)
        try:
            form = await form_of(request, self._parts, token=session.csrf)
        except FormRefused as error:
            return errors.of_form(self._asked(request, session, {}, {}), error)
        self._kept.clear()
        try:
            return await self._made(request, session, route, named, form)
        finally:
            self._kept.clear()

    async def _read(self, request: Request, session: Session, route: Route, named: Mapping[str, str]) -> Response:
        address = f"{request.scope['path']}?{request.scope['query_string'].decode('latin-1')}"
        theme = helping.theme_of(request.cookies)
        key, clock = Key(address, session.principal, session.csrf, theme), self._parts.clock
        state, now_s = self._parts.reads.state(), clock.monotonic_s()
        if kept := self._kept.find(key, state, now_s):
            return kept
        answer = await self._made(request, session, route, named, {})
        self._kept.keep(key, state, now_s, answer)
        return answer

    async def _made(
        self, request: Request, session: Session, route: Route, named: Mapping[str, str], form: Mapping[str, str]
    ) -> Response:
        asked = self._asked(request, session, named, form)
        try:
            asked.banner = await banner_of(asked)
            return await route.answer(asked)
        except Refused as error:
            return errors.of_problem(asked, error)
        except Exception:
            request_id = request.scope["state"]["request_id"]
            _log.exception("the page of request %s failed", request_id)
            why = f"The service has a fault here. Its log has the request {request_id}."
            return errors.plain(500, why, self._parts)

    def _asked(
        self, request: Request, session: Session, named: Mapping[str, str], form: Mapping[str, str]
    ) -> Asked:  # fmt: skip
        return Asked(
            inside=Inside(self._api, session.principal, request.scope), session=session,
            address=request.scope["path"], path=named, query=_query(request.scope), form=form,
            now=self._parts.clock.now(), theme=helping.theme_of(request.cookies),
        )  # fmt: skip

    def _route(self, scope: Scope) -> tuple[Route | None, Mapping[str, str]]:
        """The route of a request and the parts of its address; None, and the methods that the address has, where only
        the method is wrong."""
        methods: dict[str, str] = {}
        for route, path in self._routes:
            match, found = path.matches(scope)
            if match is Match.FULL:
                return route, found["path_params"]
            if match is Match.PARTIAL:
                methods |= dict.fromkeys(_READS if route.method in _READS else (route.method,), "")
        return None, methods


async def _never(_: Any) -> Response:
    raise AssertionError("routes are matched here, and answered by their own functions")


def _query(scope: Scope) -> Mapping[str, str]:
    """What the address asks: of a name that is there twice, the last."""
    return dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True, max_num_fields=FIELDS))


def _to_sign_in(request: Request) -> Response:
    """To the page where people sign in, and back to where they were going."""
    to = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    back = f"?to={quote(to, safe='')}" if request.method in _READS and to != "/" else ""
    return RedirectResponse(sign_in.SIGN_IN + back, status_code=303)
