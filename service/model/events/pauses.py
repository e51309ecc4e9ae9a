"""Events of what keeps applies from beginning."""

from dataclasses import dataclass, field
from typing import ClassVar, Self

from service.model.events.told import IN_WORDS, UNATTENDED, Happened, Part
from service.model.suspensions import Suspension


@dataclass(frozen=True, kw_only=True)
class _OfSuspension(Happened):
    """`host` is empty where it is about several."""

    part: ClassVar[Part] = "person"

    suspension: int
    scope: str
    target: str
    by: str
    about: str = field(metadata=IN_WORDS)
    said: str = field(metadata=IN_WORDS)

    @classmethod
    def of(cls, one: Suspension) -> Self:
        """The event of a suspension."""
        return cls(
            host=one.target if one.scope == "host" else "", suspension=one.id, scope=one.scope, target=one.target,
            by=one.ended_by or one.by, about=one.about, said=f"{one.end}: {one.reason}",
        )  # fmt: skip


class Suspended(_OfSuspension):
    """No apply begins on these hosts for now."""

    name = "apply.suspended"

    @property
    def text(self) -> str:
        return f"{self.by} suspended {self.about} {self.said}"


class Resumed(_OfSuspension):
    """Applies may begin again."""

    name = "apply.resumed"

    @property
    def text(self) -> str:
        if self.by == UNATTENDED:
            return f"the suspension of {self.about} has run out"
        if self.by == "git":
            return f"the suspension of {self.about} has ended: Git wants something else of it"
        return f"{self.by} resumed {self.about}"
