"""The statements of a module, without its expressions: most of the nodes of a tree are expressions."""

import ast
from collections.abc import Iterator

_BLOCKS = ("body", "orelse", "finalbody", "handlers", "cases")


def statements(tree: ast.Module) -> Iterator[ast.AST]:
    """Each statement, with those inside of it; handlers and cases too."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        for block in _BLOCKS:
            inside = getattr(node, block, ())
            yield from inside
            waiting += inside
