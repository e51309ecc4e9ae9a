"""The same files with proxmox-firewall (nftables) and pve-firewall (iptables), and where the answers differ.

The differences are those that Proxmox's manual and the sources of both programs name.
"""

import json

import pytest

from service.errors import InputError
from service.firewall.pve.node import Node, NodeFirewall, read_firewall
from service.firewall.trace.ignored import ignored_lines, unfiltered_lines
from service.firewall.trace.nft_verdict import NftNode, analyser_of
from service.firewall.trace.verdict import Analyser

NODE = Node("203.0.113.0/24", "203.0.113.10")
CLUSTER = "[OPTIONS]\nenable: 1\n"
GUESTS = {
    "qemu": {"100": {"net0": "virtio=BC:24:11:00:00:64,bridge=vnet1,firewall=1"}},
    "lxc": {"101": {"net0": "name=eth0,bridge=vnet1,hwaddr=BC:24:11:00:00:65,ip=10.10.10.101/24"}},
}
ZONES = "simple: z1\n\tdhcp dnsmasq\n\tipam pve\n"
VNETS = "vnet: vnet1\n\tzone z1\n"
SUBNETS = (
    "subnet: z1-10.10.10.0-24\n\tvnet vnet1\n\tdhcp-range start-address=10.10.10.100,end-address=10.10.10.120\n"
    "\tgateway 10.10.10.1\n\tsnat 1\n"
)
IPAM = {"zones": {"z1": {"subnets": {"10.10.10.0/24": {"ips": {"10.10.10.101": {"vmid": "101"}}}}}}}
SDN = {
    "sdn/zones.cfg": ZONES, "sdn/vnets.cfg": VNETS, "sdn/subnets.cfg": SUBNETS,
    "sdn/pve-ipam-state.json": json.dumps(IPAM),
}  # fmt: skip

TO_HOST = {"from": "enp1s0/wan", "to": "host", "source": "198.51.100.7", "dest": "203.0.113.10", "proto": "tcp"}
NEAR = {**TO_HOST, "source": "203.0.113.77"}
ROUTED = {"from": "enp1s0/wan", "to": "ct101", "source": "198.51.100.7", "dest": "10.10.10.101", "proto": "tcp"}
BRIDGED = {"from": "vm100", "to": "ct101", "source": "10.10.10.100", "dest": "10.10.10.101", "proto": "tcp"}
FROM_HOST = {"from": "host", "to": "ct101", "source": "10.10.10.1", "dest": "10.10.10.101", "proto": "tcp"}


def both(packet: dict[str, str], **files: str) -> tuple[str, str]:
    """The verdicts of pve-firewall and of proxmox-firewall."""
    folder = read(**files)
    return Analyser(folder).trace_packet(packet).verdict, NftNode(folder).trace_packet(packet).verdict


def read(**files: str) -> NodeFirewall:
    named = {name.replace("__", "/").replace("_fw", ".fw"): text for name, text in files.items()}
    texts = {"cluster.fw": CLUSTER, "guests.json": json.dumps(GUESTS), **SDN, **named}
    return read_firewall({name: text.encode() for name, text in texts.items()}, NODE).firewall


