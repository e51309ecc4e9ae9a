"""Numbers of each day as small pictures, and the same as a table."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from starlette.responses import Response

from service.pictures.plots import Series, bar_plot, line_plot
from service.pictures.svg import Drawing
from service.web.asked import Asked, Route
from service.web.words import STATES, span

SPANS = ("7", "30", "90", "365")
"""How many days can be chosen."""
Days = Sequence[Mapping[str, Any]]
MOST_RANGES = 6
"""So many ranges of addresses have a line; the others are in the table."""


async def trends(asked: Asked) -> Response:
    """The last days of all hosts, or of one."""
    host, days = asked.query.get("host", ""), asked.query.get("days", "30")
    found = await asked.get("/api/v1/trends", host=host, days=days)
    items = found["items"]
    known = [day for day in items if day["hosts_seen"]]
    results = sorted({result for day in known for result in day["applies"]}, key=list(STATES).index)
    return asked.page(
        "trends.html", title="Trends", host=host, days=days, spans=SPANS, items=list(reversed(items)),
        results=results, known=len(known), pictures=_pictures(items, results, found["pools"]), span_of=_span_of,
        pools=list(reversed(found["pools"])),
    )  # fmt: skip


def _pictures(days: Days, results: Sequence[str], pools: Days) -> list[Drawing]:
    labels = [day["day"] for day in days]
    still_open = [Series("open", _of(days, "drift_open"))]
    ended = [Series(STATES[result][2], [_count(day, result) for day in days]) for result in results]
    waits = [Series("half within", _waits(days, "median_s")), Series("nine of ten within", _waits(days, "p90_s"))]
    return [
        line_plot("Differences open at the end of each day", still_open, "items", labels),
        bar_plot("Applies that ended", ended, "applies", labels),
        line_plot("From a commit to the host", waits, "seconds", labels),
        _fill_plot(days, pools, labels),
    ]


def _fill_plot(days: Days, pools: Days, labels: Sequence[str]) -> Drawing:
    """Of one host each range, of all hosts the fullest."""
    ranges: dict[str, dict[str, float]] = {}
    for pool in pools:
        name = f"{pool['interface']} {pool['start']}"
        ranges.setdefault(name, {})[pool["day"]] = 100 * (pool["leased"] + pool["reserved"]) / pool["size"]
    shown = [Series(name, [fills.get(day) for day in labels]) for name, fills in list(ranges.items())[:MOST_RANGES]]
    fullest = [None if fill is None else 100 * fill for fill in _of(days, "pool_fill")]
    title = "Addresses in use at most"
    return line_plot(title, shown or [Series("fullest range", fullest)], "%", labels)


def _of(days: Days, name: str) -> list[float | None]:
    return [day[name] for day in days]


def _count(day: Mapping[str, Any], result: str) -> int | None:
    return None if day["applies"] is None else day["applies"].get(result, 0)


def _waits(days: Days, name: str) -> list[float | None]:
    return [day["waited"][name] if day["waited"] else None for day in days]


def _span_of(seconds: float) -> str:
    """A length of time as people say it; below a minute with its part of a second."""
    return f"{seconds:g} s" if seconds < 60 else span(timedelta(seconds=seconds))


ROUTES = (Route("GET", "/trends", trends),)
