"""A revision that is looked at and never followed, and what it would do to each host.

Proposal      a branch, a pull request or a commit of the source
Proposed      its findings, and a plan for each host that it changes
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from service.model.states import Json
from service.model.trees import Commit

ProposalKind = Literal["branch", "pull", "commit"]
ProposalOutcome = Literal[
    "unchanged", "changes", "refused", "incomplete", "new", "gone", "renamed", "not-known", "left-out"
]


@dataclass(frozen=True, slots=True)
class Proposal:
    """What to look at. `name` is a branch's short name, a pull request's number, or a full commit id."""

    kind: ProposalKind
    name: str

    @property
    def label(self) -> str:
        """For people."""
        return {"branch": "branch", "pull": "pull request", "commit": "commit"}[self.kind] + f" {self.name}"


@dataclass(frozen=True, slots=True)
class HostProposal:
    """What the revision would do to one host.

    unchanged: it wants what is wanted now. changes: `body` is the plan. refused: a plan with refusals. incomplete: a
    plan that depends on things that nobody looked at yet. new: no host has this name now. gone: it leaves Git, and
    nothing is done to it. renamed: it gets another name. not-known: it was not seen, or there is no plan of it.
    left-out: the time or the size of one answer did not suffice. `why` has the reason in words. `settings` are keys of
    the host's file that changed and change nothing on the host. `observed_at` is when the host was seen that it was
    compared with. `other` is the name that a renamed host has before or afterwards.
    """

    host: str
    outcome: ProposalOutcome
    why: str = ""
    settings: tuple[str, ...] = ()
    observed_at: datetime | None = None
    digest: str = ""
    body: Mapping[str, Any] | None = None
    other: str = ""


@dataclass(frozen=True, slots=True)
class Proposed:
    """`in_force` is the commit that it was compared with. `contains_it` is whether the revision has that one in its
    history. Without it, the plans also go back behind what is in force. A revision with errors has no `hosts`: it would
    be refused as a whole. `more_findings` are those left out of `findings`.
    """

    proposal: Proposal
    commit: Commit
    in_force: str
    contains_it: bool
    errors: int
    warnings: int
    findings: tuple[Json, ...] = ()
    more_findings: int = 0
    hosts: tuple[HostProposal, ...] = ()
