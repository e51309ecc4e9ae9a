"""Writes about commits that want nothing else of most hosts: one row for all of them.

See `service/history/agreements.py`. Each store has an agreement of its own, so several processes do not decide for each
other's hosts. A host leaves it whenever its status is recorded, and joins it at the next commit that is not about it.
"""

from collections.abc import Collection, Iterable
from datetime import UTC, datetime

from sqlalchemy import Connection, bindparam, case, delete, func, select, update

from service.history.agreements import APPLIED, OBSERVED
from service.history.database import Database
from service.history.store.writing import Writing
from service.history.tables import agreements, hosts
from service.history.words import insert_or_change

_HOST = hosts.c.host == bindparam("of_host", type_=hosts.c.host.type)
_BEFORE = bindparam("before", type_=hosts.c.observed_commit.type)
_APPLIED = case((hosts.c.applied_commit == hosts.c.observed_commit, _BEFORE), else_=hosts.c.applied_commit)
_AT_BEFORE = {"observed_commit": _BEFORE, "applied_commit": _APPLIED}
_JOIN = (
    update(hosts)
    .where(_HOST, hosts.c.sync == "Synced", OBSERVED == _BEFORE)
    .values(**_AT_BEFORE, agrees=bindparam("mine", type_=hosts.c.agrees.type))
)
_LEAVE = update(hosts).where(_HOST).values(observed_commit=OBSERVED, applied_commit=APPLIED, agrees="")
_MEMBERS = select(hosts.c.host).where(hosts.c.agrees == bindparam("mine"), hosts.c.agrees != "")
_COUNT = select(func.count()).where(hosts.c.agrees == bindparam("mine"), hosts.c.agrees != "")
_UNUSED = delete(agreements).where(
    agreements.c.id.not_in(select(hosts.c.agrees).where(hosts.c.agrees != "")), agreements.c.id != bindparam("mine")
)


def leave_agreement(connection: Connection, names: Iterable[str]) -> None:
    """The commits of these hosts are their own from now on."""
    rows = [{"of_host": name} for name in names]
    if rows:
        connection.execute(_LEAVE, rows)


class AgreementWrites(Writing):
    """The commits that hosts agree with."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self._agreement = ""
        self._agreed_commit = ""
        self._members: set[str] = set()

    def agree_hosts(self, names: Collection[str], before: str, commit: str) -> None:
        """Of these hosts, those that were as wanted by the commit `before` are so by `commit`. One transaction; its
        cost is that of the hosts which were not among those of the commit before."""
        mine = self._agreement or self._ulids.new(datetime.now(UTC))
        named = set(names)
        try:
            with self._database.write() as connection:
                counted = connection.execute(_COUNT, {"mine": mine}).scalar_one()
                members = self._members
                if counted != len(members):  # somebody else recorded a status of one
                    members = set(connection.execute(_MEMBERS, {"mine": mine}).scalars())
                leaving = members - named if self._agreed_commit == before else members
                leave_agreement(connection, leaving)
                members = members - leaving
                joining = [{"of_host": name, "before": before, "mine": mine} for name in named - members]
                joined = connection.execute(_JOIN, joining).rowcount if joining else 0
                values = {"agreed_commit": commit}
                connection.execute(insert_or_change(agreements, ["id"], {"id": mine, **values}, values))
                if joined == len(joining):
                    members = members | named
                else:
                    members = set(connection.execute(_MEMBERS, {"mine": mine}).scalars())
                if not self._agreement:
                    connection.execute(_UNUSED, {"mine": mine})
                self._members = members  # before another thread records a status of one
        except BaseException:
            self._agreed_commit, self._members = "", set()  # nothing of it may be in force: it is read again
            raise
        self._agreement, self._agreed_commit = mine, commit
