"""What surrounds every request, as plain ASGI, outermost first:

Envelope   a request id, security headers on every response, 500 without details; no request with an unclear end
HostNames  only the host names that the operator listed
Gate       no path without a token but the few that are public, and none without the scope that it needs
Bodies     bounded in size and time; JSON that has one meaning only

The gate reads headers only, so nobody who may not do it makes the service read a body (but of a webhook).
"""

import asyncio
import json
import logging
import re
import secrets
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from anyio import CapacityLimiter, to_thread
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.parts import Parts
from service.api.problem import problem
from service.api.rate import Buckets
from service.api.values import lacks, scope_needed
from service.errors import StoreError
from service.hooks.forges import may_be_signed
from service.logs import about, fields
from service.model.access import Principal
from service.model.access import Scope as TokenScope
from service.model.audit import How
from service.model.people import IssuerAway, KeysDue, TokenRefused
from service.model.trees import shown

PUBLIC = tuple(map(re.compile, (r"/livez", r"/readyz", r"/hooks/[^/]+", r"/problems/[^/]+")))
"""Everything else needs a token."""

SESSION = "passerelle_session"
"""The key of an ASGI scope with the principal of a session in the browser: the pages hand it over inside the process.
A server makes a scope of what comes from the network, and no name in it is the client's. So no request sets this."""
SESSION_LASTS = "passerelle_session_lasts"
"""With it: an async function that says whether that session is in force. Without it, an answer that lasts ends."""

_BEARER = re.compile(rb"[Bb]earer +([!-~]{1,8192})")
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
HEADER_BYTES = 16_384
"""More than this is read of no header."""

READS_TOLD_S = 3600.0
CHANGES_TOLD_S = 60.0
STRANGERS_TOLD = 20

AWAY = "the issuer does not answer, so the sign-in token cannot be checked"
READERS = 4
"""So many wait for the keys of an issuer, in threads that answer nothing else. The others wait for these."""

StillGood = Callable[[], Awaitable[bool]]
_CLOSE = {"Connection": "close"}
_log = logging.getLogger("passerelle.api")


class Envelope:
    """The outermost: request id, security headers, errors without details, and no request with an unclear end."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = secrets.token_hex(8)
        scope.setdefault("state", {})["request_id"] = request_id
        started = False

        async def with_headers(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                headers["X-Request-ID"] = request_id
            await send(message)

        with about(request=request_id):
            try:
                await (_faulty(scope) or self._app)(scope, receive, with_headers)
            except Exception:
                _log.exception("request %s failed", request_id)
                if started:
                    raise
                await problem(500)(scope, receive, with_headers)


def _faulty(scope: Scope) -> ASGIApp | None:
    """Why the connection must end after this request, or None. The end of a body must be clear (RFC 9112, 6.1 and 6.3).
    Otherwise a proxy in front could see one request where the service sees two. h11 bounds only a header that comes in
    parts.
    """
    names = {name for name, _ in scope["headers"]}
    if b"transfer-encoding" in names and (b"content-length" in names or scope["http_version"] != "1.1"):
        return problem(400, "the request says in two ways where its body ends", headers=_CLOSE)
    if sum(len(name) + len(value) for name, value in scope["headers"]) + len(scope["raw_path"]) > HEADER_BYTES:
        return problem(431, f"at most {HEADER_BYTES} bytes of header are read", headers=_CLOSE)
    return None


class HostNames:
    """Refuses requests for a name that is not the service's own."""

    def __init__(self, app: ASGIApp, allowed: tuple[str, ...]) -> None:
        self._app = app
        self._allowed = {name.lower().encode() for name in allowed}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and self._allowed:
            given = [value for name, value in scope["headers"] if name == b"host"]
            name = re.sub(rb":[0-9]{1,5}\Z", b"", given[0].lower()) if len(given) == 1 else b""
            if name not in self._allowed:
                await problem(421, "this service does not answer under that name")(scope, receive, send)
                return
        await self._app(scope, receive, send)


