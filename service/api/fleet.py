"""What a person decides about the fleet as a whole: hosts that left Git, a history that was rewritten."""

from typing import Annotated

from fastapi import FastAPI
from pydantic import Field, StringConstraints

from service.api.known import status_of
from service.api.parts import Parts
from service.api.problem import RequestRefused
from service.api.schemas import Answer, Asked
from service.api.values import Approver, CommitId, HostName, HostPath, Reason, SafeStr

PREFIX = "/api/v1"
CommitStart = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{10,64}$")]


class ForgetAsked(Asked):
    """Why nobody needs its history any more."""

    reason: SafeStr = ""


class Forgotten(Answer):
    """The host of which nothing but events is recorded now."""

    host: HostName


class RewriteAsked(Asked):
    """The commit at which the branch is now, and why its history was rewritten."""

    commit: CommitStart = Field(description="its name, or at least the first 10 characters of it")
    reason: Reason


class Accepted(Answer):
    """The commit that is followed."""

    commit: CommitId


def add_routes(app: FastAPI, parts: Parts) -> None:
    """`/hosts/{host}/forget` and `/source/accept`."""

    @app.post(
        f"{PREFIX}/hosts/{{host}}/forget",
        operation_id="forget_host",
        summary="Remove all records of a host that left Git, but for its events",
        description="422 where the host is in Git. Nothing on the host is touched.",
        tags=["hosts"],
    )
    async def forget_host(who: Approver, host: HostPath, asked: ForgetAsked) -> Forgotten:
        await status_of(parts, who, host)
        await parts.control.forget(host, asked.reason, who.name)
        return Forgotten(host=host)

    @app.post(
        f"{PREFIX}/source/accept",
        operation_id="accept_source",
        summary="Follow a branch whose history was rewritten, from this commit on",
        description="409 `source-changed` where the branch is elsewhere by now. Needs a token for every host.",
        tags=["revisions"],
    )
    async def accept_source(who: Approver, asked: RewriteAsked) -> Accepted:
        if not who.sees_all:
            raise RequestRefused(403, "the token is for some hosts; this concerns every host")
        return Accepted(commit=await parts.control.accept_rewrite(asked.commit, asked.reason, who.name))
