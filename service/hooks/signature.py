"""Does this call come from somebody who knows the receiver's secret?

    Digest(header, prefix).verify(secret, call, now)      HMAC-SHA256 of the raw body, in hex: most forges
    Password(header).verify(secret, call, now)            the secret itself: GitLab's secret token
    Standard().verify(secret, call, now)                  Standard Webhooks: GitLab's signing token

The raw body is what counts, before anything parses it (RFC 2104 for HMAC). All is compared as bytes in constant time.
Whatever a header holds, the answer is True or False and never an exception. An empty secret verifies nothing. A header
that comes twice verifies nothing.
"""

import base64
import binascii
import hashlib
import hmac
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

_HEX = re.compile(rb"[0-9a-f]{64}")
_PASSWORD = re.compile(rb"[!-~]{16,200}")
_TIMESTAMP = re.compile(rb"[0-9]{1,12}")
_SIGNATURE = re.compile(rb"v1,[A-Za-z0-9+/]{43}=")

TOLERANCE_S = 300
"""So far may the time of a signed call be from ours, the tolerance of Standard Webhooks."""
MAX_SIGNATURES = 8
PREFIX = "whsec_"


@dataclass(frozen=True, slots=True)
class Call:
    """A request to a receiver: headers as they came (lower-case names, raw values), and the raw body."""

    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes = b""

    def one(self, name: bytes) -> bytes | None:
        """The header's value; None where it is missing or comes more than once."""
        found = [value for key, value in self.headers if key == name]
        return found[0] if len(found) == 1 else None


class Proof(Protocol):
    """How a call can prove that it knows the secret. `headers` are where it is, as people write them."""

    @property
    def headers(self) -> tuple[str, ...]: ...

    def is_given(self, call: Call) -> bool:
        """Whether the headers have the form of this proof. Without it no body and no secret can make it right."""
        ...

    def verify(self, secret: bytes, call: Call, now: datetime) -> bool:
        """Whether the call proves that it knows this secret."""
        ...


@dataclass(frozen=True, slots=True)
class Digest:
    """`header: <prefix><64 lower-case hex digits>`."""

    header: bytes
    prefix: bytes = b""

    @property
    def headers(self) -> tuple[str, ...]:
        return (self.header.decode().title(),)

    def is_given(self, call: Call) -> bool:
        return self._told(call) is not None

    def verify(self, secret: bytes, call: Call, now: datetime) -> bool:
        told = self._told(call)
        wanted = hmac.new(secret, call.body, hashlib.sha256).hexdigest().encode()
        return bool(secret) and told is not None and hmac.compare_digest(told, wanted)

    def _told(self, call: Call) -> bytes | None:
        value = call.one(self.header)
        if value is None or not value.startswith(self.prefix):
            return None
        value = value[len(self.prefix) :]
        return value if _HEX.fullmatch(value) else None


@dataclass(frozen=True, slots=True)
class Password:
    """`header: <the secret>`: it says nothing about the body, and whoever reads one call can repeat it."""

    header: bytes

    @property
    def headers(self) -> tuple[str, ...]:
        return (self.header.decode().title(),)

    def is_given(self, call: Call) -> bool:
        return self._told(call) is not None

    def verify(self, secret: bytes, call: Call, now: datetime) -> bool:
        told = self._told(call)
        # digests have one length, so that the comparison does not tell the secret's
        wanted, given = (hashlib.sha256(one).digest() for one in (secret, told or b""))
        return bool(secret) and told is not None and hmac.compare_digest(given, wanted)

    def _told(self, call: Call) -> bytes | None:
        value = call.one(self.header)
        return value if value is not None and _PASSWORD.fullmatch(value) else None


@dataclass(frozen=True, slots=True)
class Standard:
    """`webhook-signature: v1,<base64>` over `<webhook-id>.<webhook-timestamp>.<body>`, several separated by blanks; the
    key is the base64 after `whsec_` (the Standard Webhooks specification)."""

    @property
    def headers(self) -> tuple[str, ...]:
        return ("webhook-signature",)

    def is_given(self, call: Call) -> bool:
        return bool(_signatures(call)) and self._signed(call) is not None

    def verify(self, secret: bytes, call: Call, now: datetime) -> bool:
        signed, told, key = self._signed(call), _signatures(call), key_of(secret)
        wanted = base64.b64encode(hmac.new(key, signed or b"", hashlib.sha256).digest())
        is_right = [hmac.compare_digest(one, wanted) for one in told]  # each one: which is right takes no less time
        return bool(key) and signed is not None and any(is_right) and self._is_fresh(call, now)

    def _signed(self, call: Call) -> bytes | None:
        name, at = call.one(b"webhook-id"), call.one(b"webhook-timestamp")
        if not name or at is None or not _TIMESTAMP.fullmatch(at):
            return None
        return b".".join((name, at, call.body))

    def _is_fresh(self, call: Call, now: datetime) -> bool:
        at = int(call.one(b"webhook-timestamp") or b"0")
        return abs(now.timestamp() - at) <= TOLERANCE_S


def _signatures(call: Call) -> list[bytes]:
    told = (call.one(b"webhook-signature") or b"").split(b" ")
    return [one[3:] for one in told[:MAX_SIGNATURES] if _SIGNATURE.fullmatch(one)]


def key_of(secret: bytes) -> bytes:
    """The key of a signing token; empty for what is none."""
    if not secret.startswith(PREFIX.encode()):
        return b""
    try:
        return base64.b64decode(secret[len(PREFIX) :], validate=True)
    except binascii.Error:
        return b""


def sign(secret: bytes, body: bytes) -> str:
    """The value of a generic delivery's header, and of GitHub's."""
    return "sha256=" + hmac.new(secret, body, hashlib.sha256).hexdigest()


def sign_standard(secret: bytes, name: str, at: datetime, body: bytes) -> str:
    """The value of `webhook-signature` for a call of this id and time."""
    signed = b".".join((name.encode(), str(int(at.timestamp())).encode(), body))
    return "v1," + base64.b64encode(hmac.new(key_of(secret), signed, hashlib.sha256).digest()).decode()
