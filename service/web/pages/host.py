"""One host: its state, what differs from Git, and what can be done about it."""

from datetime import UTC, datetime
from typing import Any

from starlette.responses import Response

from service.web.asked import Asked, Refused, Route, see_other

API = "/api/v1/hosts"
WHERE = {"live": "live, in the kernel or a daemon", "file": "in a file", "boot": "after the next boot"}
MOST_DRIFT = 1_000


async def host(asked: Asked) -> Response:
    """State, drift, next step."""
    name = asked.path["host"]
    found = await asked.get(f"{API}/{name}")
    drift = await asked.items(f"{API}/{name}/drift", most=MOST_DRIFT) if found["drift_items"] else []
    return asked.page("host.html", title=name, host=found, drift=drift, WHERE=WHERE)


async def look(asked: Asked) -> Response:
    """Look at the host again, and wait a moment for the end of the look."""
    name = asked.path["host"]
    await asked.post(f"{API}/{name}/reconcile")
    return see_other(f"/hosts/{name}")


async def accept(asked: Asked) -> Response:
    """The patch with which Git wants what the host has."""
    name = asked.path["host"]
    found, patch = await asked.get(f"{API}/{name}"), await asked.get(f"{API}/{name}/drift/patch")
    return asked.page("accept.html", title=f"{name}: into Git", host=found, patch=patch)


async def ask_suspend(asked: Asked) -> Response:
    """The form for a suspension."""
    found = await asked.get(f"{API}/{asked.path['host']}")
    return asked.page("suspend.html", title=f"Suspend {found['host']}", host=found)


async def suspend(asked: Asked) -> Response:
    """Suspend the host."""
    name = asked.path["host"]
    body: dict[str, Any] = {"host": name, "reason": asked.form.get("reason", "")}
    if asked.form.get("never"):
        body["until"] = "never"
    elif until := asked.form.get("until", ""):
        body["until"] = _utc(until)
    await asked.post("/api/v1/suspensions", body)
    return see_other(f"/hosts/{name}")


async def resume(asked: Asked) -> Response:
    """End the suspension with this number."""
    number = asked.form.get("id", "")
    await asked.post(f"/api/v1/suspensions/{number}/end")
    return see_other(f"/hosts/{asked.path['host']}")


def _utc(text: str) -> str:
    """A time as a form of a browser sends it, which says no zone: it is UTC, as the page says."""
    try:
        return datetime.fromisoformat(text).replace(tzinfo=UTC).isoformat()
    except ValueError:
        raise Refused(422, {"title": "The time cannot be read", "detail": "write it as in 2026-11-30T14:00"}) from None


ROUTES = (
    Route("GET", "/hosts/{host}", host),
    Route("POST", "/hosts/{host}/look", look),
    Route("GET", "/hosts/{host}/accept", accept),
    Route("GET", "/hosts/{host}/suspend", ask_suspend),
    Route("POST", "/hosts/{host}/suspend", suspend),
    Route("POST", "/hosts/{host}/resume", resume),
)
