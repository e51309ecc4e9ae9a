"""What opens and what closes between two firewalls: against the analyser, packet by packet, and in words."""

import random
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.firewall.host import HostFirewall
from service.firewall.nft.reach import Change, TooManyBoxes, differences
from service.firewall.nft.reach_words import in_words
from service.firewall.nft.reading import (
    DEST,
    DEST_MAC,
    DPORT,
    FAMILY,
    IIF,
    NO_MAC,
    OIF,
    PROTO,
    SOURCE,
    SOURCE_MAC,
    SPORT,
    Known,
    Labels,
    Program,
    Ranges,
    read_program,
)
from service.firewall.nft.table import render_table
from service.firewall.trace.host_trace import HostAnalyser
from service.firewall.trace.packets import parse_packet
from service.hostside.canonical import nft_normal
from service.kinds.claims import Masquerades, Serves
from tests.calls import counted
from tests.firewall.host_specs import FLEET, GUESTS, Section, firewall_of, guest_sections, sections

CLAIMS = (Serves("dns", "vmbr0"), Serves("dhcp", "vmbr0"), Masquerades("10.10.10.0/24", "enp1s0"))
HOOKS = {"in": ("prerouting", "input"), "forward": ("prerouting", "forward"), "out": ("output",)}
ENDS = {
    "in": [("enp1s0", ""), ("vmbr0", "")],
    "forward": [("enp1s0", "vmbr0"), ("vmbr0", "enp1s0"), ("vmbr0", "vmbr0")],
    "out": [("", "enp1s0"), ("", "vmbr0")],
}
HOST_MAC = "bc:24:11:00:00:ff"
MACS = [*(guest["mac"] for guest in GUESTS.values()), "02:00:00:00:00:07"]


def listed(firewall: HostFirewall | None) -> list[object] | None:
    if firewall is None:
        return None
    return list(nft_normal([item for item in render_table(firewall).normal if isinstance(item, dict)]))


def programs(before: HostFirewall | None, after: HostFirewall | None, labels: Labels) -> tuple[Program, Program]:
    known = Known()
    return read_program(listed(before), labels, known), read_program(listed(after), labels, known)  # type: ignore[arg-type]


def said(before: Section | None, after: Section | None, direction: str = "in") -> list[str]:
    labels = Labels()
    made = [firewall_of(one, FLEET, CLAIMS) if one is not None else None for one in (before, after)]
    one, other = programs(made[0], made[1], labels)
    hooks = HOOKS[direction] if direction != "in" else ("input",)
    return list(in_words(differences(one.through(hooks), other.through(hooks)), direction, labels))


def said_of_guests(before: Section, after: Section, direction: str) -> list[str]:
    """The sentences about these firewalls of the guests, with the same one of the host."""
    labels = Labels()
    host = {"policy_in": "accept", "rules": [SSH]}
    walls = [
        firewall_of(
            host,
            FLEET,
            CLAIMS,
            {n: {**guest, "firewall": one[n]} if n in one else guest for n, guest in GUESTS.items()},
        )
        for one in (before, after)
    ]
    hooks = HOOKS[direction] if direction != "in" else ("input",)
    one, other = (program.through(hooks) for program in programs(walls[0], walls[1], labels))
    return list(in_words(differences(one, other), direction, labels))


def rule(**fields: object) -> dict[str, object]:
    return {"type": "in", "action": "accept", **fields}


