"""The few calls of a forge's API that report a plan: a commit's status, and one comment that is updated in place.

    forge = forge_of("github", api="https://api.github.com", repo="acme/fleet", token=…)
    forge.set_status(commit, "success", "3 hosts change")
    forge.comment(7, mark, body)

Each class has the paths, headers and fields that its forge documents:
GitHub          REST API 2022-11-28, "Commit statuses" and "Issue comments"
GitLab          REST API v4, "Commits API" (pipeline status of a commit) and "Notes API"
Gitea, Forgejo  swagger of Gitea 1.22: repoCreateStatus, repoListStatuses, issueGetComments, issueEditComment
"""

import json
import re
import ssl
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from ipaddress import ip_address
from typing import Any, Literal
from urllib.parse import quote, urlencode, urlsplit

from service.errors import InputError, PasserelleError
from service.model.secret import Secret

ForgeKind = Literal["github", "gitlab", "gitea"]
State = Literal["success", "failure", "error"]
CONTEXT = "passerelle/plan"
TIMEOUT_S = 30.0
MAX_ANSWER_BYTES = 8 << 20
PAGE, MAX_PAGES = 100, 20
"""So many comments or statuses are looked through. In a pull request with more, the comment may come twice."""
_REPO = re.compile(r"[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)+|[0-9]+")


class ForgeError(PasserelleError):
    """The forge does not take what was reported."""


class Forge(ABC):
    """One repository of a forge. InputError for an address or a name that cannot be used."""

    description_chars: int
    """The longest description of a status."""

    def __init__(self, api: str, repo: str, token: Secret) -> None:
        self._at = urlsplit(api.rstrip("/"))
        if self._at.scheme not in ("http", "https") or not self._at.hostname or self._at.query:
            raise InputError(f"{api!r} is not the address of a forge's API", hint="write it as https://host/path")
        if self._at.scheme == "http" and not _is_here(self._at.hostname):
            raise InputError(f"{api} would send the token in clear text", hint="give an https address")
        if not _REPO.fullmatch(repo) or ".." in repo:
            raise InputError(f"{repo!r} is not the name of a repository", hint="write it as owner/name")
        if not re.fullmatch(rb"[!-~]+", token.reveal()):
            raise InputError("the forge's token is empty, or has characters that no token has")
        self._repo = repo
        self._token = token

    @property
    @abstractmethod
    def headers(self) -> Mapping[str, str]:
        """Of every request, with the token."""

    @abstractmethod
    def status(self, commit: str) -> tuple[str, str] | None:
        """State and description of our newest status of a commit, None where there is none."""

    @abstractmethod
    def send_status(self, commit: str, state: State, description: str) -> None:
        """One more status of a commit."""

    @abstractmethod
    def comments(self, number: int) -> Iterator[Mapping[str, Any]]:
        """The comments of a pull request with `id` and `body`, the oldest first."""

    @abstractmethod
    def add_comment(self, number: int, body: str) -> None:
        """A new comment."""

    @abstractmethod
    def change_comment(self, number: int, comment: int, body: str) -> None:
        """Another text for a comment."""

    def set_status(self, commit: str, state: State, description: str) -> bool:
        """Whether a status was sent: none is where the newest one says the same. GitHub takes 1,000 for a commit."""
        if not re.fullmatch(r"[0-9a-f]{40}", commit):
            raise ForgeError(f"the service named {commit[:60]!r} as the commit, which is not one")
        short = (
            description
            if len(description) <= self.description_chars
            else description[: self.description_chars - 1] + "…"
        )
        if self.status(commit) == (self.word(state), short):
            return False
        self.send_status(commit, state, short)
        return True

    def comment(self, number: int, mark: str, body: str) -> None:
        """Write the one comment that begins with `mark`, or change it."""
        text = f"{mark}\n{body}"
        for found in self.comments(number):
            if str(found.get("body") or "").startswith(mark):
                if str(found["body"]).replace("\r\n", "\n").rstrip("\n") != text.rstrip("\n"):
                    self.change_comment(number, int(found["id"]), text)
                return
        self.add_comment(number, text)

    def word(self, state: State) -> str:
        """What the forge calls a state."""
        return state

    def pages(self, path: str, **query: str | int) -> Iterator[Mapping[str, Any]]:
        """The entries of a list, page by page."""
        for page in range(1, MAX_PAGES + 1):
            found = self.ask("GET", path, {**query, "page": page})
            yield from _entries(found)
            if not isinstance(found, list) or len(found) < PAGE:
                return

    def ask(
        self,
        method: str,
        path: str,
        query: Mapping[str, str | int] | None = None,
        body: Mapping[str, str] | None = None,
    ) -> Any:
        """One request. ForgeError for every answer but a good one; nothing of the token is in it."""
        target = f"{self._at.path}{path}{'?' + urlencode(query) if query else ''}"
        content = None if body is None else json.dumps(body).encode()
        typed = {} if content is None else {"Content-Type": "application/json"}
        where = f"{method} {self._at.scheme}://{self._at.netloc.rpartition('@')[2]}{self._at.path}{path}"
        connection = self._connection()
        try:
            connection.request(method, target, content, {"User-Agent": "passerelle", **self.headers, **typed})
            answer = connection.getresponse()
            status, text = answer.status, answer.read(MAX_ANSWER_BYTES + 1)
        except (OSError, HTTPException) as error:
            raise ForgeError(f"{where}: no answer: {error or type(error).__name__}") from None
        finally:
            connection.close()
        if not 200 <= status < 300:
            raise ForgeError(f"{where}: HTTP {status}: {_why(text)}", hint=_HINTS.get(status, ""))
        if len(text) > MAX_ANSWER_BYTES:
            raise ForgeError(f"{where}: the answer has more than {MAX_ANSWER_BYTES} bytes")
        try:
            return json.loads(text) if text else None
        except (ValueError, RecursionError):
            raise ForgeError(f"{where}: the answer is not JSON") from None

    def _connection(self) -> HTTPConnection:
        host = self._at.hostname or ""
        if self._at.scheme == "http":
            return HTTPConnection(host, self._at.port, timeout=TIMEOUT_S)
        return HTTPSConnection(host, self._at.port, timeout=TIMEOUT_S, context=ssl.create_default_context())


