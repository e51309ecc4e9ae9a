"""All hosts: how many are in which state, which need a person, and a table of them."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from starlette.responses import Response

from service.web.asked import Asked, Route
from service.web.rows import Rows
from service.web.words import STATES

MOST = 10_000
MOST_ATTENTION = 20
"""So many hosts that need a person are listed with their sentence; the others are in the table."""

Host = Mapping[str, Any]


class _Kind(NamedTuple):
    """A group of hosts: its name in the address, its words, the state that it looks like, who belongs to it."""

    name: str
    word: str
    looks: str
    has: Callable[[Host], bool]


KINDS = (
    _Kind("attention", "Need attention", "OutOfSync", lambda host: host["attention"] is not None),
    _Kind("in-sync", "In sync", "Synced", lambda host: host["sync"] == "Synced"),
    _Kind("out-of-sync", "Out of sync", "OutOfSync", lambda host: host["sync"] == "OutOfSync"),
    _Kind("approval", "Wait for approval", "WaitingForApproval", lambda host: host["phase"] == "WaitingForApproval"),
    _Kind("confirmation", "Wait for confirmation", "AwaitingConfirmation",
          lambda host: host["phase"] in ("Running", "AwaitingConfirmation")),
    _Kind("away", "Not reachable", "Unreachable", lambda host: host["reachability"] not in ("Reachable", "Unknown")),
    _Kind("stale", "Stale", "stale", lambda host: host["stale"]),
    _Kind("suspended", "Suspended", "suspended", lambda host: host["suspension"] is not None),
    _Kind("unknown", "Unknown", "Unknown", lambda host: host["sync"] == "Unknown"),
)  # fmt: skip

_ROWS = Rows("fleet_row.html", "host")


async def fleet(asked: Asked) -> Response:
    """The first page. `show` is the name of a group."""
    hosts = await asked.items("/api/v1/hosts", most=MOST)
    chosen = next((kind for kind in KINDS if kind.name == asked.query.get("show")), None)
    shown = [host for host in hosts if chosen is None or chosen.has(host)]
    attention = [host for host in hosts if host["attention"] is not None]
    return asked.page(
        "fleet.html", title="Fleet", total=len(hosts), counts=[_count(kind, hosts) for kind in KINDS],
        show=chosen.name if chosen else "", heading=chosen.word if chosen else "All hosts",
        attention=attention[:MOST_ATTENTION], more_attention=max(0, len(attention) - MOST_ATTENTION),
        rows=await asyncio.to_thread(_ROWS.of, shown),  # a thousand at first: not on the event loop
    )  # fmt: skip


def _count(kind: _Kind, hosts: list[Host]) -> Mapping[str, Any]:
    tone, shape, _ = STATES[kind.looks]
    number = sum(map(kind.has, hosts))
    return {"name": kind.name, "word": kind.word, "tone": tone if number else "plain", "shape": shape, "number": number}


ROUTES = (Route("GET", "/", fleet),)
