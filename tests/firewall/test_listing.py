"""The list of a host's rules: the line that an answer names is the one that decides, and what never decides may go."""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.firewall.host import HostFirewall
from service.firewall.terms.model import Rule
from service.firewall.terms.names import ICMP, ICMPV6
from service.firewall.trace.chains import Flow
from service.firewall.trace.cover import Box, boxes
from service.firewall.trace.host_trace import HostAnalyser
from service.firewall.trace.listing import Entry, Tried, judge, listed, names_of
from service.firewall.trace.packets import parse_packet
from service.firewall.trace.sets import Sets, build_sets
from service.firewall.trace.verdict import Verdict
from tests.firewall.host_specs import FLEET, Section, firewall_of, guest_sections, sections
from tests.firewall.packet_frames import Packet
from tests.firewall.test_real_packets import FAR_MAC, GUEST_MACS, GUESTS, SERVED, interface_of, packets

PATHS = {("", False): ["out"], ("", True): ["out", "in"], ("enp1s0", True): ["in"], ("enp1s0", False): ["forward"]}
Listing = Callable[[HostFirewall], Sequence[Tried]]


def flow_of(packet: Packet) -> tuple[str, str, Flow]:
    source, dest = interface_of(packet["from"]), interface_of(packet["to"])
    fields = {
        "from": packet["from"], "to": packet["to"], "proto": str(packet["number"]), "source": packet["source"],
        "dest": packet["dest"], "sport": packet.get("sport"), "dport": packet.get("icmp", packet.get("dport")),
        "mac": packet["mac"] if source == "vmbr0" else "",
        "dest_mac": GUEST_MACS.get(packet["to"], FAR_MAC) if dest == "vmbr0" else "",
        "port": f"veth-{packet['from']}" if packet["from"] in GUESTS else "p0" if source == "vmbr0" else "",
    }  # fmt: skip
    return source, dest, parse_packet(fields).flow


def asked(firewall: HostFirewall, packet: Packet) -> Verdict:
    return HostAnalyser(firewall).trace(*flow_of(packet))


def _in(box: Box, flow: Flow, interface: str) -> bool:
    """Whether a packet is in a box: number by number."""
    number = flow.icmp[0] if flow.icmp else -1
    return (
        box.family == flow.family
        and box.iface in ("", interface)
        and box.proto in (0, flow.proto)
        and (box.icmp is None or box.icmp.type is None or (flow.icmp is not None and box.icmp.matches(*flow.icmp)))
        and (number >= 0 or flow.proto not in (ICMP, ICMPV6))
        and all(
            ranges is None or any(first <= value <= last for first, last in ranges)
            for ranges, value in (
                (box.sources, flow.source), (box.dests, flow.dest), (box.sports, flow.sport), (box.dports, flow.dport),
            )
        )
    )  # fmt: skip


def decided_by(firewall: HostFirewall, sets: Sets, tables: Sequence[Tried], packet: Packet) -> Entry:
    """The oracle: down the list, line by line, until one matches. It knows neither chains nor an index."""
    source, dest, flow = flow_of(packet)
    name = "out" if not source else "in" if not dest else "forward"
    table = next(table for table in tables if table.name == name)
    interface = dest if name == "out" else source
    if flow.state == "INVALID":
        return next(entry for entry in table.entries if entry.text == "belongs to no connection")
    for entry in table.entries:
        if entry.level == "policy":
            return entry
        rule = entry.rule if entry.rule is not None and entry.rule.works(0) else None
        if rule is not None and any(_in(box, flow, interface) for box in boxes(firewall, sets, rule)):
            return entry
    raise AssertionError("a table ends with its policy")


@settings(max_examples=40, deadline=None)
@given(sections(most=16), st.integers(0, 1 << 30))
def test_the_line_that_is_named_is_the_first_that_matches(made: tuple[Section, Section], seed: int) -> None:
    firewall = firewall_of(*made, SERVED)
    tables, sets = listed(firewall), build_sets(firewall.levels)
    for packet in packets(random.Random(seed)):
        entry, said = decided_by(firewall, sets, tables, packet), asked(firewall, packet)
        assert said.name == entry.name, packet
        assert said.verdict == entry.action or (said.verdict, entry.action) == ("DROP", "REJECT"), packet
        assert said.rule == (None if entry.level == "derived" else entry.where), packet
        assert entry.decides != "never", packet


@settings(max_examples=40, deadline=None)
@given(sections(), guest_sections(), st.integers(0, 1 << 30))
def test_every_answer_names_a_line_of_the_list(made: tuple[Section, Section], guests: Section, seed: int) -> None:
    firewall = firewall_of(*made, SERVED, guests)
    tables = listed(firewall)
    entries = {entry.name: entry for table in tables for entry in table.entries}
    assert len(entries) == sum(len(table.entries) for table in tables)
    for packet in packets(random.Random(seed)):
        said = asked(firewall, packet)
        assert said.name in entries, (packet, said)
        entry = entries[said.name]
        assert entry.decides in ("some", "not judged"), (packet, entry)
        assert said.verdict == "ACCEPT" or entry.action in ("DROP", "REJECT", "ACCEPT"), (packet, entry)
        assert said.rule in (entry.where, None), (packet, entry)


