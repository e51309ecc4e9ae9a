"""One box for the name of a host; leases have a search of their own."""

from starlette.responses import Response

from service.web.asked import Asked, Route, see_other

MOST = 50


async def search(asked: Asked) -> Response:
    """Hosts with these letters in their name. A host that is called exactly so is shown at once."""
    words = asked.query.get("q", "").strip()[:100]
    hosts = await asked.items("/api/v1/hosts", most=10_000) if words else []
    found = [one for one in hosts if words.lower() in one["host"]]
    if any(one["host"] == words for one in found):
        return see_other(f"/hosts/{words}")
    return asked.page("search.html", title="Search", words=words, hosts=found[:MOST])


ROUTES = (Route("GET", "/search", search),)
