"""The service's REST API as the command line uses it."""

import json
import math
import os
import re
import ssl
import time
from collections.abc import Iterator, Mapping
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, quote, urlencode, urlsplit

from service.cli.exit_codes import UNREACHABLE
from service.cli.streamed import SILENT_S, Message, messages
from service.errors import InputError, PasserelleError
from service.model.listings import Listing
from service.model.secret import Secret
from service.private_files import read_private, refuse_writable

DEFAULT_URL = "http://127.0.0.1:8765"
TIMEOUT_S = 30.0
NEWS_S = 20
"""The service answers after so long, news or not: sooner than this client gives up."""
FEW_S = 0.5
NOT_KNOWN = ("host-never-seen", "host-not-compared", "host-left-git")
"""Problems of a host of which nothing is known now."""
HINTS = {
    401: "sign in: `passerelle login`, or create a token on the machine of the service: `passerelle token create NAME`",
    403: "create a token with the scopes and hosts that it needs: `passerelle token create NAME --scope … --host …`. A "
    "person needs a group that PASSERELLE_OIDC_GRANTS names",
}
"""What to do next where the service does not say it, by HTTP status."""
PROBLEM = "/problems/"
"""How the type of each of the service's problems begins."""
NO_HOST = "choose one of `passerelle status`, or use a token that may see the host"
_NO_HOST = "no host "


IS_IT_OURS = (
    "set PASSERELLE_URL to the address of the service, as `passerelle serve` shows it. Behind a proxy, see its log"
)
NO_PEM = "no certificate was found in it"
TRUST = (
    "set PASSERELLE_CA_FILE to the file with your certificate authority, and PASSERELLE_URL to a name that is in the "
    "certificate"
)


class ApiError(PasserelleError):
    """The service answered with a problem; `status` is the HTTP status, `problem` its problem+json."""

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        title = str(problem.get("detail") or problem.get("title") or f"HTTP {status}")
        if wrong := problem.get("errors"):
            title += ": " + "; ".join(f"{_named(error['pointer'])}: {error['detail']}" for error in wrong)
        hint = NO_HOST if status == 404 and title.startswith(_NO_HOST) else HINTS.get(status, "")
        super().__init__(title, hint=str(problem.get("hint") or hint))
        self.status = status
        self.problem = problem
        self.exit_code = UNREACHABLE if problem.get("code") in NOT_KNOWN else 1


class NotOurs(PasserelleError):  # noqa: N818 (what was found, as NotFound)
    """What answers under the address is not passerelle."""

    def __init__(self, url: str, why: str) -> None:
        super().__init__(f"{url} does not answer as passerelle does: {why}", hint=IS_IT_OURS)


class Answer(dict[str, Any]):
    """An object of an answer. What passerelle always says and this one does not is `NotOurs`, not a KeyError."""

    url = ""

    def __missing__(self, key: str) -> Any:
        raise NotOurs(self.url, f"its answer has no {key!r}")


