"""A page of a list as it is sent: the items, the cursor, the Link header."""

from collections.abc import Callable
from typing import TypeVar
from urllib.parse import urlencode

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from service.api.schemas import ListOf
from service.api.values import write_cursor
from service.model.runs import Page

V = TypeVar("V")
A = TypeVar("A", bound=BaseModel)


def page_out(page: Page[V], show: Callable[[V], A], request: Request, response: Response) -> ListOf[A]:
    """The page as it is answered; `Link: …; rel="next"` (RFC 8288) says the same as `next_cursor`."""
    cursor = write_cursor(page.next)
    if cursor is not None:
        query = [(key, value) for key, value in request.query_params.multi_items() if key not in ("cursor", "after")]
        response.headers["Link"] = f'<{request.scope["path"]}?{urlencode([*query, ("cursor", cursor)])}>; rel="next"'
    return ListOf[A](items=[show(item) for item in page.items], next_cursor=cursor)
