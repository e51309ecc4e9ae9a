"""A signed call to an address that the operator sets: the Standard Webhooks specification.

    hook = Webhook("https://example.org/hook", secret)
    hook.send("passerelle_41", at, {"type": …})        NoticeError where it was not taken with a status 2xx

`webhook-signature: v1,<base64 of HMAC-SHA256>` over `<webhook-id>.<webhook-timestamp>.<body>`. A redirect is a failure:
it would send the call to a place that the operator did not set. Blocks for two timeouts at most.
"""

import base64
import binascii
import hashlib
import hmac
import http.client
import json
import ssl
from collections.abc import Mapping
from datetime import datetime
from urllib.parse import urlsplit

from service import __version__
from service.errors import InputError
from service.model.secret import Secret
from service.model.states import Json
from service.notices.channel import NoticeError
from service.wire import ended_after, is_this_machine

TIMEOUT_S = 10.0
PREFIX = b"whsec_"
LEAST_KEY_BYTES, MOST_KEY_BYTES = 24, 64
"""Of the specification."""


class Webhook:
    """One receiver. InputError for an address or a secret that cannot be used."""

    def __init__(self, url: str, secret: Secret, *, is_plain: bool = False, timeout_s: float = TIMEOUT_S) -> None:
        """`is_plain`: notices may go to another machine without encryption."""
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise InputError(f"the address of the notices cannot be read: {error}") from None
        if parts.scheme not in ("https", "http") or not parts.hostname or not url.isascii() or not url.isprintable():
            raise InputError("the address of the notices is not a URL", hint="https://… in PASSERELLE_NOTICE_URL")
        if parts.username is not None or parts.fragment or " " in url:
            raise InputError(
                "the address of the notices has a user, a fragment or a blank",
                hint="the signature says who sends them, no password is needed",
            )
        self._is_safe = parts.scheme == "https"
        if not self._is_safe and not is_plain and not is_this_machine(parts.hostname):
            raise InputError(
                f"notices would go to {parts.hostname} without encryption",
                hint="use https://…, or set PASSERELLE_NOTICE_PLAIN=true where the way to it is safe",
            )
        self.host = parts.hostname
        self._port = port
        self._target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._key = key_of(secret)
        self._timeout_s = timeout_s

    def send(self, notice_id: str, at: datetime, body: Mapping[str, Json]) -> str:
        """Send it once. NoticeError says why it was not taken."""
        data = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
        headers = {
            "content-type": "application/json", "user-agent": f"passerelle/{__version__}",
            **signed(self._key, notice_id, int(at.timestamp()), data),
        }  # fmt: skip
        connection = self._connection()
        try:
            with ended_after(2 * self._timeout_s, lambda: connection.sock):
                connection.request("POST", self._target, data, headers)
                status = connection.getresponse().status
        except (OSError, http.client.HTTPException) as error:
            raise NoticeError(f"{self.host} does not take notices: {_why(error)}") from None
        finally:
            connection.close()
        if 300 <= status < 400:
            raise NoticeError(f"{self.host} answers with a redirect ({status}), which is not followed")
        if not 200 <= status < 300:
            raise NoticeError(f"{self.host} answers with status {status}")
        return ""

    def _connection(self) -> http.client.HTTPConnection:
        if not self._is_safe:
            return http.client.HTTPConnection(self.host, self._port, timeout=self._timeout_s)
        context = ssl.create_default_context()
        return http.client.HTTPSConnection(self.host, self._port, timeout=self._timeout_s, context=context)


def signed(key: Secret, notice_id: str, at_s: int, body: bytes) -> dict[str, str]:
    """The headers that prove who sent it."""
    signature = hmac.new(key.reveal(), f"{notice_id}.{at_s}.".encode() + body, hashlib.sha256).digest()
    return {
        "webhook-id": notice_id, "webhook-timestamp": str(at_s),
        "webhook-signature": f"v1,{base64.b64encode(signature).decode()}",
    }  # fmt: skip


def key_of(secret: Secret) -> Secret:
    """The bytes that are signed with: the base64 after `whsec_`. InputError where it is none."""
    text = secret.reveal().strip()
    try:
        key = base64.b64decode(text.removeprefix(PREFIX), validate=True)
    except binascii.Error:
        key = b""
    if not text.startswith(PREFIX) or not LEAST_KEY_BYTES <= len(key) <= MOST_KEY_BYTES:
        raise InputError(
            f"the secret of the notices is not `whsec_` with {LEAST_KEY_BYTES} to {MOST_KEY_BYTES} bytes in base64",
            hint="(printf whsec_; head -c 32 /dev/urandom | base64) > FILE",
        )
    return Secret(key)


def _why(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not good: {error.verify_message}"
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return type(error).__name__
