"""A page of a list as it is sent: the items, the cursor, the Link header."""

import json
from collections.abc import Callable, Sequence
from typing import TypeVar
from urllib.parse import urlencode

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from service.api.schemas import ListOf
from service.api.values import write_cursor
from service.model.listings import Key
from service.model.runs import Page

V = TypeVar("V")
A = TypeVar("A", bound=BaseModel)


def page_out(page: Page[V], show: Callable[[V], A], request: Request, response: Response) -> ListOf[A]:
    """The page as it is answered; `Link: …; rel="next"` (RFC 8288) says the same as `next_cursor`."""
    cursor = write_cursor(page.next, sort_of(request))
    if cursor is not None:
        response.headers["Link"] = _link(cursor, request)
    return ListOf[A](items=[show(item) for item in page.items], next_cursor=cursor)


def text_page(items: Sequence[bytes], next_key: Key | None, request: Request) -> Response:
    """The same of items that are JSON already."""
    cursor = write_cursor(next_key, sort_of(request))
    body = b'{"items":[%b],"next_cursor":%b}' % (b",".join(items), json.dumps(cursor).encode())
    headers = {} if cursor is None else {"Link": _link(cursor, request)}
    return Response(body, media_type="application/json", headers=headers)


def sort_of(request: Request) -> str:
    """The order that was requested; empty for the list's own."""
    return request.query_params.get("sort", "")


def _link(cursor: str, request: Request) -> str:
    """The address of the next page. Every filter stays, `after` too: where the newest come first, it is the end."""
    query = [(key, value) for key, value in request.query_params.multi_items() if key != "cursor"]
    return f'<{request.scope["path"]}?{urlencode([*query, ("cursor", cursor)])}>; rel="next"'
