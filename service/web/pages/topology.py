"""One host, or the fleet: what is there and what connects it, as a picture and in words."""

from starlette.responses import Response

from service.web.asked import Asked, Route
from service.web.templating import segment

NARROW, WIDE = 340, 1080
"""Pixels. The page shows the picture that fits the screen."""
POLICY = "content-security-policy"
_PAGE_OF = {"guest": "/leases", "pool": "/leases", "forward": "/firewall", "host": "", "other": "#drift"}
"""The page of a host that says more about an object, by the object's sort."""


async def topology(asked: Asked) -> Response:
    """The picture, and the same as nested lists with links."""
    name = asked.path["host"]
    found = await asked.get(f"/api/v1/hosts/{name}/topology")
    base = f"/hosts/{segment(name)}"
    links = {sort: base + page for sort, page in _PAGE_OF.items()}
    return asked.page(
        "topology.html", title=f"{name}: topology", host=found, links=links, picture=f"{base}/topology.svg",
        narrow=NARROW, wide=WIDE,
    )  # fmt: skip


async def fleet(asked: Asked) -> Response:
    """The hosts and what connects them; each leads to its own picture."""
    found = await asked.get("/api/v1/topology")
    return asked.page("fleet_topology.html", title="Topology", fleet=found, narrow=NARROW, wide=WIDE)


async def picture_of_fleet(asked: Asked) -> Response:
    """The picture of the fleet alone."""
    return await _picture(asked, "/api/v1/topology.svg")


async def picture(asked: Asked) -> Response:
    """The picture alone, with the policy that the API gives it."""
    return await _picture(asked, f"/api/v1/hosts/{asked.path['host']}/topology.svg")


async def _picture(asked: Asked, path: str) -> Response:
    found = await asked.answer(path, width=asked.query.get("width", str(WIDE)))
    headers = {"Content-Security-Policy": found.headers[POLICY]}
    return Response(found.body, media_type=found.headers["content-type"], headers=headers)


ROUTES = (
    Route("GET", "/topology", fleet),
    Route("GET", "/topology.svg", picture_of_fleet),
    Route("GET", "/hosts/{host}/topology", topology),
    Route("GET", "/hosts/{host}/topology.svg", picture),
)
