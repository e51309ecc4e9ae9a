"""Reads of what hosts sent."""

from dataclasses import fields
from typing import Any

from sqlalchemy import bindparam, select

from service.history.database import Database
from service.history.tables import sightings
from service.model.observed import Watch
from service.model.sightings import Sighting

_SIGHTING = select(sightings).where(sightings.c.host == bindparam("of_host"))


class SightingQueries:
    """The part of `Queries` that is about what hosts sent."""

    _database: Database

    def sighting(self, host: str) -> Sighting | None:
        """What the host sent at the last look that reported anything new. None where nothing was kept, or where this
        release would ask for other things; ValueError for a row that is damaged."""
        with self._database.read() as connection:
            row = connection.execute(_SIGHTING, {"of_host": host}).mappings().one_or_none()
        if row is None or set(row["watch"]) != {field.name for field in fields(Watch)}:
            return None
        watch = Watch(**{name: frozenset(map(_item, items)) for name, items in row["watch"].items()})
        return Sighting(host, row["at"], row["form"], row["nonce"], watch, row["answer"], row["weighed"])


def _item(item: Any) -> Any:
    return tuple(item) if isinstance(item, list) else item
