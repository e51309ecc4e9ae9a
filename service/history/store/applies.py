"""Writes about applies, from requested to ended, with every step.

Events: `apply.requested`, `apply.started`, `apply.reached`, `apply.step`, `apply.finished` (the detail's `phase` says
how).
"""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, insert, select, update

from service.errors import InputError, WaitsAlready
from service.history.store.rollouts import end_in_rollout
from service.history.store.suspensions import suspend_in
from service.history.store.writing import Writing, clean, tell
from service.history.tables import applies, bases, plans, revisions, steps
from service.model.axes import Phase
from service.model.events import ApplyFinished, ApplyReached, ApplyRequested, ApplyStarted, ApplyStepped
from service.model.runs import ASKED, FINISHED, MomentName, ProbeRecord, StepState, Trigger
from service.model.trends import rounded_s

NOT_FOUND_OUT = (
    "controller away", "throttled", "interrupted", "unreachable", "conflict", "stale", "quarantined",
    "stop-file", "suspended", "window",
)  # fmt: skip
"""Causes that say nothing about the change itself: it is tried again, or was never begun."""
INTERRUPTED = ("controller away", "throttled", "interrupted")
"""Those of a change that was begun. It is tried once more, and a second time counts as a failure."""

_ENDS = [applies.c[name] for name in ("host", "phase", "plan_id", "commit", "desired_digest", "trigger")]
"""What is read of an apply that ends."""


MOST_MOMENTS = 32
"""So many are kept of one apply. What comes once may come again after a restart of the service."""


