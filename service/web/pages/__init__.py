"""The pages, one module each. A page is a function that reads the API and gives values to its template."""

from service.web.asked import Route
from service.web.pages import (
    asking,
    firewall,
    fleet,
    helping,
    history,
    host,
    leases,
    search,
    session,
    settings,
    topology,
    trends,
)

ROUTES: tuple[Route, ...] = (
    *fleet.ROUTES,
    *host.ROUTES,
    *firewall.ROUTES,
    *topology.ROUTES,
    *leases.ROUTES,
    *trends.ROUTES,
    *history.ROUTES,
    *asking.ROUTES,
    *session.ROUTES,
    *settings.ROUTES,
    *helping.ROUTES,
    *search.ROUTES,
)
"""All addresses of pages, the first that fits answers."""
