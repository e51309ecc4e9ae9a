"""Forges on loopback that take what the real ones document, and nothing else.

    with stand_in("github", token="t") as forge:
        forge.api, forge.comments, forge.statuses, forge.refused

`refused` has each request that the real forge does not document: another path, method, query parameter, header or
field, or a value that is too long. Sources: GitHub REST API 2022-11-28, GitLab REST API v4 (Commits, Notes), Gitea 1.22
swagger (Forgejo has the same paths).
"""

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

SHA = r"[0-9a-f]{40}"
REPO = "acme/fleet"
_USUAL = {"host", "accept-encoding", "user-agent", "content-type", "content-length", "connection", "accept"}


@dataclass(frozen=True)
class Way:
    """One documented operation: query and body by name, each with a pattern of its values."""

    method: str
    path: str
    answer: Callable[["StandIn", "re.Match[str]", dict[str, str], dict[str, Any]], tuple[int, Any]]
    query: dict[str, str] = field(default_factory=dict)
    body: dict[str, str] = field(default_factory=dict)
    needed: tuple[str, ...] = ()


@dataclass
class StandIn:
    """One forge. `statuses` are (commit, state, context, description), the oldest first; `comments` are by id."""

    ways: tuple[Way, ...]
    base: str
    headers: dict[str, str]
    max_comment_chars: int
    pages: bool = True
    api: str = ""
    statuses: list[tuple[str, str, str, str]] = field(default_factory=list)
    comments: dict[int, str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    broken: int = 0

    def answer(self, method: str, target: str, headers: dict[str, str], content: bytes) -> tuple[int, Any]:
        """Status and body."""
        at = urlsplit(target)
        self.asked.append(f"{method} {at.path}")
        if self.broken:
            return self.broken, {"message": "it is broken"}
        if why := self._odd_headers(headers, content):
            return self._refuse(400, f"{method} {target}: {why}")
        if headers.get("authorization", headers.get("private-token")) != next(iter(self.headers.values())):
            return 401, {"message": "Bad credentials"}
        query = dict(parse_qsl(at.query, keep_blank_values=True, strict_parsing=bool(at.query)))
        body = json.loads(content) if content else {}
        for way in self.ways:
            found = re.fullmatch(re.escape(self.base) + way.path, at.path)
            if found is None or way.method != method:
                continue
            if why := _odd(query, way.query, "query") or _odd(body, way.body, "field"):
                return self._refuse(422, f"{method} {target}: {why}")
            if missing := [name for name in way.needed if name not in body]:
                return self._refuse(422, f"{method} {target}: {missing} missing")
            return way.answer(self, found, query, body)
        return self._refuse(404, f"{method} {target}: there is no such operation")

    def _odd_headers(self, headers: dict[str, str], content: bytes) -> str:
        known = _USUAL | {name.lower() for name in self.headers} | {"x-github-api-version"}
        if unknown := headers.keys() - known:
            return f"headers {unknown}"
        if not headers.get("user-agent"):
            return "no User-Agent"
        if content and headers.get("content-type") != "application/json":
            return "the body is not JSON"
        for name, value in self.headers.items():
            if name not in ("Authorization", "PRIVATE-TOKEN") and headers.get(name.lower()) != value:
                return f"{name} is {headers.get(name.lower())}"
        return ""

    def _refuse(self, status: int, why: str) -> tuple[int, Any]:
        self.refused.append(why)
        return status, {"message": why}

    def status(self, commit: str, state: str, context: str, description: str) -> None:
        self.statuses.append((commit, state, context, description))

    def comment(self, body: str) -> tuple[int, Any]:
        """A new one. The forge counts characters."""
        if not body.strip() or len(body) > self.max_comment_chars:
            return self._refuse(422, f"a comment of {len(body)} characters")
        number = 1000 + len(self.comments)
        self.comments[number] = body
        return 201, {"id": number, "body": body}

    def change(self, number: int, body: str) -> tuple[int, Any]:
        if number not in self.comments:
            return 404, {"message": "Not Found"}
        if not body.strip() or len(body) > self.max_comment_chars:
            return self._refuse(422, f"a comment of {len(body)} characters")
        self.comments[number] = body
        return 200, {"id": number, "body": body}

    def page(self, items: list[Any], query: dict[str, str], default: int) -> tuple[int, Any]:
        size, number = int(query.get("per_page", query.get("limit", default))), int(query.get("page", 1))
        return 200, items[(number - 1) * size : number * size]

    def listed(self) -> list[Any]:
        return [{"id": number, "body": body} for number, body in sorted(self.comments.items())]


def _odd(given: dict[str, Any], known: dict[str, str], what: str) -> str:
    for name, value in given.items():
        if name not in known:
            return f"unknown {what} {name}"
        if not re.fullmatch(known[name], str(value), re.DOTALL):
            return f"{what} {name} is {str(value)[:80]!r}"
    return ""


_PAGED = {"per_page": r"[1-9][0-9]?|100", "page": r"[1-9][0-9]*"}


def _add_status(forge: StandIn, at: "re.Match[str]", _query: dict[str, str], body: dict[str, Any]) -> tuple[int, Any]:
    forge.status(at["sha"], body["state"], body.get("context") or body.get("name") or "default", body["description"])
    return 201, {"id": len(forge.statuses), **body}


def _list_statuses(key: str, *, newest_first: bool) -> Callable[..., tuple[int, Any]]:
    def answer(forge: StandIn, at: "re.Match[str]", query: dict[str, str], _body: Any) -> tuple[int, Any]:
        found = [
            {"id": number, key: state, "context": context, "name": context, "description": description}
            for number, (sha, state, context, description) in enumerate(forge.statuses, 1)
            if sha == at["sha"] and context == query.get("name", context)
        ]
        return forge.page(found[::-1] if newest_first else found, query, 30)

    return answer


def _list_comments(forge: StandIn, _at: Any, query: dict[str, str], _body: Any) -> tuple[int, Any]:
    return forge.page(forge.listed(), query, 30) if forge.pages else (200, forge.listed())


def _add_comment(forge: StandIn, _at: Any, _query: Any, body: dict[str, Any]) -> tuple[int, Any]:
    return forge.comment(body["body"])


def _change_comment(forge: StandIn, at: "re.Match[str]", _query: Any, body: dict[str, Any]) -> tuple[int, Any]:
    return forge.change(int(at["id"]), body["body"])


_TEXT = {"body": ".*"}
_AT_GITHUB = "/repos/acme/fleet"
_STATUS = {"context": ".{1,255}", "target_url": "https?://.*"}
GITHUB = (
    Way("GET", rf"{_AT_GITHUB}/commits/(?P<sha>{SHA})/statuses", _list_statuses("state", newest_first=True), _PAGED),
    Way(
        "POST", rf"{_AT_GITHUB}/statuses/(?P<sha>{SHA})", _add_status,
        body=_STATUS | {"state": "error|failure|pending|success", "description": ".{0,140}"}, needed=("state",),
    ),
    Way("GET", rf"{_AT_GITHUB}/issues/7/comments", _list_comments, _PAGED | {"since": ".*"}),
    Way("POST", rf"{_AT_GITHUB}/issues/7/comments", _add_comment, body=_TEXT, needed=("body",)),
    Way("PATCH", rf"{_AT_GITHUB}/issues/comments/(?P<id>[0-9]+)", _change_comment, body=_TEXT, needed=("body",)),
)  # fmt: skip
GITEA = (
    Way(
        "GET", rf"{_AT_GITHUB}/statuses/(?P<sha>{SHA})", _list_statuses("status", newest_first=True),
        {"sort": "oldest|recentupdate|leastupdate|leastindex|highestindex", "state": ".*", "page": "[0-9]+",
         "limit": "[1-9]|[1-4][0-9]|50"},
    ),
    Way(
        "POST", rf"{_AT_GITHUB}/statuses/(?P<sha>{SHA})", _add_status,
        body=_STATUS | {"state": "pending|success|error|failure|warning", "description": ".*"},
    ),
    Way("GET", rf"{_AT_GITHUB}/issues/7/comments", _list_comments, {"since": ".*", "before": ".*"}),
    Way("POST", rf"{_AT_GITHUB}/issues/7/comments", _add_comment, body=_TEXT | {"updated_at": ".*"}, needed=("body",)),
    Way(
        "PATCH", rf"{_AT_GITHUB}/issues/comments/(?P<id>[0-9]+)", _change_comment,
        body=_TEXT | {"updated_at": ".*"}, needed=("body",),
    ),
)  # fmt: skip
_AT_GITLAB = "/projects/(?:acme%2Ffleet|42)"
GITLAB = (
    Way(
        "GET", rf"{_AT_GITLAB}/repository/commits/(?P<sha>{SHA})/statuses",
        _list_statuses("status", newest_first=False),
        _PAGED | {"ref": ".*", "stage": ".*", "name": ".*", "pipeline_id": "[0-9]+", "all": "true|false",
                  "order_by": "id|pipeline_id", "sort": "asc|desc"},
    ),
    Way(
        "POST", rf"{_AT_GITLAB}/statuses/(?P<sha>{SHA})", _add_status,
        body={"state": "pending|running|success|failed|canceled|skipped", "ref": ".*", "name": ".*", "context": ".*",
              "target_url": ".{1,255}", "description": ".{0,255}", "coverage": ".*", "pipeline_id": "[0-9]+"},
        needed=("state",),
    ),
    Way(
        "GET", rf"{_AT_GITLAB}/merge_requests/7/notes", _list_comments,
        _PAGED | {"sort": "asc|desc", "order_by": "created_at|updated_at"},
    ),
    Way(
        "POST", rf"{_AT_GITLAB}/merge_requests/7/notes", _add_comment,
        body=_TEXT | {"created_at": ".*", "internal": "true|false", "merge_request_diff_head_sha": ".*"},
        needed=("body",),
    ),
    Way("PUT", rf"{_AT_GITLAB}/merge_requests/7/notes/(?P<id>[0-9]+)", _change_comment, body=_TEXT, needed=("body",)),
)  # fmt: skip


def made(kind: str, token: str) -> StandIn:
    """One of each kind; the token's header is the first."""
    if kind == "github":
        versioned = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"}
        return StandIn(GITHUB, "", {"Authorization": f"Bearer {token}", **versioned}, 65_536)
    if kind == "gitlab":
        return StandIn(GITLAB, "/api/v4", {"PRIVATE-TOKEN": token}, 1_000_000)
    return StandIn(GITEA, "/api/v1", {"Authorization": f"token {token}"}, 1_000_000, pages=False)


@contextmanager
def stand_in(kind: str, token: str = "the-forges-token") -> Iterator[StandIn]:
    """The forge listens on loopback; `api` is its address."""
    forge = made(kind, token)

    class Handler(BaseHTTPRequestHandler):
        def _any(self) -> None:
            content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, body = forge.answer(self.command, self.path, headers, content)
            text = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = _any  # noqa: N815

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    forge.api = f"http://127.0.0.1:{server.server_address[1]}{forge.base}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield forge
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
