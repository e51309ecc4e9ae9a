"""CSV comes back as it was written, and no cell of it is a formula."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.formats.csv_cells import FORMULA, harmless, read, written

CELLS = st.text(max_size=20)
PLAIN = CELLS.filter(str.isprintable)


@given(st.lists(st.lists(PLAIN, min_size=2, max_size=2)))
def test_rows_come_back(rows: list[list[str]]) -> None:
    assert read(written(["a", "b"], rows)) == (["a", "b"], rows)


@given(st.lists(st.lists(CELLS, min_size=1, max_size=3), min_size=1))
def test_no_cell_is_a_formula_or_hides_anything(rows: list[list[str]]) -> None:
    text = written(["a"], rows)
    for row in csv.reader(io.StringIO(text, newline="")):
        for cell in row:
            assert not cell.startswith(FORMULA)
            assert cell.isprintable()
    assert text.encode().decode() == text


@pytest.mark.parametrize(
    ("cell", "shown"),
    [
        ("=HYPERLINK(1)", "'=HYPERLINK(1)"), ("+1", "'+1"), ("-1", "'-1"), ("@SUM", "'@SUM"), ("'x", "''x"),
        ("\t=1", "\\u0009=1"), ("a\u202eb", "a\\u202eb"), ("\x1b[31mred", "\\u001b[31mred"), ("\ud800", "\\ud800"),
        ("10.10.10.9", "10.10.10.9"), ("", ""), ("\uff1d1", "'\uff1d1"),
    ],
)  # fmt: skip
def test_a_cell_is_text_everywhere(cell: str, shown: str) -> None:
    assert harmless(cell) == shown


def test_words_for_what_is_no_text() -> None:
    assert written(["a", "b", "c"], [[None, True, 7]]) == "a,b,c\r\n,yes,7\r\n"


def test_csv_without_a_header_is_none() -> None:
    with pytest.raises(ValueError, match="header"):
        read("")
