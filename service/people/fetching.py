"""Calls to an issuer: JSON over https, without redirects, bounded in size and time.

document = fetched("https://login.example.org/.well-known/openid-configuration")
status, answer = posted("https://login.example.org/token", {"grant_type": …})
"""

import contextlib
import http.client
import json
import ssl
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit

from service.errors import InputError
from service.model.people import IssuerAway
from service.wire import ended_after, is_this_machine

TIMEOUT_S = 5.0
MOST_BYTES = 1 << 20


def checked_url(url: str, what: str) -> str:
    """The same address. InputError where it is not https, unless it is this machine's own."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise InputError(f"{what} cannot be read: {error}") from None
    if parts.scheme not in ("https", "http") or not parts.hostname or not url.isascii() or not url.isprintable():
        raise InputError(f"{what} is not an address", hint="https://login.example.org/…")
    if parts.username is not None or parts.fragment or " " in url:
        raise InputError(f"{what} has a user, a fragment or a blank")
    if parts.scheme == "http" and not is_this_machine(parts.hostname):
        raise InputError(f"{what} is not encrypted", hint="use https://")
    return url


def fetched(url: str, *, timeout_s: float = TIMEOUT_S) -> dict[str, Any]:
    """The object at an address. IssuerAway, InputError for an address that is not used."""
    status, answer = _called("GET", url, None, timeout_s)
    if status != 200:
        raise IssuerAway(f"{urlsplit(url).hostname} answers with status {status}")
    return answer


def posted(url: str, form: Mapping[str, str], *, timeout_s: float = TIMEOUT_S) -> tuple[int, dict[str, Any]]:
    """The status and the object that a form is answered with. The same errors."""
    return _called("POST", url, urlencode(form).encode(), timeout_s)


def _called(method: str, url: str, body: bytes | None, timeout_s: float) -> tuple[int, dict[str, Any]]:
    parts = urlsplit(checked_url(url, "an address of the issuer"))
    host = str(parts.hostname)
    connection = (
        http.client.HTTPSConnection(host, parts.port, timeout=timeout_s, context=ssl.create_default_context())
        if parts.scheme == "https"
        else http.client.HTTPConnection(host, parts.port, timeout=timeout_s)
    )
    headers = {"accept": "application/json"}
    if body is not None:
        headers["content-type"] = "application/x-www-form-urlencoded"
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        with ended_after(2 * timeout_s, lambda: connection.sock):
            connection.request(method, target, body, headers)
            response = connection.getresponse()
            data = response.read(MOST_BYTES + 1)
    except ssl.SSLCertVerificationError as error:
        raise IssuerAway(f"the certificate of {host} is not good: {error.verify_message}") from None
    except (OSError, http.client.HTTPException) as error:
        words = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
        raise IssuerAway(f"{host} does not answer: {words}") from None
    finally:
        connection.close()
    answer: Any = None
    with contextlib.suppress(ValueError, RecursionError):
        answer = json.loads(data) if len(data) <= MOST_BYTES else None
    if not isinstance(answer, dict):
        raise IssuerAway(f"{host} answers with status {response.status} and no JSON object")
    return response.status, answer
