"""A run of the lab's tests (`-m lab`) leaves the files unread that never name this mark.

Each worker of xdist collects for itself. The lab's tests are in every tenth file, and importing all others costs a
worker longer than a host takes to boot. A file counts by its text, so the mark has to be written in the file of the
test that has it. `unnamed` finds the tests for which that is not so, in any run that reads all files.
"""

from collections.abc import Iterable
from functools import cache
from pathlib import Path

import pytest

LAB = "lab"


@cache
def names_lab(path: Path) -> bool:
    """Whether a file's text names the mark."""
    return f"mark.{LAB}" in path.read_text(encoding="utf-8")


def has_none(path: Path, expression: str) -> bool:
    """Whether no test of this file can be selected by the expression after `-m`; False where that is not known."""
    return expression == LAB and not names_lab(path)


def unnamed(items: Iterable[pytest.Item]) -> list[str]:
    """The lab's tests whose file does not name the mark."""
    return [item.nodeid for item in items if item.get_closest_marker(LAB) is not None and not names_lab(item.path)]
