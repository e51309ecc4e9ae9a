"""Pages that ask for a reason before they do something about one host."""

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from starlette.responses import Response

from service.model.access import Scope
from service.web.asked import Asked, Route, see_other


class Question(NamedTuple):
    """The words of the page, and the address of the API that does it. `path` is the end of both addresses."""

    path: str
    api: str
    title: str
    says: str
    word: str
    scope: Scope


QUESTIONS = (
    Question(
        "release", "release", "End the quarantine of {host}",
        "A rollback failed on this host, so nothing is applied to it. Look at the host first: what is on it now may be "
        "half of a change. After this, applies may begin again.",
        "End the quarantine", "approve",
    ),
    Question(
        "latch", "latch/clear", "Let {host} try it again",
        "The host rolled the last change back, because nobody could reach it after that or because a check failed. The "
        "same change is not tried again automatically. After this, it is.",
        "Try it again", "approve",
    ),
    Question(
        "forget", "forget", "Forget {host}",
        "The host is not in Git any more. All that is recorded of it is removed, but for its events. Nothing on the "
        "host is touched.",
        "Forget the host", "approve",
    ),
)  # fmt: skip


def _asks(question: Question) -> Callable[[Asked], Awaitable[Response]]:
    async def ask(asked: Asked) -> Response:
        host = await asked.get(f"/api/v1/hosts/{asked.path['host']}")
        return asked.page(
            "ask.html", title=question.title.format(host=host["host"]), host=host, says=question.says,
            word=question.word, scope=question.scope,
        )  # fmt: skip

    return ask


def _does(question: Question) -> Callable[[Asked], Awaitable[Response]]:
    async def do(asked: Asked) -> Response:
        name = asked.path["host"]
        await asked.post(f"/api/v1/hosts/{name}/{question.api}", {"reason": asked.form.get("reason", "")})
        return see_other("/" if question.path == "forget" else f"/hosts/{name}")

    return do


ROUTES = tuple(
    Route(method, f"/hosts/{{host}}/{question.path}", made(question))
    for question in QUESTIONS
    for method, made in (("GET", _asks), ("POST", _does))
)
