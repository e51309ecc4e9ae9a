"""The pictures of pages in README and docs, from real hosts: one in sync, one changed by hand, one that is away.

PASSERELLE_ACCEPT=1 in the environment writes them to `deploy/docs/pictures/`.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from service.lab import Lab
from service.lab.field import Field
from tests.e2e.story import Story
from tests.web.chromium import Window, chromium
from tests.web.pictures import FOLDER, MADE_FROM, MOST_BYTES, digests, names

pytestmark = pytest.mark.lab(minutes=3)

WIDTH, HEIGHT = 1200, 800
ADDRESSES = {"fleet": "/", "host": "/hosts/pve1", "topology": "/hosts/pve1/topology", "plan": "/hosts/pve1/plan"}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def field(lab: Lab) -> Iterator[Field]:
    """Three hosts. Somebody changed pve1 by hand, nobody reaches pve3, and both are known."""
    with Field.open(lab, poll_s="1", observe_s="1") as opened:
        stories = [Story(lab.host("pve1"), opened)]
        stories += [Story(lab.add_host(name), opened) for name in ("pve2", "pve3")]
        for story in stories:
            story.host.fresh()
            story.add_guests()
            story.apply(story.spec(), f"say {story.host.name}")
        first, _, third = stories
        first.push(first.spec(sync="approve"), "pve1: a person approves")
        first.wait_status(sync="Synced", sync_mode="approve")
        first.host.sh("ip address add 10.99.0.1/24 dev vmbr0; sysctl -qw net.ipv4.ip_forward=0")
        first.wait_status(sync="OutOfSync", reason="Drifted")
        third.host.power_off()
        third.wait_status(reachability="Unreachable")
        yield opened


def test_the_pictures_are_taken(field: Field, browser: Browser, tmp_path: Path) -> None:
    for scheme in ("light", "dark"):
        window = Window(browser, field.url, dark=scheme == "dark", width=WIDTH)
        window.page.set_viewport_size({"width": WIDTH, "height": HEIGHT})
        window.sign_in(field.token)
        for name, address in ADDRESSES.items():
            page = window.open(address)
            page.wait_for_load_state("load")  # a picture in the page, too
            assert window.overflow_px == 0
            page.screenshot(path=tmp_path / f"{name}-{scheme}.png")
        window.close()
    taken = sorted(path.name for path in tmp_path.glob("*.png"))
    assert taken == sorted(names())
    assert max((tmp_path / name).stat().st_size for name in taken) <= MOST_BYTES
    if os.environ.get("PASSERELLE_ACCEPT"):
        FOLDER.mkdir(exist_ok=True)
        for name in taken:
            (FOLDER / name).write_bytes((tmp_path / name).read_bytes())
        MADE_FROM.write_text(digests())
