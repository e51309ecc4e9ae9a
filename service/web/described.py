"""The API's description for who is signed in: the link in the foot of each page leads there.

The API reads no cookie, so a browser that follows the link has nothing that the API knows. The page reads it with the
principal of the session. Who sends a token talks to the API itself.
"""

from starlette.responses import Response
from starlette.types import Scope

from service.web.inside import Inside

PATHS = ("/docs", "/openapi.json")
_KEPT = ("content-type", "content-security-policy")


def is_asked(scope: Scope) -> bool:
    """Whether this is a browser, which has a cookie and no token."""
    names = {name for name, _ in scope["headers"]}
    return scope["path"] in PATHS and b"cookie" in names and b"authorization" not in names


async def answer(inside: Inside, method: str, path: str) -> Response:
    """The description, as the API answers it."""
    found = await inside.ask(method, path)
    headers = {name: found.headers[name] for name in (*_KEPT, "allow") if name in found.headers}
    return Response(found.body, status_code=found.status, headers=headers)
