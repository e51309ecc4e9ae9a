"""Reads about requests for a host that wait for their turn. The row that waits is the request itself."""

from typing import Any, TypeVar

from sqlalchemy import Select, select

from service.history.database import Database
from service.history.reading import columns_of
from service.history.tables import applies, drills, releases
from service.model.runs import ASKED, Apply, Drill, Release

T = TypeVar("T")


class WaitingQueries:
    """The part of `Queries` that is about what waits."""

    _database: Database

    def waiting_apply(self, host: str) -> Apply | None:
        """The apply that was requested and not begun; of several the oldest."""
        columns = [column for column in columns_of(applies, Apply) if column.name != "probes"]
        query = select(*columns).where(
            applies.c.host == host, applies.c.phase == "Pending", applies.c.trigger.in_(ASKED)
        )
        return self._first(query.order_by(applies.c.id), Apply)

    def waiting_drill(self, host: str) -> Drill | None:
        """The drill that was requested and not begun; of several the oldest."""
        columns = [column for column in columns_of(drills, Drill) if column.name != "proofs"]
        query = select(*columns).where(drills.c.host == host, drills.c.state == "Pending")
        return self._first(query.order_by(drills.c.id), Drill)

    def release_asked(self, host: str) -> Release | None:
        """The quarantine that a person wants lifted."""
        return self._first(select(*columns_of(releases, Release)).where(releases.c.host == host), Release)

    def _first(self, query: Select[Any], value: type[T]) -> T | None:
        with self._database.read() as connection:
            row = connection.execute(query.limit(1)).mappings().one_or_none()
        return value(**row) if row is not None else None
