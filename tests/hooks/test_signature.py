"""Which deliveries prove that their sender knows the secret."""

import hashlib
import hmac
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.hooks.signature import sign, verify_generic, verify_github

Header = str | bytes | None
Verify = Callable[[bytes, bytes, Header], bool]

SECRET = b"It's a Secret to Everybody"
BODY = b"Hello, World!"
# The example of GitHub's documentation, "Validating webhook deliveries".
KNOWN = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"

BAD = {
    "missing": None,
    "empty": "",
    "only the prefix": "sha256=",
    "no prefix": KNOWN.removeprefix("sha256="),
    "short": KNOWN[:-1],
    "long": KNOWN + "0",
    "wrong": KNOWN[:-1] + "8",
    "upper case": KNOWN.upper(),
    "upper case digits": "sha256=" + KNOWN.removeprefix("sha256=").upper(),
    "space before": " " + KNOWN,
    "space after": KNOWN + " ",
    "newline after": KNOWN + "\n",
    "twice": f"{KNOWN},{KNOWN}",
    "sha1": "sha1=" + hmac.new(SECRET, BODY, hashlib.sha1).hexdigest(),
    "sha512": "sha512=" + hmac.new(SECRET, BODY, hashlib.sha512).hexdigest(),
    "non-ASCII": "sha256=é" + KNOWN[8:],
    "other digits": "sha256=" + "٣" * 64,
    "lone surrogate": "sha256=\udcff",
    "bytes that are not text": b"sha256=\xff\xfe",
    "empty bytes": b"",
    "NUL": "sha256=\0" + KNOWN[8:],
    "very long": "sha256=" + "0" * 1_000_000,
    "another body's": sign(SECRET, BODY + b"\n"),
    "another secret's": sign(SECRET + b"x", BODY),
    "an empty secret's": sign(b"", BODY),
}


@pytest.mark.parametrize("verify", [verify_github, verify_generic])
@pytest.mark.parametrize("header", [KNOWN, KNOWN.encode()])
def test_the_right_signature_is_accepted_as_text_and_as_bytes(verify: Verify, header: Header) -> None:
    assert verify(SECRET, BODY, header) is True
    assert sign(SECRET, BODY) == KNOWN


@pytest.mark.parametrize("verify", [verify_github, verify_generic])
@pytest.mark.parametrize("header", BAD.values(), ids=BAD.keys())
def test_anything_else_is_refused(verify: Verify, header: Header) -> None:
    assert verify(SECRET, BODY, header) is False


@pytest.mark.parametrize("verify", [verify_github, verify_generic])
def test_without_a_secret_nothing_is_accepted(verify: Verify) -> None:
    assert verify(b"", BODY, sign(b"", BODY)) is False


@given(st.binary(min_size=1), st.binary(), st.none() | st.text() | st.binary())
def test_no_header_raises(secret: bytes, body: bytes, header: str | bytes | None) -> None:
    assert verify_github(secret, body, header) is False


@given(st.binary(min_size=1), st.binary())
def test_every_body_that_was_signed_is_accepted(secret: bytes, body: bytes) -> None:
    assert verify_generic(secret, body, sign(secret, body)) is True
