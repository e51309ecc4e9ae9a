"""The analyser's verdict is what real packets meet in the kernel, over random rule sets."""

import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from service.firewall.host import HostFirewall
from service.firewall.nft.guests import render_bridge_table
from service.firewall.nft.published import Published, destination, forwards_table
from service.firewall.nft.table import render_table
from service.firewall.trace.host_trace import HostAnalyser
from service.firewall.trace.packets import parse_packet
from service.formats.nat_rules import render_nat_table
from service.kinds.claims import AddressClaim, Claim, Masquerades, Publishes, Serves
from service.kinds.published import published_of
from tests.firewall.host_specs import FLEET, GUESTS, SPEC, Section, firewall_of, guest_sections, sections
from tests.firewall.packet_driver import FAR_MAC, GUEST_MACS, HOST_MAC
from tests.firewall.packet_frames import Packet

pytestmark = pytest.mark.host

SETS = 2000 if os.environ.get("TESTS_FULL") else 100
SERVED: tuple[Claim, ...] = (
    Serves("dns", "vmbr0"), Serves("dhcp", "vmbr0"), AddressClaim("vmbr0", "10.10.10.1/24"),
    AddressClaim("enp1s0", "198.51.100.11/24"), AddressClaim("vmbr0", "2001:db8:aaaa::1/64"),
    AddressClaim("enp1s0", "2001:db8:ffff::11/64"),
)  # fmt: skip
NAT: tuple[Claim, ...] = (
    Masquerades("10.10.10.0/24", "enp1s0"),
    Publishes(("forwards", 0), "enp1s0", "tcp", ((80, 80), (8005, 8012)), "10.10.10.20"),
    Publishes(("forwards", 1), "enp1s0", "udp", ((1024, 1024),), "10.10.10.20", to_port=53),
    Publishes(("forwards", 2), "enp1s0", "tcp", ((80, 80), (8005, 8012)), "2001:db8:aaaa::20"),
    Publishes(("forwards", 3), "enp1s0", "udp", ((1024, 1024),), "2001:db8:aaaa::20", to_port=53),
)
STRANGERS = {
    4: ["192.0.2.1", "192.0.2.77", "10.1.2.3", "10.1.2.4", "10.5.5.5", "203.0.113.5", "203.0.113.6", "198.51.100.130"],
    6: ["2001:db8::1", "2001:db8::fe", "2001:db8:1::5", "2001:db8:5::1", "2001:db9::1"],
}
ADDRESSES = {
    ("host", 4): ["198.51.100.11", "10.10.10.1"],
    ("host", 6): ["2001:db8:ffff::11", "2001:db8:aaaa::1"],
    ("dev", 4): ["10.10.10.10"],
    ("dev", 6): ["2001:db8:aaaa::10"],
    ("web", 4): ["10.10.10.20", "10.10.10.20", "10.10.10.66"],
    ("web", 6): ["2001:db8:aaaa::20", "2001:db8:aaaa::66"],
    ("neighbour", 4): ["10.10.10.50", "172.16.0.5"],
    ("neighbour", 6): ["2001:db8:aaaa::50"],
    ("outside", 4): ["203.0.113.9"],
    ("outside", 6): ["2001:db9::9"],
}
BRIDGED = ("neighbour", "dev", "web")
ICMP = {4: [8, 13, 3, 0, 11, 5], 6: [128, 1, 129, 3, 137]}
PORTS = [22, 25, 53, 67, 68, 80, 137, 443, 1024, 1025, 8005, 8011, 8012]

Driver = subprocess.Popen[str]


@pytest.fixture(scope="module")
def driver() -> Iterator[Driver]:
    command = [sys.executable, "-m", "tests.firewall.packet_driver"]
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()


def packets(chance: random.Random, published: tuple[Published, ...] = ()) -> list[Packet]:
    """Twenty packets, each of a flow of its own: a second one would belong to the first one's connection.

    None is sent back to the guest that it comes from: a port of a bridge does not send where it received. Of protocols
    without ports one flow leads to an address outside: behind NAT a second could not be known from it.
    """
    chosen: dict[object, Packet] = {}
    while len(chosen) < 20:
        made = random_packet(chance)
        if made["from"] == "web" and sent_on(made, published):
            continue
        ends = frozenset([(made["source"], made.get("sport")), (made["dest"], made.get("dport"))])
        if made["number"] in (47, 50) and made["to"] == "outside":
            ends = frozenset([(made["dest"], None)])
        chosen.setdefault((made["number"], ends), made)
    return [*chosen.values()]


