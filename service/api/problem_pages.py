"""The codes of problems, each with its page: GET /problems/{code}, which is where the `type` of a problem leads.

`deploy/docs/problems.md` is made of the same texts. mypy knows the codes. tests/api/test_problems.py looks that each
has a page.
"""

from collections.abc import Mapping
from typing import Annotated, Literal, NamedTuple, cast, get_args

from fastapi import FastAPI, Path
from starlette.responses import PlainTextResponse

from service.errors import NotFound

PREFIX = "/problems/"

Code = Literal[
    "bad-cursor",
    "bad-input",
    "bad-request",
    "body-too-large",
    "forbidden",
    "header-too-large",
    "held",
    "host-error",
    "host-left-git",
    "host-never-seen",
    "host-not-compared",
    "host-unreachable",
    "idempotency-key-reused",
    "in-flight",
    "internal-error",
    "issuer-unavailable",
    "method-not-allowed",
    "misdirected-request",
    "not-found",
    "plan-stale",
    "receiver-suspended",
    "repeated-parameter",
    "request-timeout",
    "source-changed",
    "source-unavailable",
    "storage-unavailable",
    "token-in-address",
    "too-many-requests",
    "unauthorized",
    "unavailable",
    "unknown-parameter",
    "unsupported-media-type",
    "waits-already",
]
CODES: tuple[Code, ...] = get_args(Code)


class ProblemPage(NamedTuple):
    """What a person reads of a code, in whole sentences."""

    status: int
    happened: str
    why: str
    next: str


