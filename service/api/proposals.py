"""Plans of a branch, a pull request or a commit that is not followed: what would happen if it were merged."""

import asyncio
from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any

from fastapi import FastAPI
from pydantic import Field, StringConstraints, model_validator
from starlette.responses import Response

from service.api import schemas
from service.api.parts import Parts
from service.api.seen import findings_seen
from service.api.values import CommitId, HostName, Planner
from service.model.access import Principal
from service.model.proposals import Proposal, ProposalKind, Proposed

PREFIX = "/api/v1"
MAX_HOSTS = 200

BranchName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._/+=,@#-]{0,199}$")]


class ProposalAsked(schemas.Asked):
    """One revision: a branch, a pull request (GitLab: merge request) or a commit. Without `hosts`: all that are
    seen."""

    branch: BranchName | None = Field(default=None, description="its short name")
    pull: Annotated[int, Field(strict=True, ge=1, le=10**9 - 1)] | None = Field(default=None, description="its number")
    commit: CommitId | None = Field(default=None, description="the full commit id")
    hosts: list[HostName] = Field(default=[], max_length=MAX_HOSTS)

    @model_validator(mode="after")
    def _one(self) -> "ProposalAsked":
        if sum(one is not None for one in (self.branch, self.pull, self.commit)) != 1:
            raise ValueError("give one of branch, pull and commit")
        return self

    @property
    def proposal(self) -> Proposal:
        """The revision."""
        if self.branch is not None:
            return Proposal("branch", self.branch)
        return Proposal("pull", str(self.pull)) if self.pull is not None else Proposal("commit", str(self.commit))


class ProposalNamed(schemas.Answer):
    """What was looked at."""

    kind: ProposalKind
    name: str


class CommitNamed(schemas.Answer):
    """A commit of it."""

    hash: str
    author_name: str
    author_email: str
    committed_at: datetime
    subject: str


class HostProposed(schemas.Told):
    """What the revision would do to one host."""

    host: str
    outcome: str = Field(
        description="unchanged, changes, refused, incomplete (it depends on what nobody looked at yet), new, gone, "
        "renamed, not-known, left-out (one answer has no room or time for it)"
    )
    why: str
    settings: list[str] = Field(description="changed keys of the host's file that change nothing on the host")
    observed_at: datetime | None = Field(description="when the host was seen that it was compared with")
    digest: str
    body: dict[str, Any] | None = Field(description="the plan, as in `GET /plans/{plan_id}`; null without one")


class ProposedPlans(schemas.Told):
    """A revision that nobody follows. Nothing of it is recorded, queued or applied."""

    proposal: ProposalNamed
    commit: CommitNamed
    in_force: str = Field(description="the commit that it was compared with")
    contains_it: bool = Field(description="false: the plans also undo what came into force since the revision began")
    errors: int = Field(description="with any, the revision would be refused as a whole, so `hosts` is empty")
    warnings: int
    findings: list[Any]
    more_findings: int
    hosts: list[HostProposed]


def add_routes(app: FastAPI, parts: Parts) -> None:
    """The route that plans a revision."""

    @app.post(
        f"{PREFIX}/plans",
        operation_id="plan_revision",
        summary="The plans of a branch, a pull request or a commit. Changes nothing",
        description="The revision is fetched and checked, and each host is compared with what was seen of it last. "
        "503 where it cannot be fetched, or too many requests wait.",
        tags=["plans"],
        response_model=ProposedPlans,
    )
    async def plan_revision(who: Planner, asked: ProposalAsked) -> Response:
        found = await parts.proposals.propose(asked.proposal, who.sees, asked.hosts)
        # as large as the revision makes it: not on the event loop
        text = await asyncio.to_thread(lambda: ProposedPlans.model_validate(seen(who, found)).model_dump_json())
        return Response(text, media_type="application/json")


def seen(who: Principal, found: Proposed) -> Proposed:
    """The same with the findings of the hosts that are seen."""
    return replace(found, findings=findings_seen(who, found.findings))
