"""Pages that say why there is no page."""

from datetime import datetime

from starlette.responses import PlainTextResponse, Response

from service.web.asked import Asked, Refused
from service.web.session import Session
from service.web.templating import render

_WORDS = {
    403: "This session may not do that",
    404: "There is no such page",
    405: "This address cannot be used like that",
    409: "That is not possible now",
}


def not_found() -> Response:
    """For files."""
    return PlainTextResponse("no such file\n", status_code=404)


def too_many(wait_s: float) -> Response:
    """For a session that asks too often."""
    again_s = int(wait_s) + 1
    return PlainTextResponse(f"too many requests: try again in {again_s} s\n", 429, {"Retry-After": str(again_s)})


def of_status(status: int, session: Session, now: datetime) -> Response:
    """Where no page has this address."""
    text = render(
        "error.html", asked=None, session=session, title=_WORDS[status], now=now, status=status, problem={},
    )  # fmt: skip
    return Response(text.encode(), status_code=status, media_type="text/html")


def of_problem(asked: Asked, error: Refused) -> Response:
    """What the API refused, in its words."""
    title = _WORDS.get(error.status) or str(error.problem.get("title", "The service cannot answer"))
    return asked.page("error.html", title=title, status=error.status, problem=error.problem, session=asked.session)