SSH = rule(macro="SSH")


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ([SSH], [SSH, rule(proto="tcp", dport=8006)], ["opens tcp/8006 from anywhere"]),
        ([SSH, rule(proto="tcp", dport=8006)], [SSH], ["closes tcp/8006 from anywhere"]),
        ([SSH], [rule(macro="SSH", source="198.18.0.0/24")],
         ["closes tcp/22 from anywhere (IPv6)", "closes tcp/22 from everywhere but 198.18.0.0/24"]),
        ([SSH], [SSH, rule(macro="HTTPS", iface="enp1s0")], ["opens tcp/443 from anywhere on enp1s0"]),
        ([SSH], [SSH, rule(macro="Ping", source="2001:db8::/32")], ["opens icmpv6/128 from 2001:db8::/32"]),
        ([SSH], [rule(proto="tcp", dport=22), SSH], []),
        ([SSH, rule(proto="udp", dport="53,123")], [rule(proto="udp", dport=123), SSH],
         ["closes udp/53 from anywhere on every interface but vmbr0"]),
        ([SSH], [{"type": "in", "action": "drop", "source": "192.0.2.1"}, SSH], ["closes everything"]),
    ],
    ids=["opened", "closed", "limited", "interface", "ipv6", "other words", "derived stays", "dropped first"],
)  # fmt: skip
def test_a_change_is_said_in_one_sentence(before: list[Section], after: list[Section], words: list[str]) -> None:
    found = said({"rules": before}, {"rules": after})
    if words == ["closes everything"]:
        assert found == [
            "closes udp/53,67 from 192.0.2.1 on vmbr0",
            "closes tcp/22 from 192.0.2.1",
            "closes tcp/53 from 192.0.2.1 on vmbr0",
        ]  # fmt: skip
    else:
        assert sorted(found) == words


def test_a_first_firewall_closes_what_it_does_not_name_and_the_last_opens_it_again() -> None:
    first = said(None, {"rules": [SSH]})
    assert "closes tcp/0:21,23:52,54:65535 from anywhere" in first
    assert "closes every other protocol from anywhere" in first
    assert [words.replace("opens", "closes") for words in said({"rules": [SSH]}, None)] == first


@pytest.mark.parametrize(
    ("source", "here", "not_here"),
    [("10.10.10.0/29", "icmp", "icmpv6"), ("2001:db8::/32", "icmpv6", "icmp")],
)
def test_of_icmp_only_that_of_the_addresses_family_is_named(source: str, here: str, not_here: str) -> None:
    for before, after, verb in (([SSH], [SSH, rule(source=source)], "opens"), ([rule(source=source)], [], "closes")):
        words = said({"rules": before}, {"rules": after})
        named = [one.partition(" from ") for one in words]
        assert any(what.partition("/")[0] == f"{verb} {here}" and who == source for what, _, who in named)
        assert f"{verb} every other protocol from {source}" in words
        assert not any(what.partition("/")[0] == f"{verb} {not_here}" for what, _, _ in named)


def test_what_passes_through_and_what_leaves_is_told_apart() -> None:
    drops = {"rules": [], "policy_forward": "drop", "policy_out": "drop"}
    opened = {
        **drops,
        "rules": [{"type": "forward", "action": "accept", "dest": "10.10.10.20", "proto": "tcp", "dport": 80}],
    }
    assert "opens tcp/80 from anywhere to 10.10.10.20 through the host on every interface but enp1s0" in said(
        drops, opened, "forward"
    )
    out = {**drops, "rules": [{"type": "out", "action": "accept", "proto": "udp", "dport": 123}]}
    assert said(drops, out, "out") == ["opens udp/123 from the host to anywhere"]


def cuts(rules: list[Section]) -> int:
    """How often the packets are cut to tell what a first firewall of these rules changes."""
    guests = {"dev": {"mac": "BC:24:11:00:00:01", "address": "10.10.10.30", "firewall": {"policy_in": "drop"}}}
    labels = Labels()
    none, all_of = programs(None, firewall_of({"rules": rules}, FLEET, CLAIMS, guests), labels)
    with counted() as calls:
        assert differences(none.through(("input",)), all_of.through(("input",)))
    return calls["firewall/nft/reach.py:cut"]


def test_neighbours_with_the_same_rest_are_compared_once() -> None:
    def ports(count: int, source: str) -> list[Section]:
        return [rule(proto="tcp", dport=9000 + 2 * n, source=source.format(n)) for n in range(count)]

    assert cuts(ports(20, "192.0.2.7")) == cuts(ports(100, "192.0.2.7"))
    assert cuts(ports(100, "192.0.2.{}")) > 3 * cuts(ports(20, "192.0.2.{}"))


