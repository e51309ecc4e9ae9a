"""A rule that is reported never to decide can be left out: every packet meets the same verdict."""

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from service.firewall.host import Direction
from service.firewall.trace.cover import shadowed
from service.firewall.trace.host_trace import HostAnalyser
from tests.firewall.host_specs import Section, firewall_of, sections
from tests.firewall.test_real_packets import packets, traced

DIRECTIONS: tuple[Direction, ...] = ("in", "out", "forward")


@settings(max_examples=25, deadline=None)
@given(sections(most=16), st.integers(0, 1 << 30))
def test_a_shadowed_rule_can_be_left_out(made: tuple[Section, Section], seed: int) -> None:
    host, fleet = made
    firewall = firewall_of(host, fleet)
    found: set[int] = set()
    for direction in DIRECTIONS:
        found |= {id(rule) for rule, _ in shadowed(firewall, [*firewall.rules(direction)])}
    kept = [rule for rule, read in zip(host["rules"], firewall.levels.host.rules, strict=True) if id(read) not in found]
    less = firewall_of({**host, "rules": kept}, fleet)
    before, after = HostAnalyser(firewall), HostAnalyser(less)
    for packet in packets(random.Random(seed)):
        assert traced(before, packet) == traced(after, packet), packet


def test_rules_that_differ_are_not_said_to_be_alike() -> None:
    rules = [
        {"type": "in", "action": "accept", "proto": "tcp", "dport": "22"},
        {"type": "in", "action": "accept", "proto": "udp", "dport": "22"},
        {"type": "in", "action": "accept", "proto": "tcp", "dport": "22:23"},
        {"type": "out", "action": "accept", "proto": "tcp", "dport": "22"},
        {"type": "in", "action": "accept", "proto": "tcp", "sport": "22"},
        {"type": "in", "action": "accept", "source": "192.0.2.0/25", "proto": "tcp"},
        {"type": "in", "action": "accept", "source": "192.0.2.0/24", "proto": "tcp"},
        {"type": "in", "action": "accept", "proto": "icmp", "icmp_type": "echo-request"},
        {"type": "in", "action": "accept", "proto": "icmp"},
    ]
    firewall = firewall_of({"rules": rules})
    assert list(shadowed(firewall, [*firewall.rules("in")])) == []


def test_two_thousand_rules_are_looked_through_at_once() -> None:
    rules = [{"type": "in", "action": "accept", "proto": "tcp", "dport": str(port)} for port in range(1, 2001)]
    rules.append({"type": "in", "action": "drop", "proto": "tcp", "dport": "7"})
    firewall = firewall_of({"rules": rules})
    [(rule, earlier)] = shadowed(firewall, [*firewall.rules("in")])
    assert (rule.action, earlier.action, earlier.dport) == ("DROP", "ACCEPT", "7")
