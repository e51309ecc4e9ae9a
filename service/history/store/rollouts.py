"""Writes about rollouts: opened with a revision, their hosts begun one after the other, halted, resumed, aborted.

A rollout that is `done` may have pending hosts, all set aside. It is `running` again in the transaction that begins a
host of it, or once one of them is free: no host is begun in one that is done. While neither holds it stays as it is.

Event: `rollout.state`. `service/reconcile/rollout.py` says how a rollout moves on, and is passed in. It is called in
the transaction that records the result, so that two processes never begin more hosts than may be begun.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Protocol

from sqlalchemy import Connection, case, delete, func, insert, select, update

from service.errors import InputError
from service.history.rollout_queries import counted, in_change, member_of, newest, policy_json, unavailable
from service.history.store.writing import Writing, clean, tell
from service.history.tables import applies, bases, hosts, revisions, rollout_hosts, rollouts
from service.model.axes import Phase
from service.model.events import RolloutMoved
from service.model.rollouts import OPEN, Member, Opening, Rollout

KEPT = 50
"""Rollouts that are kept with their hosts."""
NEWER = "a newer revision is in force"
BEGINS = timedelta(minutes=1)
"""The apply of a host that was let begin is recorded by then."""
MovedOn = Callable[[Rollout, datetime], Rollout]
_of = rollout_hosts.c
_LAST = select(func.max(rollouts.c.number)).scalar_subquery()
_COUNTS = _of.rollout_id.in_(select(rollouts.c.id).where(rollouts.c.number == _LAST, rollouts.c.state != "superseded"))
"""What becomes of a host is recorded in the newest rollout, also after its end: others may be set aside behind it."""
_IS_ABORTED = _of.rollout_id.in_(select(rollouts.c.id).where(rollouts.c.state == "aborted"))


class Judge(Protocol):
    """`service.reconcile.rollout`."""

    def moved_on(self, rollout: Rollout, now: datetime) -> Rollout: ...

    def why_waits(
        self, rollout: Rollout, member: Member, now: datetime, *, unavailable: int, before: tuple[str, ...], out: int
    ) -> str: ...


class RolloutWrites(Writing):
    """The transitions of rollouts: one transaction each."""

    def open_rollout(self, opening: Opening, *, at: datetime) -> str:
        """This revision takes the place of the one before, whose hosts that were not begun are not begun any more.
        Returns the id; empty where there is nothing to keep track of. The same again changes nothing. What failed or
        was aborted before, and is wanted as it was, is so in the new one, too. A halt that still has its cause stays,
        and one by a person also where this revision changes nothing.
        """
        with self._database.write() as connection:
            opening = _without_those_that_have_it(connection, opening)
            before = newest(connection)
            was = _members(connection, before.id) if before is not None else {}
            is_same = before is not None and before.commit == opening.commit and before.state != "superseded"
            if before is not None and is_same and _is_part(opening, was):
                return before.id
            made = _carried_on(opening, before, was)
            if before is not None and before.state in OPEN:
                _set(connection, before, state="superseded", why=NEWER, by="git", at=at)
            is_approved = before is not None and before.is_approved and _is_part(made, was)
            state, by, why = _state_of(made, before, is_approved=is_approved)
            is_held = state != "running" or any(one.state == "aborted" for one in made.members)
            if (not made.members and state != "halted") or (opening.is_plain and not is_held):
                return ""
            again = sum(one.state == "failed" for one in made.members)
            forgiven = min(before.forgiven, again) if before is not None else 0
            found = self._made(
                connection, opening, at, state=state, by=by, why=why, forgiven=forgiven, is_approved=is_approved
            )
            if made.members:
                connection.execute(insert(rollout_hosts), [_row(found.id, one) for one in made.members])
            _forget(connection)
        return found.id

    def begin_in_rollout(self, member: Member, opening: Opening, judge: Judge, *, at: datetime, by: str = "") -> str:
        """Whether a host may be begun by the rollout of its revision: why not, empty where it may be, and then it
        counts as begun. `opening` without members is what its rollout would be where there is none yet. A person (`by`)
        is not kept waiting."""
        with self._database.write() as connection:
            found = newest(connection, at)
            if found is None or found.commit != opening.commit:
                if by or (found is None and opening.is_plain):
                    return ""
                is_older = found is not None and found.state in OPEN  # the newer one is opened before it is recorded
                if is_older or not _is_in_force(connection, opening.commit):
                    return NEWER
                if opening.is_plain:
                    return ""
                found = self._made(connection, opening, at)
            elif opening.is_plain and found.state == "superseded" and not by:
                return "" if _is_in_force(connection, opening.commit) else NEWER
            own = _member(connection, found.id, member.host)
            if own is None or own.digest != member.digest:
                if opening.is_plain and found.state not in OPEN:
                    return ""
                found = _join(connection, found, member, is_known=own is not None, at=at)
                own = member
            if found.pending and _catch_up(connection, found.id, at, but=member.host):
                found = newest(connection, at) or found
            found = _in_time(connection, found, at)
            now = found if found.state != "done" else replace(found, state="running", why="", ended_at=None)
            moved = judge.moved_on(now, at)
            is_over = moved.state == "done"
            moved = now if is_over else moved  # while a host of it asks it does not end
            before = tuple(one for one in own.needs if _is_due(connection, found.id, one))
            busy = unavailable(connection, found.id) - {member.host}
            out = len(found.out - busy - {member.host})
            why = "" if by else judge.why_waits(moved, own, at, unavailable=len(busy), before=before, out=out)
            if not (why and is_over):
                self._keep(connection, found, moved, at)
            if not why:
                is_of = (_of.rollout_id == found.id, _of.host == member.host)
                begun = {"state": "applying", "wave": own.wave or moved.wave, "begun_at": at, "ended_at": None}
                connection.execute(update(rollout_hosts).where(*is_of).values(begun))
        return why

    def move_rollout(self, judge: Judge, *, at: datetime) -> Rollout | None:
        """The newest rollout moves on as far as it may by now. None if no rollout is open. Nothing is written where
        nothing is to be changed: this is looked at each second by each process."""
        with self._database.read() as reading:
            found = newest(reading, at)
            if found is None or found.state not in OPEN:
                return None
            is_late = found.applying and _is_late(reading, found.id, at)
            if not (is_late or _is_moving(found, judge, at) or (found.pending and _has_it(reading, found.id))):
                return found
        with self._database.write() as connection:
            found = newest(connection, at)
            if found is None or found.state not in OPEN:
                return None
            given_back = found.applying and _give_back(connection, found.id, at)
            if (found.pending and _catch_up(connection, found.id, at)) or given_back:
                found = newest(connection, at) or found
            return self._moved(connection, found, judge, at)

    def halt_rollout(self, rollout_id: str, *, by: str, reason: str, at: datetime) -> Rollout:
        """Begin no host any more, until a person resumes it. What is under way comes to its end."""
        return self._by_person(rollout_id, "halted", ("running", "waiting"), by, reason, at)

    def resume_rollout(self, rollout_id: str, *, by: str, reason: str, at: datetime) -> Rollout:
        """Continue. One that waits for an approval is approved by it; what failed until now counts no more."""
        return self._by_person(rollout_id, "running", ("halted", "waiting"), by, reason, at)

    def abort_rollout(self, rollout_id: str, *, by: str, reason: str, at: datetime) -> Rollout:
        """The hosts that were not begun do not get what it wants of them, until Git wants something else."""
        return self._by_person(rollout_id, "aborted", OPEN, by, reason, at)

    def _by_person(
        self, rollout_id: str, state: Any, allowed: tuple[str, ...], by: str, reason: str, at: datetime
    ) -> Rollout:
        if not clean(reason):
            raise InputError("a rollout is halted, resumed and aborted with a reason", hint="give --reason TEXT")
        with self._database.write() as connection:
            row = connection.execute(select(rollouts).where(rollouts.c.id == rollout_id)).mappings().one_or_none()
            if row is None:
                raise InputError(f"no rollout {rollout_id}", hint="see `passerelle rollout list`")
            found = counted(connection, row)
            if found.state == state:
                return found
            if found.state not in allowed:
                raise InputError(f"the rollout is {found.state}", hint="see `passerelle rollout list`")
            if state == "running":
                is_approved = found.is_approved or found.state == "waiting"
                values = {"forgiven": found.failed, "is_approved": is_approved}
                connection.execute(update(rollouts).where(rollouts.c.id == rollout_id).values(values))
            if state == "aborted":
                rest = (_of.rollout_id == rollout_id, _of.state == "pending")
                connection.execute(update(rollout_hosts).where(*rest).values(state="aborted"))
            _set(connection, found, state=state, by=clean(by), why=clean(reason), at=at)
            row = connection.execute(select(rollouts).where(rollouts.c.id == rollout_id)).mappings().one()
            return counted(connection, row)

    def _moved(self, connection: Connection, found: Rollout, judge: Judge, at: datetime) -> Rollout:
        found = _in_time(connection, found, at)
        moved = judge.moved_on(found, at)
        self._keep(connection, found, moved, at)
        return moved

    def _keep(self, connection: Connection, found: Rollout, moved: Rollout, at: datetime) -> None:
        if moved.wave != found.wave:
            connection.execute(update(rollouts).where(rollouts.c.id == found.id).values(wave=moved.wave))
        if moved.state != found.state:
            _set(connection, found, state=moved.state, by=moved.by, why=moved.why, at=at)

    def _made(self, connection: Connection, opening: Opening, at: datetime, **values: Any) -> Rollout:
        held = {"state": "running", "by": "", "why": "", "forgiven": 0, "is_approved": False, **values}
        held["why"] = clean(held["why"])
        rollout_id = self._ulids.new(at)
        last = connection.execute(select(func.coalesce(func.max(rollouts.c.number), 0))).scalar_one()
        connection.execute(
            insert(rollouts).values(
                id=rollout_id,
                number=int(last) + 1,
                commit=opening.commit,
                policy=policy_json(opening.policy),
                wave=1,
                created_at=at,
                **held,
            )
        )
        event = RolloutMoved(rollout=rollout_id, state=held["state"], by=held["by"], why=held["why"], was={})
        tell(connection, event, at=at)
        return Rollout(rollout_id, opening.commit, policy=opening.policy, created_at=at, **held)


def end_in_rollout(
    connection: Connection, host: str, digest: str, phase: Phase, *, at: datetime, is_away: bool, error: str,
    is_interrupted: bool = False, has_waited: bool = False,
) -> None:  # fmt: skip
    """An apply of this digest to the host has ended, in the transaction that records it. `is_away`: nothing was found
    out about the change. `is_interrupted`: it was begun, and nobody could confirm it. The host keeps its
    place in the wave then, so that no other one is touched in its stead; it is tried once more. `has_waited`: it was a
    request that never began. It says nothing about a change of the host whose end is not known yet."""
    if has_waited and phase != "Succeeded" and host in in_change(connection, host):
        return
    of_it = (_of.host == host, _of.digest == digest, _COUNTS)
    if phase == "Succeeded":
        _end(connection, *of_it, _of.state != "done", values={"state": "done", "ended_at": at, "error": ""})
    elif is_away:
        state = case((_IS_ABORTED, "aborted"), else_="pending")
        values: dict[str, Any] = {"state": state, "ended_at": None, **({} if is_interrupted else {"wave": 0})}
        _end(connection, *of_it, _of.state == "applying", values=values, moves=False)
    else:
        values = {"state": "failed", "ended_at": at, "error": clean(error)}
        _end(connection, *of_it, _of.state == "applying", values=values)


def is_as_wanted(connection: Connection, host: str, digest: str, *, at: datetime) -> None:
    """The host was seen to have what this digest wants, whoever made it so."""
    of_it = (_of.host == host, _of.digest == digest, _COUNTS)
    _end(connection, *of_it, _of.state != "done", values={"state": "done", "ended_at": at, "error": ""})


def _end(connection: Connection, *where: Any, values: dict[str, Any], moves: bool = True) -> None:
    found = list(connection.execute(select(_of.rollout_id).where(*where)).scalars())
    if not found:
        return
    connection.execute(update(rollout_hosts).where(*where).values(values))
    if moves:
        connection.execute(update(rollouts).where(rollouts.c.id.in_(found)).values(moved_at=values["ended_at"]))


def _members(connection: Connection, rollout_id: str) -> dict[str, Member]:
    rows = connection.execute(select(rollout_hosts).where(_of.rollout_id == rollout_id)).mappings()
    return {row["host"]: member_of(row) for row in rows}


def _member(connection: Connection, rollout_id: str, host: str) -> Member | None:
    query = select(rollout_hosts).where(_of.rollout_id == rollout_id, _of.host == host)
    row = connection.execute(query).mappings().one_or_none()
    return member_of(row) if row is not None else None


def _is_due(connection: Connection, rollout_id: str, host: str) -> bool:
    """Whether a host that others depend on does not have what the rollout wants of it yet."""
    own = _member(connection, rollout_id, host)
    return own is not None and own.state != "done"


def _without_those_that_have_it(connection: Connection, opening: Opening) -> Opening:
    """The change of a host may have been confirmed since it was read what the host has. Nothing would say it again, and
    the rollout would never end."""
    if not opening.members:
        return opening
    has = {row.host: row.digest for row in connection.execute(select(bases.c.host, bases.c.digest))}
    return replace(opening, members=tuple(one for one in opening.members if has.get(one.host) != one.digest))


def _carried_on(opening: Opening, before: Rollout | None, was: dict[str, Member]) -> Opening:
    """What failed or was aborted in the rollout before, where the same is wanted of the host again."""
    if before is None:
        return opening
    kept = []
    for one in opening.members:
        old = was.get(one.host)
        is_same = old is not None and old.digest == one.digest and old.state in ("failed", "aborted")
        kept.append(replace(one, state=old.state, error=old.error) if old is not None and is_same else one)
    return replace(opening, members=tuple(kept))


def _state_of(made: Opening, before: Rollout | None, *, is_approved: bool) -> tuple[Any, str, str]:
    """The state of a new rollout, who brought it about, and why. A halt by a person stays, and one by failures while
    the host on which it failed should have the same."""
    is_wrong_still = any(one.state == "failed" for one in made.members)
    if before is not None and before.state == "halted" and (before.by or is_wrong_still):
        return "halted", before.by, before.why
    if before is not None and made.members and all(one.state == "aborted" for one in made.members):
        return "aborted", before.by, before.why
    return ("waiting", "", made.stop) if made.stop and not is_approved else ("running", "", "")


def _is_part(made: Opening, was: dict[str, Member]) -> bool:
    return all(one.host in was and was[one.host].digest == one.digest for one in made.members)


def _set(connection: Connection, found: Rollout, *, state: Any, by: str, why: str, at: datetime) -> None:
    ended = None if state in OPEN else at
    values = {"state": state, "by": by, "why": clean(why), "ended_at": ended}
    connection.execute(update(rollouts).where(rollouts.c.id == found.id).values(values))
    event = RolloutMoved(rollout=found.id, state=state, by=by, why=clean(why), was={"state": found.state})
    tell(connection, event, at=at)


def _is_in_force(connection: Connection, commit: str) -> bool:
    query = select(revisions.c.commit).where(revisions.c.state == "accepted")
    newest_one = query.order_by(revisions.c.fetched_at.desc(), revisions.c.id.desc()).limit(1)
    return bool(connection.execute(newest_one).scalar() == commit)


def _join(connection: Connection, found: Rollout, member: Member, *, is_known: bool, at: datetime) -> Rollout:
    """A host that turned out to differ takes part."""
    if is_known:
        is_of = (_of.rollout_id == found.id, _of.host == member.host)
        connection.execute(delete(rollout_hosts).where(*is_of))
    connection.execute(insert(rollout_hosts), [_row(found.id, member)])
    return newest(connection, at) or found


def _has_it(connection: Connection, rollout_id: str) -> tuple[str, ...]:
    """Pending hosts that were seen to have what the rollout wants of them. No round of theirs says so once more."""
    query = select(_of.host).join_from(rollout_hosts, hosts, hosts.c.host == _of.host)
    query = query.join(bases, bases.c.host == _of.host)
    is_same = (hosts.c.applied_digest == _of.digest, bases.c.digest == _of.digest)
    found = connection.execute(query.where(_of.rollout_id == rollout_id, _of.state == "pending", *is_same))
    return tuple(found.scalars())


def _catch_up(connection: Connection, rollout_id: str, at: datetime, *, but: str = "") -> bool:
    """Those count as done."""
    names = [name for name in _has_it(connection, rollout_id) if name != but]
    if names:
        of_it = (_of.rollout_id == rollout_id, _of.host.in_(names))
        _end(connection, *of_it, values={"state": "done", "ended_at": at, "error": ""})
    return bool(names)


def _give_back(connection: Connection, rollout_id: str, at: datetime) -> bool:
    """A host that was let begin and has no apply has not begun: the service ended in between, or the host was suspended
    just then. The next wave does not wait for it, nor do others for one that is changed alone."""
    late = update(rollout_hosts).where(*_late(rollout_id, at))
    return bool(connection.execute(late.values(state="pending", begun_at=None, wave=0)).rowcount)


def _is_late(connection: Connection, rollout_id: str, at: datetime) -> bool:
    return connection.execute(select(_of.host).where(*_late(rollout_id, at)).limit(1)).first() is not None


def _late(rollout_id: str, at: datetime) -> tuple[Any, ...]:
    is_open = select(applies.c.host).where(applies.c.ended_at.is_(None))
    return (
        _of.rollout_id == rollout_id,
        _of.state == "applying",
        _of.begun_at <= at - BEGINS,
        _of.host.not_in(is_open),
    )


def _is_moving(found: Rollout, judge: Judge, at: datetime) -> bool:
    return (found.moved_at is not None and found.moved_at > at) or judge.moved_on(found, at) != found


def _in_time(connection: Connection, found: Rollout, at: datetime) -> Rollout:
    """If the clock was set back, the pause begins now."""
    if found.moved_at is None or found.moved_at <= at:
        return found
    connection.execute(update(rollouts).where(rollouts.c.id == found.id).values(moved_at=at))
    return replace(found, moved_at=at)


def _row(rollout_id: str, one: Member) -> dict[str, Any]:
    return {
        "rollout_id": rollout_id, "host": one.host, "digest": one.digest, "state": one.state, "needs": list(one.needs),
        "is_last": one.is_last, "wave": one.wave, "begun_at": None, "ended_at": None, "error": one.error,
        "labels": dict(one.labels),
    }  # fmt: skip


def _forget(connection: Connection) -> None:
    """Rollouts beyond the number that is kept."""
    old = list(connection.execute(select(rollouts.c.id).order_by(rollouts.c.number.desc()).offset(KEPT)).scalars())
    if old:
        connection.execute(delete(rollout_hosts).where(_of.rollout_id.in_(old)))
        connection.execute(delete(rollouts).where(rollouts.c.id.in_(old)))
