"""Which process works on which hosts: never two on one, none without, and nothing is written without the hold."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest

from service.errors import HostRefused, StoreError
from service.history import History, Place, open_history
from service.history.postgres import place as places
from service.lab.waiting import wait_for
from service.model.events import SourceWell
from service.model.retention import Kept
from service.model.secret import Secret
from service.reconcile.member import key_of
from service.reconcile.shares import GRACE_S, SHARES, Shares, share_of, spread
from service.reconcile.watching import Wanted
from service.roles import Forgetting
from service.spec.jumps import jump_of
from tests.laws.specs import head, spec_of
from tests.postgres import Cluster
from tests.reconcile.clocks import StoppedClock

NOW = datetime(2026, 3, 1, tzinfo=UTC)
SHARE = share_of("pve1")


def test_a_process_that_comes_or_goes_moves_only_what_falls_to_it() -> None:
    three, two = spread(frozenset({1, 2, 3})), spread(frozenset({1, 2}))
    assert sorted(share for shares in three.values() for share in shares) == list(range(SHARES))
    assert three[1] < two[1] and three[2] < two[2]
    assert min(map(len, three.values())) > SHARES / 3 * 0.7


@dataclass
class Some:
    """Processes on one database."""

    url: Secret
    folder: Path
    stack: ExitStack

    def opened(self) -> tuple[History, Place]:
        path = self.folder / str(len(list(self.folder.iterdir()))) / "x.sqlite"
        history = self.stack.enter_context(open_history(path, serve=True, url=self.url, together=True))
        assert history.place is not None
        return history, history.place

    def run(self, query: str) -> list[tuple[object, ...]]:
        with psycopg.connect(self.url.reveal().decode(), autocommit=True) as session:
            return session.execute(query.encode()).fetchall()


@pytest.fixture
def some(cluster: Cluster, tmp_path: Path) -> Iterator[Some]:
    with ExitStack() as stack:
        url = cluster.made()
        stack.callback(cluster.dropped, url)
        yield Some(url, tmp_path, stack)


@pytest.mark.long
def test_a_share_is_held_by_one(some: Some) -> None:
    (_, first), (_, second) = some.opened(), some.opened()
    assert first.hold({1, 2}) == {1, 2}
    assert second.hold({2, 3}) == {3}
    first.let_go(2)
    assert second.hold({2, 3}) == {2, 3}
    first.release()
    assert second.hold({1}) == {1, 2, 3}


@pytest.mark.long
def test_nothing_is_written_in_a_round_whose_host_others_may_have(some: Some) -> None:
    history, place = some.opened()
    place.hold({SHARE})
    place.begin_round(SHARE)
    try:
        assert history.store.next_generation("pve1") == 1
        some.run(f"SELECT pg_terminate_backend(pid) FROM pg_locks WHERE classid = {places.SHARES}")
        with pytest.raises(StoreError, match="lost its hold"):
            history.store.next_generation("pve1")
        place.hold({SHARE})  # it is held again, and yet somebody may have worked on the host in between
        with pytest.raises(StoreError, match="lost its hold"):
            history.store.next_generation("pve1")
        place.begin_round(SHARE)
        assert history.store.next_generation("pve1") == 2
        place.let_go(SHARE)
        with pytest.raises(StoreError, match="lost its hold"):
            history.store.next_generation("pve1")
    finally:
        place.end_round()
    assert history.store.next_generation("pve1") == 3


@pytest.mark.long
def test_a_process_that_does_not_run_any_more_loses_what_it_holds(some: Some, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its session lives, and nobody has heard of it for a while."""
    (history, stuck), (_, other) = some.opened(), some.opened()
    assert stuck.enter() and other.enter()
    assert stuck.hold({1}) == {1} and stuck.lead()
    assert other.live() == {stuck.number, other.number} and not other.lead()
    monkeypatch.setattr(places, "STALLED_S", 0.0)
    assert stuck.number not in other.live()
    monkeypatch.undo()
    lost = some.run(f"SELECT count(*) FROM pg_locks WHERE classid = {places.PLACES} AND objid = {stuck.number}")
    assert lost == [(0,)] or other.hold({1}) == {1}
    assert other.hold({1}) == {1} and other.lead()
    assert not stuck.begin_lead() or _is_refused(history)
    stuck.end_round()
    assert stuck.enter() and stuck.session == 1
    assert stuck.hold({1}) == frozenset() and not stuck.lead()
    assert other.live() == {stuck.number, other.number}


