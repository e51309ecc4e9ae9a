"""Hostile texts in commits, hosts' answers, guests' names and reasons are texts on every page, by its HTML alone."""

import csv
import unicodedata
from xml.etree import ElementTree

from tests.api.world import World
from tests.web.addresses import addresses, file_addresses, file_templates, templates
from tests.web.hostile import HIDDEN, TEXTS, plant
from tests.web.reader import read
from tests.web.visitor import Visitor

SHOWN_ON = {"/hosts/{host}": len(TEXTS)}
"""Pages where each of them is read, so that the others are known to have been tried."""


def test_there_are_many_of_them() -> None:
    assert len(TEXTS) >= 40


async def test_a_hostile_text_is_a_text(visitor: Visitor, world: World) -> None:
    plant(world)
    found = addresses(world)
    for template in sorted(templates()):
        await is_a_text(visitor, template, found[template])


async def is_a_text(visitor: Visitor, template: str, address: str) -> None:
    answer = await visitor.send("GET", address)
    assert answer.status_code == 200, (template, answer.text)
    text = answer.content.decode()
    assert HIDDEN & set(text) == set(), template
    assert [
        f"{ord(one):04x}" for one in set(text) if unicodedata.category(one) in ("Cc", "Cf") and one not in "\n\t"
    ] == [], template
    if answer.headers["content-type"].startswith("text/html"):
        page = read(text)
        assert page.faults == [], template
        assert [one.name for one in page.root.all("x-hostile", "iframe", "object", "embed", "base")] == [], template
        if template in SHOWN_ON:
            assert sum(f"hostile{number:02} " in page.text for number in range(len(TEXTS))) == SHOWN_ON[template]
        assert "49" not in page.text.partition("hostile38 ")[2][:40], template  # no template made anything of it


async def test_a_hostile_text_is_a_text_in_a_file(visitor: Visitor, world: World) -> None:
    plant(world)
    found = file_addresses(world)
    for template in file_templates():
        await is_a_text_in_a_file(visitor, template, found[template])


async def is_a_text_in_a_file(visitor: Visitor, template: str, address: str) -> None:
    answer = await visitor.send("GET", address)
    assert answer.status_code == 200, (template, answer.text)
    text = answer.content.decode()
    if template.endswith(".svg"):
        assert HIDDEN & set(text) == set()
        for element in ElementTree.fromstring(text).iter():
            assert element.tag.rpartition("}")[2] not in ("script", "foreignObject", "image", "x-hostile")
            assert [name for name in element.attrib if name.startswith("on")] == []
    if template.endswith(".csv"):
        cells = [cell for row in csv.reader(text.splitlines(keepends=True)) for cell in row]
        assert [cell for cell in cells if cell.startswith(("=", "+", "@", "\t", "\r"))] == []


async def test_a_hostile_search_is_a_text(visitor: Visitor) -> None:
    for text in TEXTS:
        answer = await visitor.send("GET", f"/search?q={_quoted(text)}")
        page = read(answer.text)
        assert page.faults == []
        assert HIDDEN & set(answer.text) == set()
        assert page.root.all("x-hostile") == []


def _quoted(text: str) -> str:
    return "".join(f"%{byte:02x}" for byte in text.encode())
