"""Events of access: tokens, sessions in the browser, and the receivers of webhooks."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from service.model.events.told import IN_WORDS, Happened, Part


@dataclass(frozen=True, kw_only=True)
class TokenCreated(Happened):
    """A token was made."""

    name: ClassVar[str] = "token.created"
    part: ClassVar[Part] = "person"

    token: str
    by: str
    scopes: Sequence[str]
    called: str = field(metadata=IN_WORDS)

    @property
    def text(self) -> str:
        return f"{self.by} created the token {self.called} ({self.token})"


@dataclass(frozen=True, kw_only=True)
class TokenRevoked(Happened):
    """A token is worth nothing any more."""

    name: ClassVar[str] = "token.revoked"
    part: ClassVar[Part] = "person"

    token: str
    by: str

    @property
    def text(self) -> str:
        return f"{self.by} revoked the token {self.token}"


@dataclass(frozen=True, kw_only=True)
class SessionBegan(Happened):
    """Somebody signed in with a token, in a browser."""

    name: ClassVar[str] = "session.began"
    part: ClassVar[Part] = "person"

    session: str
    token: str
    called: str = field(metadata=IN_WORDS)

    @property
    def text(self) -> str:
        return f"somebody signed in with the token {self.called} ({self.token})"


@dataclass(frozen=True, kw_only=True)
class SessionEnded(Happened):
    """Somebody signed out. A session that ends by its time or with its token has no event."""

    name: ClassVar[str] = "session.ended"
    part: ClassVar[Part] = "person"

    session: str
    token: str
    called: str = field(metadata=IN_WORDS)

    @property
    def text(self) -> str:
        return f"somebody signed out of the session {self.session} of the token {self.called} ({self.token})"


@dataclass(frozen=True, kw_only=True)
class _OfReceiver(Happened):
    part: ClassVar[Part] = "person"

    by: str
    called: str = field(metadata=IN_WORDS)
    done: ClassVar[str]

    @property
    def text(self) -> str:
        return f"{self.by} {self.done} the receiver {self.called}"


class ReceiverAdded(_OfReceiver):
    """A forge may call from now on."""

    name = "receiver.added"
    done = "added"


class ReceiverRemoved(_OfReceiver):
    """It may not any more."""

    name = "receiver.removed"
    done = "removed"


class ReceiverRotated(_OfReceiver):
    """It has a new secret; the one before is good for a while."""

    name = "receiver.rotated"
    done = "rotated the secret of"


@dataclass(frozen=True, kw_only=True)
class ReceiverSuspended(_OfReceiver):
    """Its calls are turned away for now."""

    name = "receiver.suspended"
    done = "suspended"

    why: str = field(metadata=IN_WORDS)

    @property
    def text(self) -> str:
        return f"{self.by} suspended the receiver {self.called}: {self.why}"


class ReceiverResumed(_OfReceiver):
    """Its calls are taken again."""

    name = "receiver.resumed"
    done = "resumed"
