"""What nobody may see: bytes that are not printed, not stored and not sent to a reader.

    Secret(b"…")            prints as Secret(***); JSON refuses it; compared in constant time
    .reveal() -> bytes      the one way to read it; tests/test_secret.py has the list of the places that do
    Seal(key).mark(secret)  what stands for it where people read: equal for equal contents, worth nothing for guessing

A mark is HMAC-SHA256 (RFC 2104) under a key that only the service has. A plain digest would tell a short or a known
secret to whoever tries some: the digest of a plan is public, and covers the mark.
"""

import hashlib
import hmac
from dataclasses import dataclass
from typing import final

_FOR_FILES = b"passerelle mark of a secret 1\0"


@final
class Secret:
    """Some bytes. Pickling keeps them, for work is done in processes of the service's own (service/workers): no pickle
    is ever stored."""

    __slots__ = ("_content",)

    def __init__(self, content: bytes) -> None:
        self._content = bytes(content)

    def reveal(self) -> bytes:
        """The bytes. Only for where they are used: what goes to the host, to Git, into a check of a signature."""
        return self._content

    def __eq__(self, other: object) -> bool:
        return hmac.compare_digest(self._content, other._content) if isinstance(other, Secret) else NotImplemented

    def __hash__(self) -> int:
        return hash((Secret, self._content))

    def __repr__(self) -> str:
        return "Secret(***)"

    def __reduce__(self) -> tuple[type["Secret"], tuple[bytes]]:
        return Secret, (self._content,)


@dataclass(frozen=True, slots=True)
class Seal:
    """The key under which secrets are distinguished."""

    key: Secret

    def mark(self, secret: Secret) -> str:
        """64 hex digits that stand for the secret."""
        return hmac.new(self.key.reveal(), _FOR_FILES + secret.reveal(), hashlib.sha256).hexdigest()
