"""Answers that are kept are never stale: whatever changed, in the database or in memory, the next request shows it."""

import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from service.api.create import create_app
from service.api.metric_families import Families, Shown, of_host
from service.api.metric_text import Family, lines_of, text_of
from service.api.metrics import Metrics
from service.api.remembered import MOST_ROWS, Remembered
from service.history import open_history
from service.history.queries import Counts, Queries
from service.model.runs import HostStatus
from service.model.sites.records import SiteRecord
from tests.api.world import NOW, World
from tests.state_folders import made


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return made(tmp_path / "state" / "passerelle.sqlite")


ONE, FLEET = "/api/v1/hosts/pve1", "/api/v1/hosts"


async def shown(world: World) -> list[dict[str, object]]:
    """pve1 as it is answered: alone, and in the list."""
    alone = (await world.ask("GET", ONE)).json()
    listed = next(one for one in (await world.ask("GET", FLEET)).json()["items"] if one["host"] == "pve1")
    return [alone, listed]


async def test_a_status_that_was_written_is_shown_by_the_next_request(world: World) -> None:
    status = world.history.queries.host("pve1")
    assert status is not None
    for number in range(20):
        message = f"change {number}"
        world.history.store.set_host_status(replace(status, message=message), at=NOW)
        for _ in range(2):
            assert [one["message"] for one in await shown(world)] == [message, message]


async def test_a_row_that_another_process_wrote_is_shown_by_the_next_request(path: Path) -> None:
    """The answers before it are kept: a read in between finds nothing that is new."""
    with open_history(path, serve=True) as history:
        world = World(history).fill()
        for message in ("one", "two"):
            assert (await shown(world)) == (await shown(world))
            state = history.queries.state()
            assert state is not None
            assert state == history.queries.state()
            with closing(sqlite3.connect(path)) as other, other:
                other.execute("UPDATE hosts SET message = ? WHERE host = 'pve1'", [message])
            assert [one["message"] for one in await shown(world)] == [message] * 2


async def test_what_is_kept_is_not_read_again(path: Path) -> None:
    with open_history(path, serve=True) as history:
        world = World(history).fill()
        reads: list[str] = []

        class Counted(Queries):
            def host(self, name: str) -> HostStatus | None:
                reads.append(name)
                return super().host(name)

        counted = Counted(history.queries._database, history.queries._pepper)
        app = create_app(replace(world.parts, reads=counted, remembered=Remembered()))
        world.app = app
        for _ in range(3):
            assert (await world.ask("GET", ONE)).status_code == 200
        assert reads == ["pve1"]


async def test_what_is_remembered_of_a_host_is_shown_by_the_next_request(world: World) -> None:
    """Each of what a text is made of changes alone."""
    status = world.history.queries.host("pve1")
    assert status is not None
    assert status.observed_at is not None

    async def all_have(**wanted: object) -> None:
        for one in await shown(world):
            assert {name: one[name] for name in wanted} == wanted

    await all_have(stale=False, tried_at=None, drift_items=status.drift_items)
    world.desk.tried_at = {"pve1": NOW}
    await all_have(tried_at=NOW.isoformat().replace("+00:00", "Z"))
    world.desk.held = {"pve1": replace(status, message="held")}
    await all_have(message="held")
    world.desk.held = {}
    await all_have(message=status.message)
    why = world.desk.unread_why
    world.desk.unknown = {"pve1": why} if why else {"pve1": ValueError("not compared")}  # type: ignore[dict-item]
    await all_have(drift_items=None)
    world.desk.unknown = {}
    world.clock.at = status.observed_at + timedelta(seconds=world.parts.stale_after_s + 1)
    await all_have(stale=True)


async def test_the_numbers_follow_what_is_written(world: World) -> None:
    for number in (3, 4):
        status = replace(world.history.queries.host("pve1") or HostStatus("pve1"), phase="WaitingForApproval")
        world.history.store.set_host_status(replace(status, phase="Idle" if number == 4 else status.phase), at=NOW)
        page = (await world.ask("GET", "/metrics")).text
        assert f'passerelle_host_waiting_for_approval{{host="pve1"}} {float(number == 3)}' in page


