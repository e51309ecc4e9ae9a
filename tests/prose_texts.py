"""The prose of a tree: pages, messages, docstrings and comments, each with its place.

    texts(root) -> Iterator[Text]

Code is left out: fenced blocks and inline code of pages, indented blocks of docstrings, strings of fewer than three
words. A value in an f-string is as `X`.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from tests.statements import statements

Sort: TypeAlias = Literal["doc", "message", "docstring", "comment"]

PAGES = ("*.md", "deploy/docs/**/*.md", "tests/**/*.md")
LEFT_OUT = ("tests/FLAKY.md", "tests/mutation/RESULTS.md", "tests/safety/RESULTS.md")
"""Records of what was seen: they stay as they were written."""

MESSAGES = ("service", "deploy")
CODE = ("service", "deploy", "migrations", "tests")
SCRIPTS = ("deploy/demo", "deploy/lock", "deploy/setup", "tests/run", "tests/mutation/run")

_PRAGMA = re.compile(r"^(?:noqa|type:|fmt:|pragma|ruff:|mypy:|!|-\*-)")
_BULLET = re.compile(r"^\s*(?:[-*+]|\d+\.)\s+")
_CODE = re.compile(r"</|\(\?P<|\\[dnst]|[{;]$")
_COLUMNS = re.compile(r"\S {2,}\S")
_STRING_OR_COMMENT = re.compile(
    r'''"""[^"\\]*(?:(?:\\.|"(?!""))[^"\\]*)*"""|"(?:[^"\\\n]|\\.)*"|#[^\n]*'''
    r"""|'''[^'\\]*(?:(?:\\.|'(?!''))[^'\\]*)*'''|'(?:[^'\\\n]|\\.)*'""",
    re.DOTALL,
)
"""A comment begins outside of strings. Python's own tokens say the same, at ten times the cost."""


@dataclass(frozen=True, slots=True)
class Text:
    """One paragraph, list entry, cell, message or comment."""

    file: str
    line: int
    sort: Sort
    words: str


def texts(root: Path) -> Iterator[Text]:
    """All prose below a folder."""
    pages = sorted({page for pattern in PAGES for page in root.glob(pattern)})
    for page in pages:
        name = page.relative_to(root).as_posix()
        if name not in LEFT_OUT and "/." not in f"/{name}":
            yield from of_page(name, page.read_text(encoding="utf-8"))
    for folder in CODE:
        for file in sorted((root / folder).rglob("*.py")):
            yield from of_python(
                file.relative_to(root).as_posix(), file.read_text(encoding="utf-8"), messages=folder in MESSAGES
            )
    for script in SCRIPTS:
        if (root / script).exists():
            yield from of_script(script, (root / script).read_text(encoding="utf-8"))


def of_page(name: str, page: str) -> Iterator[Text]:
    """The paragraphs, list entries, headings and cells of a Markdown page."""
    block: list[str] = []
    first = fenced = 0
    for number, line in enumerate([*page.splitlines(), ""], 1):
        is_fence = line.lstrip().startswith("```")
        fenced ^= is_fence
        begins_anew = not line.strip() or is_fence or line.startswith(("#", "|")) or _BULLET.match(line)
        if begins_anew and block:
            yield Text(name, first, "doc", _plain(" ".join(block)))
            block = []
        if fenced or is_fence or not line.strip():
            continue
        if line.lstrip().startswith("|"):
            cells = re.split(r"(?<!\\)\|", line.strip().strip("|"))
            yield from (Text(name, number, "doc", _plain(cell)) for cell in cells if re.search(r"\w", cell))
        elif line.startswith("#"):
            yield Text(name, number, "doc", _plain(line.lstrip("# ")))
        else:
            first = first if block else number
            block.append(_BULLET.sub("", line).strip())


def _plain(text: str) -> str:
    """Without links' targets and emphasis."""
    return re.sub(
        r"\*\*|(?<!\w)[*_](?=\w)|(?<=\w)[*_](?!\w)", "", re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", text)
    ).strip()


