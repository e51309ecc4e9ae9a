"""Which calls prove that their sender knows the secret."""

import hashlib
import hmac
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.hooks.signature import Call, Digest, Password, Proof, Standard, key_of, sign, sign_standard

SECRET = b"It's a Secret to Everybody"
BODY = b"Hello, World!"
NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
# The example of GitHub's documentation, "Validating webhook deliveries".
KNOWN = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
GITHUB = Digest(b"x-hub-signature-256", b"sha256=")
GITEA = Digest(b"x-gitea-signature")
PASSWORD = Password(b"x-gitlab-token")

# The examples of the Standard Webhooks specification and of Bitbucket's "Manage webhooks".
WHSEC = b"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
STANDARD_AT = datetime.fromtimestamp(1614265330, UTC)
STANDARD_BODY = b'{"test": 2432232314}'
STANDARD_ID = b"msg_p5jXN8AQM9LWM0D4loKWxJek"
STANDARD_KNOWN = b"v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="

BAD = {
    "empty": b"",
    "only the prefix": b"sha256=",
    "no prefix": KNOWN.removeprefix("sha256=").encode(),
    "short": KNOWN[:-1].encode(),
    "long": f"{KNOWN}0".encode(),
    "wrong": f"{KNOWN[:-1]}8".encode(),
    "upper case": KNOWN.upper().encode(),
    "upper case digits": b"sha256=" + KNOWN.removeprefix("sha256=").upper().encode(),
    "space before": f" {KNOWN}".encode(),
    "space after": f"{KNOWN} ".encode(),
    "newline after": f"{KNOWN}\n".encode(),
    "twice": f"{KNOWN},{KNOWN}".encode(),
    "sha1": b"sha1=" + hmac.new(SECRET, BODY, hashlib.sha1).hexdigest().encode(),
    "sha512": b"sha512=" + hmac.new(SECRET, BODY, hashlib.sha512).hexdigest().encode(),
    "non-ASCII": "sha256=é".encode() + KNOWN[8:].encode(),
    "other digits": b"sha256=" + "٣".encode() * 64,
    "bytes that are not text": b"sha256=\xff\xfe",
    "NUL": b"sha256=\0" + KNOWN[8:].encode(),
    "very long": b"sha256=" + b"0" * 1_000_000,
    "another body's": sign(SECRET, BODY + b"\n").encode(),
    "another secret's": sign(SECRET + b"x", BODY).encode(),
    "an empty secret's": sign(b"", BODY).encode(),
}


def call(name: bytes, *values: bytes, body: bytes = BODY) -> Call:
    return Call(tuple((name, value) for value in values), body)


def test_the_published_examples_are_accepted() -> None:
    assert GITHUB.verify(SECRET, call(b"x-hub-signature-256", KNOWN.encode()), NOW)
    assert sign(SECRET, BODY) == KNOWN
    bitbucket = Digest(b"x-hub-signature", b"sha256=")
    told = b"sha256=a4771c39fbe90f317c7824e83ddef3caae9cb3d976c214ace1f2937e133263c9"
    assert bitbucket.verify(SECRET, call(b"x-hub-signature", told, body=b"Hello World!"), NOW)
    assert Standard().verify(WHSEC, standard(), STANDARD_AT)
    assert sign_standard(WHSEC, STANDARD_ID.decode(), STANDARD_AT, STANDARD_BODY).encode() == STANDARD_KNOWN


@pytest.mark.parametrize("header", BAD.values(), ids=BAD.keys())
def test_any_other_digest_is_refused(header: bytes) -> None:
    assert not GITHUB.verify(SECRET, call(b"x-hub-signature-256", header), NOW)
    bare = header.removeprefix(b"sha256=")
    if header not in (BAD["no prefix"],):
        assert not GITEA.verify(SECRET, call(b"x-gitea-signature", bare), NOW)


@pytest.mark.parametrize("proof", [GITHUB, GITEA, PASSWORD, Standard()], ids=["prefix", "bare", "password", "standard"])
def test_without_a_secret_or_a_header_nothing_is_accepted(proof: Proof) -> None:
    assert not proof.verify(SECRET, Call((), BODY), NOW)
    assert not proof.verify(b"", Call((), BODY), NOW)
    assert not proof.is_given(Call((), BODY))
    empty = Call(
        ((b"x-hub-signature-256", sign(b"", BODY).encode()), (b"x-gitea-signature", sign(b"", BODY)[7:].encode()),
         (b"x-gitlab-token", b""), (b"webhook-signature", b"v1,"), (b"webhook-id", b""), (b"webhook-timestamp", b"")),
        BODY,
    )  # fmt: skip
    assert not proof.verify(b"", empty, NOW)


