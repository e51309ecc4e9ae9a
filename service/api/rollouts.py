"""Rollouts: how far a revision is on its way to the hosts; halt it, let it continue, abort it."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Annotated

from fastapi import FastAPI, Path
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from service.api import listings, schemas
from service.api.pages import page_out
from service.api.parts import Parts
from service.api.problem import RequestRefused
from service.api.schemas import Answer, Asked
from service.api.seen import member_seen
from service.api.values import Applier, Approver, Reader, Reason, Ulid, ask, there
from service.model import rollouts as model
from service.model.access import Principal
from service.model.rollouts import MemberState, RolloutState

PREFIX = "/api/v1"
RolloutId = Annotated[Ulid, Path(description="A ULID")]


class RolloutPolicy(Answer):
    """`rollout` of fleet.yaml when it began."""

    waves: list[str]
    soak_s: float
    max_failures: int = Field(description="0: any number")
    max_unavailable: str | None
    last: list[str]


class Rollout(Answer):
    """A revision on its way to the hosts that it changes."""

    id: str
    commit: str
    state: RolloutState
    wave: int = Field(description="the wave in which it is, counted from 1")
    waves: int
    by: str = Field(description="who halted, resumed or aborted it last; empty where the service did")
    why: str
    is_approved: bool = Field(description="a person approved that it is large")
    created_at: datetime | None
    ended_at: datetime | None
    hosts: int
    pending: int
    applying: int
    done: int
    failed: int
    aborted: int
    away: int = Field(description="hosts that were begun and cannot be reached now")
    aside: int = Field(description="pending hosts on which nothing can begin until a person acts")
    policy: RolloutPolicy


class RolloutHost(Answer):
    """A host of a rollout. `wave` is the one in which it was begun, 0 before."""

    host: str
    state: MemberState
    wave: int
    needs: list[str]
    is_last: bool
    begun_at: datetime | None
    ended_at: datetime | None
    error: str
    aside: str = Field(description="why nothing can begin on it until a person acts; empty: it is not set aside")


class RolloutMove(Asked):
    """Why a person moves it."""

    reason: Reason


def add_routes(app: FastAPI, parts: Parts) -> None:
    """The routes below /rollouts."""
    add_reads(app, parts)
    add_moves(app, parts)


def add_reads(app: FastAPI, parts: Parts) -> None:
    """The list, one of them, and its hosts."""

    @app.get(
        f"{PREFIX}/rollouts",
        operation_id="list_rollouts",
        summary="Rollouts, newest first",
        description="The newest 50 are kept. A token for some hosts sees none.",
        tags=["rollouts"],
    )
    async def list_rollouts(
        who: Reader, request: Request, response: Response, asked: listings.Rollouts
    ) -> schemas.ListOf[Rollout]:
        page = await ask(parts.reads.rollouts, asked)
        if not who.sees_all:
            return schemas.ListOf[Rollout](items=[], next_cursor=None)
        return page_out(page, rollout_out, request, response)

    @app.get(f"{PREFIX}/rollouts/{{rollout_id}}", operation_id="get_rollout", summary="One rollout", tags=["rollouts"])
    async def get_rollout(who: Reader, rollout_id: RolloutId) -> Rollout:
        return rollout_out(await known(parts, who, rollout_id))

    @app.get(
        f"{PREFIX}/rollouts/{{rollout_id}}/hosts",
        operation_id="list_rollout_hosts",
        summary="The hosts of a rollout by name",
        tags=["rollouts"],
    )
    async def list_rollout_hosts(
        who: Reader, request: Request, response: Response, rollout_id: RolloutId, asked: listings.RolloutHosts
    ) -> schemas.ListOf[RolloutHost]:
        there(await ask(parts.reads.rollout, rollout_id), f"no rollout {rollout_id}")
        page = await ask(parts.reads.rollout_hosts, replace(asked, rollout_id=rollout_id, visible=who.hosts))
        return page_out(page, lambda one: RolloutHost.model_validate(member_seen(who, one)), request, response)


def add_moves(app: FastAPI, parts: Parts) -> None:
    """What a person does with one."""

    @app.post(
        f"{PREFIX}/rollouts/{{rollout_id}}/halt",
        operation_id="halt_rollout",
        summary="Begin no further host",
        description="Changes that are under way come to their end. Needs a token for every host.",
        tags=["rollouts"],
    )
    async def halt_rollout(who: Applier, rollout_id: RolloutId, asked: RolloutMove) -> Rollout:
        return await moved(parts, who, rollout_id, parts.writes.halt_rollout, asked)

    @app.post(
        f"{PREFIX}/rollouts/{{rollout_id}}/resume",
        operation_id="resume_rollout",
        summary="Continue with a rollout that is halted, or waits for an approval",
        description="Failures until now are not counted any more. Needs a token for every host.",
        tags=["rollouts"],
    )
    async def resume_rollout(who: Approver, rollout_id: RolloutId, asked: RolloutMove) -> Rollout:
        return await moved(parts, who, rollout_id, parts.writes.resume_rollout, asked)

    @app.post(
        f"{PREFIX}/rollouts/{{rollout_id}}/abort",
        operation_id="abort_rollout",
        summary="The hosts that were not begun do not get it",
        description="They wait until Git wants something else of them. Needs a token for every host.",
        tags=["rollouts"],
    )
    async def abort_rollout(who: Approver, rollout_id: RolloutId, asked: RolloutMove) -> Rollout:
        return await moved(parts, who, rollout_id, parts.writes.abort_rollout, asked)


async def known(parts: Parts, who: Principal, rollout_id: str) -> model.Rollout:
    """A rollout, for who sees every host."""
    found = await ask(parts.reads.rollout, rollout_id)
    return there(found if who.sees_all else None, f"no rollout {rollout_id}")


async def moved(
    parts: Parts, who: Principal, rollout_id: str, move: Callable[..., model.Rollout], asked: RolloutMove
) -> Rollout:
    """The rollout after a person changed its state."""
    if not who.sees_all:
        raise RequestRefused(403, "the token is for some hosts; this concerns every host")
    await known(parts, who, rollout_id)
    return rollout_out(await ask(move, rollout_id, by=who.name, reason=asked.reason, at=parts.clock.now()))


def rollout_out(found: model.Rollout) -> Rollout:
    """As it is answered."""
    policy = found.policy
    names = Rollout.model_fields.keys() - {"policy"}
    return Rollout(
        **{name: getattr(found, name) for name in names},
        policy=RolloutPolicy(
            waves=[str(wave) for wave in policy.waves], soak_s=policy.soak_s, max_failures=policy.max_failures,
            max_unavailable=str(policy.max_unavailable) if policy.max_unavailable is not None else None,
            last=list(policy.last),
        ),
    )  # fmt: skip
