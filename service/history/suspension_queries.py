"""Reads about suspensions."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import and_, bindparam, not_, or_, select

from service.history.database import Database
from service.history.reading import ordered, seen_by
from service.history.tables import suspensions
from service.model.listings import SuspensionListing
from service.model.runs import Page
from service.model.suspensions import Suspension

_NOW = bindparam("now", type_=suspensions.c.since.type)
_IN_FORCE = and_(suspensions.c.ended_at.is_(None), or_(suspensions.c.until_at.is_(None), suspensions.c.until_at > _NOW))
_SUSPENDED = select(suspensions).where(_IN_FORCE).order_by(suspensions.c.id)


def suspension_of(row: Mapping[Any, Any]) -> Suspension:
    """A row as its value."""
    values = {str(name): value for name, value in row.items()}
    return Suspension(until=values.pop("until_at"), **values)


class SuspensionQueries:
    """The part of `Queries` that is about suspensions."""

    _database: Database

    def suspended(self, now: datetime) -> tuple[Suspension, ...]:
        """Those that are in force."""
        with self._database.read() as connection:
            return tuple(suspension_of(row) for row in connection.execute(_SUSPENDED, {"now": now}).mappings())

    def suspension(self, number: int) -> Suspension | None:
        """One by its number."""
        with self._database.read() as connection:
            row = connection.execute(select(suspensions).where(suspensions.c.id == number)).mappings().one_or_none()
        return suspension_of(row) if row is not None else None

    def suspensions(self, asked: SuspensionListing, *, now: datetime) -> Page[Suspension]:
        """Suspensions, the newest first. Those of several hosts are for everybody."""
        query = select(suspensions).where(
            or_(suspensions.c.scope != "host", seen_by(suspensions.c.target, asked.visible))
        )
        if asked.scope:
            query = query.where(suspensions.c.scope == asked.scope)
        if asked.target:
            query = query.where(suspensions.c.target == asked.target)
        if asked.in_force is not None:
            query = query.where(_IN_FORCE if asked.in_force else not_(_IN_FORCE))
        query = ordered(query, suspensions, asked, asked.start).limit(asked.limit + 1)
        with self._database.read() as connection:
            found = [suspension_of(row) for row in connection.execute(query, {"now": now}).mappings()]
        more = len(found) > asked.limit
        return Page(tuple(found[: asked.limit]), (found[asked.limit - 1].id,) if more else None)
