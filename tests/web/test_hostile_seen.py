"""Hostile texts in Chromium: no element is made of them, no script runs, nothing is requested, nothing opens."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.api.world import World
from tests.web.addresses import addresses
from tests.web.chromium import NARROWEST, Window, chromium
from tests.web.hostile import plant
from tests.web.served_site import world_with_pages

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]

ASKS = """() => ({
    made: document.querySelectorAll('x-hostile, iframe, object, embed, base, [autofocus], [onerror], [onload]').length,
    ran: typeof hostile, scripts: [...document.scripts].filter(one => !one.src).length,
    title: document.title, away: location.origin})"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[World, str]]:
    with world_with_pages(tmp_path_factory.mktemp("hostile")) as (world, origin):
        plant(world)
        yield world, origin


def test_no_page_does_anything_with_a_hostile_text(browser: Browser, served: tuple[World, str]) -> None:
    world, origin = served
    window = Window(browser, origin)
    window.sign_in(world.token())
    for address in addresses(world).values():
        if not window.kind(address):
            continue
        page = window.open(address)
        seen = page.evaluate(ASKS)
        assert (seen["made"], seen["ran"], seen["scripts"], seen["away"]) == (0, "undefined", 0, origin), address
    window.close()


def test_a_long_hostile_text_makes_no_page_wider(browser: Browser, served: tuple[World, str]) -> None:
    world, origin = served
    window = Window(browser, origin, width=NARROWEST)
    window.sign_in(world.token())
    wider = {}
    for name, address in addresses(world).items():
        if window.kind(address) == "text/html":
            window.open(address)
            if window.overflow_px > 0:
                wider[name] = window.overflow_px
    assert wider == {}
    window.close()
