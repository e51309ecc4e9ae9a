"""A fixed word of the model is reported by the service somewhere: a client does not wait for one that never comes."""

import ast
from pathlib import Path
from typing import get_args

import pytest

from service.model.guest_lines import LineSort

SERVICE = Path(__file__).parent.parent / "service"
EDGES = ("cli", "lab")  # they read words, they make none
ASKED = {"admin", *get_args(LineSort)}
"""Words of people only: a scope that stands for all others, and the orders of a table."""


def literals() -> dict[str, list[str]]:
    """The words of each `Name = Literal[...]` of the model."""
    found = {}
    for file in sorted((SERVICE / "model").glob("*.py")):
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.Assign) and ast.unparse(node.value).startswith("Literal["):
                words = [c.value for c in ast.walk(node.value) if isinstance(c, ast.Constant)]
                found[f"{file.stem}.{ast.unparse(node.targets[0])}"] = [word for word in words if isinstance(word, str)]
    return found


class Said(ast.NodeVisitor):
    """The words that are given to something. What is only compared with, or is only a type, is not said."""

    def __init__(self) -> None:
        self.words: set[str] = set()

    def visit_Compare(self, node: ast.Compare) -> None:
        for side in (node.left, *node.comparators):
            if not isinstance(side, ast.Constant | ast.Tuple | ast.Set | ast.List):
                self.visit(side)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        if ast.unparse(node.value) != "Literal":
            self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, str):
            self.words.add(node.value)


@pytest.fixture(scope="module")
def said() -> set[str]:
    visitor = Said()
    for file in SERVICE.rglob("*.py"):
        if file.relative_to(SERVICE).parts[0] not in EDGES:
            visitor.visit(ast.parse(file.read_text(encoding="utf-8")))
    return visitor.words


@pytest.mark.parametrize("name", sorted(literals()))
def test_every_word_is_said(name: str, said: set[str]) -> None:
    assert set(literals()[name]) - said - ASKED == set()
