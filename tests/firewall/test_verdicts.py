"""The way of a packet: places, reasons, connection states, clusters, and what Proxmox's compiler stumbles over."""

import pytest

from service.errors import InputError
from service.firewall.pve.cards import link_local, parse_guests
from service.firewall.pve.corosync import parse_corosync
from service.firewall.pve.node import Node
from service.firewall.trace.verdict import Analyser
from tests.firewall.asking import NODE, ON, analyser, ask, read, verdict

COROSYNC = """
totem {
  version: 2
  interface {
    linknumber: 0
  }
  ip_version: ipv4-6
}
nodelist {
  # the nodes
  node {
    name: pve1
    ring0_addr: 203.0.113.10
    ring1_addr: 10.20.0.1
  }
  node {
    name: pve2
    ring0_addr: 203.0.113.11
    ring1_addr: 10.20.0.2
    ring2_addr: pve2.example
  }
}
"""


def test_the_deciding_line_is_named() -> None:
    asked = analyser(ON + "[RULES]\nIN ACCEPT -p tcp -dport 80 # web\n", "[RULES]\nIN DROP -p tcp -dport 81\n")
    found = ask(asked, "outside host", "tcp", 80)
    assert found.as_json() == {
        "verdict": "ACCEPT",
        "rule": "cluster.fw:4",
        "why": "into the host: IN ACCEPT -p tcp -dport 80 # web",
    }
    assert str(ask(asked, "outside host", "tcp", 81).rule) == "host.fw:2"


def test_a_policy_is_named_with_its_line_or_as_default() -> None:
    by_default = ask(analyser(ON), "outside host", "tcp", 80)
    assert (by_default.rule, by_default.why) == (None, "into the host: policy_in DROP of the cluster (default)")
    written = ask(analyser(ON + "policy_in: REJECT\n"), "outside host", "udp", 1900)
    assert (written.verdict, str(written.rule)) == ("DROP", "cluster.fw:3")
    assert written.why == "into the host: policy_in REJECT of the cluster [UPnP noise]"


def test_a_reject_that_is_silent_says_why() -> None:
    found = ask(analyser(ON + "[RULES]\nIN REJECT\n"), "outside host", "icmp", "echo-request")
    assert found.why == "into the host: IN REJECT [a reject never answers ICMP]"


def test_the_rule_inside_a_group_is_named() -> None:
    cluster = ON + "[group web]\nIN ACCEPT -p tcp -dport 80\nIN DROP -p tcp -dport 81\n[RULES]\nGROUP web\n"
    asked = analyser(cluster)
    accepted = ask(asked, "outside host", "tcp", 80)
    assert str(accepted.rule) == "cluster.fw:4"
    assert accepted.why == "into the host: IN ACCEPT -p tcp -dport 80 (group web, named in cluster.fw:7)"
    dropped = ask(asked, "outside host", "tcp", 81)
    assert (str(dropped.rule), dropped.why) == ("cluster.fw:5", "into the host: IN DROP -p tcp -dport 81 (group web)")


def test_every_place_on_the_way_is_told() -> None:
    asked = analyser(ON, ct100=ON + "[RULES]\nOUT ACCEPT -p tcp -dport 80\n", vm200=ON + "[RULES]\nIN HTTP(ACCEPT)\n")
    found = ask(asked, "ct100 vm200", "tcp", 80)
    assert found.why == "from ct100: OUT ACCEPT -p tcp -dport 80; to vm200: IN HTTP(ACCEPT)"
    assert str(found.rule) == "200.fw:4"


def test_what_nothing_filters_is_said_so() -> None:
    assert ask(analyser(ON), "outside nfvm", "tcp", 80).why == "nothing on its way filters it"
    off = ask(analyser("[OPTIONS]\nenable: 0\n"), "outside host", "tcp", 80)
    assert (off.verdict, str(off.rule)) == ("ACCEPT", "cluster.fw:2")


def test_loopback_is_open() -> None:
    assert verdict(analyser(ON + "policy_out: DROP\n"), "host host", "tcp", 80) == "ACCEPT"


@pytest.mark.parametrize("flags", ["", "F", "SF", "SR", "R", "SA", "FPU", "RA"])
@pytest.mark.parametrize("way", ["outside host", "host outside", "outside ct100", "outside nfvm", "enp1s0/wan nfvm"])
def test_tcp_that_starts_no_connection_is_dropped_everywhere(flags: str, way: str) -> None:
    asked = analyser(ON + "policy_in: ACCEPT\n", ct100=ON + "policy_in: ACCEPT\n")
    assert verdict(asked, way, "tcp", 80, flags=flags) == "DROP"
    assert verdict(asked, way, "tcp", 80, flags="SU") == "ACCEPT"
    assert verdict(asked, way, "tcp", 80, flags="A") == "ACCEPT"