class Gate:
    """Asks who calls, before a body is read. The principal is in `request.state.principal` afterwards, and in
    `request.state.still_good` whether its token is good a while later, for an answer that lasts.

    It reads no cookie: a browser would send it with a request that another site made up. The pages read theirs, and
    hand over whose it is (`SESSION`); `request.state.how` is `web` then."""

    def __init__(self, app: ASGIApp, parts: Parts) -> None:
        self._app = app
        self._parts = parts
        limits = parts.limits
        self._failures = Buckets(parts.clock, burst=limits.failures_burst, every_s=limits.failures_every_s)
        self._requests = Buckets(parts.clock, burst=limits.requests_burst, every_s=limits.requests_every_s)
        self._readers = CapacityLimiter(READERS)
        self._reads_told = Buckets(parts.clock, burst=1, every_s=READS_TOLD_S)
        self._changes_told = Buckets(parts.clock, burst=1, every_s=CHANGES_TOLD_S)
        self._strangers_told = Buckets(parts.clock, burst=STRANGERS_TOLD, every_s=CHANGES_TOLD_S)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or any(path.fullmatch(scope["path"]) for path in PUBLIC):
            await self._app(scope, receive, send)
            return
        answer = await self._refusal(scope)
        await (answer or self._app)(scope, receive, send)

    async def _refusal(self, scope: Scope) -> ASGIApp | None:
        if b"psr_" in scope.get("query_string", b""):
            return problem(
                400,
                "a token does not belong in an address: send it as Authorization: Bearer <token>",
                code="token-in-address",
            )
        if isinstance(handed_over := scope.get(SESSION), Principal):
            return self._admitted(scope, handed_over, scope_needed(scope), scope.get(SESSION_LASTS, _is_over), "web")
        given = [value for name, value in scope["headers"] if name == b"authorization"]
        match = _BEARER.fullmatch(given[0]) if len(given) == 1 else None
        presented, needed = match[1] if match else b"", scope_needed(scope)
        why = "a valid token is needed"
        try:
            principal = await self._who(presented, needed)
        except StoreError:
            return problem(
                503, "the database cannot be used now", code="storage-unavailable", headers={"Retry-After": "2"}
            )
        except IssuerAway:  # why is in the log: who comes without a good token has no need to know
            principal, why = None, AWAY
        except TokenRefused as error:
            principal, why = None, f"the sign-in token is not accepted: {error.what}"
        client = str((scope.get("client") or ("unknown", 0))[0])
        if principal is None:
            self._tell_stranger(client, scope)
            # Only those who fail are slowed down: behind a proxy everyone comes from one address.
            wait_s = self._failures.take(client)
            if wait_s:
                return _slower(wait_s)
            if why is AWAY:
                return problem(503, why, code="issuer-unavailable", headers={"Retry-After": "30"})
            return problem(401, why, headers={"WWW-Authenticate": 'Bearer realm="passerelle"'})
        return self._admitted(scope, principal, needed, partial(self._is_still_good, presented, needed), "api")

    def _admitted(
        self, scope: Scope, principal: Principal, needed: TokenScope | None, still_good: StillGood, how: How
    ) -> ASGIApp | None:
        """Let this principal in, or say why not."""
        wait_s = self._requests.take(principal.id) if how == "api" else 0.0  # the pages count their own requests
        if wait_s:
            return _slower(wait_s)
        client = str((scope.get("client") or ("unknown", 0))[0])
        is_allowed = needed is None or principal.may(needed)
        self._tell_use(principal, client, scope, "" if is_allowed else str(needed))
        if needed is not None and not is_allowed:
            return problem(403, lacks(needed), instance=shown(scope["path"], 300))
        scope["state"] |= {"principal": principal, "still_good": still_good, "how": how}
        return None

    async def _is_still_good(self, presented: bytes, needed: TokenScope | None) -> bool:
        """Whether the token opens the same request now. While that cannot be found out, it does."""
        try:
            found = await self._who(presented, needed)
        except (StoreError, IssuerAway):
            return True
        except TokenRefused:
            return False
        return found is not None and (needed is None or found.may(needed))

    async def _who(self, presented: bytes, needed: TokenScope | None) -> Principal | None:
        """Whose token this is: one of ours, or one of the issuer. None where it is nobody's."""
        parts, now = self._parts, self._parts.clock.now()
        if parts.people is not None and presented.count(b".") == 2 and not presented.startswith(b"psr_"):
            asks = partial(parts.people.who, presented, needed or "read", now)
            try:
                return await run_in_threadpool(asks, may_read=False)
            except KeysDue:
                return await to_thread.run_sync(asks, limiter=self._readers)
        known = parts.writes.recognise(presented, at=now)
        return known or await run_in_threadpool(parts.writes.authenticate, presented, at=now)

    def _tell_use(self, principal: Principal, client: str, scope: Scope, lacking: str) -> None:
        """Log that a token is used: to read once an hour, to change something once a minute, each by place. What it
        changes the events say."""
        is_read = scope["method"] in ("GET", "HEAD") and not lacking
        told = self._reads_told if is_read else self._changes_told
        if told.take(f"{principal.id} {client} {lacking}"):
            return
        what = f"lacks the scope {lacking}" if lacking else "is used to read" if is_read else "is used to change"
        named = fields(
            token=principal.id, by=principal.name, client=client, method=scope["method"], path=shown(scope["path"], 300)
        )
        _log.log(logging.WARNING if lacking else logging.INFO, "token %s %s", principal.name, what, extra=named)

    def _tell_stranger(self, client: str, scope: Scope) -> None:
        """Log that somebody came without a token that is good: so many at once from everywhere, then one a minute."""
        if not self._strangers_told.take(""):
            path = shown(scope["path"], 300)
            named = fields(client=client, method=scope["method"], path=path)
            _log.warning("a request from %s without a valid token is refused", client, extra=named)


