"""SQL that is different in other databases: selectors, true, the values of a query, the size of it all."""

import functools
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Table

if TYPE_CHECKING:
    from service.history.tallying import Counter

DIALECT = "postgresql"
"""Its name to SQLAlchemy."""

YES, NO = "TRUE", "FALSE"
"""How true and false are written in a condition. The indexes over some of a table's rows say them so."""

IS_MEASURED = True
"""Sizes are known only after `measure`, which writes."""

_NAMED = re.compile(r"(?<!:):([a-z]\w*)")
USED = """
SELECT coalesce(sum(pg_total_relation_size(c.oid) * CASE
    WHEN c.reltuples < 0 OR pg_relation_size(c.oid) = 0 THEN 1.0
    ELSE least(1.0, c.reltuples * (coalesce(w.bytes, 0) + 28) / pg_relation_size(c.oid)) END), 0)::bigint
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN (
    SELECT tablename, sum(avg_width)::float AS bytes FROM pg_stats
    WHERE schemaname = current_schema() GROUP BY tablename
) w ON w.tablename = c.relname
WHERE n.nspname = current_schema() AND c.relkind = 'r'
"""
"""A deleted row leaves room in its table that later ones fill, and the files stay as large. So a table counts as far as
its rows fill it: their number, times their width as ANALYZE found it, and the 28 bytes before each."""

_TABLES = """
SELECT c.relname AS name, pg_total_relation_size(c.oid) AS bytes
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = current_schema() AND c.relkind = 'r'
"""

_TALLYING = """
SELECT c.relname, t.tgname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = current_schema() AND left(t.tgname, 6) = 'tally_'
"""


def selected_text(column: str, parameter: str) -> str:
    """Whether a selector with `*` and `?` fits: LIKE, with the signs that it has for them. `_` is a letter of names."""
    like = f"replace({parameter}, '_', chr(92) || '_')"
    return f"{column} LIKE replace(replace({like}, '*', chr(37)), '?', '_')"


@functools.lru_cache(maxsize=256)
def _in_their_form(query: str) -> str:
    """`:name` as psycopg names a value."""
    return _NAMED.sub(r"%(\1)s", query.replace("%", "%%"))


def rows_of(connection: Connection, query: str, values: Mapping[str, Any]) -> list[Any]:
    """The rows of a query written as text, with `:name` for its values."""
    return list(connection.exec_driver_sql(_in_their_form(query), dict(values)))


def measure(connection: Connection, tables: Iterable[Table]) -> None:
    """Have the rows counted, for `used_bytes`."""
    connection.exec_driver_sql(f"ANALYZE {', '.join(table.name for table in tables)}")


def used_bytes(connection: Connection) -> int:
    """How large the tables and their indexes are, without room that rows left, as of the last `measure`."""
    return int(connection.exec_driver_sql(USED).scalar_one())


def file_bytes(connection: Connection) -> tuple[int, int]:
    """(size of all tables and indexes, room in them that rows left, as of the last `measure`)"""
    total = sum(table_bytes(connection).values())
    return total, max(0, total - used_bytes(connection))


def table_bytes(connection: Connection) -> Mapping[str, int]:
    """The size of each table and its indexes."""
    return {str(name): int(size) for name, size in connection.exec_driver_sql(_TABLES)}


def give_back(connection: Connection) -> int:
    """Nothing to do: the server's autovacuum frees the room of deleted rows for new ones."""
    return 0


def counting(one: "Counter") -> list[str]:
    """The trigger by which a counter follows its table: it is part of whatever statement changes a row. It names no
    columns, because a column that a trigger names cannot become one that sorts by bytes."""
    new, old = one.key("NEW"), one.key("OLD")
    keys = "(what, day, host, kind)"
    up = f"INSERT INTO tallies AS t VALUES ({new}, 1) ON CONFLICT {keys} DO UPDATE SET rows = t.rows + 1"  # noqa: S608
    where = f"WHERE {keys} = ({old})"
    down = f"UPDATE tallies SET rows = rows - 1 {where}; DELETE FROM tallies {where} AND rows = 0;"  # noqa: S608 (ours)
    same = " AND ".join(f"NEW.{name} IS NOT DISTINCT FROM OLD.{name}" for name in one.columns)
    body = f"""BEGIN
IF TG_OP = 'UPDATE' THEN IF {same} THEN RETURN NULL; END IF; END IF;
IF TG_OP <> 'INSERT' THEN IF {one.holds("OLD")} THEN {down} END IF; END IF;
IF TG_OP <> 'DELETE' THEN IF {one.holds("NEW")} THEN {up}; END IF; END IF;
RETURN NULL; END"""
    return [
        f"CREATE FUNCTION tally_{one.name}() RETURNS trigger LANGUAGE plpgsql AS $${body}$$",
        f"CREATE TRIGGER tally_{one.name} AFTER INSERT OR UPDATE OR DELETE ON {one.table}"
        f" FOR EACH ROW EXECUTE FUNCTION tally_{one.name}()",
    ]


def count_rows(connection: Connection, *, on: bool) -> None:
    """Have no row counted that this transaction writes, and then each again: for rows that have their tallies with
    them."""
    for table, trigger in connection.exec_driver_sql(_TALLYING).all():
        connection.exec_driver_sql(f'ALTER TABLE "{table}" {"ENABLE" if on else "DISABLE"} TRIGGER "{trigger}"')
