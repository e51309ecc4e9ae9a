"""Who is signed in, what that session may, and until when."""

from starlette.responses import Response

from service.web.asked import Asked, Route


async def session(asked: Asked) -> Response:
    """The session of who looks."""
    who = await asked.get("/api/v1/whoami")
    found = await asked.get("/api/v1/sessions", token_id=who["id"])
    return asked.page("session.html", title="Session", who=who, sessions=found["items"])


ROUTES = (Route("GET", "/session", session),)
