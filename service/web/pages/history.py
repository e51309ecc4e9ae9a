"""One timeline: commits, applies, drift, confirmations, rollbacks, suspensions, sign-ins. And who requested what.

Each filter is in the address. An older page is a link with the list's own cursor.
"""

import csv
import io
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any
from urllib.parse import quote

from starlette.responses import Response, StreamingResponse

from service.model.events import DECLARED
from service.web.asked import LIST_LIMIT, Asked, Refused, Route
from service.web.rows import Rows
from service.web.templating import visible

PAGE = 100
"""So many rows a page has."""
FILTERS = ("host", "type", "since", "until")
POINTS = ("from", "to")
OF_ACTIONS = ("host", "by", "action")
COLUMNS = ("id", "at", "type", "host", "text", "detail")
FORMULAS = ("=", "+", "-", "@", "\t", "\r")
"""A cell of a table that begins so is a formula to a spreadsheet, whoever wrote it."""
_EVENTS = Rows("history_row.html", "event")
_ACTIONS = Rows("action_row.html", "act")


async def history(asked: Asked) -> Response:
    """What happened, the newest first. A host's own page has its name in the path."""
    chosen = _chosen(asked, FILTERS) | {name: asked.path[name] for name in asked.path}
    page = await asked.get(
        "/api/v1/events", newest="true", limit=PAGE, cursor=asked.query.get("cursor"), **_times(chosen)
    )
    host = asked.path.get("host", "")
    points = _chosen(asked, POINTS)
    compared, refusal = await _compared(asked, host, points) if host and points["from"] else (None, "")
    return asked.page(
        "history.html", title=f"History of {host}" if host else "History", rows=_EVENTS.of(page["items"]), host=host,
        points=points, compared=compared, refusal=refusal,
        chosen=chosen, kinds=sorted(DECLARED), next_cursor=page["next_cursor"], cursor=asked.query.get("cursor", ""),
    )  # fmt: skip


async def _compared(asked: Asked, host: str, points: Mapping[str, str]) -> tuple[Any, str]:
    """What was different between the two points, or why there is no answer."""
    sent = {f"{name}_": _in_utc(text) or None for name, text in points.items()}
    try:
        return await asked.get(f"/api/v1/hosts/{quote(host, safe='')}/difference", **sent), ""
    except Refused as error:
        if error.status == 422:
            return None, "A point is a commit, the id of an apply, or a time as in 2026-03-01T12:00."
        if error.status not in (400, 404, 409):
            raise
        return None, str(error)


async def actions(asked: Asked) -> Response:
    """Who requested what, the newest first: the audit log."""
    chosen = _chosen(asked, OF_ACTIONS)
    page = await asked.get("/api/v1/audit", limit=PAGE, cursor=asked.query.get("cursor"), **chosen)
    return asked.page(
        "actions.html", title="Who requested what", rows=_ACTIONS.of(page["items"]), chosen=chosen,
        next_cursor=page["next_cursor"], cursor=asked.query.get("cursor", ""),
    )  # fmt: skip


async def as_lines(asked: Asked) -> Response:
    """All that the filters choose, the oldest first: one JSON object a line, as the API writes it."""
    first = await _older(asked, None)
    lines = ((json.dumps(one) + "\n").encode() async for one in _all(asked, first))
    return _file(lines, "application/x-ndjson", "passerelle-history.jsonl")


async def as_table(asked: Asked) -> Response:
    """The same as CSV (RFC 4180), where no cell is a formula."""
    first = await _older(asked, None)
    return _file(_rows_of(_all(asked, first)), "text/csv", "passerelle-history.csv")


def _chosen(asked: Asked, names: tuple[str, ...]) -> dict[str, str]:
    return {name: asked.query.get(name, "").strip() for name in names}


def _times(chosen: Mapping[str, str]) -> dict[str, str]:
    """The filters as the API takes them. A time without a zone is one in UTC, as a form sends it."""
    return {name: _in_utc(text) if name in ("since", "until") else text for name, text in chosen.items()}


def _in_utc(text: str) -> str:
    """A time without a zone is one in UTC. Everything else stays as it is."""
    is_named = text.isalnum()  # a commit or an apply
    if not text or is_named or len(text) > len("2026-03-01T12:00:00") or text.endswith("Z"):
        return text
    return f"{text if 'T' in text else text + 'T00:00'}Z"


async def _older(asked: Asked, cursor: str | None) -> Any:
    return await asked.get("/api/v1/events", limit=LIST_LIMIT, cursor=cursor, **_times(_chosen(asked, FILTERS)))


async def _all(asked: Asked, page: Any) -> AsyncIterator[Mapping[str, Any]]:
    while True:
        for one in page["items"]:
            yield one
        if page["next_cursor"] is None:
            return
        page = await _older(asked, page["next_cursor"])


async def _rows_of(events: AsyncIterator[Mapping[str, Any]]) -> AsyncIterator[bytes]:
    yield _row(COLUMNS)
    async for event in events:
        values = [event[name] if name != "detail" else json.dumps(event[name], sort_keys=True) for name in COLUMNS]
        yield _row([cell(value) for value in values])


def cell(value: Any) -> str:
    """A value for a spreadsheet: hidden characters made visible, and no formula."""
    text = str(visible(str(value)))
    return f"'{text}" if text.startswith(FORMULAS) else text


def _row(values: Any) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerow(values)
    return text.getvalue().encode("utf-8", "backslashreplace")


def _file(content: AsyncIterator[bytes], kind: str, name: str) -> Response:
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
    return StreamingResponse(content, media_type=kind, headers=headers)


ROUTES = (
    Route("GET", "/history", history),
    Route("GET", "/history/actions", actions),
    Route("GET", "/history.jsonl", as_lines),
    Route("GET", "/history.csv", as_table),
    Route("GET", "/hosts/{host}/history", history),
)
