"""The picture of a host and its text: everything is in both, nothing overlaps, whatever the host is like."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from itertools import combinations
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.model.topology import (
    BridgeNode,
    ForwardNode,
    GuestNode,
    OutlineItem,
    PoolRange,
    SiteNode,
    Topology,
    Uplink,
)
from service.pictures.measure import MONO, width_of
from service.pictures.svg import NAMESPACE, Drawing, plain
from service.pictures.topology import NARROW, WIDE, draw
from service.pictures.topology_words import forward_label, name_of, outline, site_label
from tests.golden import same_as_golden
from tests.pictures.hosts import as_found, as_wanted, drawn_of, spec_named
from tests.pictures.reading import Box, boxes, texts, tree

GOLDEN = Path(__file__).parent / "golden"
AT = datetime(2026, 11, 30, 14, 2, tzinfo=UTC)
EDGE = 0.2
"""Numbers in a picture have one digit behind the point."""

names = st.text(max_size=70) | st.sampled_from(["web", "db", "<b>x</b>", "\x1b[31mred", "\u202etxt", "a" * 63])
addresses = st.sampled_from(["10.10.10.20", "", "2001:db8:1234:5678:9abc:def0:1234:5678"])
standings = st.sampled_from(["seen", "missing", "unknown", "extra"])
drifts = st.lists(st.sampled_from(["addresses", "mtu", "NAT 10.0.0.0/8>enp1s0: masquerade"]), max_size=3).map(tuple)
links = st.sampled_from(["enp1s0", "enp2s0", "vmbr0", "vmbr1", "vmbr2", ""])
many = st.lists(st.sampled_from(["198.51.100.11/24", "2001:db8::11/64", "10.0.0.1/8"]), max_size=6).map(tuple)
ways = st.lists(links, max_size=2).map(tuple)
pools = st.integers(1, 9).flatmap(
    lambda size: st.builds(
        lambda leased, is_known: PoolRange(
            "10.0.0.1", "10.0.0.9", size, leased if is_known else None, size - leased if is_known else None
        ),
        st.integers(0, size), st.booleans(),
    )
)  # fmt: skip
guests = st.builds(
    GuestNode, names, st.just("bc:24:11:00:00:01"), addresses, links, st.sampled_from([True, False, None]),
    st.sampled_from(["spec", "settings", "lease"]), st.sampled_from(["named", "foreign", "shared", "unknown"]), drifts,
)  # fmt: skip
forwards = st.builds(
    ForwardNode, links, st.sampled_from(["tcp", "udp"]), st.sampled_from(["443", "80,443", "8000:8010"]), names,
    st.sampled_from([0, 443]), addresses, links, st.just("forwards"), st.just(()), standings,
)  # fmt: skip
sites = st.builds(SiteNode, names, st.just(("www.example.org",)), names, names, links)


topologies = st.builds(
    lambda host, uplinks, bridges, some, forward, site, ups, downs, why: Topology(
        host, "c" * 40, AT, why,
        tuple(replace(one, name=name) for name, one in zip(uplinks, ups, strict=True)),
        tuple(replace(one, name=name) for name, one in zip(bridges, downs, strict=True)),
        tuple(some), tuple(forward), tuple(site), ("dnsmasq (8)",),
    ),
    names, st.just(["enp1s0", "enp2s0"]), st.just(["vmbr0", "vmbr1"]), st.lists(guests, max_size=12),
    st.lists(forwards, max_size=6), st.lists(sites, max_size=4),
    st.lists(st.builds(Uplink, names, many, many, standings, drifts), min_size=2, max_size=2),
    st.lists(
        st.builds(
            BridgeNode, names, many, many, ways, ways, st.lists(pools, max_size=2).map(tuple), standings, drifts,
        ),
        min_size=2, max_size=2,
    ),
    st.sampled_from(["", "pve1 was never seen: it is unreachable since 14:02 UTC"]),
)  # fmt: skip


def crowd(count: int) -> Topology:
    """A host with so many guests."""
    topology = drawn_of(spec_named("web"), as_wanted(spec_named("web")))
    more = tuple(
        GuestNode(f"guest-{n}", f"bc:24:11:00:{n // 256:02x}:{n % 256:02x}", f"10.20.{n // 250}.{n % 250}", "vmbr1",
                  n % 3 == 0, "spec", "named") for n in range(count)
    )  # fmt: skip
    return replace(topology, guests=more)


def lines_of(item: OutlineItem, depth: int = 0) -> Iterator[str]:
    yield f"{'  ' * depth}{item.text}"
    for one in item.items:
        yield from lines_of(one, depth + 1)


def overlapping(drawing: Drawing) -> list[tuple[Box, Box]]:
    """Boxes that share something, and neither is inside of the other."""
    inner = [
        Box(one.x + EDGE, one.y + EDGE, one.width - 2 * EDGE, one.height - 2 * EDGE) for one in boxes(tree(drawing))
    ]
    grown = [Box(one.x - EDGE, one.y - EDGE, one.width + 2 * EDGE, one.height + 2 * EDGE) for one in inner]
    return [
        (inner[one], inner[other]) for one, other in combinations(range(len(inner)), 2)
        if inner[one].meets(inner[other]) and not grown[one].holds(inner[other]) and not grown[other].holds(inner[one])
    ]  # fmt: skip


def check_texts(drawing: Drawing) -> None:
    """No text leaves the picture, or the smallest box in which it begins."""
    root = tree(drawing)
    around = boxes(root)
    for one in root.iter(f"{{{NAMESPACE}}}text"):
        shown = "".join(part for part in (one.text, *(child.tail for child in one)) if part)
        size, x, y = (float(one.attrib.get(name, "13")) for name in ("font-size", "x", "y"))
        is_mono, is_bold = one.attrib.get("font-family") == MONO, "font-weight" in one.attrib
        wide = width_of(shown, size, is_mono=is_mono, is_bold=is_bold)
        own = [each for each in around if each.x <= x <= each.x + each.width and each.y <= y <= each.y + each.height]
        right, foot = drawing.width, drawing.height
        if own:
            inside = min(own, key=lambda each: each.width * each.height)
            right, foot = inside.x + inside.width, inside.y + inside.height
        assert x + wide <= right + 1, shown
        assert y <= foot, shown


@settings(max_examples=60, deadline=None)
@given(topologies, st.sampled_from([NARROW, WIDE, 320, 700, 2400]))
def test_nothing_overlaps_and_everything_is_in_the_picture_and_in_the_text(topology: Topology, width: int) -> None:
    drawing = draw(topology, width)
    assert not overlapping(drawing)
    check_texts(drawing)
    for one in boxes(tree(drawing)):
        assert 0 <= one.x <= one.x + one.width <= drawing.width
        assert 0 <= one.y <= one.y + one.height <= drawing.height
    shown = texts(tree(drawing))
    said = list(lines_of(outline(topology)))
    for guest in topology.guests:
        assert plain(name_of(guest)) in shown
        assert any(f"{name_of(guest)}, {guest.address or 'no address'}, {guest.mac}" in one for one in said)
    for forward in topology.forwards:
        assert any(one.endswith(plain(forward_label(forward))) for one in shown)
        assert any(forward_label(forward) in one for one in said)
    for site in topology.sites:
        assert any(plain(site_label(site)) in one for one in shown)
        assert any(site_label(site) in one for one in said)


@pytest.mark.parametrize("count", [0, 1, 10, 100, 300])
@pytest.mark.parametrize("width", [NARROW, WIDE])
def test_a_crowd_is_in_rows(count: int, width: int) -> None:
    drawing = draw(crowd(count), width)
    assert drawing.width == width
    assert not overlapping(drawing)
    assert len([one for one in texts(tree(drawing)) if one.startswith("guest-")]) == count


def test_what_is_unknown_is_never_shown_as_absent_or_as_fine() -> None:
    topology = drawn_of(spec_named("web"), None, "pve1 was never seen")
    drawing = draw(topology)
    shown = texts(tree(drawing))
    assert "Not known: pve1 was never seen" in shown
    assert "never seen, Git at c0ffee0000" in shown
    assert not {"missing", "stopped", "running", "no lease"}.intersection(shown)
    said = "\n".join(lines_of(outline(topology)))
    for one in ("missing", "stopped", "no lease", " 0 of "):
        assert one not in said
    assert said.count("not known") >= len(topology.uplinks) + len(topology.bridges) + len(topology.guests)
    dotted = [
        one for one in tree(drawing).iter(f"{{{NAMESPACE}}}rect") if one.attrib.get("stroke-dasharray") == "1.5 3"
    ]
    assert len(dotted) == len(topology.uplinks) + len(topology.bridges) + len(topology.guests) + len(topology.forwards)


def test_what_has_drifted_has_a_dashed_line_and_a_word() -> None:
    spec = spec_named("two-bridges")
    seen = as_wanted(spec)
    topology = drawn_of(spec, seen)
    bridge = replace(topology.bridges[0], drift=("mtu", "addresses"))
    before = dashed(draw(topology))
    drawing = draw(replace(topology, bridges=(bridge, *topology.bridges[1:])))
    assert dashed(drawing) == before + 1
    assert "drifted: mtu, addresses" in texts(tree(drawing))


def dashed(drawing: Drawing) -> int:
    return len(
        [one for one in tree(drawing).iter(f"{{{NAMESPACE}}}rect") if one.attrib.get("stroke-dasharray") == "6 3"]
    )


@pytest.mark.parametrize("name", ["seed", "web", "forwards"])
@pytest.mark.parametrize("is_applied", [True, False], ids=["applied", "found"])
def test_pictures_and_texts_of_three_hosts(name: str, is_applied: bool) -> None:
    spec = spec_named(name)
    topology = drawn_of(spec, as_wanted(spec) if is_applied else as_found(spec))
    stem = f"{name}-{'applied' if is_applied else 'found'}"
    same_as_golden(GOLDEN / f"{stem}.txt", "\n".join(lines_of(outline(topology))) + "\n")
    text = draw(topology, WIDE).alone()
    ET.fromstring(text)
    same_as_golden(GOLDEN / f"{stem}.svg", text.replace("><", ">\n<") + "\n")
