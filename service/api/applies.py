"""Applies and plans: ask for one, follow it, look back."""

import math
from typing import Annotated

from fastapi import FastAPI, Path, Query
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from service.api import apply_schemas, listings, schemas
from service.api.awaited import MOST_S
from service.api.known import of_host, status_of
from service.api.once import Key, once
from service.api.pages import page_out
from service.api.parts import Parts
from service.api.problem import RequestRefused
from service.api.values import Applier, Reader, Ulid, ask, there
from service.errors import InputError
from service.model.access import Principal

PREFIX = "/api/v1"
UlidPath = Annotated[Ulid, Path(description="A ULID")]
Wait = Annotated[int, Query(ge=0, le=MOST_S, description="Wait so many seconds for the end of the apply")]


def add_routes(app: FastAPI, parts: Parts) -> None:
    """The routes below /applies and /plans."""
    _add_reads(app, parts)
    _add_create(app, parts)


def _add_reads(app: FastAPI, parts: Parts) -> None:
    @app.get(f"{PREFIX}/applies", operation_id="list_applies", summary="Applies, newest first", tags=["applies"])
    async def list_applies(
        who: Reader, request: Request, response: Response, asked: listings.Applies
    ) -> schemas.ListOf[apply_schemas.ListedApply]:
        page = await ask(parts.reads.applies, asked.seen_by(who.hosts))
        await of_host(parts, who, asked.host, page)
        return page_out(page, apply_schemas.ListedApply.model_validate, request, response)

    @app.get(
        f"{PREFIX}/applies/{{apply_id}}",
        operation_id="get_apply",
        summary="One apply with its commit, author, steps and times",
        tags=["applies"],
    )
    async def get_apply(who: Reader, apply_id: UlidPath, wait: Wait = 0) -> apply_schemas.Apply:
        return await read_apply(parts, who, apply_id) if not wait else await awaited(parts, who, apply_id, wait)

    @app.get(f"{PREFIX}/plans/{{plan_id}}", operation_id="get_plan", summary="One plan", tags=["plans"])
    async def get_plan(who: Reader, plan_id: UlidPath) -> apply_schemas.Plan:
        plan = there(await ask(parts.reads.plan, plan_id), f"no plan {plan_id}")
        if not who.sees(plan.host):
            there(None, f"no plan {plan_id}")
        return apply_schemas.plan_out(plan)


def _add_create(app: FastAPI, parts: Parts) -> None:
    @app.post(
        f"{PREFIX}/applies",
        operation_id="create_apply",
        summary="Apply a plan to a host",
        description="Names the plan by id, or by its digest or the beginning of it. 409 `plan-stale` when something "
        "else would be done by now, `waits-already` when another apply of the host waits for its turn. With `wait`, "
        "200 and the end of the apply if it ends in that time.",
        tags=["applies"],
        status_code=202,
        response_model=apply_schemas.Apply,
        responses={
            200: {"model": apply_schemas.Apply, "description": "it has ended while the request waited"},
            409: {"model": schemas.Problem, "description": "the plan is stale, or the key is in use"},
        },
    )
    async def create_apply(
        who: Applier, request: Request, asked: apply_schemas.ApplyAsked, key: Key = None, wait: Wait = 0
    ) -> Response:
        await _check(parts, who, asked)

        async def work() -> tuple[str, apply_schemas.Apply]:
            apply_id = await parts.control.apply(
                asked.host, asked.plan_id, asked.digest, who.name, may_raise=who.may("approve")
            )
            return f"{PREFIX}/applies/{apply_id}", await read_apply(parts, who, apply_id)

        answer = await once(parts, who, key, request, work)
        if not wait:
            return answer
        found = await awaited(parts, who, answer.headers["Location"].rpartition("/")[2], wait)
        headers = {"Location": answer.headers["Location"]} | ({} if found.ended_at else {"Retry-After": "1"})
        body, status = found.model_dump(mode="json"), 200 if found.ended_at else 202
        return JSONResponse(body, status_code=status, headers=headers)


async def awaited(parts: Parts, who: Principal, apply_id: str, wait_s: int) -> apply_schemas.Apply:
    """An apply once it has ended, or as it is when the time is over."""
    reads = parts.reads
    is_alone = reads.state() is not None
    return await parts.awaited.until(
        apply_id, lambda: read_apply(parts, who, apply_id), lambda one: one.ended_at is not None, wait_s=wait_s,
        clock=parts.clock, newest=None if is_alone else lambda: ask(reads.newest_event_id),
    )  # fmt: skip


async def read_apply(parts: Parts, who: Principal, apply_id: str) -> apply_schemas.Apply:
    """An apply of a host that the principal sees."""
    found = there(await ask(parts.reads.apply, apply_id), f"no apply {apply_id}")
    if not who.sees(found.host):
        there(None, f"no apply {apply_id}")
    answer = apply_schemas.Apply.model_validate(found)
    if found.ended_at is not None or found.reverts_at is None:
        return answer
    left_s = (found.reverts_at - parts.clock.now()).total_seconds()
    return answer.model_copy(update={"reverts_in_s": max(0, math.ceil(left_s))})


async def _check(parts: Parts, who: Principal, asked: apply_schemas.ApplyAsked) -> None:
    """Whether this request is allowed. The loop decides whether the plan is still current."""
    await status_of(parts, who, asked.host)
    if asked.plan_id is None and asked.digest is None:
        raise InputError("name the plan: plan_id, digest or both")
    if asked.plan_id is None:
        return
    plan = await ask(parts.reads.plan, asked.plan_id)
    if plan is None or plan.host != asked.host:
        raise InputError(f"no plan {asked.plan_id} for {asked.host}")
    if asked.digest is not None and not plan.digest.startswith(asked.digest):
        raise InputError(f"plan {plan.id} has another digest")
    if plan.state != "current":
        raise RequestRefused(409, f"plan {plan.id} is {plan.state}; look at the newest one", code="plan-stale")
