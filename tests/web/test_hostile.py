"""Hostile texts in commits, hosts' answers, guests' names and reasons are texts on every page, by its HTML alone."""

import unicodedata

import pytest

from tests.api.world import World
from tests.web.addresses import addresses, templates
from tests.web.hostile import HIDDEN, TEXTS, plant
from tests.web.reader import read
from tests.web.visitor import Visitor

SHOWN_ON = {"/hosts/{host}": len(TEXTS)}
"""Pages where each of them is read, so that the others are known to have been tried."""


def test_there_are_many_of_them() -> None:
    assert len(TEXTS) >= 40


@pytest.mark.parametrize("template", sorted(templates()))
async def test_a_hostile_text_is_a_text(visitor: Visitor, world: World, template: str) -> None:
    plant(world)
    found = addresses(world)
    answer = await visitor.send("GET", found[template])
    assert answer.status_code == 200, answer.text
    text = answer.content.decode()
    assert HIDDEN & set(text) == set()
    assert [
        f"{ord(one):04x}" for one in set(text) if unicodedata.category(one) in ("Cc", "Cf") and one not in "\n\t"
    ] == []
    if answer.headers["content-type"].startswith("text/html"):
        page = read(text)
        assert page.faults == []
        assert [one.name for one in page.root.all("x-hostile", "iframe", "object", "embed", "base")] == []
        if template in SHOWN_ON:
            assert sum(f"hostile{number:02} " in page.text for number in range(len(TEXTS))) == SHOWN_ON[template]
        assert "49" not in page.text.partition("hostile38 ")[2][:40]  # no template made anything of it


async def test_a_hostile_search_is_a_text(visitor: Visitor) -> None:
    for text in TEXTS:
        answer = await visitor.send("GET", f"/search?q={_quoted(text)}")
        page = read(answer.text)
        assert page.faults == []
        assert HIDDEN & set(answer.text) == set()
        assert page.root.all("x-hostile") == []


def _quoted(text: str) -> str:
    return "".join(f"%{byte:02x}" for byte in text.encode())
