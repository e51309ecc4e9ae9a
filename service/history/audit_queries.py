"""Reads of who did what."""

from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Dialect, literal, select, type_coerce

from service.history.columns import JsonText
from service.history.database import Database
from service.history.reading import columns_of, of_host, ordered, rows_of_hosts
from service.history.tables import audit, audit_head
from service.model.audit import FIRST, Entry, Portion
from service.model.listings import AuditListing
from service.model.runs import Page

PORTION = 1_000


class _AsItIs(JsonText):
    """As JSON, or as the text that somebody wrote in place of it: a check names that entry."""

    cache_ok = True

    def process_result_value(self, value: Any | None, dialect: Dialect) -> Any:
        try:
            return super().process_result_value(value, dialect)
        except (ValueError, RecursionError):
            return value


def _columns() -> list[ColumnElement[Any]]:
    """Those of an entry, of which nobody knows who wrote them."""
    known = [one for one in columns_of(audit, Entry) if one.name != "detail"]
    return [*known, type_coerce(audit.c.detail, _AsItIs()).label("detail")]


class AuditQueries:
    """The part of `Queries` that is about who did what."""

    _database: Database

    def acts(self, asked: AuditListing) -> Page[Entry]:
        """Entries, the newest first. Who sees some hosts only sees what was done to these. A broken `detail`
        is the text that is there."""
        query = select(*_columns()).where(of_host(audit.c.host, asked.host, asked.visible))
        texts = {name: value for name, value in asked.asked.items() if name != "host"}
        query = query.where(*(audit.c[name] == value for name, value in texts.items()))
        if "*" not in asked.visible:
            query = query.where(audit.c.host != "")
        query = ordered(query, audit, asked, asked.start).limit(asked.limit + 1)
        with self._database.read() as connection:
            found = [Entry(**row) for row in rows_of_hosts(connection, query, audit, asked)]
        more = len(found) > asked.limit
        return Page(tuple(found[: asked.limit]), (found[asked.limit - 1].id,) if more else None)

    def acts_after(self, last: int) -> Portion:
        """The entries after this one in their order, at most so many; and the number and hash of the newest, which are
        kept apart from it. Both are of one instant."""
        query = select(*_columns()).where(audit.c.id > literal(last, BigInteger))
        with self._database.read() as connection:
            rows = connection.execute(query.order_by(audit.c.id).limit(PORTION)).mappings()
            found = tuple(Entry(**row) for row in rows)
            head = connection.execute(select(audit_head.c.number, audit_head.c.hash)).first()
        return Portion(found, (head.number, head.hash) if head is not None else (0, FIRST), len(found) < PORTION)
