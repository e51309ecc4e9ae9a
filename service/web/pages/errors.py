"""Pages that say why there is no page."""

from collections.abc import Iterable

from starlette.responses import PlainTextResponse, Response

from service.api.parts import Parts
from service.web.asked import Asked, Refused
from service.web.forms import FormRefused
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


def plain(status: int, why: str, parts: Parts) -> Response:
    """Where nobody is signed in, or nobody knows whether somebody is."""
    text = render(
        "error.html", asked=None, title=_WORDS.get(status, "That is not possible now"), now=parts.clock.now(),
        status=status, problem={"detail": why},
    )  # fmt: skip
    return Response(text.encode(), status_code=status, media_type="text/html")


def of_form(asked: Asked, error: FormRefused) -> Response:
    """A form that is not taken. Nothing was done."""
    problem = {"detail": f"{error.why} Nothing was done.", "hint": error.hint}
    return asked.page("error.html", title="This form is not taken", status=error.status, problem=problem)


def of_status(status: int, asked: Asked) -> Response:
    """Where no page has this address."""
    return asked.page("error.html", title=_WORDS[status], status=status, problem={}, session=asked.session)


def not_so(asked: Asked, methods: Iterable[str]) -> Response:
    """Where the address has other methods: RFC 9110, 15.5.6 wants their names."""
    answer = of_status(405, asked)
    answer.headers["Allow"] = ", ".join(methods)
    return answer


def of_problem(asked: Asked, error: Refused) -> Response:
    """What the API refused, in its words."""
    title = _WORDS.get(error.status) or str(error.problem.get("title", "The service cannot answer"))
    return asked.page("error.html", title=title, status=error.status, problem=error.problem, session=asked.session)
