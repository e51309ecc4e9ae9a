"""Writes about what hosts sent: one row a host, only of the last that reported anything new. No events."""

from dataclasses import fields

from sqlalchemy import bindparam, delete

from service.history.columns import MAX_BYTES
from service.history.store.writing import Writing
from service.history.tables import sightings
from service.history.words import insert_or_replace_columns
from service.model.sightings import Sighting

_KEPT = insert_or_replace_columns(
    sightings, ["host"], [column.name for column in sightings.columns if column.name != "host"]
)
_GONE = delete(sightings).where(sightings.c.host == bindparam("of_host"))
"""Made once: this is written in each round that sees anything new."""


class SightingWrites(Writing):
    """What was seen of a host, and that nothing is known of it any more: one transaction each."""

    def keep_sighting(self, sighting: Sighting) -> None:
        """This is what the host sent last; it takes the place of what it sent before. An answer of more than
        `MAX_BYTES` is not kept, nor is the one before it, which is not what was seen last."""
        watch = {field.name: sorted(getattr(sighting.watch, field.name)) for field in fields(sighting.watch)}
        values = {
            "at": sighting.at, "form": sighting.form, "nonce": sighting.nonce, "watch": watch,
            "answer": sighting.answer, "weighed": sighting.weighed,
        }  # fmt: skip
        with self._database.write() as connection:
            if len(sighting.answer) > MAX_BYTES:
                connection.execute(_GONE, {"of_host": sighting.host})
                return
            connection.execute(_KEPT, {"host": sighting.host, **values})
