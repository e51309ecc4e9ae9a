"""The hosts of a rollout on which nothing can begin until a person acts: they are set aside.

    set_aside(connection, rollout_id) -> Aside

Neither the next wave, nor the last hosts, nor the end of the rollout wait for them. A host is out of service while it
is suspended or quarantined. It counts for `max_unavailable`: with `max_unavailable: 1` it blocks all others. A host
that depends on one that is set aside, or on which the change failed or was aborted, is set aside, too. A suspension of
all hosts is a pause of the rollout, and sets none aside.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, func, select

from service.history.suspension_queries import suspension_of
from service.history.tables import hosts, rollout_hosts, suspensions
from service.model.suspensions import Suspension

AWAY = ("Unreachable", "AuthFailed", "HostKeyChanged")
"""Hosts that were not reached at the last try."""
QUARANTINED = func.coalesce(hosts.c.quarantined, "")
_of = rollout_hosts.c
_COLUMNS = (_of.host, _of.digest, _of.state, _of.needs, _of.labels, _of.is_last, hosts.c.reachability)
_LEFT = (
    select(*_COLUMNS, QUARANTINED.label("quarantined"))
    .outerjoin_from(rollout_hosts, hosts, hosts.c.host == _of.host)
    .where(_of.state != "done")
    .order_by(_of.host)
)
_SOME = select(suspensions).where(suspensions.c.ended_at.is_(None), suspensions.c.scope != "all")


@dataclass(frozen=True, slots=True)
class Aside:
    """`why` of each pending host that is set aside. `out` are those that are out of service, and failed ones that are
    quarantined. `others` of the first can be reached and do not come last."""

    why: Mapping[str, str] = field(default_factory=dict)
    out: frozenset[str] = frozenset()
    others: int = 0


def suspended_by_name(connection: Connection, now: datetime | None) -> tuple[Suspension, ...]:
    """The suspensions of some hosts that are in force `now`; None: that nobody has ended."""
    found = [suspension_of(row) for row in connection.execute(_SOME).mappings()]
    return tuple(one for one in found if now is None or one.is_in_force(now))


def set_aside(connection: Connection, rollout_id: str, suspended: Sequence[Suspension]) -> Aside:
    """Those of a rollout, while these suspensions are in force."""
    rows = list(connection.execute(_LEFT.where(_of.rollout_id == rollout_id)).mappings())
    whys = {row["host"]: why for row in rows if (why := _why_out(row, suspended))}
    pending = {row["host"] for row in rows if row["state"] == "pending"}
    found = _with_those_behind(rows, {name: why for name, why in whys.items() if name in pending})
    others = [row for row in rows if row["host"] in found and not row["is_last"] and row["reachability"] not in AWAY]
    return Aside(found, frozenset(whys), len(others))


def _why_out(row: Mapping[Any, Any], suspended: Collection[Suspension]) -> str:
    if row["quarantined"] and row["state"] in ("pending", "failed"):
        return f"quarantined: the rollback of {row['quarantined']} failed"
    if row["state"] != "pending":
        return ""
    its = (one for one in suspended if one.held_digest in ("", row["digest"]) and one.names(row["host"], row["labels"]))
    return next((one.words for one in its), "")


def _with_those_behind(rows: Collection[Mapping[Any, Any]], found: dict[str, str]) -> dict[str, str]:
    stuck = set(found) | {row["host"] for row in rows if row["state"] in ("failed", "aborted")}
    waiting = [row for row in rows if row["state"] == "pending" and row["needs"]]
    grows = True
    while grows:
        grows = False
        for row in waiting:
            needed = next((one for one in row["needs"] if one in stuck), "")
            if needed and row["host"] not in found:
                found[row["host"]] = f"it depends on {needed}, which does not get it for now"
                stuck.add(row["host"])
                grows = True
    return found
