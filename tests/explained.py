"""Every statement that the service sends is explained once: it never looks through a table that grows.

`watch()` hears each statement of each engine, so that a new read needs no list to be found. A statement of a test is
not judged, only one that code below `service/` sends. SQLite says which index it takes. PostgreSQL takes one for a
small table only where nothing else is allowed, so it may scan none while it explains.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, event

GROWING = (
    "events", "drift", "plans", "applies", "apply_steps", "drills", "latches", "revisions", "leases", "lease_intervals",
    "deliveries", "audit", "web_sessions", "host_days", "pool_days",
)  # fmt: skip
IN_FORCE = (
    "ix_drift_open", "ix_drift_open_id", "ix_drift_open_kind", "ix_plans_current", "ix_applies_open", "ix_drills_open",
    "ix_latches_open", "ix_latches_host", "ix_leases_held", "ix_leases_active",
)  # fmt: skip
OF_ONE = ("(ip_order=?", "ix_lease_intervals_name (name=? AND from_at<?)")
TOP = Path(__file__).parents[1]
_SCANS = "SELECT set_config(name, '{}', true) FROM unnest(array['enable_seqscan', 'enable_bitmapscan']) AS name"
_WHOLE = ("/migrate.py", "/copying.py")
_seen: set[str] = set()
_found: list[str] = []


def faults(plan: str, *, is_bounded: bool = False) -> list[str]:
    """What is wrong with a plan of SQLite. A search without any `=` is a scan with an end, but for the one row of min
    and max.

    `is_bounded`: the list may be walked along its order, because nothing is left out. Rows of one address, and
    the past ones of one name, may be sorted.
    """
    found = []
    for line in plan.splitlines():
        scan = re.match(r"(?:SCAN|SEARCH) (\w+)(?: USING (?:COVERING )?INDEX (\w+))?", line)
        is_one = "=?" in line or (line.startswith("SEARCH") and "USING" not in line)
        if scan and not is_one and scan[2] not in IN_FORCE and not is_bounded and _table(scan[1]) in GROWING:
            found.append(line)
    tables = {_table(word) for word in re.findall(r"(?:SCAN|SEARCH) (\w+)", plan)}
    if "TEMP B-TREE" in plan and tables & set(GROWING) and not any(few in plan for few in OF_ONE):
        found.append(plan)
    return found


def server_faults(plan: str, *, is_bounded: bool = False) -> list[str]:
    """The same of a plan of PostgreSQL that was made without scans. A scan that is left has no index to take. A walk
    along an index without a condition reads all of it."""
    found, lines = [], plan.splitlines()
    for line, after in zip(lines, [*lines[1:], ""], strict=True):
        scan = re.search(r"(Seq Scan|Index (?:Only )?Scan(?: Backward)?)(?: using (\w+))? on (\w+)", line)
        if scan is None or scan[3] not in GROWING or is_bounded or scan[2] in IN_FORCE:
            continue
        if scan[1] == "Seq Scan" or "Index Cond" not in after:
            found.append(f"{line.strip()} {after.strip()}")
    return found


def is_page(statement: str) -> bool:
    """Whether a list ends at its limit: it is walked along its order, and only its beginning may be left out.
    Of leases it may leave out those that do not hold then: the table has the last of each, and no history."""
    if re.search(r"FROM leases l\b", statement):
        return "l.host = " not in statement and "l.name = " not in statement
    outer, nested = re.sub(r"1 = 1|leases\.active = (0|false)", "", statement), 1
    while nested:
        outer, nested = re.subn(r"\([^()]*\)", "", outer)
    where = re.search(r"\bWHERE\b(.*)\bORDER BY\b", outer, re.DOTALL)
    return bool(re.search(r"\bLIMIT\b", statement)) and (where is None or not re.search(r"[^<>!]=|\bIN\b", where[1]))


def watch() -> None:
    """Hear what is sent from now on, in this process."""
    if not event.contains(Engine, "before_cursor_execute", _hear):
        event.listen(Engine, "before_cursor_execute", _hear)


def rest() -> None:
    """Hear nothing more: what a test elsewhere sends is not this one's."""
    if event.contains(Engine, "before_cursor_execute", _hear):
        event.remove(Engine, "before_cursor_execute", _hear)


def found() -> list[str]:
    """What was wrong since the last call."""
    said = list(_found)
    _found.clear()
    return said


def forget() -> None:
    """Nothing was heard: for who changed the indexes."""
    _seen.clear()
    _found.clear()


def _hear(connection: Connection, _cursor: object, statement: str, values: Any, _context: object, many: bool) -> None:
    if statement in _seen or not re.match(r"\s*(SELECT|UPDATE|DELETE)", statement) or not _is_ours():
        return
    _seen.add(statement)
    one = values[0] if many and values else values
    is_file = connection.dialect.name == "sqlite"
    lines = list(_explained(connection, statement, one, is_file=is_file))
    judge = faults if is_file else server_faults
    wrong = judge("\n".join(lines), is_bounded=is_page(statement))
    _found.extend(f"{' '.join(statement.split())}\n    {line}" for line in wrong)


def _explained(connection: Connection, statement: str, values: Any, *, is_file: bool) -> Iterator[str]:
    raw = connection.connection.cursor()
    try:
        if is_file:
            yield from (str(row[3]) for row in raw.execute(f"EXPLAIN QUERY PLAN {statement}", values))
            return
        raw.execute(_SCANS.format("off"))
        raw.execute(f"EXPLAIN (COSTS OFF) {statement}", values)
        rows = raw.fetchall()
        raw.execute(_SCANS.format("on"))
        yield from (str(row[0]) for row in rows)
    finally:
        raw.close()


def _is_ours() -> bool:
    """Whether the nearest code of this repository that sends it is the service: no migration or copy, which read all
    there is."""
    frame: Any = sys._getframe(1)
    while frame is not None:  # the frames of this file are the first
        name = frame.f_code.co_filename
        if name.startswith(str(TOP)) and name != __file__ and ".venv" not in name:
            room = "/".join(Path(name).relative_to(TOP).parts[:2])
            return room == "service/history" and not name.endswith(_WHOLE)
        frame = frame.f_back
    return False


def _table(name: str) -> str:
    short = {"l": "leases", "i": "lease_intervals", "n": "lease_intervals"}
    return short.get(name, re.sub(r"_\d+$", "", name))
