"""Writes about who did what: a chain of entries, one for each action (`service/model/audit.py`).

An entry is never changed. It is written in the transaction of what it is about, where the history itself carries that
out, and else in one of its own. The right to write is one for all processes, so that there is one chain.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from service.history.store.writing import Writing, clean
from service.history.tables import audit, audit_head
from service.model.audit import FIRST, TRIM, Act, hash_of
from service.model.states import Json

TRIMMED = 200
"""At most so many entries are deleted in one transaction."""
LOOKED_THROUGH = 50
"""So many times as many are looked through for one that is not of the future."""
MAX_ITEMS = 50
"""Of a list or a mapping in `detail` so many items are kept, and how many were left out."""
LEFT_OUT = "…"


class Recording(Writing):
    """Transitions that record who carried them out, where no request does."""

    def _acted(self, connection: Connection, action: str, *, by: str, at: datetime, **detail: Json) -> None:
        """Add an entry to the running transaction of a command. What the service does, the API records."""
        if self.is_command:
            append(connection, Act(by=by, how="cli", action=action, detail=detail), at=at)


class AuditWrites(Writing):
    """Entries come, and the oldest go."""

    def record_act(self, act: Act, *, at: datetime) -> None:
        """Record an action that no transition of the history records."""
        with self._database.write() as connection:
            append(connection, act, at=at)

    def trim_acts(self, before: datetime, *, at: datetime) -> int:
        """Delete the oldest entries, those from before a time, and record which was the last of them. How many went;
        the newest entry always stays. Where none may go, nothing is written."""
        with self._database.read() as connection:
            if not _going(connection, before, at):
                return 0
        with self._database.write() as connection:
            if not (going := _going(connection, before, at)):
                return 0
            last = going[-1]
            act = Act(by="passerelle", how="service", action=TRIM, detail={"through": last.id, "hash": last.hash})
            append(connection, act, at=at)
            connection.execute(delete(audit).where(audit.c.id.in_([row.id for row in going])))
        return len(going)


def _going(connection: Connection, before: datetime, now: datetime) -> Sequence[Any]:
    """The oldest entries that may go: in their order, up to the first that is young enough.

    An entry of the future has a time that is not right. It was recorded before the entry after it, so it goes where an
    entry after it goes.
    """
    rows: list[Any] = []
    going = 0
    for _ in range(LOOKED_THROUGH):
        query = select(audit.c.id, audit.c.at, audit.c.hash).where(audit.c.id > (rows[-1].id if rows else 0))
        page = connection.execute(query.order_by(audit.c.id).limit(TRIMMED + 1)).all()
        for row in page:
            rows.append(row)
            if row.at < before:
                going = len(rows)
            elif row.at <= now:
                return rows[: min(going, TRIMMED)]
        if len(page) <= TRIMMED:
            return rows[: max(0, min(going, TRIMMED, len(rows) - 1))]
        if going:
            break
    return rows[: min(going, TRIMMED)]


def append(connection: Connection, act: Act, *, at: datetime) -> None:
    """Add an entry to the running transaction, which holds the right to write."""
    head = connection.execute(select(audit_head.c.number, audit_head.c.hash)).first()
    previous, number = (head.hash, head.number + 1) if head is not None else (FIRST, 1)
    act = _cleaned(act)
    digest = hash_of(previous, number, at, act)
    connection.execute(
        insert(audit).values(
            id=number, at=at, by=act.by, token=act.token, how=act.how, client=act.client, request_id=act.request_id,
            action=act.action, host=act.host, outcome=act.outcome, detail=act.detail, previous=previous, hash=digest,
        )
    )  # fmt: skip
    values = {"number": number, "hash": digest}
    connection.execute(
        update(audit_head).values(values) if head is not None else insert(audit_head).values(id=1, **values)
    )


def _cleaned(act: Act) -> Act:
    """With text that every database gives back as it was."""
    detail: Any = _plain(act.detail)
    texts = {name: clean(getattr(act, name)) for name in ("by", "token", "client", "request_id", "action", "host")}
    return Act(**texts, how=act.how, outcome=act.outcome, detail=detail)


def _plain(value: Any) -> Json:
    """What is left out is counted. A grant to the 51st host is a grant, too."""
    if isinstance(value, Mapping):
        kept = {clean(str(name)): _plain(one) for name, one in [*value.items()][:MAX_ITEMS]}
        return kept | ({LEFT_OUT: len(value) - MAX_ITEMS} if len(value) > MAX_ITEMS else {})
    if isinstance(value, list | tuple):
        more = len(value) - MAX_ITEMS
        return [*(_plain(one) for one in value[:MAX_ITEMS]), *([f"{LEFT_OUT} {more} more"] if more > 0 else [])]
    return value if value is None or isinstance(value, bool | int) else clean(str(value))
