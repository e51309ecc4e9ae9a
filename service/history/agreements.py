"""The commits of hosts, as they are read: what a row says, or what all that agree with each other are at.

A commit that is about few hosts changes one row of `agreements`, not the rows of all the others. `hosts.agrees` is the
id of that row. Then `observed_commit` is the one of the row, and so is `applied_commit` if both were the same.
"""

from typing import Any

from sqlalchemy import case, func, select

from service.history.reading import columns_of
from service.history.tables import agreements, hosts
from service.model.runs import HostStatus

_agreed = select(agreements.c.agreed_commit).where(agreements.c.id == hosts.c.agrees).correlate(hosts).scalar_subquery()
OBSERVED = func.coalesce(_agreed, hosts.c.observed_commit)
APPLIED = case((hosts.c.applied_commit == hosts.c.observed_commit, OBSERVED), else_=hosts.c.applied_commit)
_READ = {"observed_commit": OBSERVED, "applied_commit": APPLIED}
COLUMNS: list[Any] = [
    _READ[column.name].label(column.name) if column.name in _READ else column
    for column in columns_of(hosts, HostStatus)
]
"""The columns of `HostStatus`."""

OBSERVED_WORDS = "COALESCE(a.agreed_commit, h.observed_commit)"
APPLIED_WORDS = f"CASE WHEN h.applied_commit = h.observed_commit THEN {OBSERVED_WORDS} ELSE h.applied_commit END"
JOIN_WORDS = "LEFT JOIN agreements a ON a.id = h.agrees"
"""The same in a statement that is text: `h` are the hosts."""