def random_packet(chance: random.Random) -> Packet:
    """Any packet; some senders are not who they say."""
    pick = chance.choice
    family = pick([4, 6])
    number = pick([6, 6, 17, 17, 1 if family == 4 else 58, 47, 50])
    sender = pick(["outside", "outside", "neighbour", "dev", "web", "host"])
    receiver = pick([place for place in ("host", "host", "outside", *BRIDGED) if place != sender])
    honest = chance.random() < 0.8
    # answers to an address that is not the guest's would be lost on the bridge, whatever the verdict
    own = [address for address in ADDRESSES[sender, family] if not address.endswith("66")]
    sources = own if sender in ("host", "dev", "web") and honest else STRANGERS[family]
    if sender == "neighbour" and family == 4 and not honest:
        sources = ADDRESSES["dev", family]
    made = {
        "family": family,
        "number": number,
        "from": sender,
        "to": receiver,
        "source": pick(ADDRESSES["host", family] if sender == "host" else sources),
        "dest": pick(ADDRESSES[receiver, family]),
        "mac": GUEST_MACS.get(sender, FAR_MAC),
        "dest_mac": GUEST_MACS.get(receiver, FAR_MAC) if {sender, receiver} <= {*BRIDGED} else HOST_MAC,
    }
    if sender in BRIDGED and chance.random() < 0.1:
        made["mac"] = pick([*GUEST_MACS.values(), FAR_MAC])
    if number in (6, 17):
        made |= {"sport": pick([*PORTS, 40000]), "dport": pick(PORTS)}
    if number in (1, 58):
        made["icmp"] = pick(ICMP[family])
    return made


def interface_of(place: str) -> str:
    return {"host": "", "outside": "enp1s0"}.get(place, "vmbr0")


def traced(analyser: HostAnalyser, packet: Packet, published: tuple[Published, ...] = ()) -> str:
    """The analyser's word."""
    source, dest = interface_of(packet["from"]), interface_of(packet["to"])
    fields = {
        "from": packet["from"], "to": packet["to"], "proto": str(packet["number"]), "source": packet["source"],
        "dest": packet["dest"], "sport": packet.get("sport"), "dport": packet.get("icmp", packet.get("dport")),
        "mac": packet["mac"] if source == "vmbr0" else "",
        "dest_mac": GUEST_MACS.get(packet["to"], FAR_MAC) if dest == "vmbr0" else "",
        "port": f"veth-{packet['from']}" if packet["from"] in GUESTS else "p0" if source == "vmbr0" else "",
    }  # fmt: skip
    flow = parse_packet(fields).flow
    taken = sent_on(packet, published)
    if taken is None:
        return analyser.trace(source, dest, flow).verdict
    target = {"dest": int(ip_address(taken.target)), "dport": taken.to_port or flow.dport}
    return analyser.trace(source, "vmbr0", flow, replace(flow, **target)).verdict


def sent_on(packet: Packet, published: tuple[Published, ...]) -> Published | None:
    """Which of what is published takes a packet."""
    if "dport" not in packet:
        return None
    ends = [int(ip_address(packet[key])) for key in ("source", "dest")]
    return destination(published, packet["family"], packet["number"], ends[0], ends[1], packet["dport"])


def really(
    driver: Driver,
    firewall: HostFirewall,
    asked: list[Packet],
    spoil: str = "",
    published: tuple[Published, ...] | None = None,
) -> list[str]:
    """The kernel's word. `spoil` is removed from the tables' text."""
    assert driver.stdin is not None
    assert driver.stdout is not None
    bridge = render_bridge_table(firewall)
    load = render_table(firewall).load + (bridge.load if bridge else "")
    if published is not None:
        load += render_nat_table([("10.10.10.0/24", "enp1s0")])[0] + forwards_table(published, ()).load
    assert spoil in load
    text = load.replace(spoil, "") if spoil else load
    driver.stdin.write(json.dumps({"load": text, "packets": asked}) + "\n")
    driver.stdin.flush()
    answer = driver.stdout.readline()
    assert answer, "the driver ended"
    return list(json.loads(answer))


