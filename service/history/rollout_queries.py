"""Reads about rollouts: how far each is, and what has become of its hosts."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Integer, Select, and_, case, func, or_, select

from service.history.database import Database
from service.history.reading import ordered, seen_by
from service.history.rollout_aside import AWAY, QUARANTINED, Aside, set_aside, suspended_by_name
from service.history.tables import applies, hosts, rollout_hosts, rollouts
from service.model.listings import RolloutHostListing, RolloutListing
from service.model.rollouts import OPEN, Member, Policy, Rollout, Share, Stand
from service.model.runs import ASKED, Page

_HELD_UP = ("WaitingForApproval", "Refused")
_STUCK = or_(
    hosts.c.phase.in_((*_HELD_UP, "WaitingForWindow", "RollbackFailed")),
    hosts.c.reason == "RolledBackLatched",
    and_(hosts.c.phase == "Idle", hosts.c.reason == "ComparisonError", hosts.c.reachability == "Reachable"),
)
"""Hosts on which passerelle does not try again on its own for now, or cannot see what to do."""
_of = rollout_hosts.c
_MEMBER = ("host", "digest", "state", "is_last", "wave", "begun_at", "ended_at", "error", "labels")
_HELD = (
    "id",
    "number",
    "commit",
    "state",
    "wave",
    "by",
    "why",
    "forgiven",
    "is_approved",
    "created_at",
    "ended_at",
    "moved_at",
)


class RolloutQueries:
    """The part of `Queries` that is about rollouts."""

    _database: Database

    def rollouts(self, asked: RolloutListing) -> Page[Rollout]:
        """Rollouts, the newest first, each with its numbers."""
        query = select(rollouts).where(*(rollouts.c[name] == value for name, value in asked.asked.items()))
        query = ordered(query, rollouts, asked, asked.start).limit(asked.limit + 1)
        with self._database.read() as connection:
            rows = list(connection.execute(query).mappings())
            found = tuple(counted(connection, row) for row in rows[: asked.limit])
        return Page(found, (found[-1].number,) if len(rows) > asked.limit else None)

    def rollout(self, rollout_id: str) -> Rollout | None:
        """One rollout with its numbers."""
        with self._database.read() as connection:
            row = connection.execute(select(rollouts).where(rollouts.c.id == rollout_id)).mappings().one_or_none()
            return counted(connection, row) if row is not None else None

    def newest_rollout(self) -> Rollout | None:
        """The rollout that counts, with its numbers; it may have ended."""
        with self._database.read() as connection:
            return newest(connection)

    def rollout_hosts(self, asked: RolloutHostListing) -> Page[Member]:
        """The hosts of one rollout by name."""
        query = select(rollout_hosts).where(seen_by(_of.host, asked.visible))
        query = query.where(*(_of[name] == value for name, value in asked.asked.items()))
        query = ordered(query, rollout_hosts, asked, asked.start).limit(asked.limit + 1)
        with self._database.read() as connection:
            found = [member_of(row) for row in connection.execute(query).mappings()]
            aside = _aside_now(connection, asked.rollout_id).why
        found = [replace(one, aside=aside.get(one.host, "")) for one in found]
        more = len(found) > asked.limit
        return Page(tuple(found[: asked.limit]), (found[asked.limit - 1].host,) if more else None)

    def rollout_candidates(self, rollout_id: str, now: datetime | None = None) -> tuple[str, ...]:
        """Hosts that could be begun next, as far as is known: they can be reached, are not set aside, and wait for no
        host. Those whose change was interrupted come first. Those that waited for a person when they were looked at
        last, or were refused, come after the others."""
        query = select(_of.host, _of.needs, _of.state, _of.wave, hosts.c.reachability, hosts.c.phase)
        query = query.outerjoin_from(rollout_hosts, hosts, hosts.c.host == _of.host)
        query = query.where(_of.rollout_id == rollout_id, _of.state != "done").order_by(_of.is_last, _of.host)
        with self._database.read() as connection:
            rows = connection.execute(query).all()
            aside = _aside_now(connection, rollout_id, now).why
        due = {row.host for row in rows}
        free = [
            row
            for row in rows
            if row.state == "pending"
            and row.reachability not in AWAY
            and row.host not in aside
            and not due.intersection(row.needs)
        ]
        return tuple(row.host for row in sorted(free, key=lambda row: (row.phase in _HELD_UP, row.wave == 0)))

    def applied_digests(self) -> dict[str, str]:
        """The desired state that each host was last seen to have or given; empty for one that never had any."""
        with self._database.read() as connection:
            return {row.host: row.applied_digest for row in connection.execute(_APPLIED)}

    def unavailable_hosts(self, now: datetime | None = None) -> int:
        """How many hosts count for `max_unavailable`: those in a change now, those that are away after one of the
        rollout that counts, and its suspended and quarantined ones."""
        with self._database.read() as connection:
            found = newest(connection, now)
            return len(unavailable(connection, found.id) | found.out if found else unavailable(connection, ""))


def standing_of_hosts(connection: Connection) -> tuple[str, dict[str, Stand]]:
    """The state of the newest rollout, and where each of its hosts is; nothing where there is none."""
    query = select(rollouts.c.id, rollouts.c.state).order_by(rollouts.c.number.desc()).limit(1)
    row = connection.execute(query).one_or_none()
    if row is None:
        return "", {}
    members = connection.execute(select(_of.host, _of.state).where(_of.rollout_id == row.id)).all()
    aside = _aside_now(connection, row.id).why if any(one.state == "pending" for one in members) else {}
    return row.state, {one.host: "aside" if one.host in aside else one.state for one in members}


_APPLIED = select(hosts.c.host, hosts.c.applied_digest)


def newest(connection: Connection, now: datetime | None = None) -> Rollout | None:
    """The newest rollout with its numbers, by the suspensions that are in force `now`."""
    row = connection.execute(select(rollouts).order_by(rollouts.c.number.desc()).limit(1)).mappings().one_or_none()
    return counted(connection, row, now) if row is not None else None


def _is_away() -> ColumnElement[bool]:
    return func.coalesce(hosts.c.reachability, "").in_(AWAY)


def _numbers() -> Select[Any]:
    """How many hosts of one rollout are in which state, last or not, away or not, quarantined or not, in a wave or
    not."""
    away = case((_is_away(), 1), else_=0).cast(Integer).label("away")
    held = case((QUARANTINED != "", 1), else_=0).cast(Integer).label("held")
    begun = case((_of.wave > 0, 1), else_=0).cast(Integer).label("begun")
    columns = (_of.state, _of.is_last, away, held, begun)
    query = select(*columns, func.count().label("hosts")).outerjoin_from(rollout_hosts, hosts, hosts.c.host == _of.host)
    return query.group_by(*columns)


_NUMBERS = _numbers()


def counted(connection: Connection, row: Mapping[Any, Any], now: datetime | None = None) -> Rollout:
    """A rollout of its row, with the numbers of its hosts. Without `now` a suspension that has run out counts until its
    end is recorded: for people, not for what begins."""
    numbers: dict[str, Any] = dict.fromkeys(
        ("hosts", "pending", "applying", "done", "failed", "aborted", "away", "waiting_others", "last_applying"), 0
    )
    has_quarantined = has_interrupted = False
    for one in connection.execute(_NUMBERS.where(_of.rollout_id == row["id"])).all():
        state, is_last, is_away, is_quarantined, is_in_wave, count = one
        numbers["hosts"] += count
        numbers[state] += count
        if is_away and state in ("applying", "done", "failed"):
            numbers["away"] += count
        if not is_last and (state == "applying" or (state == "pending" and not is_away)):
            numbers["waiting_others"] += count
        if is_last and state == "applying":
            numbers["last_applying"] += count
        has_quarantined |= bool(is_quarantined) and state in ("pending", "failed")
        has_interrupted |= bool(is_in_wave) and state == "pending" and not is_away
    aside = Aside()
    if row["state"] in (*OPEN, "done") and (numbers["pending"] or has_quarantined):
        suspended = suspended_by_name(connection, now)
        if suspended or has_quarantined or numbers["failed"] or numbers["aborted"]:
            aside = set_aside(connection, row["id"], suspended)
    numbers["waiting_others"] -= aside.others
    held = {name: row[name] for name in _HELD}
    policy = policy_of(row["policy"])
    kept = _interrupted(connection, row["id"]) - aside.why.keys() if has_interrupted else frozenset()
    return Rollout(policy=policy, **held, **numbers, set_aside=tuple(sorted(aside.why)), out=aside.out, held=kept)


def _interrupted(connection: Connection, rollout_id: str) -> frozenset[str]:
    is_tried = ~func.coalesce(_STUCK, False)  # also a host of which nothing is known yet
    is_of = (_of.rollout_id == rollout_id, _of.state == "pending", _of.wave > 0, ~_is_away(), is_tried)
    query = select(_of.host).outerjoin_from(rollout_hosts, hosts, hosts.c.host == _of.host).where(*is_of)
    return frozenset(connection.execute(query).scalars())


def _aside_now(connection: Connection, rollout_id: str, now: datetime | None = None) -> Aside:
    state = connection.execute(select(rollouts.c.state).where(rollouts.c.id == rollout_id)).scalar()
    suspended = suspended_by_name(connection, now)
    return set_aside(connection, rollout_id, suspended) if state in (*OPEN, "done") else Aside()


def in_change(connection: Connection, host: str = "") -> set[str]:
    """Hosts with a change whose end is not known, or only whether this one is. Requests that wait are none."""
    begun = and_(applies.c.ended_at.is_(None), ~and_(applies.c.phase == "Pending", applies.c.trigger.in_(ASKED)))
    of_one = (applies.c.host == host,) if host else ()
    return set(connection.execute(select(applies.c.host).where(begun, *of_one)).scalars())


def unavailable(connection: Connection, rollout_id: str) -> set[str]:
    """Hosts in a change now, of whatever rollout, and those that are away after a change of this one."""
    found = in_change(connection)
    of_it = select(_of.host).outerjoin_from(rollout_hosts, hosts, hosts.c.host == _of.host)
    of_it = of_it.where(
        _of.rollout_id == rollout_id,
        (_of.state == "applying") | (_of.state.in_(("done", "failed")) & _is_away()),
    )
    return found | set(connection.execute(of_it).scalars())


def member_of(row: Mapping[Any, Any]) -> Member:
    """A host of a rollout, of its row."""
    return Member(needs=tuple(row["needs"]), **{name: row[name] for name in _MEMBER})


def policy_of(held: Mapping[str, Any]) -> Policy:
    """A policy as it was kept."""
    most = held["max_unavailable"]
    return Policy(
        tuple(Share.parse(wave) for wave in held["waves"]), float(held["soak_s"]), int(held["max_failures"]),
        Share.parse(most) if most else None, tuple(held["last"]),
    )  # fmt: skip


def policy_json(policy: Policy) -> dict[str, Any]:
    """A policy to be kept."""
    return {
        "waves": [str(wave) for wave in policy.waves], "soak_s": policy.soak_s, "max_failures": policy.max_failures,
        "max_unavailable": str(policy.max_unavailable or ""), "last": list(policy.last),
    }  # fmt: skip
