"""What holds for every page, by its HTML alone; `test_every_page_seen.py` looks at them in a browser."""

import pytest

from tests.api.world import World
from tests.web.addresses import ERRORS, addresses, templates
from tests.web.reader import read
from tests.web.visitor import Visitor

MOST_BYTES = 150_000
"""So large may a page be without what it is about, with its style and script."""


@pytest.mark.parametrize("template", sorted(templates()))
async def test_a_page_has_no_fault(visitor: Visitor, world: World, template: str) -> None:
    answer = await visitor.send("GET", addresses(world)[template])
    if answer.status_code == 200 and not answer.headers["content-type"].startswith("text/html"):
        return  # a picture or a table of its own, with tests of its own
    assert answer.status_code == 200, answer.text
    page = read(answer.text)
    assert page.faults == []
    assert page.h1
    assert page.title.endswith("· passerelle")


@pytest.mark.parametrize("template", sorted(templates()))
async def test_who_is_not_signed_in_sees_no_page(visitor: Visitor, world: World, template: str) -> None:
    visitor.cookies = {}
    answer = await visitor.send("GET", addresses(world)[template])
    assert (answer.status_code, answer.headers["location"].partition("?")[0]) == (303, "/sign-in")
    assert answer.text == ""


@pytest.mark.parametrize("name", ERRORS)
async def test_a_page_that_is_not_there_is_a_page_that_says_so(visitor: Visitor, name: str) -> None:
    page = await visitor.look(ERRORS[name], status=404)
    assert page.faults == []


async def test_no_two_pages_have_the_same_title(visitor: Visitor, world: World) -> None:
    titles: dict[str, str] = {}
    found = addresses(world)
    for template in sorted(templates()):
        answer = await visitor.send("GET", found[template])
        if answer.headers.get("content-type", "").startswith("text/html"):
            title = read(answer.text).title
            assert title not in titles, f"{template} and {titles[title]} are both called {title!r}"
            titles[title] = template


async def test_a_page_without_what_it_is_about_is_small(empty: World) -> None:
    looking = Visitor(empty)
    page = await looking.look("/")
    size = len(looking.answer.content)
    used = [link["href"] for link in page.root.all("link")] + [script["src"] for script in page.root.all("script")]
    for address in used:
        size += len((await looking.send("GET", address)).content)
    assert size <= MOST_BYTES
