"""One host: what is on it and behind it, as a picture and in words."""

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


async def picture(asked: Asked) -> Response:
    """The picture alone, with the policy that the API gives it."""
    found = await asked.answer(
        f"/api/v1/hosts/{asked.path['host']}/topology.svg", width=asked.query.get("width", str(WIDE))
    )
    headers = {"Content-Security-Policy": found.headers[POLICY]}
    return Response(found.body, media_type=found.headers["content-type"], headers=headers)


ROUTES = (
    Route("GET", "/hosts/{host}/topology", topology),
    Route("GET", "/hosts/{host}/topology.svg", picture),
)
