"""Writes about hosts: status, generations, bases, latches, quarantines to be lifted.

Events: `host.state` when an axis moves, `host.quarantined`, `host.released`, `apply.latched`, `latch.cleared`.
"""

from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, delete, func, insert, select, update

from service.errors import InputError
from service.history.store.agreements import AgreementWrites
from service.history.store.days import DayWrites
from service.history.store.rollouts import is_as_wanted
from service.history.store.writing import clean, tell
from service.history.tables import bases, drift, hosts, latches, lease_looks, releases
from service.history.words import insert_or_change, insert_where_missing
from service.model.events import (
    ApplyLatched,
    HostQuarantined,
    HostReleased,
    HostState,
    LatchCleared,
)
from service.model.runs import HostStatus
from service.model.states import Json

AXES = ("sync", "reason", "health", "reachability", "phase")
_STATUS = tuple(f.name for f in fields(HostStatus) if f.name not in {"host", "drift_items", "proven_at", "changed_at"})

_ROW = select(hosts).where(hosts.c.host == bindparam("of_host", type_=hosts.c.host.type))
_CHANGED = update(hosts).where(hosts.c.host == bindparam("of_host", type_=hosts.c.host.type))
"""A statement that is made once takes half of the time: this is written in each round of each host."""


class HostWrites(AgreementWrites, DayWrites):
    """The transitions of hosts, their generations, bases and latches: one transaction each."""

    def set_host_status(self, status: HostStatus, *, at: datetime) -> bool:
        """Record the state of a host; `drift_items` and `changed_at` are the store's own. True if an axis changed."""
        values = {name: getattr(status, name) for name in _STATUS}
        values["message"], values["agrees"] = clean(status.message), ""
        days = self._unseen({status.host: status.observed_at}, at)
        with self._database.write() as connection:
            row = connection.execute(_ROW, {"of_host": status.host}).mappings().one_or_none()
            old = tuple(row[axis] for axis in AXES) if row else ()
            new = tuple(values[axis] for axis in AXES)
            moved = old != new
            if moved:
                values["changed_at"] = at
            if status.quarantined != (row["quarantined"] if row else ""):
                held = HostQuarantined(host=status.host, why=values["message"])
                tell(connection, held if status.quarantined else HostReleased(host=status.host), at=at)
            if row is None:
                connection.execute(insert_or_change(hosts, ["host"], _fresh_row(status.host) | values, values))
            else:
                connection.execute(_CHANGED, {"of_host": status.host, **values})
            if moved:
                tell(
                    connection,
                    HostState(
                        host=status.host,
                        **{a: values[a] for a in AXES},
                        message=values["message"],
                        was=moved_axes(row, values),
                    ),
                    at=at,
                )
            self._members.discard(status.host)
            fills = self._see_days(connection, days)
        self._saw_days(days, fills)
        return moved

    def seen_hosts(self, times: Mapping[str, datetime | None]) -> None:
        """Hosts were seen at these times, and nothing about them has changed. One transaction; no time goes back."""
        rows = [{"of_host": host, "seen_at": at} for host, at in times.items()]
        if not rows:
            return
        of_host, at = (
            bindparam("of_host", type_=hosts.c.host.type),
            bindparam("seen_at", type_=hosts.c.observed_at.type),
        )
        days = self._unseen(times)
        with self._database.write() as connection:
            seen = update(hosts).where(hosts.c.host == of_host, hosts.c.observed_at < at)
            connection.execute(seen.values(observed_at=at), rows)
            leased = update(lease_looks).where(lease_looks.c.host == of_host, lease_looks.c.at < at)
            connection.execute(leased.values(at=at), rows)
            fills = self._see_days(connection, days)
        self._saw_days(days, fills)

    def next_generation(self, host: str, *, at_least: int = 0) -> int:
        """A number higher than every one given out for this host, and higher than `at_least`, the one that the host
        itself was seen to hold. It is on disk before it is returned: a crash may skip a number, never repeat one.
        HostRefused where nothing may be begun."""
        self.may_begin(host)
        with self._database.write() as connection:
            connection.execute(insert_where_missing(hosts, ["host"], _fresh_row(host)))
            last = connection.execute(select(hosts.c.generation).where(hosts.c.host == host)).scalar_one()
            generation = max(int(last), at_least) + 1
            connection.execute(update(hosts).where(hosts.c.host == host).values(generation=generation))
        return generation

    def set_base(self, host: str, desired: Json, *, digest: str, commit: str, apply_id: str, at: datetime) -> None:
        """What is now applied and confirmed on the host. `apply_id` is empty where nothing had to be done."""
        values = {"desired": desired, "digest": digest, "commit": commit, "apply_id": apply_id, "at": at}
        with self._database.write() as connection:
            connection.execute(insert_or_change(bases, ["host"], {"host": host, **values}, values))
            is_as_wanted(connection, host, digest, at=at)

    def ask_release(self, host: str, apply_id: str, *, by: str, reason: str, at: datetime) -> None:
        """A person wants the quarantine that `apply_id` caused lifted. Earlier requests no longer count."""
        values = {"apply_id": apply_id, "requested_by": clean(by), "reason": clean(reason), "requested_at": at}
        with self._database.write() as connection:
            connection.execute(insert_or_change(releases, ["host"], {"host": host, **values}, values))

    def end_release(self, host: str) -> None:
        """It was tried, or there is no such quarantine any more."""
        with self._database.write() as connection:
            connection.execute(delete(releases).where(releases.c.host == host))

    def latch(self, host: str, desired_digest: str, *, apply_id: str, at: datetime) -> None:
        """This desired digest was rolled back on this host: it is not tried again on its own. Twice is once."""
        with self._database.write() as connection:
            open_one = select(latches.c.id).where(
                latches.c.host == host,
                latches.c.desired_digest == desired_digest,
                latches.c.cleared_at.is_(None),
            )
            if connection.execute(open_one).first() is not None:
                return
            connection.execute(
                insert(latches).values(host=host, desired_digest=desired_digest, apply_id=apply_id, since=at)
            )
            tell(connection, ApplyLatched(host=host, apply=apply_id, digest=desired_digest), at=at)

    def drop_latches(self, host: str, *, wanted: str, at: datetime) -> int:
        """Git wants this digest of the host now: whatever was latched of any other is past. Returns how many."""
        past = (latches.c.host == host, latches.c.cleared_at.is_(None), latches.c.desired_digest != wanted)
        with self._database.write() as connection:
            if connection.execute(select(latches.c.id).where(*past)).first() is None:
                return 0
            changed = connection.execute(
                update(latches)
                .where(*past)
                .values(cleared_at=at, cleared_by="git", clear_reason=f"{wanted[:19]} is wanted now")
            )
            tell(connection, LatchCleared(host=host, by="git", why=f"{wanted[:19]} is wanted now"), at=at)
        return changed.rowcount

    def clear_latch(self, host: str, *, by: str, reason: str, at: datetime) -> int:
        """A person lets every latched digest of the host be tried again. Returns how many there were.

        InputError without a reason.
        """
        why = clean(reason)
        if not why:
            raise InputError("a latch is cleared with a reason", hint="give the reason why it should succeed this time")
        with self._database.write() as connection:
            changed = connection.execute(
                update(latches)
                .where(latches.c.host == host, latches.c.cleared_at.is_(None))
                .values(cleared_at=at, cleared_by=by, clear_reason=why)
            )
            if changed.rowcount:
                tell(connection, LatchCleared(host=host, by=by, why=why), at=at)
        return changed.rowcount


def moved_axes(before: Mapping[Any, Any] | None, now: Mapping[str, Any]) -> dict[str, str]:
    """The axes that changed, with their previous values."""
    return {axis: before[axis] for axis in AXES if before[axis] != now[axis]} if before is not None else {}


def _fresh_row(host: str) -> dict[str, Any]:
    """The row of a host that has none yet; differences may have been recorded before it."""
    defaults = HostStatus(host)
    still_open = select(func.count()).where(drift.c.host == host, drift.c.resolved_at.is_(None)).scalar_subquery()
    values: dict[str, Any] = {f.name: getattr(defaults, f.name) for f in fields(HostStatus)}
    return values | {"generation": 0, "drift_items": still_open}