@pytest.mark.long
def test_one_that_takes_no_part_loses_what_it_holds_once_it_does_not_run(
    some: Some, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was behind, kept what it held, and was stopped."""
    (_, stuck), (_, other) = some.opened(), some.opened()
    assert stuck.enter() and other.enter()
    stuck.leave()
    assert stuck.hold({1}) == {1} and stuck.lead()
    assert other.live() == {other.number} and not other.lead() and not other.hold({1})
    monkeypatch.setattr(places, "STALLED_S", 0.0)
    other.live()
    monkeypatch.undo()
    wait_for(lambda: other.hold({1}) == {1} and other.lead(), "the server has ended its session", 20)
    assert other.session == 0, "its own lives"
    assert stuck.hold({1}) == frozenset() and stuck.session == 1


@pytest.mark.long
def test_a_host_and_one_that_it_is_reached_through_are_not_changed_at_once(some: Some) -> None:
    (_, first), (_, second) = some.opened(), some.opened()
    assert first.begin_change("behind1", ["behind1"], ["jump"])
    assert second.begin_change("behind2", ["behind2"], ["jump"])
    assert not second.begin_change("jump", ["jump"], [])
    first.end_change("behind1")
    second.end_change("behind2")
    assert second.begin_change("jump", ["jump"], [])
    assert not first.begin_change("behind1", ["behind1"], ["jump"])
    second.end_change("jump")
    assert first.begin_change("behind1", ["behind1"], ["jump"])


@pytest.mark.long
def test_a_generation_is_refused_where_nothing_may_be_begun(some: Some) -> None:
    history, _ = some.opened()

    def refuse(host: str) -> None:
        raise HostRefused(f"{host}: a newer revision is in force", reason="stale")

    history.store.may_begin = refuse
    with pytest.raises(HostRefused):
        history.store.next_generation("pve1")
    assert history.queries.host("pve1") is None


def test_only_whoever_leads_measures_the_database(history_of_one: History) -> None:
    """It reads every table."""
    leads = False
    store = Forgetting(history_of_one.store, lambda: leads)
    assert store.kept() == Kept(0, {})
    leads = True
    assert store.kept().size_bytes > 0


@pytest.fixture
def history_of_one(tmp_path: Path) -> Iterator[History]:
    with open_history(tmp_path / "x.sqlite", serve=True) as history:
        yield history


@pytest.mark.long
async def test_shares_follow_who_runs(some: Some) -> None:
    clock = StoppedClock()
    (_, first), (_, second) = some.opened(), some.opened()
    one, two = Shares(first, clock), Shares(second, clock)
    assert len((await one.keep(lambda: ())).gained) == SHARES
    assert not (await two.keep(lambda: ())).gained  # all of them are held
    moved = await one.keep(lambda: ())
    assert moved.lost == two_share(one, two)
    assert (await two.keep(lambda: ())).gained == moved.lost
    assert one.mine.isdisjoint(two.mine) and len(one.mine | two.mine) == SHARES

    second.release()
    clock.move(GRACE_S)
    assert not (await one.keep(lambda: ())).gained  # it may have lost its connection only
    clock.move(1)
    assert len((await one.keep(lambda: ())).gained) == len(moved.lost)
    assert len(one.mine) == SHARES


def _is_refused(history: History) -> bool:
    """Whether what is written by whoever leads is refused."""
    with pytest.raises(StoreError, match="lost its hold"):
        history.store.add_event(SourceWell(), at=NOW)
    return True


def two_share(one: Shares, two: Shares) -> frozenset[int]:
    return spread(frozenset({one._place.number, two._place.number}))[two._place.number]


@pytest.mark.long
async def test_a_share_whose_host_is_worked_on_is_let_go_when_that_has_ended(some: Some) -> None:
    clock = StoppedClock()
    (_, first), (_, second) = some.opened(), some.opened()
    one, two = Shares(first, clock), Shares(second, clock)
    await one.keep(lambda: ())
    await two.keep(lambda: ())
    name = next(f"h{n}" for n in range(1000) if share_of(f"h{n}") in two_share(one, two))
    await one.keep(lambda: [name])
    await two.keep(lambda: ())
    assert not one.owns(name) and not two.owns(name)
    await one.keep(lambda: ())
    await two.keep(lambda: ())
    assert two.owns(name)


@pytest.mark.long
async def test_after_its_session_was_lost_a_process_holds_nothing_and_the_others_are_waited_for(some: Some) -> None:
    clock = StoppedClock()
    (_, first), (_, second) = some.opened(), some.opened()
    one, two = Shares(first, clock), Shares(second, clock)
    for _ in range(3):
        await one.keep(lambda: ())
        await two.keep(lambda: ())
    some.run(f"SELECT pg_terminate_backend(pid) FROM pg_locks WHERE classid = {places.PLACES}")
    clock.move(60)
    moved = await one.keep(lambda: ())
    assert moved.lost | moved.gained == frozenset(range(SHARES))
    assert one.mine == spread(frozenset({first.number, second.number}))[first.number]


def test_hosts_that_are_reached_through_one_host_belong_to_one_share() -> None:
    """And a host under both of its names."""
    plain = spec_of(head("auto"))
    jump = replace(plain, name="jump")
    behind = replace(plain, name="behind", connection=replace(plain.connection, jump=jump_of(jump)))
    new = replace(plain, name="new", renamed_from="old")
    wanted = Wanted("c", {"jump": jump, "behind": behind, "new": new})
    keys = {name: key_of(lambda: wanted, name) for name in ("jump", "behind", "new", "old")}
    assert keys == {"jump": "jump", "behind": "jump", "new": "old", "old": "old"}
