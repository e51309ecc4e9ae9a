"""The types of what a request may hold: bounded, without control characters, without surprises."""

import base64
import json
import re
import unicodedata
from collections.abc import Callable
from typing import Annotated, ParamSpec, TypeVar

from anyio.to_thread import current_default_thread_limiter
from fastapi import Depends, Path, Query
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from pydantic import AfterValidator, AwareDatetime, BeforeValidator, StringConstraints, WithJsonSchema
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.routing import Match
from starlette.types import Scope as HttpScope

from service.api.problem import HOST_NAME, RequestRefused
from service.errors import NotFound
from service.model.access import Principal, Scope
from service.model.digests import FULL, PATTERN, digest_prefix
from service.model.trees import shown

P = ParamSpec("P")
T = TypeVar("T")

MAX_ID = 2**63 - 1
THREADS = 4
"""So many threads answer requests. The event loop takes its turn among them (Python's threads share one processor), so
with many of them everything waits, health and the hosts' confirmations too."""

_CURSOR = re.compile(r"[A-Za-z0-9_-]{2,800}")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ]")
_HIDDEN = ("Cc", "Cs", "Co", "Cn")


def _plain(text: str) -> str:
    """No control characters, no NUL, no lone surrogates: what every database and every terminal can take."""
    if any(unicodedata.category(character) in _HIDDEN for character in text):
        raise ValueError("control characters and lone surrogates are not allowed")
    return text


def _written(value: object) -> object:
    """A time as RFC 3339 writes it. Pydantic alone would take a number as the seconds since 1970."""
    if (isinstance(value, str) and not _DATE.match(value)) or isinstance(value, int | float):
        raise ValueError("a time is written as in 2026-11-29T13:40:00Z")
    return value


# Pydantic's own regex engine takes `$` for the very end, unlike Python's (which lets a newline follow).
SafeStr = Annotated[str, StringConstraints(max_length=500), AfterValidator(_plain)]
Reason = Annotated[str, StringConstraints(min_length=3, max_length=500), AfterValidator(_plain)]
HostName = Annotated[str, StringConstraints(pattern=HOST_NAME)]
Ulid = Annotated[str, StringConstraints(pattern=r"^[0-9A-HJKMNP-TV-Z]{26}$")]
CommitId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}([0-9a-f]{24})?$")]
Digest = Annotated[
    str,
    StringConstraints(max_length=FULL),
    AfterValidator(digest_prefix),
    WithJsonSchema({"type": "string", "pattern": PATTERN}),
]
"""All of a plan's digest, or its beginning."""
TokenId = Annotated[str, StringConstraints(pattern=r"^[0-9A-Za-z]{12}$")]
Time = Annotated[AwareDatetime, BeforeValidator(_written)]
Mac = Annotated[str, StringConstraints(pattern=r"^[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}$")]
Ip = Annotated[str, StringConstraints(pattern=r"^[0-9A-Fa-f.:]{2,45}$")]

HostPath = Annotated[HostName, Path(description="A host's name in the spec")]
Limit = Annotated[int, Query(ge=1, le=200, description="How many at most")]
Cursor = Annotated[str, Query(max_length=800, description="`next_cursor` of the page before")]


def write_cursor(key: tuple[str | int, ...] | None, sort: str = "") -> str | None:
    """A sort key as callers see it: opaque. With `sort` it is good for that order only."""
    if key is None:
        return None
    key = (sort, *key) if sort else key
    return base64.urlsafe_b64encode(json.dumps(list(key)).encode()).decode().rstrip("=")


def read_cursor(text: str, shape: tuple[type, ...], sort: str = "") -> tuple[str | int, ...]:
    """The reverse; `shape` are the types of the key's parts. 422 for what is not a cursor of this list and order."""
    if not text:
        return ()
    shape = (str, *shape) if sort else shape
    try:
        if not _CURSOR.fullmatch(text):
            raise ValueError("characters")
        key = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        if not isinstance(key, list) or [type(part) for part in key] != list(shape):
            raise ValueError("shape")
        for part in key:
            if isinstance(part, int) and not 0 <= part <= MAX_ID:
                raise ValueError("range")
            if isinstance(part, str):
                _plain(part)
        if sort and key.pop(0) != sort:
            raise ValueError("another order")
    except (ValueError, RecursionError):
        raise RequestRefused(422, "this cursor is not valid for this list", code="bad-cursor") from None
    return tuple(key)


def query_names(dependant: Dependant) -> set[str]:
    """The names of the query parameters that an operation has."""
    names = {field.alias for field in dependant.query_params}
    return names.union(*(query_names(inner) for inner in dependant.dependencies))


async def known_query(request: Request) -> None:
    """A filter that nobody knows would silently select everything: 400 for it, and for a parameter that comes twice."""
    route = request.scope.get("route")
    if not isinstance(route, APIRoute) or not route.path.startswith("/api/"):
        return
    known = query_names(route.dependant)
    asked = [name for name, _ in request.query_params.multi_items()]
    if unknown := sorted(set(asked) - known):
        offered = f"it takes {', '.join(sorted(known))}" if known else "it takes none"
        raise RequestRefused(400, f"no query parameter {shown(unknown[0], 60)}; {offered}", code="unknown-parameter")
    if twice := sorted(name for name in set(asked) if asked.count(name) > 1):
        raise RequestRefused(400, f"the query parameter {twice[0]} appears twice", code="repeated-parameter")


class Needs:
    """The dependency that every route but the public ones has: a principal with this scope."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope

    async def __call__(self, request: Request) -> Principal:
        principal = getattr(request.state, "principal", None)
        if not isinstance(principal, Principal):
            raise RequestRefused(401, "a valid token is needed", headers={"WWW-Authenticate": "Bearer"})
        if not principal.may(self.scope):
            raise RequestRefused(403, lacks(self.scope))
        return principal


def lacks(scope: Scope) -> str:
    """What is reported to a token without this scope."""
    return f"the token lacks the scope {scope}"


def scope_needed(scope: HttpScope) -> Scope | None:
    """Which scope a request needs, by its route; None where there is no such route, or it is public.

    It is known from path and method alone, so before anything of the body is read.
    """
    for route in scope["app"].routes:
        if isinstance(route, APIRoute) and route.matches(scope)[0] is Match.FULL:
            needs = (one.call for one in route.dependant.dependencies)
            return next((need.scope for need in needs if isinstance(need, Needs)), None)
    return None


Reader = Annotated[Principal, Depends(Needs("read"))]
Planner = Annotated[Principal, Depends(Needs("plan"))]
Applier = Annotated[Principal, Depends(Needs("apply"))]
Approver = Annotated[Principal, Depends(Needs("approve"))]
TokenKeeper = Annotated[Principal, Depends(Needs("tokens"))]


def there(value: T | None, what: str) -> T:
    """The value, NotFound if there is none."""
    if value is None:
        raise NotFound(what)
    return value


def share_the_processor() -> None:
    """Let at most `THREADS` threads answer requests at once. Called where the event loop runs."""
    current_default_thread_limiter().total_tokens = THREADS


async def ask(function: Callable[P, T], *args: P.args, **named: P.kwargs) -> T:
    """Call something that blocks, in a thread."""
    return await run_in_threadpool(function, *args, **named)
