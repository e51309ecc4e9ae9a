"""One request for a page: what it asks, what the API says to it, and the page that is made of that."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

from starlette.responses import RedirectResponse, Response

from service.model.access import Scope
from service.web.inside import Answer, Inside
from service.web.session import Session
from service.web.templating import render

LIST_LIMIT = 200
"""So many items has a page of a list of the API at most."""


class Refused(Exception):  # noqa: N818 (an answer, not a fault)
    """What the API refused, as its problem says it."""

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        super().__init__(str(problem.get("detail", "")))
        self.status = status
        self.problem = problem


@dataclass(slots=True)
class Asked:
    """A request for a page by somebody who is signed in. `path` has the parts of the address by name, `query` and
    `form` what was sent, each name once. `now` is the service's clock,
    `theme` is light or dark where the person chose one."""

    inside: Inside
    session: Session
    address: str
    path: Mapping[str, str]
    query: Mapping[str, str]
    form: Mapping[str, str]
    now: datetime
    theme: str = ""
    banner: Sequence[Mapping[str, Any]] = field(default_factory=tuple)

    @property
    def here(self) -> str:
        """The address of this very page: never that of another site, as `//name` is."""
        return "/" + quote(self.address.lstrip("/")) + (f"?{urlencode(self.query)}" if self.query else "")

    def may(self, scope: Scope) -> bool:
        """Whether the session has this scope."""
        return self.session.principal.may(scope)

    async def answer(self, path: str, **query: Any) -> Answer:
        """What the API answers to GET, as it is. Refused for every status but 200."""
        answer = await self.inside.ask("GET", path, query)
        if answer.status != 200:
            raise refused(answer)
        return answer

    async def get(self, path: str, **query: Any) -> Any:
        """What the API answers to GET, read. A keyword of Python has a `_` behind it."""
        named = {name.rstrip("_"): value for name, value in query.items()}
        return (await self.answer(path, **named)).json()

    async def found(self, path: str, **query: Any) -> Any | None:
        """The same, None where there is no such thing or nothing is known of it yet (404 and 409)."""
        try:
            return await self.get(path, **query)
        except Refused as error:
            if error.status in (404, 409):
                return None
            raise

    async def items(self, path: str, *, most: int, **query: Any) -> list[Any]:
        """The items of a list, page by page, `most` of them at most."""
        found: list[Any] = []
        cursor = None
        while len(found) < most:
            page = await self.get(path, **query, limit=min(LIST_LIMIT, most - len(found)), cursor=cursor)
            found += page["items"]
            cursor = page["next_cursor"]
            if cursor is None:
                break
        return found

    async def post(self, path: str, body: Mapping[str, Any] | None = None, *, method: str = "POST") -> Any:
        """What the API answers to a request that changes something; None for an empty answer. Refused for 4xx, 5xx."""
        answer = await self.inside.ask(method, path, body=body)
        if answer.status >= 400:
            raise refused(answer)
        return answer.json() if answer.body else None

    def page(self, template: str, *, title: str, status: int = 200, **values: Any) -> Response:
        """The page that the template makes of these values."""
        text = render(template, asked=self, title=title, now=self.now, **values)
        return Response(text.encode("utf-8", "backslashreplace"), status_code=status, media_type="text/html")


class Route(NamedTuple):
    """Which function answers which address. `{host}` in the path is a part of it."""

    method: str
    path: str
    answer: Callable[[Asked], Awaitable[Response]]


def refused(answer: Answer) -> Refused:
    """The problem that the API answered."""
    try:
        problem = answer.json()
    except ValueError:
        problem = {}
    return Refused(answer.status, problem if isinstance(problem, dict) else {})


def see_other(address: str) -> Response:
    """After a form was sent: look there. A reload then sends nothing again."""
    return RedirectResponse(address, status_code=303)