class Client:
    """A few verbs, each over a connection of its own. The token comes from `PASSERELLE_TOKEN` or the file
    `PASSERELLE_TOKEN_FILE`. The standard library's client does: a richer one takes longer to load than the rest of a
    command takes."""

    def __init__(self, url: str | None = None, token: Secret | None = None, *, timeout_s: float = TIMEOUT_S) -> None:
        """`timeout_s`: how long the service may be silent."""
        self._timeout_s = timeout_s
        self.url = (url or os.environ.get("PASSERELLE_URL") or DEFAULT_URL).rstrip("/")
        self._given = token or token_from_environment() or token_from_file()
        self._token()
        self._at = _parts(self.url)
        self._context = trusted() if self._at.scheme == "https" else None

    def _token(self, refused: Secret | None = None) -> Secret:
        """What the next request is sent with. The token of a sign-in is renewed before it ends, and where it is the one
        that the service `refused`."""
        token = self._given or token_from_login(self.url, refused)
        if token is None:
            raise InputError(
                "no token",
                hint="create a token with `passerelle token create`, and put it into PASSERELLE_TOKEN, or sign in",
            )
        if not re.fullmatch(rb"[!-~]+", token.reveal()):
            raise InputError(
                "the token has characters that no token has, as a blank or a line break",
                hint="set PASSERELLE_TOKEN to what `passerelle token create` printed on its first line",
            )
        return token

    def _sent(
        self, connection: HTTPConnection, method: str, target: str, content: bytes | None, headers: Mapping[str, str]
    ) -> HTTPResponse:
        """The answer to a request. After a 401 a person's token is renewed, and the request sent once more."""

        def asked(token: Secret) -> HTTPResponse:
            by = {"Authorization": f"Bearer {token.reveal().decode()}", "Accept": "application/json"}
            connection.request(method, target, content, {**by, **headers})
            return connection.getresponse()

        token = self._token()
        answer = asked(token)
        if answer.status != 401 or self._given is not None:
            return answer
        try:
            new = self._token(refused=token)
        except PasserelleError:  # what the service says of the token says more
            return answer
        answer.close()
        connection.close()
        return asked(new)

    def get(self, path: str, **query: str | int | bool | None) -> Any:
        """One document."""
        return self.ask("GET", path, params={k: v for k, v in query.items() if v is not None})

    def picture(self, path: str, **query: int | None) -> str:
        """An SVG. Errors as those of `ask`, NotOurs where it is anything else."""
        params = {name: value for name, value in query.items() if value is not None}
        try:
            status, content, _ = self._answer("GET", path, params, None, {"Accept": "image/svg+xml"})
            if status == 200 and content.startswith(b"<svg "):
                return content.decode()
        except (OSError, HTTPException, UnicodeError) as error:
            raise self._away(error) from error
        _read(self.url, status, content)
        raise NotOurs(self.url, "what it says is not a picture")

    def post(self, path: str, body: Mapping[str, Any] | None = None, *, key: str = "") -> Any:
        """Start something; with the same `key`, a repeated call is carried out once."""
        headers = {"Idempotency-Key": key} if key else {}
        return self.ask("POST", path, body=body or {}, headers=headers)

    def items(self, path: str, asked: Listing, *, most: int = 1000) -> list[dict[str, Any]]:
        """A list, over its pages, up to `most`."""
        found: list[dict[str, Any]] = []
        cursor: str | None = None
        while True:
            page = self.get(path, **asked.asked, limit=min(200, most), cursor=cursor)
            items = page["items"]
            if not isinstance(items, list) or not all(isinstance(one, dict) for one in items):
                raise NotOurs(self.url, "what should be a list is not one")
            found.extend(items)
            cursor = page["next_cursor"]
            if not cursor or len(found) >= most:
                return found[:most]

    def items_of(self, path: str, asked: Listing, *, most: int) -> list[dict[str, Any]]:
        """A list that may be of one host; where that has nothing, the `ApiError` if there is no such host."""
        found = self.items(path, asked, most=most)
        if (host := asked.asked.get("host")) and not found:
            self.get(f"hosts/{host}")
        return found

    def ask(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, object] | None = None,
        body: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """One request; every problem is an `ApiError`, no answer at all a plain error."""
        try:
            status, content, _ = self._answer(method, path, params or {}, body, headers or {})
        except (OSError, HTTPException, UnicodeError) as error:
            raise self._away(error) from error
        return _read(self.url, status, content)

    def news(self, path: str, tag: str, wait_s: float, *, known: Any = None) -> tuple[Any, str]:
        """A document and its ETag, once that is another one than `tag`. When `wait_s` or `NEWS_S` is over, `known` and
        the same ETag. Errors as those of `ask`."""
        seconds = max(0, min(NEWS_S, math.ceil(wait_s)))
        params, headers = ({"wait": seconds}, {"If-None-Match": tag}) if tag else ({}, {})
        began_s = time.monotonic()
        try:
            status, content, now = self._answer("GET", path, params, None, headers)
        except (OSError, HTTPException, UnicodeError) as error:
            raise self._away(error) from error
        if status != 304:
            return _read(self.url, status, content), now
        if seconds and time.monotonic() - began_s < FEW_S:  # too many wait: the service answered at once
            time.sleep(FEW_S)
        return known, tag

    def stream(self, asked: Listing, after: int | None, *, silent_s: float = SILENT_S) -> Iterator[Message]:
        """The messages of the stream of events, until it ends. Errors as those of `ask`, also after its beginning;
        a service that is silent for `silent_s` is away."""
        query = urlencode({name: _in_query(value) for name, value in asked.asked.items()})
        last = {} if after is None else {"Last-Event-ID": str(after)}
        connection = self._connection(silent_s)
        try:
            headers = {"Accept": "text/event-stream", **last}
            answer = self._sent(connection, "GET", f"{self._at.path}/api/v1/stream?{query}", None, headers)
            if answer.status != 200:
                _read(self.url, answer.status, answer.read())
            if answer.headers.get_content_type() != "text/event-stream":
                raise NotOurs(self.url, "its answer is not a stream of events")
            yield from messages(answer)
        except (OSError, HTTPException, UnicodeError) as error:
            raise self._away(error) from error
        finally:
            connection.close()

    def _away(self, error: Exception) -> PasserelleError:
        """What is reported where no answer came."""
        if (untrusted := not_trusted(error)) is not None:
            return PasserelleError(
                f"the certificate of {self.url} is not trusted: {untrusted.verify_message}", hint=TRUST
            )
        return PasserelleError(
            f"the service at {self.url} does not answer: {error or type(error).__name__}",
            hint="start it with `passerelle serve`, or set PASSERELLE_URL",
        )

    def _answer(
        self, method: str, path: str, params: Mapping[str, object], body: object, headers: Mapping[str, str]
    ) -> tuple[int, bytes, str]:
        """Status, content, ETag. OSError or HTTPException where there is none, UnicodeError for an impossible name."""
        query = f"?{urlencode({name: _in_query(value) for name, value in params.items()})}" if params else ""
        target = f"{self._at.path}/api/v1/{quote(path.lstrip('/'))}{query}"
        content = None if body is None else json.dumps(body).encode()
        of_body = {} if content is None else {"Content-Type": "application/json"}
        connection = self._connection()
        try:
            answer = self._sent(connection, method, target, content, {**of_body, **headers})
            return answer.status, answer.read(), answer.headers.get("ETag", "")
        finally:
            connection.close()

    def _connection(self, timeout_s: float | None = None) -> HTTPConnection:
        host, timeout_s = self._at.hostname or "", timeout_s or self._timeout_s
        if self._context is None:
            return HTTPConnection(host, self._at.port, timeout=timeout_s)
        return HTTPSConnection(host, self._at.port, timeout=timeout_s, context=self._context)