def of_python(name: str, source: str, *, messages: bool) -> Iterator[Text]:
    """The docstrings and comments of a module and, where requested, its messages."""
    tree = ast.parse(source)
    docstrings = _docstrings(tree)
    for node in docstrings:
        yield from _of_docstring(name, node)
    yield from _comments(name, source)
    if messages:
        left_out = {id(node) for node in docstrings}
        yield from (text for node in _strings(tree, left_out) for text in _of_string(name, node))


def _docstrings(tree: ast.Module) -> list[ast.Constant]:
    """Each string that is a statement: docstrings, and the notes below constants and fields."""
    found = [node.value for node in statements(tree) if isinstance(node, ast.Expr)]
    return [node for node in found if isinstance(node, ast.Constant) and isinstance(node.value, str)]


def _of_docstring(name: str, node: ast.Constant) -> Iterator[Text]:
    block: list[str] = []
    first = node.lineno
    lines = str(node.value).splitlines()
    margin = min((len(line) - len(line.lstrip()) for line in lines[1:] if line.strip()), default=0)
    for number, raw in enumerate([*lines, ""], node.lineno):
        line = raw if number == node.lineno else raw[margin:]
        is_code = line.startswith("    ") or bool(_COLUMNS.search(line))
        if (not line.strip() or is_code or _BULLET.match(line)) and block:
            yield Text(name, first, "docstring", " ".join(block))
            block = []
        if line.strip() and not is_code:
            first = first if block else number
            block.append(_BULLET.sub("", line).strip())


def _comments(name: str, source: str) -> Iterator[Text]:
    """Comments; those on neighbouring lines of their own are one."""
    block: list[str] = []
    first = last = 0
    line, counted = 1, 0
    for found in _STRING_OR_COMMENT.finditer(source):
        if not found[0].startswith("#"):
            continue
        line, counted = line + source.count("\n", counted, found.start()), found.start()
        words = found[0].lstrip("#: ").rstrip()
        own = not source[source.rfind("\n", 0, counted) + 1 : counted].strip()
        if block and not (own and line == last + 1):
            yield Text(name, first, "comment", " ".join(block))
            block = []
        if _PRAGMA.match(words):
            words = words.partition("(")[2].rstrip(")") if words.startswith("noqa") else ""
        if words:
            first = first if block else line
            block.append(words)
            last = line if own else 0
    if block:
        yield Text(name, first, "comment", " ".join(block))


def _strings(tree: ast.AST, left_out: set[int]) -> Iterator[ast.Constant | ast.JoinedStr]:
    """The outermost strings and f-strings."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.JoinedStr):
            yield node
            waiting += [part.value for part in node.values if isinstance(part, ast.FormattedValue)]
        elif isinstance(node, ast.Constant):
            if isinstance(node.value, str) and id(node) not in left_out:
                yield node
        else:
            waiting += ast.iter_child_nodes(node)


def _of_string(name: str, node: ast.Constant | ast.JoinedStr) -> Iterator[Text]:
    if isinstance(node, ast.JoinedStr):
        words = "".join(str(part.value) if isinstance(part, ast.Constant) else "X" for part in node.values)
    else:
        words = str(node.value)
    for line in words.splitlines():
        if len(re.findall(r"[A-Za-z]{2,}", line)) >= 3 and " " in line.strip() and not _is_code(line.strip()):
            yield Text(name, node.lineno, "message", line.strip())


def _is_code(line: str) -> bool:
    """HTML, a regular expression, a table, a line of a script: no prose."""
    return bool(_COLUMNS.search(line) or _CODE.search(line))


def of_script(name: str, source: str) -> Iterator[Text]:
    """The comments of a shell script. In its help, an indented line and one with `usage:` are texts of their own."""
    block: list[str] = []
    first = 0
    for number, line in enumerate([*source.splitlines(), ""], 1):
        is_comment = line.startswith("#") and not line.startswith("#!")
        if block and not (is_comment and not re.match(r"#(?: {2,}| usage:)", line)):
            yield Text(name, first, "comment", " ".join(block))
            block = []
        if is_comment:
            first = first if block else number
            block.append(re.sub(r"^ *--?[a-z]+(?: \| -?-[a-z]+)* {2,}", "", line[1:]).strip())
