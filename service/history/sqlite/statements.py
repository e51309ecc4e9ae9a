"""SQL that is different in other databases: insert or change, selectors, parts of an index, numbers of 64 bits."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Connection, Index, Integer, Table, text
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.sql.dml import Insert

WIDE = BigInteger().with_variant(Integer(), "sqlite")
"""A number of 64 bits."""

NEVER_AGAIN: Mapping[str, bool] = {"sqlite_autoincrement": True}
"""Of a table: an id is never used twice, even when the newest row was deleted."""


def insert_or_change(
    table: Table, keys: Sequence[str], values: Mapping[str, Any], changed: Mapping[str, Any]
) -> Insert:
    """Insert the values; where there is a row of these `keys` already, change it."""
    return insert(table).values(**values).on_conflict_do_update(list(keys), set_=dict(changed))


def insert_or_replace_columns(table: Table, keys: Sequence[str], columns: Sequence[str]) -> Insert:
    """The same for many rows at once: where there is one already, its `columns` become those of the new one."""
    new = insert(table)
    return new.on_conflict_do_update(list(keys), set_={name: new.excluded[name] for name in columns})


def insert_where_missing(table: Table, keys: Sequence[str], values: Mapping[str, Any]) -> Insert:
    """Insert the values; where there is a row of these `keys` already, it stays."""
    return insert(table).values(**values).on_conflict_do_nothing(list(keys))


def selected(column: Any, selector: str) -> ColumnElement[bool]:
    """Whether a selector with `*` and `?` fits. GLOB is fnmatch for what is allowed there: letters, digits, `.-_*?`."""
    found: ColumnElement[bool] = column.op("GLOB", is_comparison=True)(selector)
    return found


def selected_text(column: str, parameter: str) -> str:
    """The same, in a query that is written as text."""
    return f"{column} GLOB :{parameter}"


def part_index(name: str, *columns: str, where: str, unique: bool = False) -> Index:
    """An index over some of a table's rows."""
    return Index(name, *columns, unique=unique, sqlite_where=text(where))


def rows_of(connection: Connection, query: str, values: Mapping[str, Any]) -> list[Any]:
    """The rows of a query written as text, with `:name` for its values. Nothing is built for it, nothing is kept."""
    return list(connection.exec_driver_sql(query, dict(values)))


def used_bytes(connection: Connection) -> int:
    """How large the database is, without pages that are free."""

    def number(pragma: str) -> int:
        return int(connection.exec_driver_sql(f"PRAGMA {pragma}").scalar_one())

    return (number("page_count") - number("freelist_count")) * number("page_size")
