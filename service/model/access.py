"""Who may do what: scopes, hosts, tokens, receivers."""

import fnmatch
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, get_args

from service.model.secret import Secret

Scope = Literal["read", "plan", "apply", "approve", "tokens", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)

ReceiverType = Literal["github", "generic"]
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
    """Who asks: a token's id and name, its scopes, and the hosts it may see and touch. `admin` includes every scope."""

    id: str
    name: str
    scopes: frozenset[Scope]
    hosts: tuple[str, ...] = ("*",)

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
    """A webhook's address and how its calls prove themselves."""

    name: str
    type: ReceiverType
    created_at: datetime


@dataclass(frozen=True, slots=True)
class ReceiverSecret:
    """What a call to a receiver is checked against."""

    name: str
    type: ReceiverType
    secret: Secret
