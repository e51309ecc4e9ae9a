"""The page of help: light or dark stays with the browser."""

from service.web.pages.helping import THEME
from tests.web.visitor import Visitor


async def test_light_or_dark_stays_with_the_browser(visitor: Visitor) -> None:
    assert await visitor.press("/help", on="/help", theme="dark") == "/help"
    visitor.cookies[THEME] = visitor.answer.cookies[THEME]
    page = await visitor.look("/")
    assert page.root.first("html")["data-theme"] == "dark"
    assert page.faults == []


async def test_another_word_is_no_theme(visitor: Visitor) -> None:
    visitor.cookies[THEME] = "purple"
    assert "data-theme" not in (await visitor.look("/help")).root.first("html")
