"""Tokens and sessions that were read since the database last changed, so that not every request reads its own again."""

import threading
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, Protocol, TypeVar

from service.model.access import Principal

KEPT = 1_000
"""So many at most; of more, the one that was read longest ago goes."""


@dataclass(frozen=True, slots=True)
class KnownToken:
    """What the database says of a token that is in force; `digest` is that of its secret."""

    principal: Principal
    digest: str
    expires_at: datetime
    last_used_at: datetime | None

    @property
    def key(self) -> str:
        """Whose it is."""
        return self.principal.id


class Keyed(Protocol):
    """What is known by an id."""

    @property
    def key(self) -> str: ...


Known = TypeVar("Known", bound=Keyed)


class KnownTokens(Generic[Known]):
    """Holds in one state of the database only: whatever is written, by whichever process, ends it. Safe to use from
    many threads."""

    def __init__(self) -> None:
        self._state: int | None = None
        self._tokens: OrderedDict[str, Known] = OrderedDict()
        self._using = threading.Lock()

    def keep(self, token: Known, state: int | None) -> None:
        """The token was read after the database was in this state."""
        with self._using:
            if state is None or not self._moved_to(state):
                return
            self._tokens[token.key] = token
            if len(self._tokens) > KEPT:
                self._tokens.popitem(last=False)

    def of(self, token_id: str, state: int | None) -> Known | None:
        """What is known in this state."""
        with self._using:
            return self._tokens.get(token_id) if state is not None and self._moved_to(state) else None

    def _moved_to(self, state: int) -> bool:
        """Whether it is the newest state; what was known in an earlier one goes."""
        if self._state is None or state > self._state:
            self._state = state
            self._tokens.clear()
        return state == self._state
