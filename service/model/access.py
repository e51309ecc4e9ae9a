"""Who may do what: scopes, hosts, tokens, receivers."""

import fnmatch
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, get_args

from service.model.secret import Secret

Scope = Literal["read", "plan", "apply", "approve", "tokens", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)

ReceiverType = Literal[
    "github", "gitlab", "gitea", "forgejo", "gogs", "bitbucket", "bitbucket-server", "generic"
]  # fmt: skip
RECEIVER_TYPES: tuple[ReceiverType, ...] = get_args(ReceiverType)

_SELECTOR = re.compile(r"[a-z0-9*?._-]{1,64}")
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")


def is_selector(text: str) -> bool:
    """Whether `text` selects hosts: a host's name in which `*` and `?` stand for anything and for one character."""
    return _SELECTOR.fullmatch(text) is not None


def is_name(text: str) -> bool:
    """Whether `text` may name a token or a receiver: small letters, digits, dot, dash, underscore; 63 at most."""
    return _NAME.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks: a token's id and name, its scopes, and the hosts it may see and touch. `admin` includes every scope.

    Of a person who signed in, `scopes` and `hosts` are those that count for this request, and `grants` are all: scopes,
    each with hosts. A token has none.
    """

    id: str
    name: str
    scopes: frozenset[Scope]
    hosts: tuple[str, ...] = ("*",)
    grants: tuple[tuple[tuple[Scope, ...], tuple[str, ...]], ...] = ()

    def may(self, scope: Scope) -> bool:
        """Whether the scope is given. No scope but admin includes another."""
        return scope in self.scopes or "admin" in self.scopes

    @property
    def sees_all(self) -> bool:
        """Whether it is for every host, also for those that come later."""
        return "*" in self.hosts

    def covers(self, selectors: "tuple[str, ...]") -> bool:
        """Whether every host that these select is selected here, too. A selector with `*` or `?` is covered on its own
        or by `*` only."""
        is_plain = {one: not set(one) & set("*?") for one in selectors}
        return self.sees_all or all(one in self.hosts or (is_plain[one] and self.sees(one)) for one in selectors)

    def sees(self, host: str) -> bool:
        """Whether the host is one of those selected."""
        return self.sees_all or any(fnmatch.fnmatchcase(host, selector) for selector in self.hosts)


@dataclass(frozen=True, slots=True)
class Token:
    """A token as it is listed: never its secret, nor the secret's digest."""

    id: str
    name: str
    scopes: tuple[Scope, ...]
    hosts: tuple[str, ...]
    created_at: datetime
    created_by: str
    expires_at: datetime
    last_used_at: datetime | None = None
    revoked_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Receiver:
    """A webhook's address and how its calls prove themselves.

    `events` and `branches` are those that are obeyed: the pushes of its type and the source's branch where they are
    empty. `suspended` is the reason why nothing is taken now. The secret before the last rotation is good until
    `old_until`.
    """

    name: str
    type: ReceiverType
    created_at: datetime
    events: tuple[str, ...] = ()
    branches: tuple[str, ...] = ()
    suspended: str = ""
    suspended_by: str = ""
    old_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class ReceiverSecret:
    """What a call to a receiver is checked against. `old` is the secret before the last rotation, until `old_until`."""

    receiver: Receiver
    secret: Secret
    old: Secret | None = None

    @property
    def name(self) -> str:
        """The receiver's name."""
        return self.receiver.name

    def secrets(self, now: datetime) -> tuple[Secret, ...]:
        """Those that are good now, the newest first."""
        until = self.receiver.old_until
        return (self.secret, self.old) if self.old is not None and until is not None and now < until else (self.secret,)


DeliveryOutcome = Literal["accepted", "ping", "other-event", "other-branch", "refused"]


@dataclass(frozen=True, slots=True)
class Delivery:
    """A call to a receiver and what came of it.

    accepted: the source was fetched soon after. ping: the forge tries the address. other-event, other-branch: not one
    that the receiver obeys. refused: it did not prove itself; `message` says what was missing. `repeats` is how often
    it came again, `last_at` when it came last. `event`, `branch` and `commit` are as the forge reported them.
    """

    id: int
    receiver: str
    delivery: str
    at: datetime
    outcome: DeliveryOutcome
    event: str
    branch: str
    commit: str
    message: str
    repeats: int
    last_at: datetime