def test_a_header_that_comes_twice_is_refused() -> None:
    assert not GITHUB.verify(SECRET, call(b"x-hub-signature-256", KNOWN.encode(), KNOWN.encode()), NOW)
    assert not PASSWORD.verify(SECRET * 2, call(b"x-gitlab-token", SECRET * 2, SECRET * 2), NOW)


@pytest.mark.parametrize(
    "told", [b"", b"abcdefghijklmnop ", b"abcdefghijklmnoq", b"ABCDEFGHIJKLMNOP", b"a" * 300, b"abc"]
)
def test_another_password_is_refused(told: bytes) -> None:
    assert PASSWORD.verify(b"abcdefghijklmnop", call(b"x-gitlab-token", b"abcdefghijklmnop"), NOW)
    assert not PASSWORD.verify(b"abcdefghijklmnop", call(b"x-gitlab-token", told), NOW)


def standard(**changed: bytes) -> Call:
    headers = {
        b"webhook-id": changed.get("id", STANDARD_ID),
        b"webhook-timestamp": changed.get("at", str(int(STANDARD_AT.timestamp())).encode()),
        b"webhook-signature": changed.get("signature", STANDARD_KNOWN),
    }
    return Call(tuple(headers.items()), changed.get("body", STANDARD_BODY))


@pytest.mark.parametrize("seconds", [-301, 301, 86_400, -10_000_000])
def test_a_signed_call_of_another_time_is_refused(seconds: int) -> None:
    assert not Standard().verify(WHSEC, standard(), STANDARD_AT + timedelta(seconds=seconds))
    within = timedelta(seconds=max(-299, min(299, seconds)))
    assert Standard().verify(WHSEC, standard(), STANDARD_AT + within)


@pytest.mark.parametrize(
    "changed",
    [
        {"id": b"msg_other"},
        {"id": b""},
        {"at": b"1614265331"},
        {"at": b"-1614265330"},
        {"at": b"1614265330.0"},
        {"at": "١٦١٤٢٦٥٣٣٠".encode()},
        {"at": b"9" * 40},
        {"body": STANDARD_BODY + b" "},
        {"signature": STANDARD_KNOWN.replace(b"v1,", b"v2,")},
        {"signature": STANDARD_KNOWN.removeprefix(b"v1,")},
        {"signature": STANDARD_KNOWN[:-1]},
        {"signature": b"v1," + b"A" * 43 + b"="},
        {"signature": b"v1a," + STANDARD_KNOWN[3:]},
        {"signature": b" ".join([b"v1," + b"A" * 43 + b"="] * 8 + [STANDARD_KNOWN])},
    ],
)
def test_a_signed_call_that_was_changed_is_refused(changed: dict[str, bytes]) -> None:
    assert not Standard().verify(WHSEC, standard(**changed), STANDARD_AT)


def test_of_several_signatures_one_has_to_be_right() -> None:
    several = b"v1," + b"A" * 43 + b"= v1a,xyz " + STANDARD_KNOWN
    assert Standard().verify(WHSEC, standard(signature=several), STANDARD_AT)


@pytest.mark.parametrize("secret", [b"", b"whsec_", b"whsec_%%%", b"MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", b"whsec_abc"])
def test_a_secret_that_is_no_signing_token_signs_nothing(secret: bytes) -> None:
    assert key_of(secret) == b""
    signed = sign_standard(secret, STANDARD_ID.decode(), STANDARD_AT, STANDARD_BODY).encode()
    assert not Standard().verify(secret, standard(signature=signed), STANDARD_AT)


@given(st.binary(), st.binary(), st.lists(st.tuples(st.sampled_from([
    b"x-hub-signature-256", b"x-gitea-signature", b"x-gitlab-token", b"webhook-id", b"webhook-timestamp",
    b"webhook-signature"]), st.binary())))  # fmt: skip
def test_no_header_raises(secret: bytes, body: bytes, headers: list[tuple[bytes, bytes]]) -> None:
    sent = Call(tuple(headers), body)
    for proof in (GITHUB, GITEA, Standard()):
        assert proof.verify(secret, sent, NOW) is False
    assert PASSWORD.verify(secret, sent, NOW) in (True, False)


@given(st.binary(min_size=1), st.binary())
def test_every_body_that_was_signed_is_accepted(secret: bytes, body: bytes) -> None:
    assert GITHUB.verify(secret, call(b"x-hub-signature-256", sign(secret, body).encode(), body=body), NOW)