@pytest.mark.timeout(1200)
@settings(max_examples=SETS, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
@given(sections(), guest_sections(), st.booleans(), st.integers(0, 1 << 30))
def test_real_packets_meet_what_the_analyser_says(
    driver: Driver, made: tuple[Section, Section], guests: Section, nat: bool, seed: int
) -> None:
    claims = (*SERVED, *NAT) if nat else SERVED
    firewall = firewall_of(*made, claims, guests)
    published = published_of(claims, SPEC) if nat else ()
    analyser = HostAnalyser(firewall)
    flows = packets(random.Random(seed), published)
    arriving = [{**flow, "to": "web"} if sent_on(flow, published) else flow for flow in flows]
    met = really(driver, firewall, arriving, published=published if nat else None)
    said = [traced(analyser, packet, published) for packet in flows]
    wrong = [row for row in zip(flows, met, said, strict=True) if row[1] != row[2] and not lost(row, published)]
    assert not wrong, "\n".join(map(str, wrong))


def lost(row: tuple[Packet, str, str], published: tuple[Published, ...]) -> bool:
    """A reset of what was sent on to a neighbour on the bridge goes straight back, under that neighbour's address: the
    sender knows of no such connection."""
    asked, met, said = row
    return (met, said) == ("DROP", "REJECT") and asked["from"] in BRIDGED and sent_on(asked, published) is not None


def packet(sender: str, receiver: str, source: str, dest: str, dport: int, **more: object) -> Packet:
    bridged = {sender, receiver} <= {*BRIDGED}
    return {
        "family": 6 if ":" in source else 4, "number": 6, "from": sender, "to": receiver, "source": source,
        "dest": dest, "sport": 40000, "dport": dport, "mac": GUEST_MACS.get(sender, FAR_MAC),
        "dest_mac": GUEST_MACS.get(receiver, FAR_MAC) if bridged else HOST_MAC, **more,
    }  # fmt: skip


def test_a_rule_that_is_missing_in_the_backend_is_caught(driver: Driver) -> None:
    firewall = firewall_of({"rules": [{"type": "in", "action": "accept", "macro": "SSH"}]}, FLEET)
    asked = [packet("outside", "host", "192.0.2.1", "198.51.100.11", 22)]
    assert traced(HostAnalyser(firewall), asked[0]) == "ACCEPT"
    assert really(driver, firewall, asked) == ["ACCEPT"]
    assert really(driver, firewall, asked, spoil="tcp dport 22 accept") == ["DROP"]


def test_what_is_missing_in_the_backend_of_guests_is_caught(driver: Driver) -> None:
    guests = {name: {**guest, "port": f"veth-{name}", "firewall": {}} for name, guest in GUESTS.items()}
    firewall = firewall_of({"policy_in": "accept"}, FLEET, (), guests)
    ways = {
        "goto guests": packet("dev", "web", "10.10.10.10", "10.10.10.20", 80),
        "10.10.10.20 : goto in_web": packet("host", "web", "10.10.10.1", "10.10.10.20", 80),
        "ip saddr != 10.10.10.10 drop": packet("dev", "outside", "192.0.2.9", "203.0.113.9", 80),
        'iifname "veth-dev" ether saddr != bc:24:11:00:00:01 drop': packet(
            "dev", "outside", "192.0.2.9", "203.0.113.9", 80, mac=FAR_MAC
        ),
        "ip daddr != 10.10.10.20 drop": packet("host", "web", "10.10.10.1", "10.10.10.66", 80),
    }
    spoiled = {"10.10.10.20 : goto in_web": "ip daddr vmap { 10.10.10.10 : goto in_dev, 10.10.10.20 : goto in_web }"}
    for spoil, asked in ways.items():
        assert traced(HostAnalyser(firewall), asked) == "DROP", spoil
        assert really(driver, firewall, [asked]) == ["DROP"], spoil
        assert really(driver, firewall, [asked], spoil=spoiled.get(spoil, spoil)) == ["ACCEPT"], spoil
