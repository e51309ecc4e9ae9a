"""News for an open page: the API's own stream of events, by the session of the cookie.

A browser cannot send a token with an EventSource, and the API takes no cookie. So the page follows `/live`, and the
stream comes from the API inside the process: it has what the session sees, and ends with it.
"""

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from service.api.envelope import SESSION_LASTS
from service.web.inside import Inside
from service.web.session import Session

PATH = "/live"
STREAM = "/api/v1/stream"


class News(Response):
    """The stream, as the API answers it."""

    def __init__(self, inside: Inside, session: Session) -> None:
        super().__init__()
        self._inside = inside
        self._session = session

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        places = [value.decode("latin-1") for name, value in scope["headers"] if name == b"last-event-id"]
        asked = self._inside.scope("GET", STREAM, headers={"Last-Event-ID": places[0]} if places else {})
        await self._inside.api({**asked, SESSION_LASTS: self._session.lasts}, receive, send)
