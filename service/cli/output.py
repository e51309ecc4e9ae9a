"""How the command line speaks: data on stdout as table or JSON, talk and errors on stderr, colour only for people."""

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Literal

from service.model.states import Json

Format = Literal["table", "json"]
PIPE_WIDTH = 10_000
"""Characters of a table's line where nobody looks at it: more than any row has."""


def printable(value: object) -> str:
    """Text of a host, a repository or a person without anything that a terminal would obey."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in str(value))


def complain(what: str, hint: str = "") -> None:
    """An error: what happened, and what to do next."""
    print(f"passerelle: {printable(what)}", file=sys.stderr)
    if hint:
        print(f"  next: {printable(hint)}", file=sys.stderr)


def tell(text: str) -> None:
    """Progress and other talk."""
    print(printable(text), file=sys.stderr, flush=True)


def show_json(value: object) -> None:
    """One JSON document; with escapes where the reader's encoding does not have every character."""
    takes_all = (sys.stdout.encoding or "utf-8").lower().startswith("utf")
    print(json.dumps(value, indent=2, ensure_ascii=not takes_all, default=str))


def show_table(columns: Sequence[str], rows: Sequence[Mapping[str, Json]], *, empty: str) -> None:
    """Rows under headings; `empty` is said on stderr where there are none."""
    if not rows:
        tell(empty)
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(cell(row.get(column)) for column in columns))
    # a pipe gets lines as long as they are, one for each row; a terminal its own width
    Console(width=None if sys.stdout.isatty() else PIPE_WIDTH, markup=False, highlight=False, emoji=False).print(table)


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
