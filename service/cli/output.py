"""How the command line speaks: data on stdout as table or JSON, talk and errors on stderr, colour only for people."""

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TextIO

from service.model.states import Json

Format = Literal["table", "json"]
TableFormat = Literal["table", "json", "csv"]


def printable(value: object) -> str:
    """Text of a host, a repository or a person without anything that a terminal would obey."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in str(value))


def complain(what: str, hint: str = "") -> None:
    """An error: what happened, and the fix as a sentence of its own."""
    print(f"passerelle: {printable(what)}", file=sys.stderr)
    if hint:
        print(f"  Fix: {printable(hint.removeprefix('Fix: '))}", file=sys.stderr)


def tell(text: str) -> None:
    """Progress and other talk."""
    print(printable(text), file=sys.stderr, flush=True)


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a text. `style` is how a terminal paints it, in Rich's words. `folded` is the indent of its further
    lines on a narrow terminal.
    """

    text: str
    style: str = ""
    folded: int = 0


def show_lines(lines: Iterable[Line], stream: TextIO) -> None:
    """A text line by line. A terminal gets colours (none with `NO_COLOR`) and folded lines, a pipe neither."""
    if not stream.isatty():
        for line in lines:
            print("\t".join(map(printable, line.text.split("\t"))), file=stream)
        return
    from rich.console import Console
    from rich.text import Text

    console = Console(file=stream, markup=False, highlight=False, emoji=False, soft_wrap=True)
    for line in lines:
        for part in fold(printable(line.text.expandtabs(4)), console.width, line.folded):
            console.print(Text(part, style=line.style))


def fold(text: str, width: int, indent: int) -> Iterator[str]:
    """A line in parts of at most `width` characters; those after the first are in by `indent`."""
    import textwrap

    wide = max(width, indent + 20)
    parts = textwrap.wrap(text, wide, subsequent_indent=" " * indent, break_on_hyphens=False)
    yield from parts or [""]


def show_json(value: object) -> None:
    """One JSON document; with escapes where the reader's encoding does not have every character."""
    takes_all = (sys.stdout.encoding or "utf-8").lower().startswith("utf")
    print(json.dumps(value, indent=2, ensure_ascii=not takes_all, default=str))


def show_table(columns: Sequence[str], rows: Sequence[Mapping[str, Json]], *, empty: str) -> None:
    """Rows under headings; `empty` is reported on stderr where there are none."""
    if not rows:
        tell(empty)
        return
    cells = [[cell(row.get(column)) for column in columns] for row in rows]
    if not sys.stdout.isatty():
        _print_columns([list(columns), *cells])
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in cells:
        table.add_row(*row)
    Console(markup=False, highlight=False, emoji=False).print(table)


def show_csv(columns: Sequence[str], rows: Sequence[Mapping[str, Json]]) -> None:
    """Rows as CSV that a spreadsheet opens without running anything in it."""
    from service.formats.csv_cells import written

    cells = ([None if row.get(name) is None else cell(row[name]) for name in columns] for row in rows)
    print(written(columns, cells), end="")


def _print_columns(lines: Sequence[Sequence[str]]) -> None:
    """Lines as long as they are, one for each row: what a pipe gets."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        print("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip())


def cell(value: Json) -> str:
    """One value in a table."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(cell(item) for item in value) or "none"
    if isinstance(value, dict):
        return printable(json.dumps(value, sort_keys=True))
    return printable(value)
