"""SQL that each database says in its own words, and who says them: the room `sqlite/` or the room `postgres/`.

Both take the same statements otherwise. A condition of a
part of an index has `{yes}` and `{no}` for true and false.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from sqlalchemy import (
    BigInteger,
    Boolean,
    ColumnElement,
    Connection,
    Index,
    Insert,
    String,
    Table,
    insert,
    literal,
    text,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.base import SyntaxExtension
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import ClauseElement
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.sql.type_api import TypeEngine
from sqlalchemy.sql.visitors import InternalTraversal

from service.history.postgres import statements as postgres
from service.history.sqlite import statements as sqlite
from service.history.tallying import Counter


class Words(Protocol):
    """What a room says: how a value of true is written, whether a selector fits, the rows of a query, a size."""

    @property
    def DIALECT(self) -> str: ...  # noqa: N802 (a constant of a module)
    @property
    def YES(self) -> str: ...  # noqa: N802
    @property
    def NO(self) -> str: ...  # noqa: N802

    def selected_text(self, column: str, parameter: str) -> str: ...
    def rows_of(self, connection: Connection, query: str, values: Mapping[str, Any]) -> list[Any]: ...
    @property
    def IS_MEASURED(self) -> bool: ...  # noqa: N802
    def measure(self, connection: Connection, tables: Iterable[Table]) -> None: ...
    def used_bytes(self, connection: Connection) -> int: ...
    def file_bytes(self, connection: Connection) -> tuple[int, int]: ...
    def table_bytes(self, connection: Connection) -> Mapping[str, int]: ...
    def give_back(self, connection: Connection) -> int: ...
    def counting(self, one: Counter) -> list[str]: ...


ROOMS: Mapping[str, Words] = {words.DIALECT: words for words in (sqlite, postgres)}

WIDE: TypeEngine[int] = sqlite.narrow_there(BigInteger())
"""A number of 64 bits."""

NEVER_AGAIN: Mapping[str, bool] = sqlite.NEVER_AGAIN
"""Of a table: an id is never used twice, even when the newest row was deleted. PostgreSQL never does."""


def words_of(connection: Connection) -> Words:
    """The words of the database at the other end."""
    return ROOMS[connection.dialect.name]


def part_of(where: str) -> dict[str, Any]:
    """The arguments of an index over some of a table's rows."""
    return {f"{name}_where": text(where.format(yes=words.YES, no=words.NO)) for name, words in ROOMS.items()}


def part_index(name: str, *columns: str, where: str, unique: bool = False) -> Index:
    """An index over some of a table's rows."""
    return Index(name, *columns, unique=unique, **part_of(where))


_PARTS: Any = [("keys", InternalTraversal.dp_string_list), ("columns", InternalTraversal.dp_string_list)]


class _OnConflict(SyntaxExtension, ClauseElement):
    """`ON CONFLICT (…) DO …`, which both databases have."""

    inherit_cache = True
    _traverse_internals = _PARTS

    def __init__(self, keys: Sequence[str], columns: Sequence[str]) -> None:
        self.keys, self.columns = list(keys), list(columns)

    def apply_to_insert(self, insert_stmt: Insert) -> None:
        insert_stmt.apply_syntax_extension_point(lambda before: [*before, self], "post_values")


@compiles(_OnConflict)
def _on_conflict(element: _OnConflict, compiler: SQLCompiler, **_: Any) -> str:
    quote = compiler.preparer.quote
    changes = ", ".join(f"{quote(name)} = excluded.{quote(name)}" for name in element.columns)
    where = ", ".join(map(quote, element.keys))
    return f"ON CONFLICT ({where}) DO {f'UPDATE SET {changes}' if changes else 'NOTHING'}"


def insert_or_replace_columns(table: Table, keys: Sequence[str], columns: Iterable[str]) -> Insert:
    """Insert rows; where there is one of these `keys` already, its `columns` become those of the new one."""
    return insert(table).ext(_OnConflict(keys, list(columns)))


def insert_or_change(table: Table, keys: Sequence[str], values: Mapping[str, Any], changed: Iterable[str]) -> Insert:
    """The same for one row."""
    return insert_or_replace_columns(table, keys, changed).values(**values)


def insert_where_missing(table: Table, keys: Sequence[str], values: Mapping[str, Any]) -> Insert:
    """Insert the values; where there is a row of these `keys` already, it stays."""
    return insert_or_replace_columns(table, keys, ()).values(**values)


class _Selected(FunctionElement[bool]):
    name = "selected"
    type = Boolean()
    inherit_cache = True


@compiles(_Selected)
def _selected(element: _Selected, compiler: SQLCompiler, **kw: Any) -> str:
    column, selector = (compiler.process(clause, **kw) for clause in element.clauses)
    return ROOMS[compiler.dialect.name].selected_text(column, selector)


def selected(column: Any, selector: str) -> ColumnElement[bool]:
    """Whether a selector with `*` and `?` fits. It is fnmatch for what is allowed there: letters, digits, `.-_*?`."""
    return _Selected(column, literal(selector, String()))
