"""The addresses of all pages, from the routes themselves: no page is forgotten.

A route whose part of an address is not known here fails the test, which says so.
"""

from collections.abc import Callable

from service.model.web_sessions import SessionLimits, Visit
from service.web.pages import ROUTES
from tests.api.world import COMMIT, NOW, World


def session_of(world: World) -> str:
    """The id of a session that somebody has begun."""
    token = world.token("read").encode()
    begun = world.history.store.begin_session(token, limits=SessionLimits(), visit=Visit(), at=NOW)
    assert begun is not None
    return begun[1].id


PARTS: dict[str, Callable[[World], str]] = {
    "/hosts/{host}": lambda _world: "pve1",
    "/applies/{apply}": World.apply_id,
    "/plans/{plan}": World.plan_id,
    "/rollouts/{rollout}": World.rollout_id,
    "/drills/{drill}": World.drill_id,
    "/leases/{ip}": lambda _world: "10.10.10.9",
    "/suspensions/{number}": lambda world: str(world.suspension_id()),
    "/tokens/{token}": lambda world: world.token("read")[4:16],
    "/sessions/{session}": session_of,
    "/revisions/{commit}": lambda _world: COMMIT,
}
"""The beginning of a route with its first part, and something of a world that is so addressed. Names of parts do not
count: `{apply}` and `{id}` are the same."""

MORE = {
    "only those in sync": "/?show=in-sync",
    "a group without a host": "/?show=away",
    "found": "/search?q=pve",
    "not found": "/search?q=nothing",
    "who reaches what": "/hosts/pve1/firewall?from=outside&to=host&proto=tcp&dport=22",
    "leases of a past time": "/leases?at=2026-11-17T03:00&q=pve",
    "no lease": "/leases?q=nothing",
    "an address that nobody has": "/leases/10.99.99.99",
}
"""States of pages that their addresses make, besides the address alone."""

FILES = (".svg", ".csv", ".json")
"""The ends of addresses that belong to a file and not to a page."""

ERRORS = {"no such page": "/nowhere", "no such host": "/hosts/pve9", "no such apply": "/applies/" + "0" * 26}


def addresses(world: World) -> dict[str, str]:
    """Each page that is read, by its route; and more of their states. AssertionError for a part that is not known."""
    return {path: _filled(path, world) for path in templates()} | MORE


def templates() -> set[str]:
    """The routes of all pages that are read."""
    return {route.path for route in ROUTES if route.method == "GET" and not route.path.endswith(FILES)}


def file_addresses(world: World) -> dict[str, str]:
    """Each file that is read by a page's route: pictures and tables."""
    paths = (route.path for route in ROUTES if route.method == "GET" and route.path.endswith(FILES))
    return {path: _filled(path, world) for path in paths}


def file_templates() -> list[str]:
    """The routes of all files."""
    return sorted(route.path for route in ROUTES if route.method == "GET" and route.path.endswith(FILES))


def _filled(path: str, world: World) -> str:
    if "{" not in path:
        return path
    kind = path.split("/")[1]
    for known, value in PARTS.items():
        if known.split("/")[1] == kind:
            words = path.split("/")
            words[2] = value(world)
            found = "/".join(words).replace("{ip}", "10.10.10.9")
            assert "{" not in found, f"tests/web/addresses.py: no example for the second part of {path}"
            return found
    raise AssertionError(f"tests/web/addresses.py: no example for {path}")
