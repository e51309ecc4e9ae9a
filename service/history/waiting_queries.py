"""Reads about requests for a host that wait for their turn. The row that waits is the request itself."""

from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Select, Table, bindparam, select

from service.history.agreements import APPLIED_WORDS, JOIN_WORDS, OBSERVED_WORDS
from service.history.columns import UtcTime
from service.history.database import Database
from service.history.reading import columns_of
from service.history.tables import applies, drills, releases
from service.history.words import words_of
from service.model.runs import ASKED, FINISHED, Apply, Drill, Release, Stamp

T = TypeVar("T")
_STAMP = f"""SELECT
EXISTS (SELECT 1 FROM applies WHERE host = :host AND phase NOT IN ({", ".join(f"'{phase}'" for phase in FINISHED)}))
OR EXISTS (SELECT 1 FROM drills WHERE host = :host AND ended_at IS NULL)
OR EXISTS (SELECT 1 FROM releases WHERE host = :host)
OR EXISTS (SELECT 1 FROM latches WHERE host = :host AND cleared_at IS NULL),
h.sync, h.reason, h.message, h.health, h.reachability, h.phase, h.sync_mode, h.address, h.console,
h.attempted_commit, h.desired_digest, h.applied_digest, h.plan_id, h.apply_id, h.quarantined,
h.drift_items, h.generation, b.digest, b.at, b.apply_id
FROM hosts h LEFT JOIN bases b ON b.host = h.host WHERE h.host = :host"""  # noqa: S608 (constants)

_STAMPS = f"""SELECT
h.host, h.observed_at, h.sync, h.reason, h.message, h.health, h.reachability, h.phase, h.sync_mode, h.address,
h.console, {OBSERVED_WORDS}, h.attempted_commit, {APPLIED_WORDS}, h.desired_digest, h.applied_digest, h.plan_id,
h.apply_id, h.quarantined, h.drift_items, b.digest, b.at
FROM hosts h LEFT JOIN bases b ON b.host = h.host {JOIN_WORDS}"""  # noqa: S608 (constants)


def _oldest(table: Table, value: type, but: str, *conditions: ColumnElement[bool]) -> Select[Any]:
    """The first row of `of_host` for which the conditions hold, without the column `but`."""
    columns = [column for column in columns_of(table, value) if column.name != but]
    return select(*columns).where(table.c.host == bindparam("of_host"), *conditions).order_by(table.c.id).limit(1)


_APPLY = _oldest(applies, Apply, "probes", applies.c.phase == "Pending", applies.c.trigger.in_(ASKED))
_DRILL = _oldest(drills, Drill, "proofs", drills.c.state == "Pending", drills.c.ended_at.is_(None))
_RELEASE = select(*columns_of(releases, Release)).where(releases.c.host == bindparam("of_host")).limit(1)
"""Each round of each host reads them: made once, for that takes as long as reading."""


class WaitingQueries:
    """The part of `Queries` that is about what waits."""

    _database: Database

    def waiting_apply(self, host: str) -> Apply | None:
        """The apply that was requested and not begun; of several the oldest."""
        return self._first(_APPLY, Apply, host)

    def waiting_drill(self, host: str) -> Drill | None:
        """The drill that was requested and not begun; of several the oldest."""
        return self._first(_DRILL, Drill, host)

    def release_asked(self, host: str) -> Release | None:
        """The quarantine that a person wants lifted."""
        return self._first(_RELEASE, Release, host)

    def stamp(self, host: str) -> Stamp | None:
        """All that a round of the host depends on. None where there is no status, a request waits, or a latch holds."""
        with self._database.read() as connection:
            rows = words_of(connection).rows_of(connection, _STAMP, {"host": host})
        return tuple(rows[0])[1:] if rows and not rows[0][0] else None

    def stamps(self) -> dict[str, tuple[Any, ...]]:
        """Of every host what a process that only answers knows it by: when it was seen, and all that is recorded of
        it but what waits."""
        with self._database.read() as connection:
            rows = words_of(connection).rows_of(connection, _STAMPS, {})
            time = UtcTime().process_result_value
            return {row[0]: (time(row[1], connection.dialect), *tuple(row)[2:]) for row in rows}

    def _first(self, query: Select[Any], value: type[T], host: str) -> T | None:
        with self._database.read() as connection:
            row = connection.execute(query, {"of_host": host}).mappings().one_or_none()
        return value(**row) if row is not None else None
