"""A commit that is not about most hosts: one row says so of all of them, and each has its own commits again later."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

import pytest
from sqlalchemy import Connection, select

from service.errors import StoreError
from service.history import History
from service.history.database import Database
from service.history.store.agreements import AgreementWrites
from service.history.tables import agreements, hosts
from service.model.listings import HostListing
from service.model.runs import HostStatus

NAMES = ("h1", "h2", "h3")


@pytest.fixture
def database_of(history: History) -> Database:
    return history._database


def well(history: History, now: datetime, name: str, commit: str = "c1", applied: str = "c1") -> None:
    status = HostStatus(name, sync="Synced", observed_at=now, observed_commit=commit, applied_commit=applied)
    history.store.set_host_status(status, at=now)


def commits(history: History) -> dict[str, tuple[str, str]]:
    """What is read of each host, the same by every read."""
    page = history.queries.hosts(HostListing(limit=9)).items
    found = {one.host: (one.observed_commit, one.applied_commit) for one in page}
    for name, both in found.items():
        status = history.queries.host(name)
        assert status is not None
        assert (status.observed_commit, status.applied_commit) == both
        stamp = history.queries.stamps()[name]
        assert (stamp[10], stamp[12]) == both
    assert {one.host: (one.observed_commit, one.applied_commit) for one in history.queries.counts().hosts} == found
    return found


def test_hosts_agree_with_commit_after_commit(history: History, now: datetime) -> None:
    for name in NAMES:
        well(history, now, name, applied="c0" if name == "h3" else "c1")
    history.store.agree_hosts(NAMES, "c1", "c2")
    assert commits(history) == {"h1": ("c2", "c2"), "h2": ("c2", "c2"), "h3": ("c2", "c0")}
    history.store.agree_hosts(NAMES, "c2", "c3")
    assert commits(history) == {"h1": ("c3", "c3"), "h2": ("c3", "c3"), "h3": ("c3", "c0")}


def test_who_is_not_named_stays_at_the_commit_before(history: History, now: datetime) -> None:
    for name in NAMES:
        well(history, now, name)
    history.store.agree_hosts(NAMES, "c1", "c2")
    history.store.agree_hosts(["h1"], "c2", "c3")
    assert commits(history) == {"h1": ("c3", "c3"), "h2": ("c2", "c2"), "h3": ("c2", "c2")}
    history.store.agree_hosts(["h1", "h2"], "c3", "c4")
    assert commits(history) == {"h1": ("c4", "c4"), "h2": ("c2", "c2"), "h3": ("c2", "c2")}


def test_a_status_that_is_recorded_counts_alone_until_the_host_agrees_again(history: History, now: datetime) -> None:
    for name in NAMES:
        well(history, now, name)
    history.store.agree_hosts(NAMES, "c1", "c2")
    well(history, now, "h1", "c2", "c1")
    history.store.set_host_status(HostStatus("h2", sync="OutOfSync", observed_commit="c2", applied_commit="c1"), at=now)
    history.store.agree_hosts(NAMES, "c2", "c3")
    assert commits(history) == {"h1": ("c3", "c1"), "h2": ("c2", "c1"), "h3": ("c3", "c3")}


def test_two_processes_and_one_after_a_restart_do_not_decide_for_each_other(
    history: History, database_of: Database, now: datetime
) -> None:
    other = AgreementWrites(database_of)
    for name in NAMES:
        well(history, now, name)
    history.store.agree_hosts(["h1"], "c1", "c2")
    other.agree_hosts(["h2", "h3"], "c1", "c2")
    history.store.agree_hosts(["h1"], "c2", "c3")
    assert commits(history) == {"h1": ("c3", "c3"), "h2": ("c2", "c2"), "h3": ("c2", "c2")}
    history.store.agree_hosts(["h1", "h2"], "c2", "c3")
    assert commits(history)["h2"] == ("c3", "c3")
    later = AgreementWrites(database_of)
    later.agree_hosts(NAMES, "c3", "c4")
    assert commits(history) == {"h1": ("c4", "c4"), "h2": ("c4", "c4"), "h3": ("c2", "c2")}
    with database_of.read() as connection:
        assert len(connection.execute(agreements.select()).all()) == 2, "the first has no hosts any more"


def test_a_host_that_leaves_or_is_renamed_agrees_no_more(history: History, now: datetime) -> None:
    for name in NAMES:
        well(history, now, name)
    history.store.agree_hosts(NAMES, "c1", "c2")
    history.store.orphan_host("h1", at=now)
    assert history.store.rename_host("h2", "h4", at=now)
    history.store.agree_hosts(["h3"], "c2", "c3")
    assert commits(history) == {"h1": ("c2", "c2"), "h3": ("c3", "c3"), "h4": ("c2", "c2")}


def test_a_status_that_is_recorded_while_others_agree_is_counted_once(
    history: History, database_of: Database, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The commit comes in the moment in which a status was written, and the right to write is free again."""
    other = AgreementWrites(database_of)
    for name in NAMES:
        well(history, now, name)
    history.store.agree_hosts(NAMES, "c1", "c2")
    write = database_of.write
    then = [lambda: history.store.agree_hosts(NAMES, "c2", "c3")]

    @contextmanager
    def written() -> Iterator[Connection]:
        with write() as connection:
            yield connection
        if then:
            then.pop()()

    monkeypatch.setattr(database_of, "write", written)
    well(history, now, "h1", "c2", "c2")
    other.agree_hosts(["h2"], "c3", "c4")
    history.store.agree_hosts(["h3"], "c3", "c4")
    assert commits(history) == {"h1": ("c3", "c3"), "h2": ("c4", "c4"), "h3": ("c4", "c4")}


def test_a_status_that_is_recorded_right_after_others_agreed_is_not_forgotten(
    history: History, database_of: Database, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in NAMES:
        well(history, now, name)
    history.store.agree_hosts(NAMES[:2], "c1", "c2")
    write = database_of.write
    then = [lambda: well(history, now, "h1", "c3", "c3")]

    @contextmanager
    def written() -> Iterator[Connection]:
        with write() as connection:
            yield connection
        if then:
            then.pop()()

    monkeypatch.setattr(database_of, "write", written)
    history.store.agree_hosts(NAMES[:2], "c2", "c3")
    assert history.store._members == {"h2"}
    with database_of.read() as connection:
        assert connection.execute(select(hosts.c.host).where(hosts.c.agrees != "")).scalars().all() == ["h2"]


def test_an_agreement_that_could_not_be_written_is_read_again(
    history: History, database_of: Database, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in NAMES:
        well(history, now, name, *(("c2", "c2") if name == "h3" else ()))
    history.store.agree_hosts(["h1", "h2"], "c1", "c2")
    write = database_of.write

    @contextmanager
    def refused() -> Iterator[Connection]:
        with write() as connection:
            yield connection
            raise StoreError("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(database_of, "write", refused)
        with pytest.raises(StoreError):
            history.store.agree_hosts(["h2", "h3"], "c2", "c3")
    history.store.agree_hosts(["h2", "h3"], "c2", "c3")
    assert commits(history) == {"h1": ("c2", "c2"), "h2": ("c3", "c3"), "h3": ("c3", "c3")}
