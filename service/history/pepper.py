"""Tokens: how they look, and the pepper that makes a stolen database useless for guessing them.

    psr_<id>.<secret>     id: 12 characters, secret: 32 random bytes, both in [0-9A-Za-z]

The database holds HMAC-SHA256(pepper, secret). A fast digest is right for 256 random bits; slow ones are for passwords.

A receiver's secret has to be readable, because it checks signatures. The database holds it encrypted with a key that is
made of the pepper: AES-256-GCM (NIST SP 800-38D) by `cryptography`. Each text has a random nonce, and the name of whom
it belongs to as additional data.
"""

import base64
import hashlib
import hmac
import os
import re
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from service.errors import StoreError
from service.model.secret import Seal, Secret

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_TOKEN = re.compile(rb"psr_([0-9A-Za-z]{12})\.([0-9A-Za-z]{43})")
_SESSION = re.compile(rb"([0-9A-Za-z]{12})\.([0-9A-Za-z]{43})")
PEPPER_BYTES = 32
NONCE_BYTES = 12
CLOSED = "closed 1 "
"""How an encrypted secret begins. No secret of a receiver has a blank in it."""


@dataclass(frozen=True, slots=True)
class Pepper:
    """The pepper and its id, a short digest of it."""

    value: Secret

    @property
    def id(self) -> str:
        """Which pepper it is, without reporting it."""
        return hashlib.sha256(b"passerelle pepper id " + self.value.reveal()).hexdigest()[:16]

    def digest(self, secret: bytes) -> str:
        """What the database keeps of a secret."""
        return hmac.new(self.value.reveal(), secret, hashlib.sha256).hexdigest()

    def session_digest(self, secret: bytes) -> str:
        """What the database keeps of the secret of a session. Nothing has the same digest as a session and a token."""
        return self.digest(b"passerelle session 1 " + secret)

    def closed(self, secret: Secret, about: str) -> str:
        """A secret as the database keeps it. `about` is whom it belongs to: it cannot be opened for anybody else."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        return CLOSED + base64.b64encode(nonce + self._cipher.encrypt(nonce, secret.reveal(), about.encode())).decode()

    def opened(self, kept: str, about: str) -> Secret:
        """The reverse. What was closed with another pepper, or for somebody else, is empty: it proves nothing. A text
        of an earlier version is the secret itself."""
        if not kept.startswith(CLOSED):
            return Secret(kept.encode())
        from cryptography.exceptions import InvalidTag  # noqa: PLC0415  # commands that need no secret do not load it

        try:
            found = base64.b64decode(kept.removeprefix(CLOSED), validate=True)
            return Secret(self._cipher.decrypt(found[:NONCE_BYTES], found[NONCE_BYTES:], about.encode()))
        except (InvalidTag, ValueError):
            return Secret(b"")

    @property
    def _cipher(self) -> "AESGCM":
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415  # as above

        return AESGCM(hmac.new(self.value.reveal(), b"passerelle closed secrets 1", hashlib.sha256).digest())

    @property
    def seal(self) -> Seal:
        """The key for the marks of secrets: as lasting as the tokens, and of no use for them."""
        return Seal(Secret(hmac.new(self.value.reveal(), b"passerelle seal of secrets", hashlib.sha256).digest()))


def read_pepper(path: Path) -> Pepper:
    """The pepper in this file, made at first need. StoreError if the file can be read by others or is not a pepper."""
    if not path.exists():
        _make(path)
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    with os.fdopen(descriptor, "rb") as file:
        if os.fstat(descriptor).st_mode & 0o077:
            raise StoreError(f"{path} can be read by others", hint=f"run `chmod 600 {path}`")
        value = file.read(PEPPER_BYTES + 1)
    if len(value) != PEPPER_BYTES:
        raise StoreError(
            f"{path} is not a pepper of {PEPPER_BYTES} bytes", hint="restore it, because no token works without it"
        )
    return Pepper(Secret(value))


def _make(path: Path) -> None:
    """Write a temporary file and link it, so that two that start at once end with the same pepper."""
    beside = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(PEPPER_BYTES))
            file.flush()
            os.fsync(descriptor)
        try:
            os.link(beside, path)
        except FileExistsError:
            return
    finally:
        beside.unlink()


def new_token() -> tuple[str, bytes]:
    """A token's id and its secret."""
    return _letters(12), _letters(43).encode()


def token_text(token_id: str, secret: bytes) -> str:
    """The token as its owner keeps it."""
    return f"psr_{token_id}.{secret.decode()}"


def parse_token(text: bytes) -> tuple[str, bytes] | None:
    """Id and secret of what was presented as a token, None if it does not look like one."""
    match = _TOKEN.fullmatch(text)
    return (match[1].decode(), match[2]) if match else None


def new_session() -> tuple[str, bytes]:
    """The id of a session in the browser, and its secret: as those of a token."""
    return new_token()


def parse_session(text: bytes) -> tuple[str, bytes] | None:
    """Id and secret of what a cookie holds, None if it does not look like a session."""
    match = _SESSION.fullmatch(text)
    return (match[1].decode(), match[2]) if match else None


def new_secret() -> str:
    """A receiver's secret: 43 letters, 256 bits."""
    return _letters(43)


def new_signing_token() -> str:
    """A receiver's secret in the form of Standard Webhooks: `whsec_` and 32 bytes in base64. It is a password, too."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()


def _letters(count: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(count))
