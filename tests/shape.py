"""Files of at most 400 lines and functions of at most 60: `python -m tests.shape`, in `tests/run` and as a hook.

Larger ones are in shape-known.txt as `LINES PATH` or `LINES PATH::FUNCTION`, and may only shrink. Growing beyond the
number is an error, and so is an entry that is not needed any more.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.statements import statements

TOP = Path(__file__).parent.parent
KNOWN = Path(__file__).parent / "shape-known.txt"
FOLDERS = ("service", "migrations", "deploy", "tests", "findings")
MOST_FILE, MOST_FUNCTION = 400, 60


def too_large(root: Path) -> Iterator[tuple[str, int]]:
    """What is beyond a limit, with its lines."""
    for folder in FOLDERS:
        for file in sorted((root / folder).rglob("*.py")):
            text, name = file.read_text(encoding="utf-8"), file.relative_to(root).as_posix()
            if (lines := len(text.splitlines())) > MOST_FILE:
                yield name, lines
            for node in statements(ast.parse(text)):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                    lines = (node.end_lineno or node.lineno) - node.lineno + 1
                    if lines > MOST_FUNCTION:
                        yield f"{name}::{node.name}", lines


def known(text: str) -> dict[str, int]:
    """The list of exceptions."""
    rows = [line.split() for line in text.splitlines() if line and not line.startswith("#")]
    return {name: int(lines) for lines, name in rows}


def complaints(found: dict[str, int], exceptions: dict[str, int]) -> list[str]:
    """What is wrong, and what to do about it."""
    said = []
    for name, lines in found.items():
        if name not in exceptions:
            most = MOST_FUNCTION if "::" in name else MOST_FILE
            said.append(f"{name} has {lines} lines, more than {most}. Fix: split it by what its parts are for")
        elif lines > exceptions[name]:
            said.append(f"{name} grew from {exceptions[name]} to {lines} lines. Fix: what is known only shrinks")
    for name in exceptions.keys() - found.keys():
        said.append(f"{name} is not too large any more. Fix: take its line out of tests/{KNOWN.name}")
    return sorted(said)


def main(root: Path = TOP) -> int:
    """Say what is wrong; 1 if anything is."""
    said = complaints(dict(too_large(root)), known(KNOWN.read_text(encoding="utf-8")))
    print("\n".join(said or ["sizes: all within their limits"]))
    return 1 if said else 0


if __name__ == "__main__":
    sys.exit(main())
