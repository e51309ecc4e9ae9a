"""Applies: the list, and one of them as it happens."""

from typing import Any, NamedTuple

from starlette.responses import Response

from service.model.runs import PHASES
from service.web.asked import Asked, Route

API = "/api/v1/applies"
SHOWN = 100
MOMENTS = {
    "packages": "Packages are installed",
    "guests": "Guests are created or set up",
    "locked": "The host has locked itself for this apply",
    "snapshot": "The host has a snapshot of all that is replaced",
    "armed": "The automatic rollback is armed",
    "confirming": "The change is in force, and new connections are tried",
    "extended": "The deadline was extended, once",
    "withdrawn": "The service asks for the rollback, because somebody who answered before does not answer any more",
    "missed": "The deadline has passed",
}
"""Moments of an apply, in words."""
NEXT = {
    "RolledBack": "The host is as it was before. The same change is not tried again automatically. Read why it was "
    "rolled back, change the spec, or let it be tried again.",
    "RollbackFailed": "Look at the host now: what is on it may be half of a change. Nothing more is applied to it "
    "until somebody ends the quarantine.",
    "Failed": "It is tried again later. Read why it failed, and look at the newest plan of the host.",
    "Refused": "Nothing was changed on the host. Look at the newest plan, and apply that.",
}
"""What a person does after an apply that ended so."""


class Line(NamedTuple):
    """A line of the timeline: when, what, and in which state it is."""

    at: str | None
    text: str
    state: str = ""
    error: str = ""


async def listed(asked: Asked) -> Response:
    """The newest applies, by the filters of the address."""
    host, phase, commit = (asked.query.get(name, "") for name in ("host", "phase", "commit"))
    filters = {name: value for name, value in (("host", host), ("phase", phase), ("commit", commit)) if value}
    page = await asked.get(API, limit=SHOWN, cursor=asked.query.get("cursor") or None, **filters)
    return asked.page(
        "applies.html", title="Applies", rows=page["items"], more=page["next_cursor"], host=host, phase=phase,
        commit=commit, PHASES=PHASES,
    )  # fmt: skip


async def one(asked: Asked) -> Response:
    """One apply, read again each second until it has ended."""
    found = await asked.get(f"{API}/{asked.path['apply']}")
    return asked.page(
        "apply.html", title=f"Apply {found['id']} on {found['host']}", apply=found, lines=timeline(found),
        next=NEXT.get(found["phase"], ""),
    )  # fmt: skip


def timeline(found: dict[str, Any]) -> list[Line]:
    """What happened, in the order of its times; steps that have not begun are last."""
    lines = [Line(found["requested_at"], f"Requested by {found['requested_by']}")]
    lines += [Line(moment["at"], MOMENTS.get(moment["name"], moment["name"])) for moment in found["moments"]]
    lines += [
        Line(step["started_at"] or step["ended_at"], f"{step['fact']}: {step['why']}", step["state"], step["error"])
        for step in found["steps"]
    ]
    if found["started_at"]:
        lines.append(Line(found["started_at"], "The service has begun"))
    if found["ended_at"]:
        lines.append(Line(found["ended_at"], "The apply has ended", found["phase"], found["error"] or found["cause"]))
    return sorted(lines, key=lambda line: (line.at is None, line.at or ""))


ROUTES = (Route("GET", "/applies", listed), Route("GET", "/applies/{apply}", one))
