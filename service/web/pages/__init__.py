"""The pages, one module each. A page is a function that reads the API and gives values to its template."""

from service.web.asked import Route
from service.web.pages import (
    applies,
    asking,
    firewall,
    fleet,
    helping,
    history,
    host,
    leases,
    plan,
    rollouts,
    search,
    session,
    settings,
    topology,
    trends,
)

ROUTES: tuple[Route, ...] = (
    *fleet.ROUTES,
    *host.ROUTES,
    *plan.ROUTES,
    *applies.ROUTES,
    *rollouts.ROUTES,
    *firewall.ROUTES,
    *topology.ROUTES,
    *leases.ROUTES,
    *history.ROUTES,
    *trends.ROUTES,
    *settings.ROUTES,
    *asking.ROUTES,
    *session.ROUTES,
    *helping.ROUTES,
    *search.ROUTES,
)
"""All addresses of pages, the first that fits answers."""
