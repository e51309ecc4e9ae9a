"""Where the specs come from, and what a fetch found.

Source                          what the operator set: URL or path, branch
Fetched = Unchanged | Advanced | Rewound | Unverified | Missing | Empty | Failed
SourceStanding                  whether the source is followed now, since when, and why not
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, TypeAlias

SourceKind = Literal["https", "ssh", "local"]

FailCause = Literal["address", "unreachable", "timeout", "refused", "unsupported", "too-big", "mirror", "busy"]


@dataclass(frozen=True, slots=True)
class Source:
    """A checked Git source: `url` is https://…, ssh://… or an absolute path. `parse_source` makes it."""

    url: str
    branch: str
    kind: SourceKind

    @property
    def ref(self) -> str:
        """The branch as a full ref name."""
        return f"refs/heads/{self.branch}"


@dataclass(frozen=True, slots=True)
class Unchanged:
    """The branch is where it was at the last accepted commit."""

    commit: str


@dataclass(frozen=True, slots=True)
class Advanced:
    """The branch is at `commit`, a descendant of `old`, the last accepted one (None: there was none)."""

    commit: str
    old: str | None = None


@dataclass(frozen=True, slots=True)
class Rewound:
    """The branch's head `new` does not descend from the last accepted commit `old`: history was rewritten.

    Nothing follows from it on its own. A person accepts it by making `new` the last accepted commit.
    """

    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Unverified:
    """The branch is at `new`, and `commit`, the oldest of `wrong` commits among `count` new ones, has no signature that
    counts. `why` says what is wrong with it: "the commit … <why>"."""

    new: str
    commit: str
    why: str
    wrong: int
    count: int


@dataclass(frozen=True, slots=True)
class Missing:
    """The repository has branches, but not this one. `others` are some that it has, made showable."""

    branch: str
    others: tuple[str, ...] = field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class Empty:
    """The repository has no branch at all."""


@dataclass(frozen=True, slots=True)
class Failed:
    """Nothing could be learned now; the last good revision stays in force.

    `cause` is a fixed word: timeout, too-big, address (it resolves to a forbidden one), unreachable (no usable answer),
    refused (git rejected the data), unsupported repository, mirror (our copy), busy.
    `reason` is for people: a sentence, and a Fix where there is one, without secrets and control characters.
    """

    cause: FailCause
    reason: str


Fetched: TypeAlias = Unchanged | Advanced | Rewound | Unverified | Missing | Empty | Failed

SourceState = Literal[
    "unread", "followed", "refused", "unverified", "rewound", "missing", "empty", "unreachable", "unreadable", "failed"
]


@dataclass(frozen=True, slots=True)
class SourceStanding:
    """Whether the source is followed. `commit` is the last good revision, which is in force whatever the state is.

    refused: the newest commit has errors. unverified: a new commit has no signature that counts. rewound, missing,
    empty: the branch lost what was accepted. unreachable: the source gave no answer. unreadable: the commit's files
    cannot be read. failed: the service itself could not look, for an error that nobody expected or for want of its
    database. `fetched_at` is when it last answered well.
    """

    state: SourceState = "unread"
    message: str = ""
    commit: str = ""
    since: datetime | None = None
    fetched_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Rewrite:
    """A person accepts that the history was rewritten: `commit` is followed although it does not descend from `before`,
    the last accepted one then."""

    commit: str
    before: str
    by: str
    reason: str
    at: datetime


def head_of(fetched: Fetched) -> str:
    """The commit at which a fetch found the branch; empty where it found none."""
    match fetched:
        case Unchanged(commit=commit) | Advanced(commit=commit) | Rewound(new=commit) | Unverified(new=commit):
            return commit
        case _:
            return ""


def state_of(fetched: Fetched) -> SourceState:
    """The word for what a fetch found."""
    match fetched:
        case Unverified():
            return "unverified"
        case Rewound():
            return "rewound"
        case Missing():
            return "missing"
        case Empty():
            return "empty"
        case Failed():
            return "unreachable"
        case _:
            return "followed"
