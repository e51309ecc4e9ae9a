"""Signing in with a token, and out; and what a form has to have."""

from collections.abc import Mapping
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from service.api.parts import Parts
from service.web.session import COOKIE, Session
from service.web.templating import render


async def answer(request: Request, parts: Parts) -> Response:
    """The page with the form, and what it sends."""
    if request.scope["path"] == "/sign-out":
        response = RedirectResponse("/sign-in", status_code=303)
        response.delete_cookie(COOKIE)
        return response
    if request.method == "POST":
        form = await form_of(request, None)
        assert not isinstance(form, Response)
        response = RedirectResponse(request.query_params.get("to", "/"), status_code=303)
        response.set_cookie(COOKIE, form.get("token", ""), httponly=True, samesite="strict")
        return response
    text = render(
        "sign_in.html", title="Sign in", now=parts.clock.now(), why="", to=request.query_params.get("to", "/")
    )
    return Response(text, media_type="text/html")


async def form_of(request: Request, session: Session | None) -> Mapping[str, str] | Response:
    """What a form has, or the page that says why it is not taken."""
    body = await request.body()
    return dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=100))
