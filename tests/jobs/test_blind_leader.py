"""A worker that cannot read the repository lets another one lead, and leaves what it cannot do to others."""

from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import pytest

from service.lab.waiting import wait_for
from service.model.events import Happened, SourceTrouble, SourceWell
from service.model.listings import EventListing
from service.model.runs import Event, Page
from service.model.secret import Secret
from service.model.sources import SourceStanding, SourceState
from service.reconcile.leading import AGAIN_S, OFFERED_S, Leading
from service.reconcile.shares import Shares
from tests.jobs.test_shares import Some, some
from tests.postgres import Cluster
from tests.reconcile.clocks import START, StoppedClock
from tests.safety.worker_runs import Fleet

__all__ = ["some"]


@dataclass
class Source:
    """What a worker knows of the repository."""

    state: SourceState = "followed"
    followed_up: list[str] = field(default_factory=list)

    @property
    def standing(self) -> SourceStanding:
        return SourceStanding(self.state, "no route" if self.state != "followed" else "")

    def follow_up(self, said: str) -> None:
        self.followed_up.append(said)


@dataclass
class Lead:
    """The one right to lead, as the server gives it."""

    holder: object = None

    def of(self, name: str) -> "Place":
        return Place(self, name)


@dataclass
class Place:
    one: Lead
    name: str

    def lead(self) -> bool:
        self.one.holder = self.one.holder or self.name
        return self.one.holder == self.name

    def resign(self) -> bool:
        did = self.one.holder == self.name
        self.one.holder = None if did else self.one.holder
        return did


@dataclass
class Records:
    told: list[Happened] = field(default_factory=list)

    def events(self, asked: EventListing) -> Page[Event]:
        found = [
            Event(number, START, one.name, "", one.text, {}) for number, one in enumerate(self.told, 1)
            if one.name == asked.type
        ]  # fmt: skip
        return Page(tuple(found[-1:]), None)


def test_one_that_cannot_read_the_repository_lets_another_one_lead(caplog: pytest.LogCaptureFixture) -> None:
    clock, lead, records = StoppedClock(), Lead(), Records()
    broken, good = Source(), Source()
    one, two = (Leading(lead.of(name), source, records, clock) for name, source in (("one", broken), ("two", good)))
    assert one.keep(has_others=True) and not two.keep(has_others=True)
    broken.state = "unreachable"
    records.told.append(SourceTrouble(why="no route"))
    assert not one.keep(has_others=True)
    assert "this process resigns, so that another one leads: it cannot read the repository: no route" in caplog.text
    assert two.keep(has_others=True) and good.followed_up == ["no route"], "it records that the source is well again"
    clock.move(OFFERED_S + 1)
    assert not one.keep(has_others=True)
    records.told.append(SourceWell())
    broken.state = "followed"
    lead.holder = None  # the second one ended
    assert one.keep(has_others=False) and broken.followed_up == ["", ""]


def test_where_none_can_read_it_somebody_leads_nevertheless() -> None:
    clock, lead = StoppedClock(), Lead()
    sources = [Source("unreachable"), Source("unreachable")]
    both = [Leading(lead.of(str(n)), source, Records(), clock) for n, source in enumerate(sources)]
    led_s = 0
    for _ in range(int(3 * AGAIN_S)):
        led_s += sum(one.keep(has_others=True) for one in both)
        clock.move(1)
    assert led_s >= 2 * AGAIN_S
    alone = Leading(Lead().of("alone"), sources[0], Records(), clock)
    assert alone.keep(has_others=False), "nobody else could"


def test_where_none_can_read_it_each_leads_for_a_while() -> None:
    """Whoever was relieved long ago does not resign as soon as it leads again."""
    clock, lead = StoppedClock(), Lead()
    both = [Leading(lead.of(str(n)), Source("unreachable"), Records(), clock) for n in range(2)]
    changed_s, before = [], None
    for second in range(int(20 * AGAIN_S)):
        for one in both:
            one.keep(has_others=True)
        if lead.holder is not None and lead.holder != before:
            before = lead.holder
            changed_s.append(second)
        clock.move(1)
    assert len(changed_s) > 3
    assert min(later - one for one, later in pairwise(changed_s)) >= AGAIN_S


@pytest.mark.long
def test_who_resigns_can_lead_again(some: Some) -> None:
    (_, first), (_, second) = some.opened(), some.opened()
    assert first.lead() and not second.lead()
    assert first.resign() and not first.resign() and not first.begin_lead()
    assert second.lead() and not first.lead()
    assert second.resign() and first.lead()


@pytest.mark.long
async def test_who_stands_back_has_no_hosts_while_another_one_is_there(some: Some) -> None:
    clock = StoppedClock()
    (_, first), (_, second) = some.opened(), some.opened()
    one, two = Shares(first, clock), Shares(second, clock)
    assert (await one.keep(lambda: (), stands_back=True)).gained, "it is alone"
    await two.keep(lambda: ())
    assert (await one.keep(lambda: (), stands_back=True)).gained == frozenset()
    moved = await one.keep(lambda: (), stands_back=True)
    assert one.mine == frozenset() and not moved.gained
    clock.move(60)
    await two.keep(lambda: ())
    assert len(two.mine) == 256
    for _ in range(2):
        await one.keep(lambda: ())
        await two.keep(lambda: ())
    assert one.mine and len(one.mine | two.mine) == 256


@pytest.mark.long
@pytest.mark.timeout(300)
async def test_of_two_workers_the_one_that_reaches_git_leads(cluster: Cluster, tmp_path: Path) -> None:
    made = Fleet(tmp_path, cluster, hosts=4, workers=1)
    link = tmp_path / "broken.git"
    made.sources[0] = link
    link.symlink_to(tmp_path / "fleet.git")
    await made.begin()
    try:
        assert await made.until(made.is_settled, 60), _log(made)
        made.start(1)
        assert await made.until(made.are_in, 60), _log(made)
        link.unlink()
        wait_for(lambda: "this process resigns" in _log(made), "it resigns", 60)
        made.push()
        assert await made.until(made.is_settled, 90), _log(made)
        last = made.rows("SELECT type FROM events WHERE type LIKE 'source.%' ORDER BY id DESC LIMIT 1")
        assert last in ([], [("source.well",)])
        assert not any(made.faults().values())
        link.symlink_to(tmp_path / "fleet.git")
        assert await made.until(made.are_in, 60), _log(made)
        made.push()
        assert await made.until(made.is_settled, 90), _log(made)
    finally:
        await made.end()
        cluster.dropped(Secret(made.url.encode()))


def _log(fleet: Fleet) -> str:
    return (fleet.folder / "log").read_text()[-6000:]
