"""Chromium as the tests use it: Debian's package, through playwright.

with chromium() as browser:
    window = Window(browser, "http://127.0.0.1:8765", dark=True, width=390)
    window.sign_in(token)
    window.open("/hosts/pve1")
    window.page.get_by_role("heading", name="pve1")     playwright's own page
    window.close()                                      AssertionError for a foreign request, an error of a script, …

It is a browser for each file of tests: while playwright runs, no other event loop can run in the thread.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Dialog, Page, Response, sync_playwright

PROGRAM = "/usr/bin/chromium"
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
)  # fmt: skip
"""It runs as root in a room without much shared memory, and asks nobody for news."""

WIDE, PHONE, NARROWEST = 1440, 390, 320
"""Widths of windows, in CSS pixels. The last one is WCAG's for reflow (1.4.10)."""
HEIGHT = 900
PATIENCE_MS = 20_000
"""So long a test waits for what it expects to see, on a busy machine."""


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser. Where Debian's package is missing the test fails."""
    program = os.environ.get("CHROMIUM", PROGRAM)
    if not Path(program).exists():
        pytest.fail("Chromium is not installed. Fix: deploy/setup --dev --browser", pytrace=False)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(FLAGS), headless=True)
        try:
            yield browser
        finally:
            browser.close()


class Window:
    """A person in front of a browser of their own: cookies, what was requested, what went wrong."""

    def __init__(
        self, browser: Browser, origin: str, *, dark: bool = False, width: int = WIDE, javascript: bool = True
    ) -> None:
        self.origin = origin
        self.requested: list[str] = []
        self.faults: list[str] = []
        self._context = browser.new_context(
            base_url=origin, color_scheme="dark" if dark else "light", java_script_enabled=javascript,
            locale="en-GB", reduced_motion="reduce", timezone_id="UTC", viewport={"width": width, "height": HEIGHT},
        )  # fmt: skip
        self._context.set_default_timeout(PATIENCE_MS)
        self.page = self.another()

    def another(self) -> Page:
        """One more tab of the same person."""
        page = self._context.new_page()
        page.on("request", lambda request: self.requested.append(request.url))
        page.on("pageerror", lambda error: self.faults.append(f"a script failed: {error}"))
        page.on("console", self._hear)
        page.on("dialog", self._dismiss)
        page.on("response", self._look)
        return page

    def _hear(self, message: ConsoleMessage) -> None:
        # a page that is an error says so itself; Chromium says it once more
        if message.type in ("error", "warning") and "Failed to load resource" not in message.text:
            self.faults.append(f"{self.page.url}: {message.text}")

    def _dismiss(self, dialog: Dialog) -> None:
        self.faults.append(f"a dialog opened: {dialog.message}")
        dialog.dismiss()

    def _look(self, response: Response) -> None:
        if response.status >= 500:
            self.faults.append(f"{response.url} was answered by {response.status}")

    def open(self, path: str) -> Page:
        """Go to a page of the service."""
        self.page.goto(path)
        return self.page

    def kind(self, path: str) -> str:
        """The type of what an address answers; empty for a file to keep, which opens nothing."""
        headers = self.page.request.get(path).headers
        is_kept = headers.get("content-disposition", "").startswith("attachment")
        return "" if is_kept else headers["content-type"].partition(";")[0]

    def sign_in(self, token: str) -> None:
        """As people do: by the form."""
        self.page.goto("/sign-in")
        self.page.get_by_label("Token").fill(token)
        self.page.get_by_role("button", name="Sign in").click()
        self.page.get_by_role("heading", level=1, name="Fleet").wait_for()

    def resize(self, width: int) -> None:
        self.page.set_viewport_size({"width": width, "height": HEIGHT})

    @property
    def overflow_px(self) -> int:
        """By how much the page is wider than its window. It needs JavaScript for the test's own question."""
        return int(self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))

    @property
    def foreign(self) -> list[str]:
        """Requests that left the origin."""
        return [url for url in self.requested if url != self.origin and not url.startswith(f"{self.origin}/")]

    def close(self) -> None:
        """AssertionError where something left the origin, a script failed, or the content policy stopped something."""
        self._context.close()
        assert self.foreign == []
        assert self.faults == []
