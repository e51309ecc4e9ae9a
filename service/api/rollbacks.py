"""Going back: a host is brought to an earlier state, and held there. And what is different between two states."""

from typing import Annotated

from fastapi import FastAPI, Query
from pydantic import Field, StringConstraints
from starlette.requests import Request
from starlette.responses import Response

from service.api import apply_schemas, schemas
from service.api.applies import read_apply
from service.api.known import status_of
from service.api.once import Key, once
from service.api.parts import Parts
from service.api.schemas import Asked
from service.api.values import Approver, Digest, HostPath, Reader, Reason, Time

PREFIX = "/api/v1"
To = Annotated[str, StringConstraints(pattern=r"^([0-9a-f]{7,64}|[0-9A-HJKMNP-TV-Z]{26})$")]


class RollbackAsked(Asked):
    """To which state, and why: the id of an apply that was confirmed, or the beginning of a commit's name. With
    `digest` the host goes back only by that plan."""

    to: To
    reason: Reason
    digest: Digest | None = Field(
        default=None, description="of the plan to that state, as `POST /plans` has it; at least its first 12 digits"
    )


def add_routes(app: FastAPI, parts: Parts) -> None:
    """`/hosts/{host}/rollback`."""

    @app.post(
        f"{PREFIX}/hosts/{{host}}/rollback",
        operation_id="rollback_host",
        summary="Bring a host to an earlier state, and hold it there until Git wants something else of it",
        description="The apply has the refusals, the steps and the switch of any other. The host is suspended with the "
        "reason. Windows do not count; other suspensions and the stop file do: 409 `held`. The plan is made when the "
        "request has its turn. One of another digest than given is not carried out: cause `stale`.",
        tags=["hosts", "applies"],
        status_code=202,
        response_model=apply_schemas.Apply,
    )
    async def rollback_host(
        who: Approver, request: Request, host: HostPath, asked: RollbackAsked, key: Key = None
    ) -> Response:
        await status_of(parts, who, host)

        async def work() -> tuple[str, apply_schemas.Apply]:
            apply_id = await parts.control.rollback(host, asked.to, asked.reason, who.name, digest=asked.digest or "")
            return f"{PREFIX}/applies/{apply_id}", await read_apply(parts, who, apply_id)

        return await once(parts, who, key, request, work)

    @app.get(
        f"{PREFIX}/hosts/{{host}}/rollback/patch",
        operation_id="get_rollback_patch",
        summary="The patch that gives the host's file the text that it had then. Writes nothing",
        tags=["hosts"],
    )
    async def get_rollback_patch(
        who: Reader, host: HostPath, to: Annotated[To, Query(description="An apply's id, or a commit")]
    ) -> schemas.Patch:
        await status_of(parts, who, host)
        return schemas.Patch.model_validate(await parts.control.revert(host, to))

    @app.get(
        f"{PREFIX}/hosts/{{host}}/difference",
        operation_id="get_difference",
        summary="Compare what Git wanted of a host at two points, with the applies in between",
        description="A point is a commit, an apply's id or a time. A time is the commit that was in force then. The "
        "applies are those that were requested in between; a commit's own time is when the service accepted it.",
        tags=["hosts"],
    )
    async def get_difference(
        who: Reader, host: HostPath,
        from_: Annotated[To | Time, Query(alias="from", description="The first point")],
        to: Annotated[To | Time | None, Query(description="The second point. Without it: what is in force now")] = None,
    ) -> schemas.Difference:  # fmt: skip
        await status_of(parts, who, host)
        return schemas.Difference.model_validate(await parts.control.difference(host, from_, to))
