"""Writes about drills, from requested to ended.

Events: `drill.requested`, `drill.started`, `drill.passed`, `drill.failed`.
"""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import insert, select, update

from service.errors import InputError, WaitsAlready
from service.history.store.writing import Writing, clean, tell
from service.history.tables import drills, hosts
from service.model.events import DrillFailed, DrillPassed, DrillRequested, DrillStarted
from service.model.runs import Proof

OPEN = ("Pending", "Running")


class DrillWrites(Writing):
    """The transitions of drills: one transaction each."""

    def open_drill(self, host: str, *, requested_by: str, at: datetime, reboot: bool = False) -> str:
        """A drill is requested. Returns its id (a ULID), which is also the transaction's id on the host. WaitsAlready
        where another one of the host waits: of any number at once, in whichever processes, one is taken."""
        with self._database.write() as connection:
            waits = select(drills.c.id).where(drills.c.host == host, drills.c.state == "Pending")
            if waiting := connection.execute(waits.order_by(drills.c.id).limit(1)).scalar():
                raise WaitsAlready(f"a drill of {host} waits already: {waiting}")
            drill_id = self._ulids.new(at)
            row = {"id": drill_id, "host": host, "requested_by": clean(requested_by), "requested_at": at}
            connection.execute(
                insert(drills).values(**row, state="Pending", generation=0, error="", proofs=[], reboot=reboot),
            )
            tell(connection, DrillRequested(host=host, drill=drill_id, by=clean(requested_by)), at=at)
        return drill_id

    def start_drill(self, drill_id: str, *, generation: int, at: datetime) -> None:
        """The drill begins on the host. InputError where it has begun or ended already."""
        with self._database.write() as connection:
            changed = connection.execute(
                update(drills)
                .where(drills.c.id == drill_id, drills.c.state == "Pending")
                .values(state="Running", generation=generation, started_at=at)
            )
            if not changed.rowcount:
                raise InputError(f"no drill {drill_id} that could start")
            host = connection.execute(select(drills.c.host).where(drills.c.id == drill_id)).scalar_one()
            tell(connection, DrillStarted(host=host, drill=drill_id, was={"state": "Pending"}), at=at)

    def finish_drill(self, drill_id: str, *, proofs: Sequence[Proof], error: str, at: datetime) -> bool:
        """How the drill ended: Passed without an `error`, which then is the host's last proven rollback; else Failed.
        False if it had ended already."""
        state = "Failed" if error else "Passed"
        rows = [{"name": clean(proof.name), "ok": proof.ok, "told": clean(proof.told)} for proof in proofs]
        with self._database.write() as connection:
            row = connection.execute(
                select(drills.c.host, drills.c.state).where(drills.c.id == drill_id, drills.c.state.in_(OPEN))
            ).one_or_none()
            if row is None:
                return False
            host, was = row.host, {"state": row.state}
            connection.execute(
                update(drills)
                .where(drills.c.id == drill_id)
                .values(state=state, ended_at=at, error=clean(error), proofs=rows)
            )
            if not error:
                connection.execute(update(hosts).where(hosts.c.host == host).values(proven_at=at))
            passed = DrillPassed(host=host, drill=drill_id, was=was)
            tell(connection, DrillFailed(host=host, drill=drill_id, error=error, was=was) if error else passed, at=at)
        return True
