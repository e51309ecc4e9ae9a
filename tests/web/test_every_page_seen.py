"""Every page in Chromium: WCAG 2.2 AA by axe-core in light and dark on a wide screen and on a phone, and 320 px."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from service.web.pages import ROUTES
from tests.api.world import World
from tests.web.addresses import ERRORS, addresses
from tests.web.axe_checks import violations
from tests.web.chromium import NARROWEST, PHONE, WIDE, Window, chromium
from tests.web.served_site import world_with_pages

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[World, str]]:
    with world_with_pages(tmp_path_factory.mktemp("pages")) as made:
        yield made


def _all(world: World) -> dict[str, str]:
    return addresses(world) | ERRORS


@pytest.mark.parametrize("width", [WIDE, PHONE])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_nobody_is_kept_out_of_a_page(browser: Browser, served: tuple[World, str], dark: bool, width: int) -> None:
    world, origin = served
    window = Window(browser, origin, dark=dark, width=width)
    window.open("/sign-in")
    found = {"/sign-in": violations(window.page)}
    window.sign_in(world.token())
    for name, address in _all(world).items():
        if window.kind(address) == "text/html":
            found[f"{name} {address}"] = violations(window.open(address))
    assert {name: broken for name, broken in found.items() if broken} == {}
    window.close()


def test_no_page_is_wider_than_the_narrowest_window(browser: Browser, served: tuple[World, str]) -> None:
    world, origin = served
    window = Window(browser, origin, width=NARROWEST)
    window.sign_in(world.token())
    wider = {}
    for name, address in _all(world).items():
        if window.kind(address) == "text/html":
            window.open(address)
            if window.overflow_px > 0:
                wider[name] = window.overflow_px
    assert wider == {}
    window.close()


def test_there_are_pages() -> None:
    assert {"/", "/hosts/{host}"} <= {route.path for route in ROUTES}
