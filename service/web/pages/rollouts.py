"""Rollouts: the list, one of them with its hosts, and what a person decides about it."""

from collections.abc import Awaitable, Callable

from starlette.responses import Response

from service.web.asked import Asked, Route, see_other

API = "/api/v1/rollouts"
MOST_HOSTS = 1_000
MOVES = (("halt", "Halt", "apply"), ("resume", "Resume", "approve"), ("abort", "Abort", "approve"))
"""The end of the address, the word of the button, the scope. To resume one that is large is to approve it."""


async def listed(asked: Asked) -> Response:
    """The newest rollouts."""
    page = await asked.get(API, limit=50)
    return asked.page("rollouts.html", title="Rollouts", rows=page["items"])


async def one(asked: Asked) -> Response:
    """One rollout and its hosts."""
    at = f"{API}/{asked.path['rollout']}"
    found, hosts = await asked.get(at), await asked.items(f"{at}/hosts", most=MOST_HOSTS)
    return asked.page("rollout.html", title=f"Rollout {found['id']}", rollout=found, hosts=hosts, MOVES=MOVES)


def _move(word: str) -> Callable[[Asked], Awaitable[Response]]:
    async def move(asked: Asked) -> Response:
        number = asked.path["rollout"]
        await asked.post(f"{API}/{number}/{word}", {"reason": asked.form.get("reason", "")})
        return see_other(f"/rollouts/{number}")

    return move


ROUTES = (
    Route("GET", "/rollouts", listed),
    Route("GET", "/rollouts/{rollout}", one),
    *(Route("POST", f"/rollouts/{{rollout}}/{word}", _move(word)) for word, _, _ in MOVES),
)
