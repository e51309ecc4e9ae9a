"""Whoami: who asks, as the service understands it."""

from typing import Literal

from fastapi import FastAPI
from pydantic import Field

from service.api.parts import Parts
from service.api.schemas import Answer
from service.api.values import Reader
from service.model.access import Scope

PREFIX = "/api/v1"


class Granted(Answer):
    """Scopes, and the hosts that they are for."""

    scopes: list[Scope]
    hosts: list[str] = Field(description="names or patterns")


class Caller(Answer):
    """Who asks."""

    id: str = Field(description="what the audit log has: the id of a token, or one of a person")
    name: str = Field(description="the name of a token, or a person's name, subject and issuer")
    how: Literal["token", "sign-in"]
    grants: list[Granted]


def add_routes(app: FastAPI, _parts: Parts) -> None:
    """`/whoami`."""

    @app.get(
        f"{PREFIX}/whoami",
        operation_id="whoami",
        summary="The caller, and what that token or person may do",
        tags=["tokens"],
    )
    async def whoami(who: Reader) -> Caller:
        is_person = bool(who.grants)
        grants = who.grants or ((tuple(sorted(who.scopes)), who.hosts),)
        return Caller(
            id=who.id, name=who.name, how="sign-in" if is_person else "token",
            grants=[Granted(scopes=list(scopes), hosts=list(hosts)) for scopes, hosts in grants],
        )  # fmt: skip
