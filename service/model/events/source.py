"""Events of the source: revisions, and whether it is followed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from service.model.events.told import IN_WORDS, Happened, Part


@dataclass(frozen=True, kw_only=True)
class _OfRevision(Happened):
    part: ClassVar[Part] = "git"
    state: ClassVar[str]

    commit: str
    author: str
    why: str = field(metadata=IN_WORDS)

    @property
    def text(self) -> str:
        return f"{self.commit[:10]} {self.state}: {self.why}"


class RevisionAccepted(_OfRevision):
    """A commit is what Git wants from now on. `why` is its subject."""

    name = "revision.accepted"
    state = "accepted"


class RevisionRefused(_OfRevision):
    """A commit is not followed. `why` is the first error."""

    name = "revision.refused"
    state = "refused"

    weight = "silent"
    """The state of the source says it."""


@dataclass(frozen=True, kw_only=True)
class HistoryAccepted(Happened):
    """A person accepts that the history of the source was rewritten."""

    name: ClassVar[str] = "source.rewrite-accepted"
    part: ClassVar[Part] = "person"

    commit: str
    before: str
    by: str
    why: str = field(metadata=IN_WORDS)

    @property
    def text(self) -> str:
        return f"{self.by} accepts the rewritten history: {self.commit[:10]} follows {self.before[:10]}: {self.why}"


@dataclass(frozen=True, kw_only=True)
class RolloutMoved(Happened):
    """A rollout began, halted, continued or ended: by Git, by what became of its hosts, or by a person (`by`)."""

    name: ClassVar[str] = "rollout.state"
    part: ClassVar[Part] = "service"

    rollout: str
    state: str
    by: str = ""
    why: str = field(default="", metadata=IN_WORDS)
    was: Mapping[str, str] = field(default_factory=dict)

    @property
    def text(self) -> str:
        who = f" by {self.by}" if self.by else ""
        return f"rollout {self.rollout} is {self.state}{who}{f': {self.why}' if self.why else ''}"


@dataclass(frozen=True, kw_only=True)
class SourceTrouble(Happened):
    """The source cannot be followed."""

    name: ClassVar[str] = "source.trouble"
    part: ClassVar[Part] = "git"

    why: str = field(metadata=IN_WORDS)

    @property
    def text(self) -> str:
        return self.why

    weight = "silent"
    """The state of the source says it."""


@dataclass(frozen=True, kw_only=True)
class SourceWell(Happened):
    """It is followed again."""

    name: ClassVar[str] = "source.well"
    part: ClassVar[Part] = "git"

    @property
    def text(self) -> str:
        return "the source is followed again"

    weight = "silent"
    """The state of the source says it."""
