"""Who looks at a page: the session that a cookie stands for.

The cookie holds `id.secret`. It is HttpOnly, so no script reads it, and SameSite=Lax: a link in a mail opens a page as
who is signed in. A request that another site makes up does not have it, but for such a GET, which changes nothing.
Behind TLS it is Secure and its name begins with `__Host-`: no other name of the same domain can set it (RFC 6265bis).
"""

import hashlib
import hmac
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime

from starlette.responses import Response
from starlette.types import Scope

from service.api.parts import Parts
from service.api.values import ask
from service.errors import StoreError
from service.model.access import Principal
from service.model.web_sessions import WebSession

COOKIE = "passerelle_session"
SIGN_IN_COOKIE = "passerelle_sign_in"
"""Holds what proves that the form of the sign-in page was given to this browser."""
BY_ITSELF = (b"passerelle-live", b"hx-request")
"""The headers of requests that a page makes on its own; htmx sends the second. They do not count as a click: else an
open page would keep its session for as long as nobody is there."""


@dataclass(frozen=True, slots=True)
class Session:
    """A person who is signed in. `csrf` is in each form that the pages of this session have. It ends at `until` if
    nobody clicks, and at `ends_at` at last."""

    id: str
    principal: Principal
    csrf: str
    created_at: datetime
    until: datetime
    ends_at: datetime
    lasts: Callable[[], Awaitable[bool]] = field(compare=False, repr=False)


def cookie_name(name: str, parts: Parts) -> str:
    """The name of a cookie, for where the pages are."""
    return f"__Host-{name}" if is_behind_tls(parts) else name


def is_behind_tls(parts: Parts) -> bool:
    """Whether people reach the pages by https. The operator says so: anybody could send X-Forwarded-Proto."""
    return parts.web_url.startswith("https://")


def set_cookie(response: Response, name: str, value: str, parts: Parts, *, is_strict: bool = False) -> None:
    """Set a cookie that ends with the browser; an empty value deletes it."""
    response.set_cookie(
        cookie_name(name, parts), value, max_age=None if value else 0, path="/", secure=is_behind_tls(parts),
        httponly=True, samesite="strict" if is_strict else "lax",
    )  # fmt: skip


def cookie_of(scope: Scope, name: str, parts: Parts) -> bytes:
    """What the cookie of this name holds; empty where there is none, or where two have the name: then nobody knows
    which of them is ours."""
    wanted = cookie_name(name, parts).encode()
    sent = b";".join(value for key, value in scope["headers"] if key == b"cookie").split(b";")
    found = [value.strip() for key, _, value in (one.partition(b"=") for one in sent) if key.strip() == wanted]
    return found[0] if len(found) == 1 else b""


def form_token(secret: bytes, what: str) -> str:
    """What a form has to have, made of what the cookie holds: who cannot read the cookie cannot make it."""
    return hmac.new(secret, f"passerelle form {what} 1".encode(), hashlib.sha256).hexdigest()


async def session_of(scope: Scope, parts: Parts, *, is_click: bool = True) -> Session | None:
    """The session of a request, None where it has no valid one. `is_click`: it may count as one, unless the page made
    it on its own. StoreError where the database cannot be read now."""
    presented = cookie_of(scope, COOKIE, parts)
    if not presented:
        return None
    is_use = is_click and not any(name in BY_ITSELF for name, _ in scope["headers"])
    found = await _known(presented, parts, is_use=is_use)
    if found is None:
        return None

    async def lasts() -> bool:
        try:
            return await _known(presented, parts, is_use=False) is not None
        except StoreError:  # as of a token: while it cannot be found out, it does
            return True

    limits = parts.sessions
    return Session(
        found.id, found.principal, form_token(presented, "session"), found.created_at, found.over_at(limits),
        found.ends_at, lasts,
    )  # fmt: skip


async def _known(presented: bytes, parts: Parts, *, is_use: bool) -> WebSession | None:
    now, limits = parts.clock.now(), parts.sessions
    known = parts.writes.recognise_session(presented, limits=limits, at=now, is_use=is_use)
    if known is not None:
        return known
    return await ask(parts.writes.session_of, presented, limits=limits, at=now, is_use=is_use)
