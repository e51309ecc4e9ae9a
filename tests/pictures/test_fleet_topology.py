"""The picture of a fleet: every host once, in the picture and in the text, and no box on another."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.answers.fleet_topology import fleet_of
from service.model.fleet_topology import FleetHost, FleetTopology
from service.pictures.fleet_topology import draw_fleet, fleet_outline, ordered
from service.pictures.topology import NARROW, WIDE
from tests.pictures.hosts import spec_named
from tests.pictures.reading import texts, tree
from tests.pictures.test_topology import overlapping

NAMES = [f"pve{number}" for number in range(12)]
hosts = st.builds(
    FleetHost, st.just(""), st.just("198.51.100.11"), st.sampled_from(["", *NAMES]),
    st.lists(st.sampled_from(NAMES), max_size=2).map(tuple), st.sampled_from(["", "c1"]), st.just(()),
    st.sampled_from([None, 0, 3]),
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(st.lists(hosts, max_size=12), st.sampled_from([320, NARROW, WIDE, 2400]))
def test_every_host_is_there_once_and_nothing_overlaps(some: list[FleetHost], width: int) -> None:
    named = tuple(
        FleetHost(name, one.address, one.through, one.after, one.cluster, one.peers, one.differences)
        for name, one in zip(NAMES, some, strict=False)
    )
    fleet = FleetTopology("c" * 40, named)
    assert sorted(one.host for one, _, _ in ordered(fleet)) == sorted(one.host for one in named)
    drawing = draw_fleet(fleet, width)
    assert not overlapping(drawing)
    shown = texts(tree(drawing))
    for one in named:
        assert one.host in shown
    assert [one.name for one in fleet_outline(fleet).items] == [one.host for one in named]


def test_a_host_is_below_the_one_by_which_it_is_reached() -> None:
    jump = FleetHost("pve9", "198.51.100.9", "", (), "", (), 0)
    behind = FleetHost("pve1", "10.0.0.1", "pve9", (), "", (), 2)
    found = ordered(FleetTopology("c" * 40, (behind, jump)))
    assert [(one.host, depth) for one, _, depth in found] == [("pve9", 0), ("pve1", 1)]
    (first, _) = fleet_outline(FleetTopology("c" * 40, (behind, jump))).items
    assert first.text == "pve1, 10.0.0.1, through pve9, drifted: 2"


@pytest.mark.parametrize("count", [1, 300])
def test_a_large_fleet_is_in_rows(count: int) -> None:
    some = tuple(FleetHost(f"pve{n:03}", "198.51.100.1", "", (), "", (), None) for n in range(count))
    drawing = draw_fleet(FleetTopology("c" * 40, some))
    assert not overlapping(drawing)
    assert texts(tree(drawing)).count("not compared") == count


def test_no_host_is_named_that_is_not_shown() -> None:
    spec = spec_named("seed")
    found = fleet_of({"pve1": spec}, {"pve1": 0}, "c" * 40)
    assert found.hosts == (FleetHost("pve1", "198.51.100.11", "", (), "", (), 0),)
