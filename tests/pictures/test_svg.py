"""The writer of SVG: hostile text stays text, and each picture has its colours for light and dark."""

import base64
import hashlib
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.pictures.measure import cut, width_of
from service.pictures.palette import DARK, LIGHT
from service.pictures.svg import NAMESPACE, POLICY, Drawing, Element, box, label, plain, written
from tests.pictures.reading import texts, tree

HOSTILE = (
    "<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "</text></svg><a>", "]]>", "&lt;b&gt;", "<!--",
    "'\"", "\x1b[31mred\x1b[0m", "\x00", "\x08", "\u202eevil\u202c", "\u2066x\u2069", "\ufffe", "a\nb\tc",
    "\ud800", "\u200bhidden",
)  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_text(text: str) -> None:
    drawing = Drawing(text, text, 100, 40, (box(1, 1, 50, 20, said=text), label(text, 4, 14, room=30)))
    for form in (drawing.alone(), drawing.inline()):
        root = ET.fromstring(form)
        tags = {one.tag.rpartition("}")[2] for one in root.iter()}
        assert tags <= {"svg", "title", "desc", "style", "rect", "text"}
        assert plain(text) in "".join(root.itertext())
        assert all(one.isprintable() for one in form)


@given(st.text())
def test_every_text_is_well_formed_and_whole(text: str) -> None:
    root = ET.fromstring(written(Element("text", {"name": text}, (text,))))
    assert root.attrib["name"] == plain(text)
    assert (root.text or "") == plain(text)


def test_what_is_shown_can_be_read_back() -> None:
    assert plain("\x1b[31m\u202e") == "\\x1b[31m\\u202e"
    assert plain("vmbr1 – café") == "vmbr1 – café"


def test_the_policy_names_the_only_sheet_and_no_attribute_is_a_style() -> None:
    root = tree(Drawing("t", "d", 10, 10, (box(1, 1, 2, 2),)))
    (sheet,) = root.iter(f"{{{NAMESPACE}}}style")
    digest = base64.b64encode(hashlib.sha256((sheet.text or "").encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in POLICY
    assert "unsafe" not in POLICY
    assert not [one for one in root.iter() if "style" in one.attrib]
    assert "<style" not in Drawing("t", "d", 10, 10, ()).inline()


def test_light_and_dark_have_the_same_shapes_and_colours() -> None:
    assert LIGHT.keys() == DARK.keys()
    for name, values in LIGHT.items():
        assert {key for key, value in values.items() if value != "none"} == DARK[name].keys()


@pytest.mark.parametrize("colours", [LIGHT, DARK])
def test_texts_have_the_contrast_of_wcag(colours: dict[str, dict[str, str]]) -> None:
    for paper in ("paper", "box", "drifted"):
        for ink in ("ink", "faint", "warn"):
            assert _contrast(colours[ink]["fill"], colours[paper]["fill"]) >= 4.5, (ink, paper)
    for style in (name for name in colours if name.startswith(("line", "off", "full"))):
        values = colours[style]
        assert _contrast(values.get("stroke", values.get("fill", "")), colours["paper"]["fill"]) >= 3


def _contrast(one: str, other: str) -> float:
    """WCAG 2.2, relative luminance."""
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


def _luminance(colour: str) -> float:
    parts = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    red, green, blue = (one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@given(st.text(max_size=60), st.integers(20, 300), st.booleans(), st.booleans())
def test_a_cut_text_fits_and_says_that_it_is_cut(text: str, room: int, is_mono: bool, is_bold: bool) -> None:
    shown = cut(text, room, 13, is_mono=is_mono, is_bold=is_bold)
    assert width_of(shown, 13, is_mono=is_mono, is_bold=is_bold) <= room
    assert shown == text or (shown.endswith("…") and text.startswith(shown[:-1].rstrip()))


def test_what_is_cut_is_whole_in_its_title() -> None:
    root = tree(Drawing("t", "d", 90, 20, (label("a-very-long-name-of-a-guest", 4, 14, room=60),)))
    assert "a-very-long-name-of-a-guest" in texts(root)
