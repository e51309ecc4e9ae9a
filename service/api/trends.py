"""What each day was like: differences, applies by result, how long commits waited, how full pools were."""

from datetime import date
from typing import Annotated

from fastapi import FastAPI, Query
from pydantic import Field

from service.api.known import status_of
from service.api.parts import Parts
from service.api.schemas import Answer, Told
from service.api.values import HostName, Reader, ask
from service.model.axes import Phase
from service.model.trends import MAX_DAYS, LastDays

PREFIX = "/api/v1"


class Waited(Told):
    """From when passerelle had a commit until it was on a host. Restores and rollbacks do not count."""

    count: int = Field(description="how many applies")
    median_s: float = Field(description="half of them waited at most so long; two digits count")
    p90_s: float = Field(description="nine of ten waited at most so long; two digits count")


class DayTrend(Told):
    """One day in UTC. If no host was seen on it, nothing is known of it: `hosts_seen` is 0 and the numbers are null."""

    day: date
    is_over: bool = Field(description="false for today")
    hosts_seen: int = Field(description="how many hosts passerelle looked at on this day")
    drift_found: int | None
    drift_cleared: int | None
    drift_open: int | None = Field(
        description="differences that were open at the end of the day, or are now. A host that was not seen counts with"
        " what was known of it"
    )
    applies: dict[Phase, int] | None = Field(description="how many applies ended, by result")
    waited: Waited | None = Field(description="null also where nothing new was applied")
    pool_fill: float | None = Field(
        description="0 to 1: the part of the fullest range of addresses that was leased or reserved, when the fewest"
        " were free. Null also where no range is known"
    )


class PoolDay(Told):
    """A range of addresses on a day, when the fewest of it were free."""

    day: date
    interface: str
    start: str
    end: str
    size: int
    leased: int
    reserved: int
    free: int


class Trends(Answer):
    """Every day, the oldest first, and the ranges of addresses of the host that was named."""

    items: list[DayTrend]
    pools: list[PoolDay] = Field(description="by range and day; empty where no host is named")


def add_routes(app: FastAPI, parts: Parts) -> None:
    """`/trends`."""

    @app.get(
        f"{PREFIX}/trends",
        operation_id="get_trends",
        summary="Numbers of each day: differences, applies, waits, pools",
        description=(
            "Days are in UTC, and today is the last. A token for some hosts sees those of its hosts. Of a day"
            " whose records were deleted nothing is known."
        ),
        tags=["history"],
    )
    async def get_trends(
        who: Reader,
        host: Annotated[HostName | None, Query(description="Only this host, and its ranges of addresses")] = None,
        days: Annotated[int, Query(ge=1, le=MAX_DAYS, description="How many days")] = 30,
    ) -> Trends:
        if host is not None:
            await status_of(parts, who, host)
        found = await ask(parts.reads.trends, LastDays(days, host or "", who.hosts), now=parts.clock.now())
        return Trends(
            items=[DayTrend.model_validate(one) for one in found.days],
            pools=[PoolDay.model_validate(one) for one in found.pools],
        )
