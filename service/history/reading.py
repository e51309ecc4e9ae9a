"""What every query is built with: the columns of a value, hosts that may be seen, order and place in a list."""

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from sqlalchemy import ColumnElement, Select, Table, and_, false, literal, or_, true, tuple_

from service.history.sqlite.statements import selected
from service.model.listings import Listing


def columns_of(table: Table, value: type[Any]) -> list[Any]:
    return [table.c[f.name] for f in fields(value) if f.name in table.c]


def seen_by(column: Any, visible: Sequence[str]) -> ColumnElement[bool]:
    if "*" in visible:
        return true()
    return or_(false(), *(selected(column, selector) for selector in visible))


def of_host(column: Any, host: str, visible: Sequence[str]) -> ColumnElement[bool]:
    return and_(column == host, seen_by(column, visible)) if host else seen_by(column, visible)


def ordered(query: Select[Any], table: Table, asked: Listing, start: Sequence[Any]) -> Select[Any]:
    """In the list's order, after the key `start`."""
    order = [table.c[name] for name in asked.order]
    if len(start) == len(order):
        key = tuple_(*order)
        after = tuple_(*(literal(value, column.type) for value, column in zip(start, order, strict=True)))
        query = query.where(key < after if asked.is_newest_first else key > after)
    return query.order_by(*(column.desc() if asked.is_newest_first else column for column in order))
