"""CSV (RFC 4180) that a spreadsheet opens without running anything in it.

written(["ip", "name"], [["10.10.10.9", "=1+1"]]) -> 'ip,name\\r\\n10.10.10.9,\\'=1+1\\r\\n'
read(text) -> the header and the rows

A spreadsheet takes a cell that begins with one of `FORMULA` as a formula. Such a cell gets a `'` before it, which
spreadsheets take as "this is text". Rule and characters: OWASP, "CSV Injection"
(https://owasp.org/www-community/attacks/CSV_Injection). A cell that begins with `'` gets one more, so that nothing is
lost: whoever reads the cells takes one `'` away from the beginning. Control characters and marks that turn the
direction of writing are written as `\\u001b`: a terminal may show the file, too.
"""

import csv
import io
from collections.abc import Iterable, Sequence

FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""What begins a formula, also in the wide characters of East Asian writing. Tabs and line ends, which OWASP names, too,
are never in a cell."""


def harmless(cell: str) -> str:
    """The cell as text for every spreadsheet and terminal."""
    if not cell.isprintable():
        cell = "".join(one if one.isprintable() else f"\\u{ord(one):04x}" for one in cell)
    return f"'{cell}" if cell.startswith((*FORMULA, "'")) else cell


def written(header: Sequence[str], rows: Iterable[Iterable[object]]) -> str:
    """A header and rows. None is an empty cell, a boolean yes or no."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow([harmless(cell) for cell in header])
    writer.writerows([harmless(_text(cell)) for cell in row] for row in rows)
    return out.getvalue()


def read(text: str) -> tuple[list[str], list[list[str]]]:
    """The reverse of `written`. ValueError where there is no header."""
    rows = [[cell.removeprefix("'") for cell in row] for row in csv.reader(io.StringIO(text, newline=""), strict=True)]
    if not rows:
        raise ValueError("CSV without a header")
    return rows[0], rows[1:]


def _text(cell: object) -> str:
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    return str(cell)