@pytest.mark.parametrize(
    ("packet", "files", "verdicts"),
    [
        # no rule of the host closes the management ports to the set management: it comes first
        ({**NEAR, "dport": "22"}, {"cluster_fw": f"{CLUSTER}[RULES]\nIN DROP -p tcp -dport 22\n"}, ("DROP", "ACCEPT")),
        ({**TO_HOST, "dport": "22"}, {}, ("DROP", "DROP")),
        # noise is dropped before the rules
        ({**TO_HOST, "dport": "445"}, {"cluster_fw": f"{CLUSTER}[RULES]\nIN ACCEPT -p tcp\n"}, ("ACCEPT", "REJECT")),
        # forward rules of datacenter and node, and the policy
        ({**ROUTED, "dport": "80"}, {"host_fw": "[RULES]\nFORWARD DROP -p tcp -dport 80\n"}, ("ACCEPT", "DROP")),
        ({**ROUTED, "dport": "81"}, {"host_fw": "[RULES]\nFORWARD DROP -p tcp -dport 80\n"}, ("ACCEPT", "ACCEPT")),
        ({**ROUTED, "dport": "80"}, {"cluster_fw": f"{CLUSTER}policy_forward: DROP\n"}, ("ACCEPT", "DROP")),
        # what stays on a bridge is not routed
        ({**BRIDGED, "dport": "80"}, {"cluster_fw": f"{CLUSTER}policy_forward: DROP\n"}, ("ACCEPT", "ACCEPT")),
        # rules of a VNet, once it is on
        ({**BRIDGED, "dport": "80"}, {"sdn__firewall__vnet1_fw": "[RULES]\nFORWARD DROP\n"}, ("ACCEPT", "ACCEPT")),
        (
            {**BRIDGED, "dport": "80"},
            {"sdn__firewall__vnet1_fw": "[OPTIONS]\nenable: 1\n[RULES]\nFORWARD DROP -p tcp -dport 80\n"},
            ("ACCEPT", "DROP"),
        ),
        (
            {**FROM_HOST, "dport": "80"},
            {"sdn__firewall__vnet1_fw": "[OPTIONS]\nenable: 1\npolicy_forward: DROP\n"},
            ("ACCEPT", "DROP"),
        ),
        (
            {**ROUTED, "dport": "80"},
            {"sdn__firewall__vnet1_fw": "[OPTIONS]\nenable: 1\npolicy_forward: DROP\n"},
            ("ACCEPT", "ACCEPT"),
        ),
        # a guest's REJECT
        (
            {**BRIDGED, "dport": "25"},
            {"100_fw": "[OPTIONS]\nenable: 1\n[RULES]\nOUT REJECT -p tcp -dport 25\n"},
            ("REJECT", "DROP"),
        ),
        # the SDN's own sets
        (
            {**BRIDGED, "dport": "80"},
            {"100_fw": "[OPTIONS]\nenable: 1\npolicy_out: DROP\n[RULES]\nOUT ACCEPT -dest +sdn/vnet1-all\n"},
            ("ACCEPT", "ACCEPT"),
        ),
        (
            {**BRIDGED, "dport": "80"},
            {"100_fw": "[OPTIONS]\nenable: 1\n[RULES]\nOUT DROP -dest +sdn/guest-ipam-101\n"},
            ("DROP", "DROP"),
        ),
        (
            {**BRIDGED, "dport": "80"},
            {"100_fw": "[OPTIONS]\nenable: 1\n[RULES]\nOUT DROP -dest +sdn/vnet1-gateway\n"},
            ("ACCEPT", "ACCEPT"),
        ),
        (
            {**BRIDGED, "dport": "80"},
            {"100_fw": "[OPTIONS]\nenable: 1\n[RULES]\nOUT DROP -dest +sdn/vnet1-dhcp\n"},
            ("DROP", "DROP"),
        ),
    ],
)
def test_both_back_ends_answer(packet: dict[str, str], files: dict[str, str], verdicts: tuple[str, str]) -> None:
    assert both(packet, **files) == verdicts


def test_options_make_rules_whatever_the_policy() -> None:
    asked = {
        **BRIDGED, "source": "fe80::1", "dest": "ff02::1:ff00:1", "proto": "icmpv6", "dport": "neighbor-solicitation",
    }  # fmt: skip
    guest = "[OPTIONS]\nenable: 1\nmacfilter: 0\nndp: 0\n"
    assert both(asked, **{"100_fw": guest}) == ("ACCEPT", "DROP")


def test_a_group_that_is_not_there_stops_nftables_only() -> None:
    firewall = read(cluster_fw=f"{CLUSTER}[RULES]\nGROUP nope\n")
    Analyser(firewall).check()
    with pytest.raises(InputError, match=r"cluster.fw:4: .*there is no group nope"):
        NftNode(firewall).check()


def test_host_fw_chooses_who_answers_and_which_lines_count() -> None:
    rules = "[RULES]\nFORWARD DROP -p tcp -dport 80\n"
    by_iptables, by_nft = read(host_fw=rules), read(host_fw=f"[OPTIONS]\nnftables: 1\n{rules}")
    assert type(analyser_of(by_iptables)) is Analyser
    assert type(analyser_of(by_nft)) is NftNode
    vnet = read(sdn__firewall__vnet1_fw=rules)
    assert [str(item.where) for item in unfiltered_lines(by_iptables)] == ["host.fw:2"]
    assert [str(item.where) for item in unfiltered_lines(vnet)] == ["sdn/firewall/vnet1.fw:2"]
    assert [*unfiltered_lines(by_nft)] == []


def test_an_unknown_set_of_the_sdn_is_an_error() -> None:
    files = {"cluster.fw": f"{CLUSTER}[RULES]\nIN ACCEPT -source +sdn/nope-all\n".encode()}
    assert [str(item.where) for item in ignored_lines(files, NODE)] == ["cluster.fw:4"]
    known = {**files, "cluster.fw": f"{CLUSTER}[RULES]\nIN ACCEPT -source +sdn/vnet1-all\n".encode()}
    known |= {name: text.encode() for name, text in SDN.items()}
    assert ignored_lines(known, NODE) == ()
