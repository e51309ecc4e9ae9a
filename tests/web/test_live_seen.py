"""An open page in Chromium: it changes on its own, keeps what somebody does in it, and says how fresh it is."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from service.model.events import ReconcileAsked
from service.model.runs import HostStatus
from service.model.web_sessions import Visit
from tests.api.still_clock import NOW
from tests.api.world import World
from tests.web.chromium import PATIENCE_MS, Window, chromium
from tests.web.served_site import world_with_pages

expect.set_options(timeout=PATIENCE_MS)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


@pytest.fixture
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[World, str]]:
    with world_with_pages(tmp_path_factory.mktemp("pages")) as made:
        yield made


@pytest.fixture
def window(browser: Browser, served: tuple[World, str]) -> Iterator[Window]:
    opened = Window(browser, served[1])
    opened.sign_in(served[0].token())
    yield opened
    opened.close()


def happens(world: World, message: str, host: str = "pve1") -> None:
    status = HostStatus(host, sync="OutOfSync", reason="Drifted", reachability="Reachable", message=message)
    world.history.store.set_host_status(status, at=NOW)
    world.history.store.add_event(ReconcileAsked(host=host, by="ann"), at=NOW)


def pages_read(window: Window, path: str) -> int:
    return sum(url == f"{window.origin}{path}" for url in window.requested)


def mark(page: Page) -> None:
    """What somebody does in a page: one part is opened, a field has words, and the cursor is in it."""
    page.evaluate("""() => {
        document.getElementById("main").dataset.first = "yes";
        const field = document.querySelector("main textarea, main input:not([type=hidden])");
        field.focus();
    }""")
    page.keyboard.type("the switch is rep")


def test_a_page_changes_on_its_own_and_keeps_what_somebody_does(window: Window, served: tuple[World, str]) -> None:
    page = window.open("/hosts/pve1/suspend")
    expect(page.locator("#live")).to_have_text("● live")
    mark(page)
    before = page.evaluate("document.activeElement.name")
    with page.expect_response(lambda answer: answer.url.endswith("/hosts/pve1/suspend")):
        happens(served[0], "somebody was here")
    page.keyboard.type("laced")
    assert page.evaluate("document.activeElement.name") == before
    assert page.evaluate("document.activeElement.value") == "the switch is replaced"
    assert page.evaluate("document.getElementById('main').dataset.first") == "yes", "it is the same document"


def test_news_is_seen_without_a_click(window: Window, served: tuple[World, str]) -> None:
    page = window.open("/hosts/pve1")
    expect(page.locator("#live")).to_have_text("● live")
    happens(served[0], "the cat sat on the switch")
    expect(page.locator("main")).to_contain_text("the cat sat on the switch")


def test_what_is_open_stays_open(window: Window, served: tuple[World, str]) -> None:
    page = window.open("/hosts/pve1")
    expect(page.locator("#live")).to_have_text("● live")
    page.evaluate("""() => document.querySelector("main h1").insertAdjacentHTML(
        "afterend", "<details id='opened'><summary>more</summary>text</details>")""")
    page.route("**/hosts/pve1", lambda route: route.fulfill(
        content_type="text/html", headers={"Date": "Sun, 01 Mar 2026 12:00:00 GMT"},
        body="<title>t</title><main id=main><h1>x</h1><details id=opened><summary>more</summary>new</details></main>",
    ))  # fmt: skip
    page.locator("#opened summary").click()
    happens(served[0], "news")
    expect(page.locator("#opened")).to_contain_text("new")
    assert page.evaluate("document.getElementById('opened').open")
    assert page.title() == "t"


def test_several_events_are_one_look(window: Window, served: tuple[World, str]) -> None:
    page = window.open("/hosts/pve1")
    expect(page.locator("#live")).to_have_text("● live")
    before = pages_read(window, "/hosts/pve1")
    for number in range(20):
        happens(served[0], f"event {number}")
    expect(page.locator("main")).to_contain_text("event 19")
    assert pages_read(window, "/hosts/pve1") - before < 10


def test_where_the_stream_breaks_the_page_is_polled_and_says_since_when_it_is_stale(
    browser: Browser, served: tuple[World, str]
) -> None:
    world, origin = served
    window = Window(browser, origin)
    window.sign_in(world.token())
    page = window.page
    page.clock.install()
    page.route("**/live", lambda route: route.abort())
    page.goto("/hosts/pve1")
    expect(page.locator("#live")).to_have_text("◐ polling")
    happens(world, "read by the clock")
    page.clock.fast_forward(31_000)
    expect(page.locator("main")).to_contain_text("read by the clock")
    expect(page.locator("#live")).to_have_text("◐ polling")
    page.route("**/hosts/pve1", lambda route: route.abort())
    page.clock.fast_forward(31_000)
    expect(page.locator("#live")).to_contain_text("▲ stale since")
    page.unroute("**/hosts/pve1")
    page.unroute("**/live")
    page.clock.fast_forward(31_000)
    expect(page.locator("#live")).to_have_text("● live")
    window.close()


def test_signing_out_in_another_browser_leads_to_the_sign_in_page(window: Window, served: tuple[World, str]) -> None:
    world = served[0]
    page = window.open("/hosts/pve1")
    expect(page.locator("#live")).to_have_text("● live")
    world.history.store.end_sessions_of(world.token()[4:16], visit=Visit(), at=NOW)
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    assert page.url.endswith("/sign-in?to=%2Fhosts%2Fpve1")


def test_without_javascript_a_link_looks_again(browser: Browser, served: tuple[World, str]) -> None:
    world, origin = served
    window = Window(browser, origin, javascript=False)
    window.sign_in(world.token())
    page = window.open("/hosts/pve1")
    happens(world, "seen after a click")
    page.get_by_role("link", name="Look again").click()
    expect(page.locator("main")).to_contain_text("seen after a click")
    window.close()
