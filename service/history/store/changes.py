"""Writes about what is wanted and what differs: revisions, plans, drift.

Events: `revision.accepted`, `revision.refused`, `source.rewrite-accepted`, `plan.made`, `drift.found`,
`drift.resolved`.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, insert, literal, select, update

from service.errors import InputError
from service.history.store.writing import Writing, clean, tell
from service.history.tables import drift, hosts, plans, revisions, rewrites
from service.history.words import insert_or_change
from service.model.changes import Difference, Drift
from service.model.events import DriftFound, DriftResolved, HistoryAccepted, PlanMade, RevisionAccepted, RevisionRefused
from service.model.plans import Plan
from service.model.runs import RevisionState
from service.model.states import Json
from service.model.trees import Commit

MAX_FINDINGS = 1000
CURRENT = literal("current", literal_execute=True)
"""Written out in the statement: the index over current plans is only used so."""
_TOLD = 20
_IS_OPEN = (drift.c.host == bindparam("of_host"), drift.c.resolved_at.is_(None))
_OPEN = select(drift).where(*_IS_OPEN)
_ONE = select(drift.c.id).where(*_IS_OPEN).limit(1)
_OPENED = insert(drift)
_SEEN = update(drift).where(*_IS_OPEN).values(last_seen=bindparam("to_at"))
_COUNTED = update(hosts).where(hosts.c.host == bindparam("of_host")).values(drift_items=bindparam("to_items"))
"""Made once: each round of each host reads or writes them, and to make one takes longer than to carry it out."""


def _kept(findings: Sequence[Json]) -> list[Json]:
    """At most MAX_FINDINGS of a revision, the errors first where not all are kept; the last one says how many are
    left out."""
    if len(findings) <= MAX_FINDINGS:
        return list(findings)
    by_weight = sorted(findings, key=lambda one: not (isinstance(one, dict) and one.get("severity") == "error"))
    more = len(findings) - MAX_FINDINGS + 1
    what = f"{more} more findings are not kept here"
    right = "`passerelle lint` shows all findings of a folder"
    words: dict[str, Json] = {"severity": "warning", "rule": "tree", "what": what, "right": right}
    return [*by_weight[: MAX_FINDINGS - 1], {"file": "", "line": 1, "col": 1, "path": "", **words}]


class ChangeWrites(Writing):
    """The transitions of revisions, plans and drift: one transaction each."""

    def record_revision(self, commit: Commit, *, at: datetime, findings: Sequence[Json] = ()) -> None:
        """The commit is what Git wants from now on. `findings` are its lint warnings as JSON objects."""
        self._revision(commit, "accepted", "", findings, at)

    def refuse_revision(self, commit: Commit, *, reason: str, at: datetime, findings: Sequence[Json] = ()) -> None:
        """The commit was looked at and is not followed; the last accepted one stays in force."""
        self._revision(commit, "refused", clean(reason), findings, at)

    def accept_rewrite(self, commit: str, before: str, *, by: str, reason: str, at: datetime) -> None:
        """This commit follows `before`, the last accepted one, although it does not descend from it. InputError without
        a reason."""
        who, why = clean(by), clean(reason)
        if not why:
            raise InputError("a rewritten history is accepted with a reason", hint="say who rewrote it, and why")
        with self._database.write() as connection:
            connection.execute(insert(rewrites).values(commit=commit, before=before, by=who, reason=why, at=at))
            tell(connection, HistoryAccepted(commit=commit, before=before, by=who, why=why), at=at)

    def _revision(
        self, commit: Commit, state: RevisionState, reason: str, findings: Sequence[Json], at: datetime
    ) -> None:
        author = clean(commit.author_name)
        values = {
            "author_name": author,
            "author_email": clean(commit.author_email),
            "committed_at": commit.committed_at,
            "subject": clean(commit.subject),
            "fetched_at": at,
            "state": state,
            "reason": reason,
            "findings": _kept(findings),
        }
        with self._database.write() as connection:
            old = connection.execute(
                select(revisions.c.state, revisions.c.reason).where(revisions.c.commit == commit.hash)
            ).one_or_none()
            connection.execute(insert_or_change(revisions, ["commit"], {"commit": commit.hash, **values}, values))
            if old is not None and (old.state, old.reason) == (state, reason):
                return
            kind = RevisionAccepted if state == "accepted" else RevisionRefused
            was = {} if old is None else {"state": old.state}
            tell(
                connection, kind(commit=commit.hash, author=author, why=reason or clean(commit.subject), was=was), at=at
            )

    def record_plan(self, plan: Plan, *, at: datetime) -> str:
        """Record a plan and return its id. The newest plan of a host is its current one; the same plan of the same
        commit, made again, keeps its id."""
        digest = plan.digest
        with self._database.write() as connection:
            same = connection.execute(
                select(plans.c.id).where(
                    plans.c.host == plan.host,
                    plans.c.state == CURRENT,
                    plans.c.digest == digest,
                    plans.c.commit == plan.commit,
                )
            ).scalar_one_or_none()
            if same is not None:
                return str(same)
            self._supersede(connection, plan.host)
            plan_id = self._ulids.new(at)
            connection.execute(
                insert(plans).values(
                    id=plan_id,
                    host=plan.host,
                    commit=plan.commit,
                    digest=digest,
                    desired_digest=plan.desired_digest,
                    state="current",
                    created_at=at,
                    body=plan.as_json(),
                )
            )
            if not plan.is_empty or plan.refusals:
                why = clean(plan.refusals[0].what) if plan.refusals else ""
                made = PlanMade(
                    host=plan.host, plan=plan_id, steps=len(plan.steps), refusals=len(plan.refusals), refused=why
                )
                tell(connection, made, at=at)
        return plan_id

    @staticmethod
    def _supersede(connection: Connection, host: str) -> None:
        connection.execute(
            update(plans).where(plans.c.host == host, plans.c.state == CURRENT).values(state="superseded")
        )

    def set_drift(
        self, host: str, drifts: Iterable[Drift], *, at: datetime, resolved_by: str = "host"
    ) -> tuple[int, int]:
        """All present differences of the host. New ones are opened, known ones keep their `first_seen`, and those that
        are gone are resolved by `resolved_by` (an apply's id, `host` or `git`). Returns (opened, resolved).
        """
        now = {_identity(host, d.difference): d for d in drifts}
        if not now and not self._has_open_drift(host):
            return 0, 0
        with self._database.write() as connection:
            known = {str(row["open_key"]): row for row in connection.execute(_OPEN, {"of_host": host}).mappings()}
            opened = [key for key in now if key not in known]
            gone = [key for key in known if key not in now]
            if opened:
                connection.execute(
                    _OPENED,
                    [_drift_row(host, now[key], at) | {"open_key": key, "first_seen": at} for key in opened],
                )
            for key in now.keys() & known.keys():
                row = _drift_row(host, now[key], at)
                if any(known[key][name] != value for name, value in row.items() if name != "last_seen"):
                    connection.execute(update(drift).where(drift.c.open_key == key).values(row))
            if gone:
                connection.execute(
                    update(drift)
                    .where(drift.c.open_key.in_(gone))
                    .values(open_key=None, resolved_at=at, resolved_by=resolved_by)
                )
            connection.execute(_SEEN, {"of_host": host, "to_at": at})
            connection.execute(_COUNTED, {"of_host": host, "to_items": len(now)})
            if opened:
                sides = {now[key].moved for key in opened}
                by = sides.pop() if len(sides) == 1 else "both"
                items = [clean(_words(now[key].difference)) for key in opened]
                tell(connection, DriftFound(host=host, count=len(items), items=items[:_TOLD], by=by), at=at)
            if gone:
                items = [clean(_row_words(known[key])) for key in gone]
                ended = DriftResolved(host=host, count=len(items), items=items[:_TOLD], by=resolved_by)
                tell(connection, ended, at=at)
        return len(opened), len(gone)

    def _has_open_drift(self, host: str) -> bool:
        with self._database.read() as connection:
            return connection.execute(_ONE, {"of_host": host}).first() is not None


def _identity(host: str, difference: Difference) -> str:
    return json.dumps(
        [host, difference.kind, difference.resource, difference.field, difference.where], ensure_ascii=True
    )


def _drift_row(host: str, item: Drift, at: datetime) -> dict[str, Any]:
    difference = item.difference
    return {
        "host": host,
        "kind": difference.kind,
        "resource": clean(difference.resource),
        "field": clean(difference.field),
        "where": difference.where,
        "op": difference.op,
        "want": difference.want,
        "have": difference.have,
        "unknown": clean(difference.unknown),
        "cause": clean(difference.cause),
        "moved": item.moved,
        "last_seen": at,
    }


def _words(difference: Difference) -> str:
    return f"{difference.kind} {difference.resource} {difference.field} {difference.op} ({difference.where})"


def _row_words(row: Mapping[Any, Any]) -> str:
    return f"{row['kind']} {row['resource']} {row['field']} {row['op']} ({row['where']})"
