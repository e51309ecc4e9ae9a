"""Who is signed in, what that session may, and until when."""

from starlette.responses import Response

from service.web.asked import Asked, Route


async def session(asked: Asked) -> Response:
    """The session of who looks."""
    return asked.page("session.html", title="Session", who=await asked.get("/api/v1/whoami"))


ROUTES = (Route("GET", "/session", session),)
