"""Suspensions: hosts on which no apply begins for now. They are observed nevertheless.

Suspension.holds(host, labels, now)     whether it is in force for a host
Suspension.words                        the sentence for people
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from service.model.labels import has, labelled

Scope = Literal["host", "label", "all"]
LONGEST_DEFAULT = timedelta(hours=24)
"""How long a suspension lasts where nobody says until when: one that is forgotten ends."""


@dataclass(frozen=True, slots=True)
class Suspension:
    """No apply begins on these hosts, whoever asks. `target` is a host's name for the scope `host`, `KEY=VALUE` for
    `label`, empty for `all`. `until` None: until a person resumes. `ended_by` is who did, `passerelle` at `until`,
    `git` where Git wants something else of a host that was held; empty while it is in force.

    `held_digest` is what Git wanted of the host when a person went back to an earlier state of it: it holds only while
    Git wants this."""

    id: int
    scope: Scope
    target: str
    reason: str
    by: str
    since: datetime
    until: datetime | None = None
    ended_at: datetime | None = None
    ended_by: str = ""
    held_digest: str = ""

    def is_in_force(self, now: datetime) -> bool:
        """Whether it has neither ended nor run out."""
        return self.ended_at is None and (self.until is None or now < self.until)

    def names(self, host: str, labels: Mapping[str, str]) -> bool:
        """Whether it is about this host."""
        if self.scope == "label":
            one = labelled(self.target)
            return one is not None and has(labels, one)
        return self.scope == "all" or self.target == host

    def holds(self, host: str, labels: Mapping[str, str], now: datetime, wanted: str = "") -> bool:
        """Whether it is in force for a host of which Git wants the digest `wanted`; empty: that is not known."""
        is_of_wanted = not (self.held_digest and wanted) or self.held_digest == wanted
        return is_of_wanted and self.is_in_force(now) and self.names(host, labels)

    @property
    def about(self) -> str:
        """Which hosts, for people."""
        return {"host": self.target, "label": f"hosts with {self.target}", "all": "all hosts"}[self.scope]

    @property
    def end(self) -> str:
        """Until when, for people."""
        if self.held_digest:
            return "until Git wants something else of the host"
        return f"until {self.until:%Y-%m-%d %H:%M %Z}" if self.until is not None else "until somebody resumes"

    @property
    def words(self) -> str:
        """What it is, who made it, why, and until when."""
        more = "" if self.scope == "host" else f" ({self.about})"
        return f"suspended by {self.by}{more} {self.end}: {self.reason}"


def of_host(
    suspensions: tuple[Suspension, ...], host: str, labels: Mapping[str, str], now: datetime, wanted: str = ""
) -> Suspension | None:
    """The one that holds a host longest; None where it is free."""
    holding = [one for one in suspensions if one.holds(host, labels, now, wanted)]
    endless = [one for one in holding if one.until is None]
    timed = sorted((one for one in holding if one.until is not None), key=_until, reverse=True)
    return next(iter([*endless, *timed]), None)


def _until(one: Suspension) -> datetime:
    if one.until is None:
        raise AssertionError("a suspension without an end")
    return one.until
