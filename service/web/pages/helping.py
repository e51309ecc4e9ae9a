"""What each page is for, the keys, and light or dark."""

from collections.abc import Mapping

from starlette.responses import Response

from service.web.asked import Asked, Route, see_other

THEME = "passerelle_theme"
THEMES = ("light", "dark")
_YEAR_S = 365 * 86_400


def theme_of(cookies: Mapping[str, str]) -> str:
    """Light or dark, as the person chose; empty: as the system is."""
    chosen = cookies.get(THEME, "")
    return chosen if chosen in THEMES else ""


async def show(asked: Asked) -> Response:
    """The page."""
    return asked.page("help.html", title="Help")


async def choose(asked: Asked) -> Response:
    """Keep light or dark in the browser, or neither."""
    answer, chosen = see_other("/help"), asked.form.get("theme", "")
    if chosen in THEMES:
        answer.set_cookie(THEME, chosen, max_age=_YEAR_S, httponly=True, samesite="strict")
    else:
        answer.delete_cookie(THEME, httponly=True, samesite="strict")
    return answer


ROUTES = (Route("GET", "/help", show), Route("POST", "/help", choose))