async def test_a_value_is_read_again_in_another_state_only() -> None:
    states: list[int | None] = [1, 1, 1, 1, 2, 2, None, 2]
    reads: list[int] = []

    def read(number: int) -> int:
        reads.append(number)
        return len(reads)

    remembered = Remembered()
    found = []
    while states:
        found.append(await remembered.read(lambda: states.pop(0), read, 7))
    assert found == [1, 1, 1, 1, 2, 2, 3, 2]


async def test_a_value_that_was_read_while_somebody_wrote_is_not_kept() -> None:
    state = 1

    def read() -> int:
        nonlocal state
        state += 1
        return state

    remembered = Remembered()
    assert [await remembered.read(lambda: state, read) for _ in range(3)] == [2, 3, 4]


async def test_so_many_rows_are_kept_and_no_more() -> None:
    remembered, reads = Remembered(), [0]

    def read(_number: int) -> Counts:
        reads[0] += 1
        return Counts(hosts=(HostStatus("pve1"),) * (MOST_ROWS // 2))

    for number in (1, 2, 1, 2):
        await remembered.read(lambda: 1, read, number)
    assert reads[0] == 4


class Theirs(Collector):
    """Families as prometheus_client takes them."""

    def __init__(self, families: list[Family]) -> None:
        self._families = families

    def collect(self) -> list[Metric]:
        made: list[Metric] = []
        for one in self._families:
            kind = CounterMetricFamily if one.kind == "counter" else GaugeMetricFamily
            family = kind(one.name.removesuffix("_total"), one.about, labels=one.labels)
            for values, number in one.rows:
                family.add_metric(list(values), number)
            made.append(family)
        return made


def test_a_page_after_nothing_changed_is_kept_and_one_after_a_change_is_not() -> None:
    """Each is what a process says that has made no page before."""
    hosts = (HostStatus("pve1", observed_at=NOW), HostStatus("pve2"))
    counts = Counts(hosts=hosts)
    pages = Metrics()
    ways: list[dict[str, Any]] = [
        {}, {}, {"held": {"pve2": HostStatus("pve2", quarantined="x")}}, {}, {"uncompared": frozenset(("pve1",))}, {},
        {"visible": lambda name: name == "pve2"}, {}, {"held": {"pve3": HostStatus("pve3")}},
    ]  # fmt: skip
    for way in ways:
        assert pages.page(counts, at=NOW, **way) == Metrics().page(counts, at=NOW, **way), way
    for now in (Counts(hosts=hosts, latched={"pve1": 2}), Counts(hosts=hosts[:1]), counts):
        assert pages.page(now, at=NOW) == Metrics().page(now, at=NOW)


def test_the_text_is_that_of_prometheus_client() -> None:
    odd = 'a "quoted" \\ back\nslash é'
    sites = (SiteRecord("pve1", odd, "published", "well", "", seen={"failed_since_issue": 1_234_567}),)
    counts = Counts(
        hosts=(HostStatus("pve1", observed_at=NOW, proven_at=NOW), HostStatus("pve2", quarantined="x")),
        drift={("pve1", odd): 3}, leases={"pve1": 12_345_678}, succeeded_at={"pve2": NOW}, sites=sites,
    )  # fmt: skip
    now = Families(Shown(counts, at=NOW + timedelta(seconds=0.25)), (), {("pve1", "ok"): 2})
    families = [one._replace(rows=list(one.rows)) for one in now.collect()]
    theirs = CollectorRegistry()
    theirs.register(Theirs(families))
    assert text_of(families) == generate_latest(theirs).decode()
    page = Metrics().page(counts, at=NOW).decode()
    for one, said in now.said():
        for family in of_host(one, said):
            assert lines_of(family._replace(rows=list(family.rows))) in page
