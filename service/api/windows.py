"""Windows: when applies may begin, by what Git says."""

from datetime import date, datetime
from typing import Annotated

from fastapi import FastAPI, Query
from pydantic import Field

from service.api.known import in_git
from service.api.parts import Parts
from service.api.schemas import Answer
from service.api.seen import windows_seen
from service.api.values import HostName, Reader, ask
from service.model.windows import Day, WindowKind, closed, shown
from service.model.windows import Window as Known

PREFIX = "/api/v1"


class Window(Answer):
    """One window of fleet.yaml."""

    name: str
    kind: WindowKind
    zone: str
    days: list[Day] = Field(description="the days on which it begins")
    begins: str = Field(description="by a clock in its zone, as in 22:00")
    ends: str = Field(description="on the next day, if it is not later than `begins`")
    first: date | None
    last: date | None
    hosts: list[str] = Field(description="names or patterns; empty: every host")
    labels: dict[str, str] = Field(description="labels that a host must have, all of them")
    is_open: bool


class Windows(Answer):
    """The windows in force, or those of one host and what follows from them."""

    at: datetime
    items: list[Window]
    may_begin: bool | None = Field(description="whether they let an apply begin on the host; null: no host is named")
    why: str = Field(description="why they do not")
    opens_at: datetime | None = Field(description="when they let one begin next, if they do not now")


def add_routes(app: FastAPI, parts: Parts) -> None:
    """`/windows`."""

    @app.get(
        f"{PREFIX}/windows",
        operation_id="list_windows",
        summary="When applies may begin, by the windows of fleet.yaml",
        description="A token for some hosts sees those of its hosts, without the names and patterns of others.",
        tags=["windows"],
    )
    async def list_windows(
        who: Reader, host: Annotated[HostName | None, Query(description="Only those of this host")] = None
    ) -> Windows:
        now, found = parts.clock.now(), parts.windows()
        if host is None:
            items = [as_answer(one, now) for one in windows_seen(who, found)]
            return Windows(at=now, items=items, may_begin=None, why="", opens_at=None)
        await in_git(parts, who, host)
        labels = parts.labels(host)
        shut = await ask(closed, found, host, labels, now)
        mine = windows_seen(who, [one for one in found if one.chooses(host, labels)], host)
        return Windows(
            at=now, items=[as_answer(one, now) for one in mine], may_begin=shut is None,
            why=shut.why if shut else "", opens_at=shut.opens_at if shut else None,
        )  # fmt: skip


def as_answer(one: Known, now: datetime) -> Window:
    """A window as it is answered."""
    return Window(
        name=one.name, kind=one.kind, zone=one.zone, days=list(one.days), begins=shown(one.begins),
        ends=shown(one.ends), first=one.first, last=one.last, hosts=list(one.hosts), labels=dict(one.labels),
        is_open=one.is_open(now),
    )  # fmt: skip