def test_one_number_is_another_address_in_the_other_family() -> None:
    addresses = {80: "192.0.2.7", 81: "::192.0.2.7"}
    limited = [rule(proto="tcp", dport=port, source=address) for port, address in addresses.items()]
    assert sorted(said({"rules": limited}, {"rules": [rule(proto="tcp", dport=port) for port in addresses]})) == [
        "opens tcp/80 from anywhere (IPv6)",
        "opens tcp/80 from everywhere but 192.0.2.7",
        "opens tcp/81 from anywhere (IPv4)",
        "opens tcp/81 from everywhere but ::c000:207",
    ]


def test_guests_are_told_apart_by_their_mac_addresses() -> None:
    shut, open_ = {"policy_in": "accept", "policy_out": "drop"}, {"policy_in": "accept"}
    dev, web = (GUESTS[name]["mac"] for name in ("dev", "web"))
    both = said_of_guests({}, {"dev": shut, "web": shut}, "in")
    assert f"closes tcp from anywhere with source MAC address {dev}, {web}" in both
    one = said_of_guests({"web": open_}, {"web": shut}, "forward")
    assert one and all(f" with source MAC address {web}" in words for words in one)
    assert said_of_guests({}, {"dev": shut, "web": shut}, "out") == []  # what the host sends has no MAC address yet


def cuts_for_guests(count: int, rules: Callable[[int], list[Section]]) -> int:
    """How often the packets that pass through are cut to tell what a first firewall for so many guests changes."""
    guests = {
        f"g{n}": {
            "mac": f"bc:24:11:00:01:{n:02x}", "address": f"10.10.10.{30 + n}",
            "firewall": {"policy_out": "drop", "rules": rules(n)},
        }
        for n in range(count)
    }  # fmt: skip
    none, all_of = programs(None, firewall_of({"policy_forward": "drop"}, FLEET, CLAIMS, guests), Labels())
    with counted() as calls:
        assert differences(none.through(HOOKS["forward"]), all_of.through(HOOKS["forward"]))
    return calls["firewall/nft/reach.py:cut"]


def test_guests_with_the_same_rules_are_compared_once() -> None:
    assert cuts_for_guests(60, lambda n: [SSH]) == cuts_for_guests(3, lambda n: [SSH])
    assert cuts_for_guests(4, lambda n: [rule(source=f"192.0.2.{n}")]) > cuts_for_guests(3, lambda n: [SSH])


@pytest.mark.parametrize(
    ("spans", "words"),
    [
        (((7, 7),), "with source MAC address 00:00:00:00:00:07"),
        (((1, 9),), "with source MAC address 00:00:00:00:00:01, 00:00:00:00:00:02, 00:00:00:00:00:03, "
                    "00:00:00:00:00:04, 00:00:00:00:00:05, 00:00:00:00:00:06 and 3 more"),
        (((0, 6), (8, NO_MAC - 1)), "with any source MAC address but 00:00:00:00:00:07"),
        (((0, 6), (8, NO_MAC)), "unless the source MAC address is 00:00:00:00:00:07"),
        (((0, NO_MAC - 1),), "with a source MAC address"),
        (((NO_MAC, NO_MAC),), "without a source MAC address"),
        (((7, 7), (NO_MAC, NO_MAC)), "with source MAC address 00:00:00:00:00:07 or without one"),
    ],
)  # fmt: skip
def test_mac_addresses_are_said_by_the_shorter_side(spans: Ranges, words: str) -> None:
    change = Change(opens=True, box={PROTO: ((6, 6),), DPORT: ((22, 22),), SOURCE_MAC: spans})
    assert list(in_words([change], "in", Labels())) == [f"opens tcp/22 from anywhere {words}"]


def test_two_tables_that_differ_everywhere_are_given_up_soon() -> None:
    def many(seed: int) -> Section:
        made = random.Random(seed)
        rules = [
            rule(proto="tcp", dport=f"{low}:{low + made.randint(1, 900)}", source=f"10.{made.randint(0, 250)}.0.0/16")
            for low in made.sample(range(1, 60_000), 500)
        ]
        return {"rules": [*rules, *[rule(source=f"192.{n}.0.0/16") for n in range(250)]]}

    with pytest.raises(TooManyBoxes):
        said(many(1), many(2))


