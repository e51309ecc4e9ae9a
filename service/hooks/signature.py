"""Is this delivery from somebody who knows the receiver's secret?

    verify_github(secret, body, header) -> bool     X-Hub-Signature-256: sha256=<hex>
    verify_generic(secret, body, header) -> bool    X-Signature: sha256=<hex>
    may_be_signed(headers) -> bool                  whether it is worth while to read the body at all

HMAC-SHA256 (RFC 2104) over the raw body, before anything parses it; compared as bytes in constant time. Whatever
the header holds, the answer is True or False and never an exception; an empty secret verifies nothing.
"""

import hashlib
import hmac
import re
from collections.abc import Iterable

_HEADER = re.compile(rb"sha256=([0-9a-f]{64})")


HEADERS = {"github": b"x-hub-signature-256", "generic": b"x-signature"}
"""The place of the signature, by the receiver's type."""


def may_be_signed(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether a header has the form of a signature. Without one no body and no secret can make it right."""
    return any(name in HEADERS.values() and _HEADER.fullmatch(value) for name, value in headers)


def verify_github(secret: bytes, body: bytes, header: str | bytes | None) -> bool:
    """GitHub's `X-Hub-Signature-256`; its older SHA-1 header is ignored."""
    return _verify(secret, body, header)


def verify_generic(secret: bytes, body: bytes, header: str | bytes | None) -> bool:
    """`X-Signature`, the form of receivers that are not a forge: `sha256=` and 64 lower-case hex digits."""
    return _verify(secret, body, header)


def sign(secret: bytes, body: bytes) -> str:
    """The header's value that verifies: for whoever sends a generic delivery."""
    return "sha256=" + hmac.new(secret, body, hashlib.sha256).hexdigest()


def _verify(secret: bytes, body: bytes, header: str | bytes | None) -> bool:
    told = header if isinstance(header, bytes) else (header or "").encode("utf-8", "surrogatepass")
    match = _HEADER.fullmatch(told)
    wanted = hmac.new(secret, body, hashlib.sha256).hexdigest().encode()
    return bool(secret) and match is not None and hmac.compare_digest(match[1], wanted)