class ApplyWrites(Writing):
    """The transitions of applies and their steps: one transaction each."""

    def open_apply(
        self,
        host: str,
        *,
        plan_id: str,
        commit: str,
        plan_digest: str,
        desired_digest: str,
        trigger: Trigger,
        requested_by: str,
        at: datetime,
        may_raise: bool = False,
    ) -> str:
        """An apply is requested; it is Pending until it starts. Returns its id (a ULID), which is also the
        transaction's id on the host. WaitsAlready where a person's other request of the host waits: of any number at
        once, in whichever processes, one is taken."""
        with self._database.write() as connection:
            return self._opened(
                connection, host, at=at, plan_id=plan_id, commit=commit, plan_digest=plan_digest,
                desired_digest=desired_digest, trigger=trigger, requested_by=clean(requested_by), may_raise=may_raise,
            )  # fmt: skip

    def open_rollback(
        self, host: str, *, commit: str, plan_digest: str = "", desired_digest: str, held_digest: str, reason: str,
        by: str, at: datetime,
    ) -> str:  # fmt: skip
        """A person wants a host back at what `commit` wanted of it, and held there while Git wants `held_digest`: the
        suspension and the apply, or neither. Returns the apply's id. InputError without a reason; WaitsAlready where
        another request of the host waits, whose own hold stays. `plan_digest` is that of the plan that was
        seen."""
        with self._database.write() as connection:
            apply_id = self._opened(
                connection, host, at=at, plan_id="", commit=commit, plan_digest=plan_digest,
                desired_digest=desired_digest, trigger="rollback", requested_by=clean(by), may_raise=True,
            )  # fmt: skip
            suspend_in(connection, "host", host, reason, by=by, at=at, until=None, held_digest=held_digest)
        return apply_id

    def _opened(self, connection: Connection, host: str, *, at: datetime, **values: Any) -> str:
        if values["trigger"] in ("request", "rollback"):
            _refuse_second(connection, host)
        apply_id = self._ulids.new(at)
        connection.execute(
            insert(applies).values(
                id=apply_id, host=host, phase="Pending", requested_at=at, probes=[], moments=[], **values
            )
        )
        asked = ApplyRequested(host=host, apply=apply_id, plan=values["plan_id"], by=values["requested_by"])
        tell(connection, asked, at=at)
        return apply_id

    def set_apply_plan(self, apply_id: str, plan_id: str, plan_digest: str) -> None:
        """The plan of an apply that was requested before its plan could be made."""
        with self._database.write() as connection:
            is_open = (applies.c.id == apply_id, applies.c.phase.not_in(FINISHED))
            connection.execute(update(applies).where(*is_open).values(plan_id=plan_id, plan_digest=plan_digest))

    def start_apply(self, apply_id: str, *, generation: int, planned: Sequence[tuple[str, str]], at: datetime) -> None:
        """The apply begins. `planned` are its steps in order, (fact, why)."""
        with self._database.write() as connection:
            open_one = (applies.c.id == apply_id, applies.c.phase.not_in(FINISHED))
            row = connection.execute(select(applies.c.host, applies.c.phase).where(*open_one)).one_or_none()
            if row is None:
                raise InputError(f"no apply {apply_id} that could start")
            running = {"phase": "Running", "generation": generation, "started_at": at}
            connection.execute(update(applies).where(*open_one).values(running))
            if planned:
                connection.execute(
                    insert(steps),
                    [
                        {
                            "apply_id": apply_id,
                            "position": position,
                            "fact": clean(fact),
                            "why": clean(why),
                            "state": "pending",
                        }
                        for position, (fact, why) in enumerate(planned)
                    ],
                )
            begun = ApplyStarted(host=row.host, apply=apply_id, steps=len(planned), was={"phase": row.phase})
            tell(connection, begun, at=at)

    def move_step(self, apply_id: str, position: int, state: StepState, *, at: datetime, error: str = "") -> None:
        """One step came as far as `state`. `doing` sets its start, every later state its end."""
        self.move_steps(apply_id, [(position, state, at, error)])

    def move_steps(
        self, apply_id: str, moves: Sequence[tuple[int, StepState, datetime, str]], told: ApplyStepped | None = None
    ) -> None:
        """Several steps at once, (position, state, at, error) in order: what the host's journal says in one go. `told`
        is the event of it, where it is worth one."""
        begun = [_move(apply_id, m) for m in moves if m[1] in ("pending", "doing")]
        ended = [_move(apply_id, m) for m in moves if m[1] not in ("pending", "doing")]
        of_one = update(steps).where(
            steps.c.apply_id == bindparam("of_apply"), steps.c.position == bindparam("of_position")
        )
        values: dict[str, Any] = {"state": bindparam("to_state"), "error": bindparam("to_error")}
        with self._database.write() as connection:
            if begun:
                connection.execute(of_one.values(values | {"started_at": bindparam("to_at")}), begun)
            if ended:
                connection.execute(of_one.values(values | {"ended_at": bindparam("to_at")}), ended)
            if told is not None:
                tell(connection, told, at=moves[-1][2])

    def reach(self, apply_id: str, moment: MomentName, *, at: datetime, reverts_at: datetime | None = None) -> None:
        """An apply that has not ended has come so far. `reverts_at` is the new deadline of the host, None where there
        is no new one."""
        with self._database.write() as connection:
            is_open = (applies.c.id == apply_id, applies.c.phase.not_in(FINISHED))
            found = connection.execute(select(applies.c.host, applies.c.moments).where(*is_open)).one_or_none()
            if found is None or len(found.moments) >= MOST_MOMENTS:
                return
            values: dict[str, Any] = {"moments": [*found.moments, {"name": moment, "at": at.isoformat()}]}
            values |= {} if reverts_at is None else {"reverts_at": reverts_at}
            connection.execute(update(applies).where(*is_open).values(values))
            until = "" if reverts_at is None else reverts_at.isoformat(timespec="seconds")
            tell(connection, ApplyReached(host=found.host, apply=apply_id, moment=moment, reverts_at=until), at=at)

    def set_apply_phase(self, apply_id: str, phase: Phase) -> None:
        """How far a running apply is: WaitingForApproval, Running, AwaitingConfirmation."""
        if phase in FINISHED:
            raise InputError("an apply ends with finish_apply")
        with self._database.write() as connection:
            connection.execute(
                update(applies).where(applies.c.id == apply_id, applies.c.phase.not_in(FINISHED)).values(phase=phase)
            )

    def note_missed(self, apply_id: str, cause: str = "missed") -> None:
        """The deadline of an apply that has not ended passed while the service was there: its cause is `missed`, or
        `throttled`, until it ends."""
        with self._database.write() as connection:
            connection.execute(
                update(applies)
                .where(applies.c.id == apply_id, applies.c.phase.not_in(FINISHED))
                .values(cause=clean(cause))
            )

    def set_probes(self, apply_id: str, probes: Sequence[ProbeRecord]) -> None:
        """The probes of this apply and their results so far. They replace the recorded ones."""
        rows = [{name: clean(str(value)) for name, value in asdict(probe).items()} for probe in probes]
        with self._database.write() as connection:
            connection.execute(update(applies).where(applies.c.id == apply_id).values(probes=rows))

    def finish_apply(self, apply_id: str, phase: Phase, *, at: datetime, cause: str = "", error: str = "") -> bool:
        """How the apply ended. False if it had ended already in this way or had succeeded; what the host's journal
        says later may still correct a Failed one."""
        if phase not in FINISHED:
            raise InputError(f"{phase} is not a state in which an apply ends")
        with self._database.write() as connection:
            row = connection.execute(select(*_ENDS).where(applies.c.id == apply_id)).one_or_none()
            if row is None:
                raise InputError(f"no apply {apply_id}")
            if row.phase in (phase, "Succeeded"):
                return False
            waited = _waited(connection, row, at) if phase == "Succeeded" else ""
            connection.execute(
                update(applies)
                .where(applies.c.id == apply_id)
                .values(phase=phase, ended_at=at, cause=clean(cause), error=clean(error), waited=waited)
            )
            if phase == "Succeeded":
                connection.execute(update(plans).where(plans.c.id == row.plan_id).values(state="applied"))
            is_away = cause in NOT_FOUND_OUT
            digest, has_waited = row.desired_digest, row.phase == "Pending" and row.trigger in ASKED
            end_in_rollout(
                connection, row.host, digest, phase, at=at, is_away=is_away, error=error,
                is_interrupted=cause in INTERRUPTED, has_waited=has_waited,
            )  # fmt: skip
            ended = ApplyFinished(
                host=row.host, apply=apply_id, phase=phase, cause=clean(cause), error=error, was={"phase": row.phase}
            )
            tell(connection, ended, at=at)
        return True