def inside(change: Change, packet: dict[str, int]) -> bool:
    return all(
        name in packet and any(first <= packet[name] <= last for first, last in ranges)
        for name, ranges in change.box.items()
    )


def bare_names(guests: Section) -> Section:
    """Guests whose names nobody checks on the bridge, since another table does that."""
    named = {}
    for name, guest in guests.items():
        own = {key: value for key, value in guest.items() if key != "port"}
        if "firewall" in own:
            own["firewall"] = {**own["firewall"], "macfilter": False, "ipfilter": False}
        named[name] = own
    return named


@settings(max_examples=25, deadline=None)
@given(sections(), sections(), guest_sections(), guest_sections(), st.integers(0, 2**32))
def test_a_packet_fares_otherwise_exactly_where_it_is_said(
    before: tuple[Section, Section], after: tuple[Section, Section], guests: Section, later: Section, seed: int
) -> None:
    walls = [firewall_of(*made, CLAIMS, bare_names(those)) for made, those in ((before, guests), (after, later))]
    labels = Labels()
    one, other = programs(walls[0], walls[1], labels)
    analysers = [HostAnalyser(wall) for wall in walls]
    dice = random.Random(seed)
    for direction, hooks in HOOKS.items():
        try:
            changes = differences(one.through(hooks), other.through(hooks))
        except TooManyBoxes:
            continue
        for asked in packets(changes, dice):
            source, dest = dice.choice(ENDS[direction])
            macs = {"mac": dice.choice(MACS) if source else "", "dest_mac": HOST_MAC if source else ""}
            if source == dest:  # nobody else's frame is routed
                macs["dest_mac"] = dice.choice(MACS)
            question = {**asked, **macs, "from": source or "host", "to": dest or "host"}
            verdicts = []
            for analyser in analysers:
                flow = parse_packet(question).flow
                verdicts.append(analyser.trace(source, dest, flow).verdict == "ACCEPT")
            numbers = {
                FAMILY: int(flow.family == 6), PROTO: flow.proto, SOURCE: flow.source, DEST: flow.dest,
                DPORT: flow.icmp[0] if flow.icmp else flow.dport, SPORT: flow.icmp[1] if flow.icmp else flow.sport,
                IIF: labels.number(source) if source else -1, OIF: labels.number(dest) if dest else -1,
                SOURCE_MAC: number_of(macs["mac"]), DEST_MAC: number_of(macs["dest_mac"]),
            }  # fmt: skip
            told = [change.opens for change in changes if inside(change, numbers)]
            assert told == ([verdicts[1]] if verdicts[0] != verdicts[1] else []), (direction, question)


def number_of(mac: str) -> int:
    return int(mac.replace(":", ""), 16) if mac else NO_MAC


def packets(changes: tuple[Change, ...], dice: random.Random) -> list[dict[str, str]]:
    """Some packets of no particular kind, and some out of the boxes that are reported to differ."""
    made = []
    boxes = [{}, {}, {}, *(dict(change.box) for change in dice.sample(changes, min(len(changes), 12)))]
    for box in boxes:
        six = (dice.choice(box[FAMILY]) if FAMILY in box else (dice.randint(0, 1),))[0]
        kind = IPv6Address if six else IPv4Address
        nobody = {SOURCE: "2001:db8::7" if six else "192.0.2.7", DEST: "2001:db8::9" if six else "198.51.100.11"}
        proto = dice.choice(box[PROTO])[0] if PROTO in box else 6
        asked = {"proto": str(proto)}
        for name, text in nobody.items():
            asked[name] = str(kind(dice.choice(box[name])[dice.randint(0, 1)])) if name in box else text
        if proto in (6, 17):
            asked[DPORT] = str(dice.choice(box[DPORT])[0] if DPORT in box else dice.choice([22, 80, 53, 443, 8006]))
            if SPORT in box:
                asked[SPORT] = str(dice.choice(box[SPORT])[0])
            made.append(asked)
    return made
