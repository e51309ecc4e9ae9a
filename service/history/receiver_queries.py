"""Reads about webhooks: receivers, what their calls are checked against, and the ledger of deliveries."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select

from service.history.database import Database
from service.history.pepper import Pepper
from service.history.reading import columns_of, ordered
from service.history.tables import deliveries, receivers
from service.model.access import Delivery, Receiver, ReceiverSecret
from service.model.listings import DeliveryListing
from service.model.runs import Page


class ReceiverQueries:
    """The part of `Queries` that is about webhooks."""

    _database: Database
    _pepper: Pepper

    def receivers(self) -> tuple[Receiver, ...]:
        """Every receiver by name, without its secrets."""
        query = select(*columns_of(receivers, Receiver)).order_by(receivers.c.name)
        with self._database.read() as connection:
            return tuple(_receiver(row) for row in connection.execute(query).mappings())

    def receiver_secret(self, name: str) -> ReceiverSecret | None:
        """What a call to a receiver is checked against."""
        query = select(receivers).where(receivers.c.name == name)
        with self._database.read() as connection:
            row = connection.execute(query).mappings().one_or_none()
        if row is None:
            return None
        old = self._pepper.opened(row["old_secret"], name) if row["old_secret"] else None
        return ReceiverSecret(_receiver(row), self._pepper.opened(row["secret"], name), old)

    def deliveries(self, asked: DeliveryListing) -> Page[Delivery]:
        """Calls to receivers, the newest first."""
        query = select(*columns_of(deliveries, Delivery))
        query = query.where(*(deliveries.c[name] == value for name, value in asked.asked.items()))
        query = ordered(query, deliveries, asked, asked.start).limit(asked.limit + 1)
        with self._database.read() as connection:
            found = [Delivery(**row) for row in connection.execute(query).mappings()]
        more = len(found) > asked.limit
        return Page(tuple(found[: asked.limit]), (found[asked.limit - 1].id,) if more else None)


def _receiver(row: Mapping[Any, Any]) -> Receiver:
    known = {name: row[name] for name in ("name", "type", "created_at", "suspended", "suspended_by", "old_until")}
    return Receiver(**known, events=tuple(row["events"]), branches=tuple(row["branches"]))