def without_useless(firewall: HostFirewall, listing: Listing = listed) -> HostFirewall:
    """The firewall without the rules that are reported never to decide."""
    useless = {
        id(entry.rule): entry for table in listing(firewall) for entry in table.entries if entry.decides == "never"
    }

    def kept(rules: Sequence[Rule]) -> tuple[Rule, ...]:
        return tuple(rule for rule in rules if id(rule) not in useless)

    levels = replace(
        firewall.levels,
        host=replace(firewall.levels.host, rules=kept(firewall.levels.host.rules)),
        cluster=replace(firewall.levels.cluster, rules=kept(firewall.levels.cluster.rules)),
    )
    guests = tuple(
        replace(guest, level=replace(guest.level, rules=kept(guest.level.rules)), derived=kept(guest.derived))
        for guest in firewall.guests
    )
    return replace(firewall, levels=levels, derived=kept(firewall.derived), guests=guests)


def differing(firewall: HostFirewall, less: HostFirewall, seed: int) -> Iterator[Packet]:
    """Packets that meet another verdict."""
    before, after = HostAnalyser(firewall), HostAnalyser(less)
    for packet in packets(random.Random(seed)):
        if before.trace(*flow_of(packet)).verdict != after.trace(*flow_of(packet)).verdict:
            yield packet


@settings(max_examples=40, deadline=None)
@given(sections(most=20), guest_sections(), st.integers(0, 1 << 30))
def test_a_rule_that_never_decides_may_go(made: tuple[Section, Section], guests: Section, seed: int) -> None:
    firewall = firewall_of(*made, SERVED, guests)
    assert not [*differing(firewall, without_useless(firewall), seed)]


def _ignores(side: str) -> Listing:
    """An analysis that does not look at one side of a rule."""

    def listing(firewall: HostFirewall) -> Sequence[Tried]:
        blind = [
            replace(table, entries=tuple(_blind(entry, side) for entry in table.entries)) for table in listed(firewall)
        ]
        sets = build_sets(firewall.levels)
        found = []
        for table, before in zip(blind, listed(firewall), strict=True):
            entries = judge(firewall, sets, table.entries, {})
            found.append(
                replace(
                    table, entries=tuple(map(lambda one, own: replace(one, rule=own.rule), entries, before.entries))
                )
            )
        return found

    return listing


def _blind(entry: Entry, side: str) -> Entry:
    fields = {"proto": {"proto": "", "dport": "", "sport": ""}, "source": {"source": ""}}[side]
    return entry if entry.rule is None else replace(entry, rule=replace(entry.rule, **fields))


@pytest.mark.parametrize("side", ["proto", "source"])
def test_an_analysis_that_is_wrong_changes_verdicts(side: str) -> None:
    made: Section = {
        "policy_in": "drop",
        "rules": [
            {"type": "in", "action": "accept", "proto": "gre", "source": "192.0.2.0/24"},
            {"type": "in", "action": "reject", "proto": "tcp", "source": "192.0.2.0/24"},
            {"type": "in", "action": "accept", "proto": "gre", "source": "0.0.0.0/0"},
            {"type": "in", "action": "accept", "proto": "tcp", "source": "0.0.0.0/0"},
        ],
    }
    firewall = firewall_of(made, FLEET)
    assert not any([*differing(firewall, without_useless(firewall), seed)] for seed in range(20))
    assert any([*differing(firewall, without_useless(firewall, _ignores(side)), seed)] for seed in range(20))


def _entries(firewall: HostFirewall, table: str) -> dict[str, Entry]:
    found = next(one for one in listed(firewall) if one.name == table)
    return {entry.name: entry for entry in found.entries}


def test_names_and_reasons() -> None:
    host: Section = {
        "policy_in": "drop",
        "rules": [
            {"type": "out", "action": "accept", "proto": "tcp"},
            {"type": "in", "action": "accept", "proto": "tcp", "dport": "1:100"},
            {"type": "group", "action": "web", "iface": "enp1s0"},
            {"type": "in", "action": "accept", "proto": "tcp", "dport": "101:65535", "enable": False},
            {"type": "in", "action": "accept", "proto": "tcp", "dport": "101:65535"},
            {"type": "in", "action": "drop", "proto": "tcp", "dport": "50:150"},
            {"type": "in", "action": "drop", "source": "+none"},
            {"type": "in", "action": "accept", "proto": "igmp"},
            {"type": "in", "action": "accept", "source": "0.0.0.0/0"},
            {"type": "in", "action": "accept", "source": "::/0"},
        ],
    }
    found = _entries(firewall_of(host, FLEET, SERVED), "in")
    shown = {name: (entry.decides, entry.earlier) for name, entry in found.items() if entry.level == "host"}
    assert shown == {
        "in:host:2": ("some", ()),
        "in:host:3:1": ("some", ()),
        "in:host:4": ("off", ()),
        "in:host:5": ("some", ()),
        "in:host:6": ("never", ("in:host:2", "in:host:5")),
        "in:host:7": ("never", ()),
        "in:host:8": ("never", ("in:always:5",)),
        "in:host:9": ("some", ()),
        "in:host:10": ("some", ()),
    }
    assert found["in:host:3:1"].group == "web"
    assert {entry.decides for entry in found.values() if entry.level in ("derived", "policy")} == {"never"}
    assert found["in:derived:1"].cause == "dnsmasq answers DNS on vmbr0"


def test_every_table_of_a_host_with_guests() -> None:
    guests: Section = {
        "web": {
            "mac": "bc:24:11:00:00:02", "address": "10.10.10.20",
            "firewall": {"rules": [{"type": "in", "action": "accept", "macro": "HTTP"}]},
        }
    }  # fmt: skip
    tables = listed(firewall_of({}, FLEET, SERVED, guests))
    assert [table.name for table in tables] == [
        "in", "out", "forward", "guests", "bridge:web", "guest:web:out", "guest:web:in",
    ]  # fmt: skip
    assert {"guest:web:in:1", "guest:web:in:policy", "guest:web:in:always:1"} <= names_of(tables)
