"""SQL that is different in other databases: selectors, true, numbers of 64 bits, the size of it all."""

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import BigInteger, Connection, Integer, Table
from sqlalchemy.sql.type_api import TypeEngine

DIALECT = "sqlite"
"""Its name to SQLAlchemy."""

YES, NO = "1", "0"
"""How true and false are written in a condition. The indexes over some of a table's rows say them so."""

IS_MEASURED = False
"""The size is known at any time."""

NEVER_AGAIN: Mapping[str, bool] = {"sqlite_autoincrement": True}
"""Of a table: an id is never used twice, even when the newest row was deleted."""


def narrow_there(wide: BigInteger) -> TypeEngine[int]:
    """The same type, by the one name that SQLite has for numbers, which have 64 bits."""
    return wide.with_variant(Integer(), "sqlite")


def selected_text(column: str, parameter: str) -> str:
    """Whether a selector with `*` and `?` fits. GLOB is fnmatch for what is allowed there: letters, digits, `.-_*?`."""
    return f"{column} GLOB {parameter}"


def rows_of(connection: Connection, query: str, values: Mapping[str, Any]) -> list[Any]:
    """The rows of a query written as text, with `:name` for its values. Nothing is built for it, nothing is kept."""
    return list(connection.exec_driver_sql(query, dict(values)))


def measure(connection: Connection, tables: Iterable[Table]) -> None:
    """Nothing has to be counted for `used_bytes`."""


def used_bytes(connection: Connection) -> int:
    """How large the database is, without pages that are free."""

    def number(pragma: str) -> int:
        return int(connection.exec_driver_sql(f"PRAGMA {pragma}").scalar_one())

    return (number("page_count") - number("freelist_count")) * number("page_size")
