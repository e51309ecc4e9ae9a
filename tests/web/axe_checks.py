"""What axe-core finds on a page: WCAG 2.2, A and AA.

axe-core 4.14.1 is in `axe/` as its npm package has it, under the Mozilla Public License 2.0; `SHA256` is the file's.
It is only for tests, and no part of what is installed.
"""

import hashlib
from functools import cache
from pathlib import Path
from typing import Any

from playwright.sync_api import Page

FOLDER = Path(__file__).parent / "axe"
VERSION = "4.14.1"
SHA256 = "29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c"
TAGS = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa")
RUN = "tags => axe.run(document, {runOnly: {type: 'tag', values: tags}, resultTypes: ['violations']})"


@cache
def script() -> str:
    """The text of axe-core. AssertionError where it is not the one that is named here."""
    content = (FOLDER / "axe.min.js").read_bytes()
    assert hashlib.sha256(content).hexdigest() == SHA256, "tests/web/axe/axe.min.js is not axe-core " + VERSION
    return content.decode()


def violations(page: Page) -> list[str]:
    """One line for each rule that is broken, with the first elements that break it."""
    if not page.evaluate("typeof axe === 'object'"):
        page.evaluate(script())  # by the debugger, so the page's content policy does not count
    found: dict[str, Any] = page.evaluate(RUN, list(TAGS))
    return [
        f"{one['id']}: {one['help']}: "
        + " | ".join(f"{node['html'][:160]} ({_why(node)})" for node in one["nodes"][:3])
        for one in found["violations"]
    ]


def _why(node: dict[str, Any]) -> str:
    return str((node["any"] or node["all"] or node["none"])[0]["message"])[:160]
