"""Plots: every value is where it belongs, and what is not known is a gap."""

from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.pictures.plots import Series, amount, bar_plot, line_plot, nice, runs
from service.pictures.svg import NAMESPACE
from tests.pictures.reading import boxes, texts, tree

DAYS = ["27 Nov", "28 Nov", "29 Nov", "30 Nov"]


def test_a_gap_is_not_a_zero() -> None:
    root = tree(line_plot("Drift open", [Series("pve1", (3, None, 0, 2))], "items", DAYS))
    lines = [one for one in root.iter(f"{{{NAMESPACE}}}polyline") if one.attrib["class"] == "p-line-1"]
    assert [len(one.attrib["points"].split()) for one in lines] == [2]
    said = texts(root)
    assert "27 Nov: pve1 3 items" in said
    assert not [one for one in said if one.startswith("28 Nov:")]
    assert "Drift open, in items. pve1: last 2, highest 3 (27 Nov), 1 not known." in said


def test_bars_stand_on_each_other() -> None:
    drawing = bar_plot(
        "Applies", [Series("confirmed", (4, 2, 0, 1)), Series("rolled back", (1, 0, None, 0))], "applies", DAYS
    )
    root = tree(drawing)
    confirmed, rolled_back = ([one for one in boxes(root) if one.style == f"p-bar-{number}"] for number in (1, 2))
    assert len(confirmed) == 3 + 1  # one of them in the legend
    assert not [one for one in confirmed for other in rolled_back if one.meets(other)]
    assert confirmed[0].height == pytest.approx(4 * rolled_back[0].height, abs=0.5)
    assert "?" in texts(root)
    assert "30 Nov: confirmed 1 applies" in texts(root)


@given(st.lists(st.lists(st.none() | st.integers(0, 10**6), min_size=5, max_size=5), max_size=9), st.booleans())
def test_everything_is_inside_the_picture(values: list[list[int | None]], is_bars: bool) -> None:
    series = [Series(f"series {number} <b>", one) for number, one in enumerate(values)]
    draw = bar_plot if is_bars else line_plot
    drawing = draw("A <title>\x1b[1m", series, "things", ["a", "b", "c", "d", "e"])
    root = ET.fromstring(drawing.alone())
    for one in boxes(root):
        assert -0.1 <= one.x <= one.x + one.width <= drawing.width + 0.1
        assert -0.1 <= one.y <= one.y + one.height <= drawing.height + 0.1
    for each in root.iter(f"{{{NAMESPACE}}}circle"):
        assert 0 <= float(each.attrib["cy"]) <= drawing.height


@pytest.mark.parametrize("draw", [line_plot, bar_plot])
def test_no_values_and_one(draw: object) -> None:
    assert callable(draw)
    assert "no values" in texts(tree(draw("t", [], "items", [])))
    assert "1 Nov" in texts(tree(draw("t", [Series("a", [2])], "items", ["1 Nov"])))
    assert "a: not known." in " ".join(texts(tree(draw("t", [Series("a", [None])], "items", ["1 Nov"]))))


def test_a_value_for_each_label() -> None:
    with pytest.raises(ValueError, match="a has 1 values for 4 labels"):
        line_plot("t", [Series("a", [1])], "items", DAYS)


@pytest.mark.parametrize(
    ("highest", "top"), [(0, 1), (1, 1), (1.5, 2), (3, 5), (7, 10), (10, 10), (999, 1000), (2e6, 2e6)]
)
def test_the_end_of_the_axis(highest: float, top: float) -> None:
    assert nice(highest) == top


def test_numbers_as_people_write_them() -> None:
    assert [amount(one) for one in (0, 1234, 1.25)] == ["0", "1,234", "1.2"]
    assert runs((None, 1, 2, None, 3)) == [[(1, 1), (2, 2)], [(4, 3)]]
