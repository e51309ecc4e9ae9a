"""Signing in and out in Chromium: with JavaScript and without, in two browsers, by keyboard alone."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.api.world import World
from tests.web.axe_checks import violations
from tests.web.chromium import Window, chromium
from tests.web.served_site import world_with_pages

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[World, str]]:
    with world_with_pages(tmp_path_factory.mktemp("sessions")) as made:
        yield made


@pytest.mark.parametrize("javascript", [True, False], ids=["javascript", "plain"])
def test_signing_out_everywhere_ends_the_session_of_a_second_browser(
    browser: Browser, served: tuple[World, str], javascript: bool
) -> None:
    world, origin = served
    here, there = (Window(browser, origin, javascript=javascript) for _ in range(2))
    for window in (here, there):
        window.sign_in(world.token())
    there.open("/hosts/pve1").get_by_role("heading", level=1, name="pve1").wait_for()
    here.open("/session").get_by_role("button", name="Sign out everywhere").click()
    here.page.get_by_role("heading", level=1, name="Sign in").wait_for()
    there.page.reload()
    there.page.get_by_role("heading", level=1, name="Sign in").wait_for()
    there.page.go_back()
    assert there.page.get_by_role("heading", name="Drift").count() == 0
    for window in (here, there):
        window.close()


def test_a_token_that_is_not_known_is_refused_in_words(browser: Browser, served: tuple[World, str]) -> None:
    _, origin = served
    window = Window(browser, origin)
    window.open("/sign-in").get_by_label("Token").fill("psr_nobody")
    window.page.get_by_role("button", name="Sign in").click()
    window.page.get_by_role("alert").wait_for()
    assert violations(window.page) == []
    window.close()


def test_who_signs_in_comes_back_to_where_they_were_going(browser: Browser, served: tuple[World, str]) -> None:
    world, origin = served
    window = Window(browser, origin)
    window.open("/?show=in-sync").get_by_label("Token").fill(world.token())
    window.page.keyboard.press("Enter")
    window.page.get_by_role("heading", name="In sync").wait_for()
    assert window.page.url == f"{origin}/?show=in-sync"
    window.close()


def test_a_suspension_by_keyboard_alone(browser: Browser, served: tuple[World, str]) -> None:
    """From the address bar: skip to the content, forward by Tab, Enter. What has the focus is always to be seen."""
    world, origin = served
    window = Window(browser, origin)
    window.sign_in(world.token())
    page = window.open("/hosts/pve2")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("Enter")
    _tab_to(window, "Suspend …")
    page.keyboard.press("Enter")
    page.get_by_role("heading", level=1, name="Suspend pve2").wait_for()
    _tab_to(window, "", field="reason")
    page.keyboard.type("the rack moves")
    page.keyboard.press("Enter")
    page.get_by_text("the rack moves").wait_for()
    window.close()


def _tab_to(window: Window, text: str, *, field: str = "") -> None:
    for _ in range(60):
        window.page.keyboard.press("Tab")
        name, words, is_ringed = window.page.evaluate(
            "[document.activeElement.name || '', document.activeElement.textContent.trim(),"
            " getComputedStyle(document.activeElement).outlineStyle !== 'none']"
        )
        assert is_ringed, f"the focus on {words or name!r} is not to be seen"
        if (field and name == field) or (text and words == text):
            return
    raise AssertionError(f"no way by keyboard to {text or field}")
