"""Every error as `application/problem+json` (RFC 9457), and the one map from our errors to HTTP.

`code` is stable and made for programs, `type` is the address of its page (problem_pages.py), `detail` is for people. A
500 carries a request id and nothing else: what went wrong is in the service's log next to the same id.
"""

import json
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route

from service.api.problem_pages import PREFIX, Code
from service.errors import (
    Held,
    HostError,
    InputError,
    LeftGit,
    NeverSeen,
    NotFound,
    NotKnown,
    PasserelleError,
    SourceChanged,
    SourceError,
    Stale,
    StoreError,
    Unreachable,
    WaitsAlready,
)
from service.logs import noted
from service.model.trees import shown

MEDIA_TYPE = "application/problem+json"
MAX_ERRORS = 50

HOST_NAME = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"
FORMS = {HOST_NAME: "a host's name has a-z, 0-9 and inner hyphens, at most 63 characters"}
"""What text of a form may be, in words."""
OURS: tuple[tuple[type[PasserelleError], int, Code], ...] = (
    (NotFound, 404, "not-found"),
    (NeverSeen, 404, "host-never-seen"),
    (LeftGit, 409, "host-left-git"),
    (NotKnown, 409, "host-not-compared"),
    (SourceChanged, 409, "source-changed"),
    (Stale, 409, "plan-stale"),
    (WaitsAlready, 409, "waits-already"),
    (Held, 409, "held"),
    (InputError, 422, "bad-input"),
    (StoreError, 503, "storage-unavailable"),
    (SourceError, 503, "source-unavailable"),
    (Unreachable, 503, "host-unreachable"),
    (HostError, 502, "host-error"),
)
_CODES: Mapping[int, Code] = {
    400: "bad-request",
    401: "unauthorized",
    403: "forbidden",
    404: "not-found",
    405: "method-not-allowed",
    408: "request-timeout",
    413: "body-too-large",
    415: "unsupported-media-type",
    421: "misdirected-request",
    422: "bad-input",
    429: "too-many-requests",
    431: "header-too-large",
    500: "internal-error",
    503: "unavailable",
}


class RequestRefused(Exception):  # noqa: N818 (an answer, not a fault)
    """A request that is answered with this problem. `after` runs once the answer is sent."""

    def __init__(
        self, status: int, detail: str, *, code: Code | None = None, headers: Mapping[str, str] | None = None,
        after: BackgroundTask | None = None,
    ) -> None:  # fmt: skip
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.code = code
        self.headers = headers
        self.after = after


def problem(
    status: int,
    detail: str = "",
    *,
    code: Code | None = None,
    instance: str = "",
    errors: Sequence[Mapping[str, Any]] = (),
    headers: Mapping[str, str] | None = None,
    hint: str = "",
) -> Response:
    """A response of this form, with the id of the request. Members without a value are left out."""
    code = code or _CODES.get(status) or ("bad-request" if status < 500 else "internal-error")
    body: dict[str, Any] = {
        "type": f"{PREFIX}{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "code": code,
    }
    optional = {"detail": detail, "hint": hint, "instance": instance, "errors": list(errors)}
    optional["request_id"] = noted("request")
    body |= {key: value for key, value in optional.items() if value}
    return Response(json.dumps(body), status_code=status, headers=dict(headers or {}), media_type=MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Make the app answer every error in this form."""
    app.add_exception_handler(PasserelleError, _ours)
    app.add_exception_handler(RequestRefused, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)


async def _ours(request: Request, error: Exception) -> Response:
    assert isinstance(error, PasserelleError)
    for kind, status, code in OURS:
        if isinstance(error, kind):
            headers = {"Retry-After": "2"} if status == 503 else None
            is_store = isinstance(error, StoreError)
            what, hint = ("the database cannot be used now", "") if is_store else (error.what, error.hint)
            return problem(
                status,
                shown(what, 500),
                code=code,
                hint=shown(hint, 500),
                instance=_path(request),
                headers=headers,
            )
    raise error


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestRefused)
    answer = problem(error.status, error.detail, code=error.code, instance=_path(request), headers=error.headers)
    answer.background = error.after
    return answer


async def _invalid(request: Request, error: Exception) -> Response:
    """What is wrong and where; what was sent is never sent back."""
    assert isinstance(error, RequestValidationError)
    errors = [
        {
            "pointer": "/" + "/".join(shown(str(part), 100) for part in found["loc"]),
            "detail": shown(FORMS.get(found.get("ctx", {}).get("pattern", ""), str(found["msg"])), 300),
        }
        for found in error.errors()[:MAX_ERRORS]
    ]
    return problem(422, "the request is not valid", instance=_path(request), errors=errors)


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    detail = error.detail if error.status_code not in (404, 405) else ""
    headers = {"Allow": _allowed(request)} if error.status_code == 405 else error.headers
    return problem(error.status_code, shown(str(detail), 300), instance=_path(request), headers=headers)


def _allowed(request: Request) -> str:
    """The methods of a path; each may have a route of its own, and Starlette names only those of the first."""
    routes = [route for route in request.app.routes if isinstance(route, Route)]
    found = {
        name for route in routes if route.matches(request.scope)[0] is not Match.NONE for name in route.methods or ()
    }
    return ", ".join(sorted(found))


def _path(request: Request) -> str:
    return shown(str(request.scope.get("path", "")), 300)