def _waited(connection: Connection, row: Any, at: datetime) -> str:
    """How long a commit waited until it was on the host, in seconds with two digits that count. Empty for an apply that
    restored something, and where it is not known when the commit came."""
    if row.trigger in ("drift", "rollback"):
        return ""
    fetched_at = connection.execute(select(revisions.c.fetched_at).where(revisions.c.commit == row.commit)).scalar()
    base = connection.execute(select(bases.c.digest).where(bases.c.host == row.host)).scalar()
    if fetched_at is None or base == row.desired_digest:
        return ""
    return rounded_s((at - fetched_at).total_seconds())


def _refuse_second(connection: Connection, host: str) -> None:
    """Writing transactions come after each other, so between this and the new row there is none."""
    waits = select(applies.c.id).where(
        applies.c.host == host, applies.c.phase == "Pending", applies.c.trigger.in_(ASKED)
    )
    if waiting := connection.execute(waits.order_by(applies.c.id).limit(1)).scalar():
        raise WaitsAlready(f"an apply of {host} waits already: {waiting}")


def _move(apply_id: str, move: tuple[int, StepState, datetime, str]) -> dict[str, object]:
    position, state, at, error = move
    return {
        "of_apply": apply_id,
        "of_position": position,
        "to_state": state,
        "to_at": at,
        "to_error": clean(error),
    }