PAGES: Mapping[Code, ProblemPage] = {
    "bad-cursor": ProblemPage(
        422,
        "The `cursor` of the request does not belong to this list.",
        "It was changed, cut off, or is the cursor of another list. A cursor only continues the list that gave it.",
        "Send the `next_cursor` of the page before as it is, with the same filters. Or begin again without `cursor`.",
    ),
    "bad-input": ProblemPage(
        422,
        "The request was read, but it cannot be carried out.",
        "A value is outside of its limits, or the present state does not allow what was requested. `errors` has the "
        "place of each value that is wrong, `detail` has the reason otherwise.",
        "Correct the values that `errors` or `detail` name. The same request again fails again.",
    ),
    "bad-request": ProblemPage(
        400,
        "The request has a form that can be read in two ways, or not at all.",
        "The body is not JSON in UTF-8, has a key twice, or nests too deep. Or the header says in two ways where the "
        "body ends.",
        "Send one JSON object, made by a JSON library. A proxy in front may add headers: compare what it sends.",
    ),
    "body-too-large": ProblemPage(
        413,
        "The body was not read to its end, and nothing was done.",
        "It is longer than the service reads: 1 MiB for a webhook, 16 KiB for everything else. `detail` has the limit.",
        "Send less. A forge that sends more than 1 MiB for a push can be set to send fewer commits or other events.",
    ),
    "forbidden": ProblemPage(
        403,
        "The token is good, but not for this.",
        "It lacks the scope that `detail` names, or it is for some hosts and the request concerns others, too.",
        "Use a token that has the scope: `passerelle token create NAME --scope SCOPE`. A person who signed in needs a "
        "group that `PASSERELLE_OIDC_GRANTS` names with the scope.",
    ),
    "header-too-large": ProblemPage(
        431,
        "The header of the request was not read.",
        "All names and values together with the address are longer than 16 KiB. Cookies of another program on the same "
        "host name are a frequent cause.",
        "Send fewer or shorter headers.",
    ),
    "held": ProblemPage(
        409,
        "No apply may begin on the host now, so none was requested.",
        "The host is suspended, its windows are closed, or the stop file is there. "
        "`detail` has the reason.",
        "Wait until then, or end it: `passerelle resume HOST` ends a suspension. See `deploy/docs/pause.md`.",
    ),
    "host-error": ProblemPage(
        502,
        "The host did not do what the service wanted of it.",
        "Its key is not the pinned one, it refused the login, or its answer could not be read. `detail` has the "
        "reason.",
        "Run `passerelle doctor HOST`. It names the cause and the fix.",
    ),
    "host-left-git": ProblemPage(
        409,
        "There is nothing to compare the host with.",
        "The host was in Git and is not any more. Its records remain until somebody forgets it.",
        "Run `passerelle host forget HOST`, or bring its file back into Git.",
    ),
    "host-never-seen": ProblemPage(
        404,
        "Nothing is known of the host yet.",
        "It is in Git, but the service did not reach it since. An unknown value is never answered as empty.",
        "Look at the host's `reachability` in `GET /api/v1/hosts/HOST`, or run `passerelle doctor HOST`.",
    ),
    "host-not-compared": ProblemPage(
        409,
        "There is an answer for the host soon, but not yet.",
        "The service did not compare the host with the newest commit yet, for example just after its start. An old "
        "answer could be wrong.",
        "Try again in some seconds. `GET /api/v1/source` says whether the source is followed.",
    ),
    "host-unreachable": ProblemPage(
        503,
        "The host did not answer.",
        "There was no connection to it, or the connection was lost.",
        "Try again later. `passerelle doctor HOST` says how far the connection gets.",
    ),
    "idempotency-key-reused": ProblemPage(
        422,
        "Nothing was done.",
        "The `Idempotency-Key` was sent before with another method, address or body. A key stands for one request.",
        "Send a new key for a new request. To retry, send the same request with the same key.",
    ),
    "in-flight": ProblemPage(
        409,
        "The first request with this `Idempotency-Key` is not answered yet.",
        "The same request came a second time while the first was being carried out.",
        "Wait for the time in `Retry-After`, then send it again with the same key. The first answer comes back then.",
    ),
    "internal-error": ProblemPage(
        500,
        "The service failed in a way that nobody foresaw.",
        "This is a fault of passerelle. The log has the cause with the same `request_id` as the answer.",
        "Search the log for the `request_id`, and report what is there. Sending the request again is safe for reads.",
    ),
    "issuer-unavailable": ProblemPage(
        503,
        "The token could not be checked, so nothing was done.",
        "The token is of the operator's issuer. Its keys are not known yet, and it does not answer.",
        "Try again after the time in `Retry-After`. If it lasts, look at the issuer. Tokens that passerelle itself "
        "gave remain good.",
    ),
    "method-not-allowed": ProblemPage(
        405,
        "The address exists, but not for this method.",
        "For example a `POST` to a list that can only be read.",
        "Use a method that the header `Allow` of the answer names. `GET /openapi.json` has all operations.",
    ),
    "misdirected-request": ProblemPage(
        421,
        "The request was not read.",
        "Its `Host` header has a name that is not one of the service's own. This stops pages of other sites from "
        "reaching the service through a browser.",
        "Use the name or the address that the service was installed with.",
    ),
    "not-found": ProblemPage(
        404,
        "There is no such thing, or the token may not see it.",
        "The name or number is wrong, the host was renamed, or the record was old and is deleted. A token for some "
        "hosts gets the same answer for all others.",
        "Look at the list that it should be in. `passerelle token list` shows for which hosts a token is.",
    ),
    "plan-stale": ProblemPage(
        409,
        "Nothing was applied.",
        "The host or Git has changed since that plan, so that another change would be made now.",
        "Read the new plan, then approve that one: `passerelle plan HOST`, `passerelle apply HOST`.",
    ),
    "receiver-suspended": ProblemPage(
        503,
        "The delivery was right, but it was not taken.",
        "Somebody suspended this receiver. `detail` has the reason.",
        "Run `passerelle receiver resume NAME`. Nothing is lost: the service also looks at the source on its own.",
    ),
    "repeated-parameter": ProblemPage(
        400,
        "Nothing was read.",
        "A query parameter is in the address twice, so that it is unclear which one holds.",
        "Send it once.",
    ),
    "request-timeout": ProblemPage(
        408,
        "The body was not read to its end, and nothing was done.",
        "It came too slowly, or other deliveries needed the memory.",
        "Send it again. A proxy in front should read the whole body first.",
    ),
    "source-changed": ProblemPage(
        409,
        "Nothing was accepted.",
        "The branch is at another commit than the one that was named.",
        "Look at `GET /api/v1/source`, judge the commit that the branch is at now, and name that one.",
    ),
    "source-unavailable": ProblemPage(
        503,
        "Git cannot be used now, so the question has no answer.",
        "The repository is not reachable, its history was rewritten, or a commit is not trusted. The last good "
        "revision remains in force.",
        "Look at `GET /api/v1/source`, or run `passerelle doctor`.",
    ),
    "storage-unavailable": ProblemPage(
        503,
        "Nothing was done.",
        "The database is locked, full, gone or newer than this version. Nothing is begun without a record of it.",
        "Try again after the time in `Retry-After`. If it lasts, the service's log has the cause.",
    ),
    "token-in-address": ProblemPage(
        400,
        "The request was not carried out.",
        "The address has a token in it. Addresses are kept in the logs of proxies and in the history of browsers.",
        "Revoke the token with `passerelle token revoke ID`. Send the new one as `Authorization: Bearer TOKEN`.",
    ),
    "too-many-requests": ProblemPage(
        429,
        "The request was not carried out.",
        "One token sent more requests than it may, or one address sent too many bad tokens or bad deliveries.",
        "Wait for the time in `Retry-After`. A program that polls can use `?wait=` or the list of events instead.",
    ),
    "unauthorized": ProblemPage(
        401,
        "Nothing was done and nothing was shown.",
        "There was no token, or it is unknown, expired or revoked. For a webhook: no receiver has this name, or the "
        "signature is not by one of its secrets. The answer is the same for all of these.",
        "Send `Authorization: Bearer TOKEN` with a token of `passerelle token create`. A person runs `passerelle "
        "login` again. For a webhook, compare name, type and secret of the receiver: `passerelle receiver deliveries` "
        "has the reason.",
    ),
    "unavailable": ProblemPage(
        503,
        "The service has no time for the request now.",
        "There are too many requests or connections at once. Requests for its health are always answered.",
        "Try again after the time in `Retry-After`.",
    ),
    "unknown-parameter": ProblemPage(
        400,
        "Nothing was read.",
        "The operation does not have this query parameter. A filter that is ignored would show everything.",
        "Use one that `detail` lists.",
    ),
    "unsupported-media-type": ProblemPage(
        415,
        "The body was not read.",
        "It is not `application/json`, or it is compressed.",
        "Send `Content-Type: application/json`, without `Content-Encoding`.",
    ),
    "waits-already": ProblemPage(
        409,
        "Nothing was added.",
        "The same was requested of this host before, and waits for its turn.",
        "Look at the request that waits: `GET /api/v1/applies?host=HOST`.",
    ),
}  # fmt: skip


def section(code: Code) -> str:
    """The page of a code as markdown."""
    page = PAGES[code]
    return (
        f"## {code}\n\nHTTP status {page.status}.\n\n- **What happened.** {page.happened}\n- **Why.** {page.why}\n"
        f"- **What to do.** {page.next}\n"
    )


def add_routes(app: FastAPI) -> None:
    """GET /problems/{code}: for everybody, it is the same in every service."""

    @app.get(
        PREFIX + "{code}",
        operation_id="explain_problem",
        summary="The meaning of a problem's code, and the next step",
        description="The `type` of each problem leads here.",
        tags=["problems"],
        response_class=PlainTextResponse,
    )
    async def explain_problem(
        code: Annotated[str, Path(max_length=200, description="The `code` of a problem")],
    ) -> PlainTextResponse:
        if code not in PAGES:
            raise NotFound("no problem has this code", hint="look at deploy/docs/problems.md")
        return PlainTextResponse(section(cast(Code, code)))