async def _is_over() -> bool:
    return False


class Bodies:
    """Reads bodies, within limits. What all deliveries hold is bounded: of too many, the one read longest goes."""

    def __init__(self, app: ASGIApp, parts: Parts) -> None:
        self._app = app
        self._limits = parts.limits
        self._reading: dict[asyncio.Timeout, int] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body = await self._body(scope, receive)
        if not isinstance(body, bytes):
            await body(scope, receive, send)
            return
        await self._app(scope, _replay(body, receive), send)

    async def _body(self, scope: Scope, receive: Receive) -> bytes | ASGIApp:
        """The body, or the answer to who sends none that is taken."""
        headers = dict(scope["headers"])
        is_hook = scope["path"].startswith("/hooks/")
        limit = self._limits.hook_bytes if is_hook else self._limits.body_bytes
        if b"content-encoding" in headers:
            return problem(415, "send the body as it is, without a content encoding")
        told = headers.get(b"content-length", b"0")
        if not re.fullmatch(rb"[0-9]{1,10}", told) or int(told) > limit:
            return _too_large(limit)
        if is_hook and not may_be_signed(scope["headers"]):
            return b""  # whatever it is, it cannot be right: the receiver says so
        try:
            async with asyncio.timeout(self._limits.body_s) as until:
                body = await self._read(receive, limit, until if is_hook else None)
        except TimeoutError:
            return problem(408, "the body took too long", headers=_CLOSE)
        finally:
            self._reading.pop(until, None)
        if body is None:
            return _too_large(limit)
        return (None if is_hook or not body else _not_json(headers, body)) or body

    async def _read(self, receive: Receive, limit: int, until: asyncio.Timeout | None) -> bytes | None:
        """The whole body, None when it is longer than the limit or the caller went away."""
        chunks: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return None
            chunk = message.get("body", b"")
            size += len(chunk)
            if size > limit:
                return None
            chunks.append(chunk)
            if not message.get("more_body", False):
                return b"".join(chunks)
            if until is not None:
                self._reading[until] = size
                self._bound()

    def _bound(self) -> None:
        while sum(self._reading.values()) > self._limits.hooks_bytes:
            oldest = next(iter(self._reading))
            del self._reading[oldest]
            oldest.reschedule(asyncio.get_running_loop().time())


def _too_large(limit: int) -> ASGIApp:
    return problem(413, f"at most {limit} bytes are read", headers=_CLOSE)


def _replay(body: bytes, receive: Receive) -> Receive:
    is_given = False

    async def again() -> Message:
        nonlocal is_given
        if is_given:
            return await receive()
        is_given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


def _not_json(headers: dict[bytes, bytes], body: bytes) -> ASGIApp | None:
    """What is wrong with a JSON body before anyone looks into it; None when nothing is."""
    kind = headers.get(b"content-type", b"").split(b";")[0].strip().lower()
    if kind != b"application/json":
        return problem(415, "send application/json")
    try:
        json.loads(body.decode(), object_pairs_hook=_once_each, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return problem(400, "the body is not JSON of one meaning: UTF-8, every key once, no NaN, not too deep")
    return None


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key appears twice")
    return found


def _no_constant(word: str) -> Any:
    raise ValueError(f"{word} is not JSON")


def _slower(wait_s: float) -> ASGIApp:
    return problem(429, "too many requests", headers={"Retry-After": str(int(wait_s) + 1)})
