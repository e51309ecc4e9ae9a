"""Writes about suspensions: hosts on which no apply begins for now.

Events: `apply.suspended`, `apply.resumed`.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, delete, insert, select, update

from service.errors import InputError
from service.history.store.writing import Writing, clean, tell
from service.history.suspension_queries import suspension_of
from service.history.tables import suspensions
from service.model.events import Resumed, Suspended
from service.model.suspensions import Scope, Suspension

KEPT = 1_000
"""Suspensions that have ended; the oldest goes first."""
IN_FORCE = suspensions.c.ended_at.is_(None)


class SuspensionWrites(Writing):
    """The transitions of suspensions: one transaction each."""

    def suspend(
        self, scope: Scope, target: str, reason: str, *, by: str, at: datetime, until: datetime | None,
        held_digest: str = "",
    ) -> Suspension:  # fmt: skip
        """No apply begins on these hosts from now on. One of the same hosts that is in force ends: the new one takes
        its place. InputError without a reason, or where `until` is over."""
        with self._database.write() as connection:
            return suspend_in(connection, scope, target, reason, by=by, at=at, until=until, held_digest=held_digest)

    def end_suspension(self, number: int, *, by: str, at: datetime) -> Suspension | None:
        """It holds no host any more. None where there is no such one, or it has ended."""
        with self._database.write() as connection:
            return _end(connection, number, by, at)

    def end_due_suspensions(self, *, at: datetime) -> tuple[Suspension, ...]:
        """End those that have run out; each is reported once, also by several processes."""
        due = select(suspensions.c.id).where(IN_FORCE, suspensions.c.until_at <= at)
        with self._database.read() as reading:
            numbers = reading.execute(due).scalars().all()
        found = (self.end_suspension(number, by="passerelle", at=at) for number in numbers)
        return tuple(one for one in found if one is not None)


def suspend_in(
    connection: Connection, scope: Scope, target: str, reason: str, *, by: str, at: datetime, until: datetime | None,
    held_digest: str = "",
) -> Suspension:  # fmt: skip
    """The same, in a transaction that does more."""
    if not clean(reason).strip():
        raise InputError("a suspension needs a reason", hint="--reason TEXT")
    if until is not None and until <= at:
        raise InputError(f"{until.isoformat()} is over", hint="give a time in the future, or a duration such as 2h")
    values = {
        "scope": scope, "target": target, "reason": clean(reason), "by": clean(by), "since": at, "until_at": until,
        "held_digest": held_digest,
    }  # fmt: skip
    is_alike = (suspensions.c.held_digest != "") == bool(held_digest)
    is_same = (suspensions.c.scope == scope, suspensions.c.target == target, is_alike, IN_FORCE)
    connection.execute(update(suspensions).where(*is_same).values(ended_at=at, ended_by=clean(by)))
    (number,) = connection.execute(insert(suspensions).values(values)).inserted_primary_key or (0,)
    made = suspension_of(connection.execute(_of(number)).mappings().one())
    tell(connection, Suspended.of(made), at=at)
    _drop_oldest(connection)
    return made


def end_of_host(connection: Connection, host: str, *, by: str, at: datetime) -> None:
    """End those of a host of which nothing is recorded any more: nobody could name it to end them."""
    of_it = (suspensions.c.scope == "host", suspensions.c.target == host, IN_FORCE)
    for number in connection.execute(select(suspensions.c.id).where(*of_it)).scalars().all():
        _end(connection, number, by, at)


def _end(connection: Connection, number: int, by: str, at: datetime) -> Suspension | None:
    ended = update(suspensions).where(suspensions.c.id == number, IN_FORCE)
    if not connection.execute(ended.values(ended_at=at, ended_by=clean(by))).rowcount:
        return None
    made = suspension_of(connection.execute(_of(number)).mappings().one())
    tell(connection, Resumed.of(made), at=at)
    return made


def _of(number: int) -> Select[Any]:
    return select(suspensions).where(suspensions.c.id == number)


def _drop_oldest(connection: Connection) -> None:
    ended = select(suspensions.c.id).where(suspensions.c.ended_at.is_not(None)).order_by(suspensions.c.id.desc())
    oldest = connection.execute(ended.offset(KEPT).limit(1)).scalar()
    if oldest is not None:
        connection.execute(delete(suspensions).where(suspensions.c.id == oldest))
