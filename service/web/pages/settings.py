"""What an operator set up, and what the service is made of: source, receivers, tokens, notices, windows, licences."""

from starlette.responses import Response

from service.web.asked import Asked, Route, see_other

MOST_DELIVERIES = 10


async def settings(asked: Asked) -> Response:
    """Everything that an operator set up. Tokens are shown to whoever may end them."""
    receivers = await asked.get("/api/v1/receivers")
    tokens = (await asked.get("/api/v1/tokens"))["items"] if asked.may("tokens") else []
    sessions = (await asked.get("/api/v1/sessions"))["items"] if asked.may("tokens") else []
    return asked.page(
        "settings.html", title="Settings", source=await asked.get("/api/v1/source"), receivers=receivers["items"],
        deliveries=(await asked.get("/api/v1/deliveries", limit=MOST_DELIVERIES))["items"], tokens=tokens,
        sessions=sessions,
        notices=(await asked.get("/api/v1/notices"))["items"], windows=(await asked.get("/api/v1/windows"))["items"],
        about=await asked.get("/api/v1/about"),
    )  # fmt: skip


async def ask_revoke(asked: Asked) -> Response:
    """Whether a token may be ended: whoever uses it is signed out."""
    tokens = (await asked.get("/api/v1/tokens"))["items"]
    found = next((one for one in tokens if one["id"] == asked.path["token"]), None)
    return asked.page("revoke.html", title="End a token", token=found, status=200 if found else 404)


async def revoke(asked: Asked) -> Response:
    """End it."""
    await asked.post(f"/api/v1/tokens/{asked.path['token']}", method="DELETE")
    return see_other("/settings")


async def ask_end(asked: Asked) -> Response:
    """Whether somebody is to be signed out."""
    sessions = (await asked.get("/api/v1/sessions"))["items"]
    found = next((one for one in sessions if one["id"] == asked.path["session"]), None)
    return asked.page("end_session.html", title="End a session", session=found, status=200 if found else 404)


async def end(asked: Asked) -> Response:
    """Sign out whoever has the session."""
    await asked.post(f"/api/v1/sessions/{asked.path['session']}", method="DELETE")
    return see_other("/settings")


ROUTES = (
    Route("GET", "/settings", settings),
    Route("GET", "/tokens/{token}/revoke", ask_revoke),
    Route("POST", "/tokens/{token}/revoke", revoke),
    Route("GET", "/sessions/{session}/end", ask_end),
    Route("POST", "/sessions/{session}/end", end),
)
