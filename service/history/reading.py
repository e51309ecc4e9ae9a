"""What every query is built with: the columns of a value, hosts that may be seen, order and place in a list."""

from collections.abc import Iterable, Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Select,
    Table,
    and_,
    false,
    func,
    literal,
    or_,
    select,
    true,
    tuple_,
)

from service.history.tables import tallies
from service.history.words import selected
from service.model.listings import Listing


def columns_of(table: Table, value: type[Any]) -> list[Any]:
    return [table.c[f.name] for f in fields(value) if f.name in table.c]


def seen_by(column: Any, visible: Sequence[str]) -> ColumnElement[bool]:
    if "*" in visible:
        return true()
    exact = [selector for selector in visible if is_exact(selector)]
    if exact and len(exact) == len(visible):
        one: ColumnElement[bool] = column == exact[0] if len(exact) == 1 else column.in_(exact)
        return one
    return or_(false(), *(selected(column, selector) for selector in visible))


def is_exact(selector: str) -> bool:
    """Whether a selector chooses one host, by its name."""
    return not {"*", "?"} & set(selector)


def of_host(column: Any, host: str, visible: Sequence[str]) -> ColumnElement[bool]:
    return and_(column == host, seen_by(column, visible)) if host else seen_by(column, visible)


def rows_of_hosts(connection: Connection, query: Select[Any], table: Table, asked: Listing) -> list[Any]:
    """The rows of a page. Where hosts are chosen by their names, each has a query of its own: one query for all of
    them would read and sort everything that is recorded of them. Rows of no host are for everybody.
    """
    names = [name for name in asked.visible if is_exact(name)]
    if len(names) < len(asked.visible) or "host" in asked.asked or not names or "host" in asked.order:
        return list(connection.execute(query).mappings())
    columns = [name for name in asked.order if name in query.selected_columns]
    found = [row for name in ("", *names) for row in connection.execute(query.where(table.c.host == name)).mappings()]
    found.sort(key=lambda row: tuple(row[name] for name in columns), reverse=asked.is_newest_first)
    return found[: asked.limit + 1]


def ordered(query: Select[Any], table: Table, asked: Listing, start: Sequence[Any]) -> Select[Any]:
    """In the list's order, after the key `start`."""
    order = [table.c[name] for name in asked.order]
    if len(start) == len(order):
        key = tuple_(*order)
        after = tuple_(
            *(
                literal(value, BigInteger() if isinstance(value, int) else column.type)
                for value, column in zip(start, order, strict=True)
            )
        )
        query = query.where(key < after if asked.is_newest_first else key > after)
    return query.order_by(*(column.desc() if asked.is_newest_first else column for column in order))


def first_since(connection: Connection, table: Table, at: datetime) -> int:
    """The id of the first row of this time or later, of a table whose rows come in the order of their times; after the
    last where there is none. It is found by halves: no index has these times, and about twenty rows are read."""
    query = select(table.c.id, table.c.at).order_by(table.c.id).limit(1)
    low, high = (int(connection.execute(select(edge(table.c.id))).scalar() or 0) for edge in (func.min, func.max))
    high += 1
    while low < high:
        middle = (low + high) // 2
        row = connection.execute(query.where(table.c.id >= literal(middle, BigInteger))).first()
        low, high = (low, middle) if row is None or row.at >= at else (int(row.id) + 1, high)
    return low


def in_force(connection: Connection, what: str) -> Iterable[Any]:
    """The tallies of what is in force now, by host and kind."""
    query = select(tallies.c.host, tallies.c.kind, tallies.c.rows)
    return connection.execute(query.where(tallies.c.what == what, tallies.c.day == 0))
