"""A room for each database knows its dialect: no other part of the service contains any of it."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

SERVICE = Path(__file__).parents[2] / "service"
ROOM, SERVER = SERVICE / "history" / "sqlite", SERVICE / "history" / "postgres"
NAMES = re.compile(
    r"sqlite3|sqlite_\w+|exec_driver_sql|on_conflict_\w+|with_variant|executescript|psycopg\w*|postgresql_\w+"
)
TEXT = re.compile(r"\bPRAGMA\b|\bGLOB\b|\bBEGIN\b|\bjson_\w+\(|\bunixepoch\b|^sqlite:|\bpg_\w+\(|\bANALYZE\b|^postgres")


def words_of_one(source: str) -> Iterator[str]:
    """What only one database understands: names in the code, words in its texts; a docstring may say them."""
    module = ast.parse(source)
    said = {id(node.value) for node in ast.walk(module) if isinstance(node, ast.Expr)}
    for node in ast.walk(module):
        names = [getattr(node, key, None) for key in ("id", "attr", "arg", "module")]
        names += [alias.name for alias in getattr(node, "names", []) if isinstance(alias, ast.alias)]
        for name in filter(None, names):
            if isinstance(name, str) and (NAMES.fullmatch(name) or name.startswith("sqlalchemy.dialects")):
                yield f"{getattr(node, 'lineno', 0)}: {name}"
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in said:
            yield from (f"{node.lineno}: {found}" for found in TEXT.findall(node.value))


def test_only_its_room_knows_a_database() -> None:
    found = [
        f"{path.relative_to(SERVICE)}:{words}"
        for path in (SERVICE / "history").rglob("*.py")
        if not path.is_relative_to(ROOM) and not path.is_relative_to(SERVER)
        for words in words_of_one(path.read_text())
    ]
    assert found == [], "say it in service/history/sqlite/ and postgres/, and call it by what it does"


def test_the_rooms_themselves_would_be_noticed() -> None:
    rooms = {ROOM: ("engine", "statements", "file"), SERVER: ("engine", "statements", "server")}
    files = [folder / f"{name}.py" for folder, names in rooms.items() for name in names]
    assert all(list(words_of_one(file.read_text())) for file in files)


@pytest.mark.parametrize(
    "line",
    [
        "from sqlalchemy.dialects.sqlite import insert",
        "import sqlite3",
        "connection.exec_driver_sql(text)",
        "Index('a', 'b', sqlite_where=None)",
        "run('PRAGMA page_size')",
        "run(f'{column} GLOB :x')",
        "insert(t).on_conflict_do_nothing()",
        "select(text('json_extract(body, 1)'))",
    ],
)
def test_each_word_of_it_is_known(line: str) -> None:
    assert list(words_of_one(line))


def test_a_docstring_may_say_why() -> None:
    assert list(words_of_one('"""BEGIN IMMEDIATE: see sqlite/engine.py."""\n')) == []