def _parts(url: str) -> SplitResult:
    """The parts of the service's address. InputError for what is none."""
    try:
        at = urlsplit(url)
        is_address = at.scheme in ("http", "https") and bool(at.hostname) and at.port != 0
    except ValueError:
        is_address = False
    if not is_address:
        raise InputError(f"PASSERELLE_URL is {url}, no web address", hint=f"write it as {DEFAULT_URL}")
    return at


def _in_query(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _read(url: str, status: int, content: bytes) -> Answer:
    """The object in an answer. `ApiError` for a problem of passerelle, `NotOurs` for anything else."""

    def ours(found: dict[str, Any]) -> Answer:
        one = Answer(found)
        one.url = url
        return one

    try:
        body = json.loads(content, object_hook=ours) if content else ours({})
    except (ValueError, RecursionError):
        raise NotOurs(url, f"what it says is not JSON (HTTP {status})") from None
    if not isinstance(body, Answer):
        raise NotOurs(url, f"what it says is not an object (HTTP {status})")
    if status < 300:
        return body
    if status < 400 or not str(body.get("type")).startswith(PROBLEM):
        raise NotOurs(url, f"HTTP {status}")
    raise ApiError(status, body)


def _named(pointer: str) -> str:
    """What a person calls the part of a request that a JSON pointer points to: /body/reason is reason."""
    return pointer.removeprefix("/").partition("/")[2] or pointer


def trusted() -> ssl.SSLContext:
    """Whom to trust: the authorities in the file that `PASSERELLE_CA_FILE` names and no others, or this machine's.
    InputError where that file cannot be used, or others could change it."""
    path = os.environ.get("PASSERELLE_CA_FILE")
    if not path:
        return ssl.create_default_context()
    refuse_writable(Path(path), "the file of certificate authorities")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(cafile=path)
    except OSError as error:  # ssl.SSLError is one
        why = NO_PEM if isinstance(error, ssl.SSLError) else error.strerror
        raise InputError(
            f"PASSERELLE_CA_FILE {path} cannot be used: {why}",
            hint="it holds the certificate of your authority in PEM form, as in -----BEGIN CERTIFICATE-----",
        ) from None
    return context


def not_trusted(error: BaseException | None) -> ssl.SSLCertVerificationError | None:
    """Why a connection failed, if the certificate is the reason."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return error
        error = error.__cause__ or error.__context__
    return None


def token_from_login(url: str, refused: Secret | None = None) -> Secret | None:
    """The token of the person who signed in for this service, another one than what was `refused`. SignInFailed where
    that has ended."""
    from service.cli.login import token_of_login

    found = token_of_login(url, refused.reveal() if refused else None)
    return Secret(found) if found else None


def token_from_environment() -> Secret | None:
    """The token that is in `PASSERELLE_TOKEN` itself."""
    return Secret(os.fsencode(given)) if (given := os.environ.get("PASSERELLE_TOKEN")) else None


def token_from_file() -> Secret | None:
    """The token that is in the file named by `PASSERELLE_TOKEN_FILE`."""
    path = os.environ.get("PASSERELLE_TOKEN_FILE")
    given = read_private(Path(path), "the token file").strip() if path else b""
    return Secret(given) if given else None