def test_invalid_packets_may_be_let_through_to_guests_but_not_to_the_host() -> None:
    host = "[OPTIONS]\nnf_conntrack_allow_invalid: 1\n"
    asked = analyser(ON + "policy_in: ACCEPT\n", host, ct100=ON + "policy_in: ACCEPT\n", vm200=ON)
    assert verdict(asked, "outside ct100", "tcp", 80, flags="F") == "ACCEPT"
    assert verdict(asked, "outside vm200", "tcp", 80, flags="F") == "DROP"
    assert verdict(asked, "outside host", "tcp", 80, flags="F") == "DROP"
    checked = analyser(ON, host + "tcpflags: 1\n", ct100=ON + "policy_in: ACCEPT\n")
    assert verdict(checked, "outside ct100", "tcp", 80, flags="FPU") == "DROP"
    assert verdict(checked, "outside ct100", "tcp", 80, flags="F") == "ACCEPT"


def test_answers_to_nothing_are_dropped() -> None:
    asked = analyser(ON + "policy_in: ACCEPT\n")
    assert verdict(asked, "outside host", "icmp", "echo-reply") == "DROP"
    assert verdict(asked, "outside host", "icmp", "fragmentation-needed") == "DROP"
    assert verdict(asked, "outside host", "icmpv6", "echo-reply", six=True) == "DROP"


def test_neighbor_discovery_passes_the_host_unless_switched_off() -> None:
    kinds = ["router-solicitation", "router-advertisement", "neighbor-solicitation", "neighbour-advertisement"]
    by_default, off = analyser(ON), analyser(ON, "[OPTIONS]\nndp: 0\n")
    assert [verdict(by_default, "outside host", "icmpv6", kind, six=True) for kind in kinds] == ["ACCEPT"] * 4
    assert [verdict(off, "outside host", "icmpv6", kind, six=True) for kind in kinds] == ["DROP"] * 4
    out = analyser(ON + "policy_out: DROP\n")
    found = [verdict(out, "host outside", "icmpv6", kind, six=True) for kind in kinds]
    assert found == ["ACCEPT", "DROP", "ACCEPT", "ACCEPT"]


def test_guests_advertise_routers_only_with_radv() -> None:
    closed = analyser(ON, vm200=ON)
    assert verdict(closed, "vm200 outside", "icmpv6", "router-advertisement", six=True) == "DROP"
    assert verdict(closed, "vm200 outside", "icmpv6", "neighbor-solicitation", six=True) == "ACCEPT"
    opened = analyser(ON, vm200=ON + "radv: 1\npolicy_out: DROP\n")
    assert verdict(opened, "vm200 outside", "icmpv6", "router-advertisement", six=True) == "ACCEPT"


def test_igmp_passes_the_host() -> None:
    asked = analyser(ON + "policy_out: DROP\n")
    assert verdict(asked, "outside host", "igmp", dest="224.0.0.22") == "ACCEPT"
    assert verdict(asked, "host outside", "igmp", dest="224.0.0.22") == "ACCEPT"


def test_smurfs_are_dropped_unless_switched_off() -> None:
    rules = "[RULES]\nIN ACCEPT\n"
    assert verdict(analyser(ON, rules), "outside host", "udp", 9, source="224.0.0.1") == "DROP"
    assert (
        verdict(analyser(ON, "[OPTIONS]\nnosmurfs: 0\n" + rules), "outside host", "udp", 9, source="224.0.0.1")
        == "ACCEPT"
    )


def test_corosync_talks_between_addresses_of_one_ring() -> None:
    asked = analyser(ON + "policy_out: DROP\n", corosync=COROSYNC)
    assert verdict(asked, "outside host", "udp", 5405, source="203.0.113.11") == "ACCEPT"
    assert verdict(asked, "outside host", "udp", 5404, source="10.20.0.2", dest="10.20.0.1") == "ACCEPT"
    assert verdict(asked, "outside host", "udp", 5405, source="10.20.0.2") == "DROP"
    assert verdict(asked, "outside host", "udp", 5406, source="203.0.113.11") == "DROP"
    assert verdict(asked, "outside host", "tcp", 5405, source="203.0.113.11") == "DROP"
    assert verdict(asked, "host outside", "udp", 5405, dest="203.0.113.11") == "ACCEPT"
    assert verdict(asked, "host outside", "udp", 5405, dest="203.0.113.12") == "DROP"
    assert verdict(analyser(ON), "outside host", "udp", 5405, source="203.0.113.11") == "DROP"


def test_corosync_by_multicast_needs_the_transport_udp() -> None:
    multicast = {"dest": "239.192.0.1", "dsttype": "MULTICAST", "source": "203.0.113.11"}
    assert verdict(analyser(ON, corosync=COROSYNC), "outside host", "udp", 5405, **multicast) == "DROP"
    by_udp = COROSYNC.replace("version: 2", "version: 2\n  transport: udp")
    assert verdict(analyser(ON, corosync=by_udp), "outside host", "udp", 5405, **multicast) == "ACCEPT"


