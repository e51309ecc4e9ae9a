"""Who looks at a page: the session that a cookie stands for."""

from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie

from starlette.concurrency import run_in_threadpool
from starlette.types import Scope

from service.api.parts import Parts
from service.model.access import Principal

COOKIE = "passerelle"


@dataclass(frozen=True, slots=True)
class Session:
    """A person who is signed in. `csrf` is in each form that the pages of this session have."""

    id: str
    principal: Principal
    csrf: str


async def session_of(scope: Scope, parts: Parts) -> Session | None:
    """The session of a request, None where it has no valid one."""
    cookies: SimpleCookie = SimpleCookie()
    for name, value in scope["headers"]:
        if name == b"cookie":
            try:
                cookies.load(value.decode("latin-1"))
            except CookieError:
                return None
    if COOKIE not in cookies:
        return None
    presented, now = cookies[COOKIE].value.encode(), parts.clock.now()
    principal = parts.writes.recognise(presented, at=now) or await run_in_threadpool(
        parts.writes.authenticate, presented, at=now
    )
    return Session(principal.id, principal, principal.id) if principal else None
