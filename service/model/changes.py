"""Drift and change: where what is wanted and what is there differ, and which side changed."""

from dataclasses import dataclass
from typing import Literal

from service.model.states import Json

Op = Literal["missing", "extra", "changed"]
Where = Literal["live", "file", "boot"]
Moved = Literal["git", "host", "both"]


@dataclass(frozen=True, slots=True)
class Difference:
    """One field of one resource that is not as wanted. `kind` is the spec section it comes from.

    `where`: live = kernel and daemons now; file = an owned file or stanza; boot = what the next boot would make of it.
    `unknown` holds the reason where the host could not be read: then `have` says nothing. `cause` says what the wish
    follows from, where no one wrote it.
    """

    kind: str
    resource: str
    field: str
    where: Where
    op: Op
    want: Json
    have: Json
    unknown: str = ""
    cause: str = ""

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What makes it the same difference at the next observation."""
        return (self.kind, self.resource, self.field, self.where)


@dataclass(frozen=True, slots=True)
class Drift:
    """A difference with its side: `git` = the spec changed since the last apply, `host` = the host did, `both`."""

    difference: Difference
    moved: Moved
