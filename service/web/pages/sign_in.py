"""Signing in with a token, and out. The token goes to the API's own gate, so who guesses is slowed down there, as
everybody who comes without a valid token.
"""

import logging
import re
import secrets
from collections.abc import Mapping
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp

from service.api.parts import Parts
from service.api.values import ask
from service.logs import fields
from service.model.web_sessions import Visit
from service.web.forms import FormRefused, check_origin, form_of
from service.web.inside import Inside
from service.web.session import COOKIE, SIGN_IN_COOKIE, Session, cookie_of, form_token, set_cookie
from service.web.templating import render

SIGN_IN, SIGN_OUT, EVERYWHERE = "/sign-in", "/sign-out", "/sign-out-everywhere"
PATHS = (SIGN_IN, SIGN_OUT, EVERYWHERE)
_NONCE = re.compile(rb"[A-Za-z0-9_-]{43}")
_TOKEN = re.compile(r"[!-~]{1,8000}")
_OWN = re.compile(r"/(?![/\\])[!-\[\]-~]{0,2000}")
_WORDS = {
    401: "This token is not valid. It may be wrong, revoked or expired.",
    403: "This token cannot read, so there is nothing that it could show.",
    429: "Too many sign-ins failed from your address. Try again in a minute.",
    503: "The service cannot check tokens now. Try again in a moment.",
}
_OF_A_PERSON = "A browser signs in with a token of this service. The sign-in at an issuer is for commands only."
_log = logging.getLogger("passerelle.web")


async def answer(request: Request, parts: Parts, api: ASGIApp, session: Session | None) -> Response:
    """The page with the form, what it sends, and what the forms send that end sessions."""
    path, is_read = request.scope["path"], request.method in ("GET", "HEAD")
    to = own_path(request.query_params.get("to", "/"))
    try:
        if path == SIGN_IN and request.method == "POST":
            return await _signed_in(request, parts, api, session, to)
        if path != SIGN_IN and request.method == "POST":
            return await _signed_out(request, parts, session, is_everywhere=path == EVERYWHERE)
    except FormRefused as error:
        return page(request, parts, to, why=f"{error.why} {error.hint}".strip(), status=error.status)
    if not is_read:
        return Response(status_code=405, headers={"Allow": "GET, HEAD, POST"})
    if path != SIGN_IN or session is not None:
        return RedirectResponse(to if path == SIGN_IN else "/session", status_code=303)
    is_out = "out" in request.query_params
    return page(request, parts, to, said="You are signed out." if is_out else "")


def own_path(to: str) -> str:
    """Where to go after the sign-in: an address of this service in plain letters, else the first page. `//name` and
    `/\\name` would be another site."""
    return to if _OWN.fullmatch(to) and not to.startswith("/sign-") else "/"


def page(request: Request, parts: Parts, to: str, *, why: str = "", said: str = "", status: int = 200) -> Response:
    """The page with the form. Its token belongs to a cookie that only this browser has, so that no other site can sign
    somebody in as somebody else."""
    nonce = cookie_of(request.scope, SIGN_IN_COOKIE, parts)
    if not _NONCE.fullmatch(nonce):
        nonce = secrets.token_urlsafe(32).encode()
    text = render(
        "sign_in.html", title="Sign in", now=parts.clock.now(), why=why, said=said, to=to,
        csrf=form_token(nonce, "sign-in"),
    )  # fmt: skip
    response = Response(text.encode(), status_code=status, media_type="text/html")
    set_cookie(response, SIGN_IN_COOKIE, nonce.decode(), parts, is_strict=True)
    return response


async def _signed_in(
    request: Request, parts: Parts, api: ASGIApp, session: Session | None, to: str
) -> Response:  # fmt: skip
    nonce = cookie_of(request.scope, SIGN_IN_COOKIE, parts)
    if not _NONCE.fullmatch(nonce):
        check_origin(request, parts)
        raise FormRefused(
            403, "The browser sent no cookie of this page.", "Allow its cookies, and send the form again."
        )
    form = await form_of(request, parts, token=form_token(nonce, "sign-in"))
    token = form.get("token", "").strip()
    status = await _checked(request, api, token if _TOKEN.fullmatch(token) else "-")
    if status != HTTPStatus.OK:
        return page(request, parts, to, why=_WORDS.get(status, _WORDS[503]), status=status)
    visit, at = visit_of(request), parts.clock.now()
    begun = await ask(parts.writes.begin_session, token.encode(), limits=parts.sessions, visit=visit, at=at)
    if begun is None:
        return page(request, parts, to, why=_OF_A_PERSON, status=403)
    if session is not None:
        await ask(parts.writes.end_session, session.id, visit=visit, at=at)
    response = RedirectResponse(to, status_code=303)
    set_cookie(response, COOKIE, begun[0], parts)
    set_cookie(response, SIGN_IN_COOKIE, "", parts, is_strict=True)
    return response


async def _checked(request: Request, api: ASGIApp, token: str) -> int:
    """What the API answers to who has this token."""
    headers: Mapping[str, str] = {"Authorization": f"Bearer {token}"}
    found = await Inside(api, None, request.scope).ask("GET", "/api/v1/whoami", headers=headers)
    if found.status != HTTPStatus.OK:
        client = visit_of(request).client
        named = fields(client=client, status=str(found.status))
        _log.info("nobody was signed in for %s: the token was answered with %d", client, found.status, extra=named)
    return found.status


async def _signed_out(
    request: Request, parts: Parts, session: Session | None, *, is_everywhere: bool
) -> Response:  # fmt: skip
    if session is not None:
        await form_of(request, parts, token=session.csrf)
        visit, at = visit_of(request), parts.clock.now()
        if is_everywhere:
            await ask(parts.writes.end_sessions_of, session.principal.id, visit=visit, at=at)
        else:
            await ask(parts.writes.end_session, session.id, visit=visit, at=at)
    response = RedirectResponse(f"{SIGN_IN}?out=", status_code=303)
    if session is not None:
        set_cookie(response, COOKIE, "", parts)
    return response


def visit_of(request: Request) -> Visit:
    """Where a request came from, for the records."""
    return Visit(request.client.host if request.client else "", request.scope["state"]["request_id"])
