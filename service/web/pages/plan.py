"""A plan: its risk, its changes, and the page that asks before it is applied."""

from typing import Any

from starlette.responses import Response

from service.web.asked import Asked, Refused, Route, see_other

API = "/api/v1"
SIGNS = {"missing": "+", "extra": "-", "changed": "~"}


async def of_host(asked: Asked) -> Response:
    """The newest plan of a host, or why there is none."""
    name = asked.path["host"]
    host = await asked.get(f"{API}/hosts/{name}")
    plan = await asked.found(f"{API}/hosts/{name}/plan")
    return await _page(asked, f"{name}: plan", host, plan)


async def plan(asked: Asked) -> Response:
    """One plan by its id."""
    found = await asked.get(f"{API}/plans/{asked.path['plan']}")
    host = await asked.found(f"{API}/hosts/{found['host']}") or {"host": found["host"]}
    return await _page(asked, f"Plan {found['id']} of {found['host']}", host, found)


async def _page(asked: Asked, title: str, host: Any, found: Any) -> Response:
    revision = await asked.found(f"{API}/revisions/{found['commit']}") if found and found["commit"] else None
    return asked.page("plan.html", title=title, host=host, plan=found, revision=revision, SIGNS=SIGNS)


async def ask(asked: Asked) -> Response:
    """The page that asks before a plan is applied."""
    found = await asked.get(f"{API}/plans/{asked.path['plan']}")
    return asked.page("plan_apply.html", title=f"Apply the plan of {found['host']}?", plan=found)


async def apply(asked: Asked) -> Response:
    """Apply the plan that was shown: its id and its digest."""
    found = await asked.get(f"{API}/plans/{asked.path['plan']}")
    host = found["host"]
    if found["risk"]["management_path"] and asked.form.get("confirm", "").strip() != host:
        what = f"Type the name of the host, {host}: the plan changes the way by which the service reaches it."
        raise Refused(422, {"title": "The name of the host is not right", "detail": what})
    wish = {"host": host, "plan_id": found["id"], "digest": asked.form.get("digest", "")}
    made = await asked.post(f"{API}/applies", wish)
    return see_other(f"/applies/{made['id']}")


ROUTES = (
    Route("GET", "/hosts/{host}/plan", of_host),
    Route("GET", "/plans/{plan}", plan),
    Route("GET", "/plans/{plan}/apply", ask),
    Route("POST", "/plans/{plan}/apply", apply),
)