class GitHub(Forge):
    """GitHub, also GitHub Enterprise Server."""

    description_chars = 140

    @property
    def headers(self) -> Mapping[str, str]:
        return {
            "Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28",
            "Authorization": f"Bearer {self._token.reveal().decode()}",
        }  # fmt: skip

    def status(self, commit: str) -> tuple[str, str] | None:
        for one in self.pages(f"/repos/{self._repo}/commits/{commit}/statuses", per_page=PAGE):
            if one.get("context") == CONTEXT:  # the newest comes first
                return str(one.get("state")), str(one.get("description"))
        return None

    def send_status(self, commit: str, state: State, description: str) -> None:
        body = {"state": self.word(state), "context": CONTEXT, "description": description}
        self.ask("POST", f"/repos/{self._repo}/statuses/{commit}", body=body)

    def comments(self, number: int) -> Iterator[Mapping[str, Any]]:
        return self.pages(f"/repos/{self._repo}/issues/{number}/comments", per_page=PAGE)

    def add_comment(self, number: int, body: str) -> None:
        self.ask("POST", f"/repos/{self._repo}/issues/{number}/comments", body={"body": body})

    def change_comment(self, number: int, comment: int, body: str) -> None:
        self.ask("PATCH", f"/repos/{self._repo}/issues/comments/{comment}", body={"body": body})


class Gitea(GitHub):
    """Gitea and Forgejo: GitHub's paths below /api/v1, other headers and pages. All comments come in one list."""

    description_chars = 255

    @property
    def headers(self) -> Mapping[str, str]:
        return {"Accept": "application/json", "Authorization": f"token {self._token.reveal().decode()}"}

    def status(self, commit: str) -> tuple[str, str] | None:
        query: dict[str, str | int] = {"sort": "recentupdate", "limit": 50, "page": 1}
        for one in _entries(self.ask("GET", f"/repos/{self._repo}/statuses/{commit}", query)):
            if one.get("context") == CONTEXT:
                return str(one.get("status")), str(one.get("description"))
        return None

    def comments(self, number: int) -> Iterator[Mapping[str, Any]]:
        return _entries(self.ask("GET", f"/repos/{self._repo}/issues/{number}/comments"))


class GitLab(Forge):
    """GitLab. A project is its number or its path; a comment is a note of a merge request."""

    description_chars = 255

    @property
    def headers(self) -> Mapping[str, str]:
        return {"Accept": "application/json", "PRIVATE-TOKEN": self._token.reveal().decode()}

    @property
    def _project(self) -> str:
        return f"/projects/{quote(self._repo, safe='')}"

    def word(self, state: State) -> str:
        return "success" if state == "success" else "failed"

    def status(self, commit: str) -> tuple[str, str] | None:
        path = f"{self._project}/repository/commits/{commit}/statuses"
        found = [*self.pages(path, name=CONTEXT, per_page=PAGE)]
        newest = max(found, key=lambda one: int(one.get("id") or 0), default=None)
        return None if newest is None else (str(newest.get("status")), str(newest.get("description")))

    def send_status(self, commit: str, state: State, description: str) -> None:
        body = {"state": self.word(state), "name": CONTEXT, "description": description}
        self.ask("POST", f"{self._project}/statuses/{commit}", body=body)

    def comments(self, number: int) -> Iterator[Mapping[str, Any]]:
        return self.pages(
            f"{self._project}/merge_requests/{number}/notes", sort="asc", order_by="created_at", per_page=PAGE
        )

    def add_comment(self, number: int, body: str) -> None:
        self.ask("POST", f"{self._project}/merge_requests/{number}/notes", body={"body": body})

    def change_comment(self, number: int, comment: int, body: str) -> None:
        self.ask("PUT", f"{self._project}/merge_requests/{number}/notes/{comment}", body={"body": body})


FORGES: dict[ForgeKind, type[Forge]] = {"github": GitHub, "gitlab": GitLab, "gitea": Gitea}
_HINTS = {
    401: "look at the token in the file of --report-token-file",
    403: "the forge's token must be allowed to set statuses and to comment",
    404: "look at --report-api and --report-repo; many forges also answer so if the token may not see the repository",
}


def forge_of(kind: ForgeKind, *, api: str, repo: str, token: Secret) -> Forge:
    """The forge of this kind."""
    return FORGES[kind](api, repo, token)


def _entries(found: object) -> Iterator[Mapping[str, Any]]:
    yield from (one for one in found if isinstance(one, dict)) if isinstance(found, list) else ()


def _is_here(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _why(text: bytes) -> str:
    """The forge's reason, one line of it."""
    try:
        found = json.loads(text)
        said = found.get("message") or found.get("error") if isinstance(found, dict) else None
    except (ValueError, RecursionError):
        said = None
    return " ".join(str(said or text[:200].decode("utf-8", "replace")).split())[:300]
