"""A person with a browser in front of the real service and a real host: with JavaScript, and without."""

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Locator

from service.lab import Lab
from service.lab.field import Field
from tests.e2e.story import Story
from tests.web.chromium import Window, chromium

pytestmark = pytest.mark.lab(minutes=3)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def story(lab: Lab) -> Iterator[Story]:
    """pve1 as the spec says. A person approves each change."""
    with Field.open(lab, poll_s="1", observe_s="1") as field:
        host = lab.host("pve1")
        host.fresh()
        made = Story(host, field)
        made.add_guests()
        made.apply(made.spec(), "say pve1")
        made.push(made.spec(sync="approve"), "a person approves")
        made.wait_status(sync="Synced", sync_mode="approve")
        yield made


@pytest.fixture
def window(browser: Browser, story: Story) -> Iterator[Window]:
    """Somebody with JavaScript turned off: each look is a reload."""
    opened = Window(browser, story.field.url, javascript=False)
    opened.sign_in(story.field.token)
    yield opened
    opened.close()


def reload_until(story: Story, window: Window, path: str, seen: Callable[[], Locator]) -> None:
    """Reload a page until it has what is looked for."""

    def is_there() -> bool:
        window.open(path)
        return seen().count() > 0

    story.field.wait_for(is_there, f"{path} shows {seen()}", timeout_s=30)


def test_an_edit_by_hand_needs_attention_with_one_sentence_and_what_differs(story: Story, window: Window) -> None:
    page = window.page
    story.host.sh("ip address add 10.99.0.1/24 dev vmbr0")
    attention = page.get_by_role("region", name="Needs attention")
    reload_until(story, window, "/", lambda: attention.get_by_role("link", name="pve1"))
    attention.get_by_role("link", name="pve1").click()
    page.get_by_role("heading", level=1, name="pve1").wait_for()
    drift = page.get_by_role("table", name="What is not as Git wants")
    drift.get_by_text("10.99.0.1/24").first.wait_for()
    drift.get_by_text("Host moved").first.wait_for()
    story.host.sh("ip address del 10.99.0.1/24 dev vmbr0")
    reload_until(story, window, "/hosts/pve1", lambda: page.get_by_text("Nothing differs from Git."))


def test_a_suspension_has_a_reason_and_whoever_resumes_ends_it(story: Story, window: Window) -> None:
    page = window.open("/hosts/pve1")
    page.get_by_role("link", name="Suspend …").click()
    page.get_by_label("Reason").fill("the rack moves")
    page.get_by_role("button", name="Suspend").click()
    page.get_by_text("the rack moves").wait_for()
    held = story.field.items("suspensions?limit=10")
    assert [(one["target"], one["reason"]) for one in held if not one["ended_at"]] == [("pve1", "the rack moves")]
    page.get_by_role("button", name="Resume").first.click()
    page.get_by_role("link", name="Suspend …").wait_for()


def test_a_filter_is_an_address_that_another_person_can_open(story: Story, window: Window, browser: Browser) -> None:
    window.open("/")
    window.page.get_by_role("link", name="In sync").click()
    address = window.page.url
    other = Window(browser, story.field.url)
    other.sign_in(story.field.token)
    other.page.goto(address)
    other.page.get_by_role("heading", name="In sync").wait_for()
    assert other.page.get_by_role("row").count() == 2
    other.close()