def test_a_node_without_a_ring_of_its_own_talks_to_nobody() -> None:
    stranger = Node("203.0.113.0/24", "203.0.113.99")
    asked = analyser(ON, node=stranger, corosync=COROSYNC)
    assert verdict(asked, "outside host", "udp", 5405, source="203.0.113.11") == "DROP"


def test_rings_by_name_are_left_out() -> None:
    assert {ring.key for ring in parse_corosync(COROSYNC.encode()).rings} == {"ring0_addr", "ring1_addr"}
    assert parse_corosync(b"}}\n{{\n\xff:\nnode {\n").rings == ()


BROKEN_GROUP = "[group web]\nIN ACCEPT -p tcp -dport 80\nIN ACCEPT -p icmp -dport any,any\nIN ACCEPT -p tcp -dport 81\n"


def test_a_rule_that_cannot_be_compiled_breaks_its_group_on_the_host() -> None:
    once = analyser(ON + BROKEN_GROUP, "[RULES]\nGROUP web\nIN ACCEPT -p tcp -dport 82\n")
    assert [verdict(once, "outside host", "tcp", port) for port in (80, 81, 82)] == ["DROP", "DROP", "ACCEPT"]
    twice = analyser(ON + BROKEN_GROUP, "[RULES]\nGROUP web\nGROUP web\n")
    assert [verdict(twice, "outside host", "tcp", port) for port in (80, 81)] == ["ACCEPT", "DROP"]


def test_a_guest_with_a_broken_group_is_left_open() -> None:
    asked = analyser(ON + BROKEN_GROUP, ct100=ON + "[RULES]\nGROUP web\n", vm200=ON)
    assert verdict(asked, "outside ct100", "tcp", 22) == "ACCEPT"
    assert verdict(asked, "outside vm200", "tcp", 22) == "DROP"


def test_a_group_whose_chain_name_is_too_long_counts_as_broken() -> None:
    asked = analyser(ON, "[RULES]\nGROUP nineteen-letters-xx\nIN ACCEPT -p tcp -dport 80\n")
    assert verdict(asked, "outside host", "tcp", 80) == "ACCEPT"


def test_nothing_is_compiled_while_the_firewall_is_off() -> None:
    asked = analyser("[OPTIONS]\nenable: 0\n[IPSET ss]\n192.0.2.0/08\n")
    assert asked.refused == ()
    assert verdict(asked, "outside host", "tcp", 22) == "ACCEPT"


def test_a_network_that_cannot_be_guessed_is_loopback() -> None:
    asked = analyser(ON, node=Node())
    assert verdict(asked, "outside host", "tcp", 22, source="203.0.113.9") == "DROP"
    assert verdict(asked, "outside host", "tcp", 22, source="127.0.0.5") == "ACCEPT"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"to": "ct999"}, "no zone ct999"),
        ({"to": "vm200i7"}, "no zone vm200i7"),
        ({"to": "a b"}, "to is not a zone"),
        ({"proto": "nope"}, "no protocol nope"),
        ({"proto": None}, "no proto"),
        ({"source": "192.0.2.1/24"}, "is not an address"),
        ({"source": "2001:db8::1"}, "different families"),
        ({"dport": "65536"}, "dport is not a port"),
        ({"dport": True}, "neither text nor a number"),
        ({"dport": [80]}, "neither text nor a number"),
        ({"proto": "icmp", "dport": "nope"}, "no ICMP type"),
        ({"proto": "icmpv6", "dport": "echo-request"}, "dport is not a port"),
        ({"mac": "nope"}, "mac has another form"),
        ({"flags": "X"}, "flags has another form"),
        ({"dsttype": "NEAR"}, "dsttype is none of"),
    ],
)
def test_what_is_no_packet_is_refused(fields: dict[str, object], words: str) -> None:
    packet = {
        "from": "outside",
        "to": "host",
        "proto": "tcp",
        "dport": 80,
        "source": "192.0.2.1",
        "dest": "203.0.113.10",
    }
    with pytest.raises(InputError, match=words):
        Analyser(read(ON).firewall).trace_packet({**packet, **fields})


@pytest.mark.parametrize("data", [b"", b"[]", b'{"qemu": []}', b'{"qemu": {"x": {}}}', b'{"lxc": {"1": 2}}', b"\xff"])
def test_guests_of_another_form_are_refused(data: bytes) -> None:
    with pytest.raises(InputError, match=r"guests\.json"):
        parse_guests(data)


def test_cards_are_read_from_net_lines() -> None:
    line = "e1000=bc:24:11:00:00:d3,bridge=vmbr1,firewall=1,tag=5"
    guest = parse_guests(b'{"qemu": {"7": {"net1": "%s", "name": "x", "net01": "y"}}}' % line.encode())["7"]
    (card,) = guest.cards.values()
    assert (card.port, card.bridge, card.mac, card.firewall) == ("7i1", "vmbr1", "BC:24:11:00:00:D3", True)
    assert link_local(card.mac) == "fe80::be24:11ff:fe00:d3"
    assert NODE.altnames == {}
