"""A person leaves pages open in front of the real service and a real host: they change without a reload. The same
again with JavaScript off, by reloading."""

import time
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from service.lab import Lab
from service.lab.field import Field
from service.lab.waiting import grown_s
from tests.e2e.story import Story
from tests.web.chromium import Window, chromium

pytestmark = pytest.mark.lab(minutes=7)

CHECKS = "checks:\n  - {type: dns, address: 10.10.10.1, name: dev.madyanne.lan}\n"
KNOWN_S = 2.0
"""So long after the service knows something, an open page shows it."""
APPLIED_S = 90.0


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
        made.apply(made.spec() + CHECKS, "say pve1")
        made.guests["dev"].wait_for_address()
        made.push(made.spec(sync="approve") + CHECKS, "a person approves")
        made.wait_status(sync="Synced", sync_mode="approve")
        yield made


class Watching:
    """Somebody in front of a page that changes on its own, or who reloads it because JavaScript is off."""

    def __init__(self, browser: Browser, story: Story, *, is_live: bool) -> None:
        self.window = Window(browser, story.field.url, javascript=is_live)
        self.window.sign_in(story.field.token)
        self.is_live = is_live

    @property
    def page(self) -> Page:
        return self.window.page

    def open(self, path: str) -> Page:
        """Look at a page, and mark the document: a reload would lose the mark."""
        page = self.window.open(path)
        self.mark()
        return page

    def mark(self) -> None:
        if self.is_live:
            self.page.evaluate("document.documentElement.dataset.mark = 'same'")

    def shows(self, what: Locator, *, within_s: float) -> None:
        """The page comes to show it; a live one is the same document as before. The time grows with the load."""
        if self.is_live:
            expect(what.first).to_be_visible(timeout=grown_s(within_s) * 1000)
            assert self.page.evaluate("document.documentElement.dataset.mark === 'same'")
            return
        until = time.monotonic() + grown_s(within_s)
        while not what.first.is_visible():
            assert time.monotonic() < until, f"{self.page.url} does not show {what}"
            self.page.reload()

    def press_apply(self) -> None:
        """From the plan to its apply, as a person goes."""
        self.page.get_by_role("link", name="Apply …").click()
        self.page.get_by_role("button", name="Apply").click()
        self.page.get_by_role("heading", level=1, name="Apply").wait_for()
        self.mark()


@pytest.fixture(params=["live", "by reloading"])
def watching(browser: Browser, story: Story, request: pytest.FixtureRequest) -> Iterator[Watching]:
    opened = Watching(browser, story, is_live=request.param == "live")
    yield opened
    opened.window.close()


def test_a_push_changes_the_open_page(story: Story, watching: Watching) -> None:
    page = watching.open("/hosts/pve1")
    story.push(story.spec(sync="approve", cache_size=300) + CHECKS, "a larger cache")
    story.wait_status(phase="WaitingForApproval")
    watching.shows(page.get_by_text("Waits for approval"), within_s=KNOWN_S)
    story.push(story.spec(sync="approve") + CHECKS, "as before")
    story.wait_status(sync="Synced")
    watching.shows(page.get_by_text("Nothing differs from Git."), within_s=KNOWN_S)


def test_an_edit_by_hand_is_seen_planned_applied_and_confirmed(story: Story, watching: Watching) -> None:
    page = watching.open("/")
    story.host.sh("ip address add 10.99.0.1/24 dev vmbr0")
    story.wait_status(phase="WaitingForApproval")
    known = time.monotonic()
    attention = page.get_by_role("region", name="Needs attention")
    watching.shows(attention.get_by_role("link", name="Read the plan"), within_s=KNOWN_S)
    print(f"the page shows it {time.monotonic() - known:.2f} s after the API")
    attention.get_by_role("link", name="Read the plan").click()
    page.get_by_role("heading", name="Risk").wait_for()
    watching.press_apply()
    watching.shows(page.get_by_text("The automatic rollback is armed"), within_s=APPLIED_S)
    watching.shows(page.get_by_text("Succeeded"), within_s=APPLIED_S)
    assert story.addresses("vmbr0") == ["10.10.10.1/24"]


def test_a_rollback_is_shown_as_it_happens(story: Story, watching: Watching) -> None:
    wrong = story.spec(sync="approve").replace("madyanne.lan", "elsewhere.lan") + CHECKS
    story.push(wrong, "another domain")
    story.wait_status(phase="WaitingForApproval")
    page = watching.open("/hosts/pve1/plan")
    watching.press_apply()
    watching.shows(page.get_by_text("Rolled back"), within_s=APPLIED_S)
    watching.shows(page.get_by_text("NXDOMAIN"), within_s=KNOWN_S)
    story.wait_status(reason="RolledBackLatched")
    watching.open("/")
    watching.shows(page.get_by_role("link", name="Let it be tried again …"), within_s=KNOWN_S)
    story.push(story.spec(sync="approve") + CHECKS, "as before")
    story.wait_status(sync="Synced")


def test_a_lease_appears_when_a_guest_asks(story: Story, watching: Watching) -> None:
    page = watching.open("/leases")
    number = "77" if watching.is_live else "78"
    story.host.guest_add(f"late{number}", mac=f"BC:24:11:00:00:{number}").wait_for_address()
    watching.shows(page.get_by_role("table").get_by_text(f"bc:24:11:00:00:{number}"), within_s=15)
