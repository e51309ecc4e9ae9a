"""SQL that is different in other databases: selectors, true, numbers of 64 bits, the size of it all."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from sqlalchemy import BigInteger, Connection, Integer, Table
from sqlalchemy.exc import OperationalError
from sqlalchemy.sql.type_api import TypeEngine

from service.history.sqlite.file import INCREMENTAL

if TYPE_CHECKING:
    from service.history.tallying import Counter

AT_ONCE = 500
"""So many pages change their place in one transaction, so that others wait for some milliseconds only."""
KEPT_FREE, KEPT_PART = 250, 20
"""So many free pages stay: 1 MB, or a twentieth of the file."""
_PAGES = """
SELECT s.tbl_name, sum(d.pgsize) FROM dbstat AS d JOIN sqlite_schema AS s ON s.name = d.name
WHERE d.aggregate = TRUE GROUP BY s.tbl_name
"""

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
    file, free = file_bytes(connection)
    return file - free


def file_bytes(connection: Connection) -> tuple[int, int]:
    """(size of the file, of the free pages in it)"""
    size = _number(connection, "page_size")
    return _number(connection, "page_count") * size, _number(connection, "freelist_count") * size


def table_bytes(connection: Connection) -> Mapping[str, int]:
    """The pages of each table and its indexes. Empty for a library that was built without `dbstat`."""
    try:
        rows = connection.exec_driver_sql(_PAGES).all()
    except OperationalError:
        return {}
    return {str(name): int(size) for name, size in rows}


def give_back(connection: Connection) -> int:
    """Cut some free pages off the end of the file, but for so many as new records need soon. How many; 0 when it is
    done, and for a file whose pages keep their place (it was made before `auto_vacuum` was set)."""
    free, pages = _number(connection, "freelist_count"), _number(connection, "page_count")
    going = min(AT_ONCE, free - max(KEPT_FREE, pages // KEPT_PART))
    if going <= 0 or _number(connection, "auto_vacuum") != INCREMENTAL:
        return 0
    cursor = connection.connection.cursor()
    try:
        cursor.execute(f"PRAGMA incremental_vacuum({going})")
        cursor.fetchall()  # each row that is read moves a page, and SQLAlchemy would read none
    finally:
        cursor.close()
    return going


def counting(one: "Counter") -> list[str]:
    """The triggers by which a counter follows its table: they are part of whatever statement changes a row."""
    new, old = one.key("NEW"), one.key("OLD")
    keys = "(what, day, host, kind)"
    up = f"INSERT INTO tallies VALUES ({new}, 1) ON CONFLICT {keys} DO UPDATE SET rows = rows + 1"  # noqa: S608 (ours)
    where = f"WHERE {keys} = ({old})"
    down = f"UPDATE tallies SET rows = rows - 1 {where};\nDELETE FROM tallies {where} AND rows = 0"  # noqa: S608 (ours)
    is_new, is_old = one.holds("NEW"), one.holds("OLD")
    made = (
        ("made", "INSERT", is_new, up),
        ("gone", "DELETE", is_old, down),
        ("left", f"UPDATE OF {', '.join(one.columns)}", f"{is_old} AND NOT ({is_new} AND ({new}) IS ({old}))", down),
        ("came", f"UPDATE OF {', '.join(one.columns)}", f"{is_new} AND NOT ({is_old} AND ({new}) IS ({old}))", up),
    )
    return [
        f"CREATE TRIGGER tally_{one.name}_{name} AFTER {what} ON {one.table} WHEN {when} BEGIN {then}; END"
        for name, what, when, then in made
    ]


def _number(connection: Connection, pragma: str) -> int:
    return int(connection.exec_driver_sql(f"PRAGMA {pragma}").scalar_one())
