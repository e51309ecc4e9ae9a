"""The analyser's verdict is what real packets meet in the kernel, over random rule sets."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from service.firewall.host_firewall import HostFirewall
from service.firewall.host_trace import HostAnalyser
from service.firewall.nft_table import render_table
from service.firewall.packets import parse_packet
from service.kinds.claims import Masquerades, Serves
from tests.firewall.host_specs import FLEET, Section, firewall_of, sections

pytestmark = pytest.mark.host

CLAIMS = (Serves("dns", "vmbr0"), Serves("dhcp", "vmbr0"), Masquerades("10.10.10.0/24", "enp1s0"))
SOURCES = {
    4: ["192.0.2.1", "192.0.2.77", "10.1.2.3", "10.1.2.4", "10.5.5.5", "203.0.113.5", "203.0.113.6", "198.51.100.130"],
    6: ["2001:db8::1", "2001:db8::fe", "2001:db8:1::5", "2001:db8:5::1", "2001:db9::1"],
}
DESTS = {4: ["198.51.100.11", "10.10.10.1", "10.10.10.50", "172.16.0.5"], 6: ["2001:db8:ffff::11"]}
HERE = {"198.51.100.11", "10.10.10.1", "2001:db8:ffff::11"}
ICMP = {4: [8, 13, 3, 0, 11, 5], 6: [128, 1, 129, 3, 137]}
PORTS = [22, 25, 53, 67, 80, 137, 443, 1024, 1025, 8005, 8011, 8012]

Driver = subprocess.Popen[str]


@pytest.fixture(scope="module")
def driver() -> Iterator[Driver]:
    command = [sys.executable, str(Path(__file__).with_name("packet_driver.py"))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()


@st.composite
def packets(draw: st.DrawFn) -> dict[str, Any]:
    family = draw(st.sampled_from([4, 4, 6]))
    number = draw(st.sampled_from([6, 6, 17, 17, 1 if family == 4 else 58, 47, 50]))
    made = {
        "family": family,
        "number": number,
        "from": draw(st.sampled_from(["enp1s0", "vmbr0"])) if family == 4 else "enp1s0",
        "source": draw(st.sampled_from(SOURCES[family])),
        "dest": draw(st.sampled_from(DESTS[family])),
    }
    if number in (6, 17):
        made |= {"sport": draw(st.sampled_from([*PORTS, 40000])), "dport": draw(st.sampled_from(PORTS))}
    if number in (1, 58):
        made["icmp"] = draw(st.sampled_from(ICMP[family]))
    return made


def traced(analyser: HostAnalyser, packet: dict[str, Any]) -> str:
    """The analyser's word."""
    dest = "" if packet["dest"] in HERE else "vmbr0"
    fields = {
        "from": packet["from"], "to": dest or "host", "proto": str(packet["number"]), "source": packet["source"],
        "dest": packet["dest"], "sport": packet.get("sport"), "dport": packet.get("icmp", packet.get("dport")),
    }  # fmt: skip
    return analyser.trace(packet["from"], dest, parse_packet(fields).flow).verdict


def really(driver: Driver, firewall: HostFirewall, asked: list[dict[str, Any]], spoil: str = "") -> list[str]:
    """The kernel's word. `spoil` is taken out of the table's text."""
    assert driver.stdin is not None
    assert driver.stdout is not None
    load = render_table(firewall).load
    assert spoil in load
    text = load.replace(spoil, "") if spoil else load
    driver.stdin.write(json.dumps({"load": text, "packets": asked}) + "\n")
    driver.stdin.flush()
    answer = driver.stdout.readline()
    assert answer, "the driver ended"
    return list(json.loads(answer))


def once(asked: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each flow once: a second packet would belong to the first one's connection."""
    chosen: dict[Any, dict[str, Any]] = {}
    for packet in asked:
        ends = frozenset([(packet["source"], packet.get("sport")), (packet["dest"], packet.get("dport"))])
        chosen.setdefault((packet["number"], ends), packet)
    return list(chosen.values())


@settings(max_examples=10, deadline=None, phases=[Phase.generate])
@given(sections(), st.lists(packets(), min_size=20, max_size=20))
def test_real_packets_meet_what_the_analyser_says(
    driver: Driver, made: tuple[Section, Section], asked: list[dict[str, Any]]
) -> None:
    firewall = firewall_of(*made, CLAIMS)
    analyser = HostAnalyser(firewall)
    flows = once(asked)
    met = really(driver, firewall, flows)
    said = [traced(analyser, packet) for packet in flows]
    wrong = [row for row in zip(flows, met, said, strict=True) if row[1] != row[2]]
    assert not wrong, "\n".join(map(str, wrong))


def test_a_rule_that_is_missing_in_the_backend_is_caught(driver: Driver) -> None:
    firewall = firewall_of({"rules": [{"type": "in", "action": "accept", "macro": "SSH"}]}, FLEET)
    packet = {
        "family": 4, "number": 6, "from": "enp1s0", "source": "192.0.2.1", "dest": "198.51.100.11", "sport": 40000,
        "dport": 22,
    }  # fmt: skip
    assert traced(HostAnalyser(firewall), packet) == "ACCEPT"
    assert really(driver, firewall, [packet]) == ["ACCEPT"]
    assert really(driver, firewall, [packet], spoil="tcp dport 22 accept") == ["DROP"]
