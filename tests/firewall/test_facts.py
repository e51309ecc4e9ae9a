"""Eighteen facts about Proxmox's firewall that are easy to get wrong, by number."""

import pytest

from service.firewall.terms.model import Level
from service.firewall.trace.ignored import ignored_lines
from tests.firewall.asking import NODE, ON, VM200, analyser, ask, read, verdict


def _lines(cluster: str, **files: str) -> list[tuple[str, int, bool]]:
    """(file, line, fatal) of all lines without effect."""
    named = {"cluster.fw": cluster, **{name[2:] + ".fw": text for name, text in files.items()}}
    found = ignored_lines({name: text.encode() for name, text in named.items()}, NODE)
    return [(item.where.file, item.where.line, item.fatal) for item in found]


def _loads(cluster: str, **files: str) -> bool:
    return not analyser(cluster, **files).refused


def test_fact_1_a_reject_is_silent_to_icmp_and_broadcasts() -> None:
    asked = analyser(ON + "[RULES]\nIN REJECT\n")
    assert verdict(asked, "outside host", "tcp", 80) == "REJECT"
    assert verdict(asked, "outside host", "icmp", "echo-request") == "DROP"
    assert verdict(asked, "outside host", "icmpv6", "echo-request", six=True) == "DROP"
    assert verdict(asked, "outside host", "udp", 67, dest="255.255.255.255", dsttype="BROADCAST") == "DROP"
    assert verdict(asked, "outside host", "udp", 5353, dest="224.0.0.251", dsttype="MULTICAST") == "DROP"
    assert verdict(asked, "outside host", "udp", 5353, dest="ff02::fb", six=True) == "DROP"


def test_fact_1_policy_reject_is_silent_about_noise() -> None:
    asked = analyser(ON + "policy_in: REJECT\n")
    assert verdict(asked, "outside host", "udp", 53) == "REJECT"
    assert verdict(asked, "outside host", "udp", 1900) == "DROP"
    assert verdict(asked, "outside host", "udp", 40000, sport=53) == "DROP"
    assert verdict(asked, "outside host", "tcp", 80, flags="A") == "DROP"
    assert verdict(asked, "outside host", "udp", 137) == "REJECT"


@pytest.mark.parametrize("policy", ["DROP", "REJECT"])
def test_fact_2_ipv6_policies_answer_tcp_43(policy: str) -> None:
    asked = analyser(ON + f"policy_in: {policy}\npolicy_out: {policy}\n")
    assert verdict(asked, "outside host", "tcp", 43, six=True) == "REJECT"
    assert verdict(asked, "host outside", "tcp", 43, six=True) == "REJECT"
    assert verdict(asked, "outside host", "tcp", 43) == policy


def test_fact_3_port_0_means_no_port() -> None:
    asked = analyser(ON + "[RULES]\nIN ACCEPT -p udp -dport 0\nIN REJECT -p tcp -dport 81 -sport 0\n")
    assert verdict(asked, "outside host", "udp", 9999) == "ACCEPT"
    assert verdict(asked, "outside host", "tcp", 81) == "REJECT"


def test_fact_3_port_0_without_a_protocol_is_no_match_at_all() -> None:
    assert verdict(analyser(ON + "[RULES]\nIN ACCEPT -dport 0\n"), "outside host", "tcp", 22) == "ACCEPT"


GUEST_ON = "[OPTIONS]\nenable: 1\n"


def test_fact_4_a_group_with_an_interface_lets_marked_packets_of_guests_pass() -> None:
    cluster = ON + "[group web]\nIN ACCEPT -p tcp -dport 80\n"
    hole = analyser(cluster, "[RULES]\nGROUP web -i enp1s0\n", ct100=GUEST_ON)
    found = ask(hole, "ct100 host", "tcp", 22)
    assert (found.verdict, str(found.rule)) == ("ACCEPT", "host.fw:2")
    assert "accept mark" in found.why
    closed = analyser(cluster, "[RULES]\nGROUP web\n", ct100=GUEST_ON)
    assert verdict(closed, "ct100 host", "tcp", 22) == "DROP"


def test_fact_4_the_hole_needs_a_filtered_guest_and_another_interface() -> None:
    cluster = ON + "[group web]\nIN ACCEPT -p tcp -dport 80\n"
    rules = "[RULES]\nGROUP web -i enp1s0\n"
    assert verdict(analyser(cluster, rules, ct100="[OPTIONS]\nenable: 0\n"), "ct100 host", "tcp", 22) == "DROP"
    assert verdict(analyser(cluster, rules), "outside host", "tcp", 22) == "DROP"
    same = analyser(cluster, "[RULES]\nGROUP web -i vmbr0\n", ct100=GUEST_ON)
    assert verdict(same, "ct100 host", "tcp", 22) == "DROP"
    cleared = analyser(cluster, "[RULES]\nGROUP web\nGROUP web -i enp1s0\n", ct100=GUEST_ON)
    assert verdict(cleared, "ct100 host", "tcp", 22) == "DROP"


def test_fact_5_carriage_returns_switch_the_firewall_off() -> None:
    folder = read((ON + "[RULES]\nIN DROP\n").replace("\n", "\r\n"))
    assert not folder.firewall.cluster.options
    assert verdict(analyser((ON + "[RULES]\nIN DROP\n").replace("\n", "\r\n")), "outside host", "tcp", 22) == "ACCEPT"


def test_fact_5_a_comment_behind_an_option_or_a_plain_header_is_not_read() -> None:
    assert not read("[OPTIONS] # on\nenable: 1\n").firewall.cluster.options
    assert not read("[OPTIONS]\nenable: 1 # on\n").firewall.cluster.options
    cluster = read(ON + "[group xx] # c\nIN ACCEPT\n[IPSET yy] # d\n192.0.2.1\n").firewall.cluster
    assert cluster.groups["xx"].comment == "c"
    assert cluster.ipsets["yy"].comment == "d"


def test_fact_6_definitions_come_first() -> None:
    cluster = ON + "[RULES]\nIN ACCEPT -source lan\nIN ACCEPT -source +admins\nGROUP later\nGROUP none\n"
    cluster += "[ALIASES]\nlan 192.0.2.0/24\n[IPSET admins]\n192.0.2.1\n[group later]\nIN ACCEPT -p tcp -dport 80\n"
    assert _lines(cluster) == [("cluster.fw", 4, False), ("cluster.fw", 5, False)]
    asked = analyser(cluster)
    assert verdict(asked, "outside host", "tcp", 80) == "ACCEPT"
    assert verdict(asked, "outside host", "tcp", 81, source="192.0.2.1") == "DROP"


def test_fact_6_the_last_of_two_definitions_replaces_the_first() -> None:
    cluster = ON + "[ALIASES]\naa 192.0.2.1\naa 192.0.2.2\n[IPSET ss]\n192.0.2.3\n[IPSET ss]\n192.0.2.4\n"
    cluster += "[RULES]\nIN ACCEPT -source aa\nIN ACCEPT -source +ss\nGROUP gg\n"
    cluster += "[group gg]\nIN ACCEPT -p tcp -dport 1\n[group gg]\nIN ACCEPT -p tcp -dport 2\n"
    asked = analyser(cluster)
    accepted = [n for n in range(1, 5) if verdict(asked, "outside host", "tcp", 9, source=f"192.0.2.{n}") == "ACCEPT"]
    assert accepted == [2, 4]
    assert verdict(asked, "outside host", "tcp", 1) == "DROP"
    assert verdict(asked, "outside host", "tcp", 2) == "ACCEPT"


def test_fact_7_names_are_lowered_when_defined_only() -> None:
    cluster = ON + "[ALIASES]\nLan 192.0.2.1\n[IPSET Web]\n192.0.2.2\n[group Web]\nIN ACCEPT -p tcp -dport 80\n"
    cluster += "[RULES]\nGROUP Web\nIN ACCEPT -source +Web\nIN ACCEPT -source lAN\nin HTTPs(ACCEPT)\nIN ACCEPT -p TCP\n"
    assert _lines(cluster) == [("cluster.fw", 11, False), ("cluster.fw", 14, False)]
    asked = analyser(cluster)
    assert verdict(asked, "outside host", "tcp", 80) == "DROP"
    assert verdict(asked, "outside host", "tcp", 9, source="192.0.2.1") == "ACCEPT"
    assert verdict(asked, "outside host", "tcp", 443) == "ACCEPT"


def test_fact_8_host_bits() -> None:
    cluster = ON + "[ALIASES]\naa 192.0.2.77/24\n[IPSET ss]\n198.51.100.77/24\n"
    cluster += "[RULES]\nIN ACCEPT -source 203.0.113.77/24\nIN ACCEPT -source aa\nIN ACCEPT -source +ss\n"
    cluster += "IN ACCEPT -source 100.64.0.0/255.255.255.0\n"
    assert _lines(cluster) == [("cluster.fw", 8, False)]
    asked = analyser(cluster)
    for source in ("192.0.2.1", "198.51.100.1", "100.64.0.9"):
        assert verdict(asked, "outside host", "tcp", 9, source=source) == "ACCEPT"
    assert verdict(asked, "outside host", "tcp", 9, source="203.0.113.1") == "DROP"


def test_fact_9_icmp_types() -> None:
    cluster = ON + "[RULES]\nIN ACCEPT -p icmp -icmp-type 8\nIN DROP -p icmp -dport 92\n"
    assert _lines(cluster) == [("cluster.fw", 4, False)]
    by_number = analyser(ON + "[RULES]\nIN ACCEPT -p icmp -dport 8\n")
    assert verdict(by_number, "outside host", "icmp", "echo-request") == "ACCEPT"
    assert verdict(by_number, "outside host", "icmp", "timestamp-request") == "DROP"
    every = analyser(ON + "[RULES]\nIN ACCEPT -p icmp -icmp-type any\n")
    assert verdict(every, "outside host", "icmp", "timestamp-request") == "ACCEPT"


def test_fact_10_macros_and_their_own_parameters() -> None:
    cluster = ON + "[RULES]\nIN HTTPS(ACCEPT) -p tcp\nIN DNS(ACCEPT) -p udp\nIN HTTPS(ACCEPT) -p tcp -dport 443\n"
    cluster += "IN HTTPS(ACCEPT) -p tcp -dport 80\nIN IPIP(ACCEPT)\n"
    assert [line for _, line, _ in _lines(cluster)] == [5, 7]
    assert verdict(analyser(cluster), "outside host", "94") == "ACCEPT"
    assert verdict(analyser(cluster), "outside host", "4") == "DROP"


def test_fact_11_guessed_names_cannot_be_used() -> None:
    guessed = ON + "[RULES]\nIN ACCEPT -source local_network\nIN ACCEPT -source +management\n"
    assert [line for _, line, _ in _lines(guessed)] == [4, 5]
    own = ON + "[ALIASES]\nlocal_network 192.0.2.0/24\n[IPSET management]\n[RULES]\nIN ACCEPT -source +management\n"
    assert _lines(own) == []
    assert verdict(analyser(own), "outside host", "tcp", 80, source="192.0.2.9") == "ACCEPT"


def test_fact_12_management_comes_after_all_rules() -> None:
    asked = analyser(ON + "policy_out: DROP\n[IPSET management]\n192.0.2.44\n[RULES]\nIN DROP -p tcp -dport 22\n")
    ports = [22, 3128, 5900, 5999, 6000, 8006, 60000, 60050, 60051]
    for source in ("192.0.2.44", "203.0.113.9"):
        found = [port for port in ports if verdict(asked, "outside host", "tcp", port, source=source) == "ACCEPT"]
        assert found == [3128, 5900, 5999, 8006, 60000, 60050]
    assert verdict(asked, "outside host", "udp", 8006, source="192.0.2.44") == "DROP"
    out = [port for port in ports if verdict(asked, "host outside", "tcp", port, dest="203.0.113.9") == "ACCEPT"]
    assert out == [22, 3128, 5900, 5999, 8006]
    assert verdict(asked, "host outside", "tcp", 22, dest="192.0.2.44") == "DROP"


def test_fact_13_blacklist_reaches_flagged_cards_only() -> None:
    asked = analyser(ON + "[IPSET blacklist]\n192.0.2.0/24\n")
    assert verdict(asked, "outside ct100", "tcp", 80, source="192.0.2.1") == "DROP"
    assert verdict(asked, "outside ct100", "tcp", 80) == "ACCEPT"
    assert verdict(asked, "outside ct101", "tcp", 80, source="192.0.2.1", dest="10.10.10.101") == "ACCEPT"


FORGED = "02:00:00:00:00:99"


def test_fact_14_dhcp_comes_before_the_filters() -> None:
    asked = analyser(
        ON, ct100="[OPTIONS]\nenable: 1\npolicy_out: DROP\nipfilter: 1\n", vm200=GUEST_ON + "ipfilter: 1\n"
    )
    discover = {"source": "0.0.0.0", "dest": "255.255.255.255", "sport": 68, "mac": FORGED}
    assert verdict(asked, "ct100 outside", "udp", 67, **discover) == "ACCEPT"
    assert verdict(asked, "vm200 outside", "tcp", 80) == "DROP"
    off = analyser(ON, ct100="[OPTIONS]\nenable: 1\ndhcp: 0\n")
    assert verdict(off, "ct100 outside", "udp", 67, **discover) == "DROP"


def test_fact_14_a_set_named_ipfilter_acts_by_itself() -> None:
    asked = analyser(ON, vm200=GUEST_ON + "[IPSET ipfilter-net0]\n10.10.10.200\n")
    assert verdict(asked, "vm200 outside", "tcp", 80) == "ACCEPT"
    assert verdict(asked, "vm200 outside", "tcp", 80, source="10.10.10.201") == "DROP"
    own = "fe80::be24:11ff:fe00:c8"
    assert verdict(asked, "vm200 outside", "tcp", 80, six=True, source=own) == "ACCEPT"
    assert verdict(asked, "vm200 outside", "tcp", 80, six=True, source="fe80::1") == "DROP"
    assert VM200.split(",")[0].endswith("C8")


def test_fact_15_forward_rules_do_nothing() -> None:
    asked = analyser(
        ON + "policy_forward: DROP\n[RULES]\nFORWARD DROP\n", ct100=GUEST_ON + "[RULES]\nIN HTTP(ACCEPT)\n"
    )
    assert verdict(asked, "enp1s0/wan nfvm", "tcp", 80) == "ACCEPT"
    assert verdict(asked, "enp1s0/wan ct100", "tcp", 80) == "ACCEPT"
    assert verdict(asked, "enp1s0/wan ct100", "tcp", 81) == "DROP"


def test_fact_16_out_accept_ends_only_the_senders_chain() -> None:
    asked = analyser(ON, ct100=GUEST_ON + "policy_out: DROP\n[RULES]\nOUT ACCEPT\n", vm200=GUEST_ON)
    assert verdict(asked, "ct100 outside", "tcp", 80) == "ACCEPT"
    assert verdict(asked, "ct100 vm200", "tcp", 80) == "DROP"
    assert verdict(asked, "ct100 host", "tcp", 80) == "DROP"


def test_fact_16_bad_values_leave_the_default() -> None:
    guest = read(ON, ct100="[OPTIONS]\nenable: 2\npolicy_in: MAYBE\n").firewall.guests["100"]
    assert guest == Level("guest", "100.fw", "100")
    assert verdict(analyser("[OPTIONS]\nenable: 2\n"), "outside host", "tcp", 22) == "ACCEPT"
    future = f"[OPTIONS]\nenable: {NODE.now_s + 240}\n"
    assert verdict(analyser(future), "outside host", "tcp", 22) == "DROP"
    late = f"[OPTIONS]\nenable: {NODE.now_s - 61}\n"
    assert verdict(analyser(late), "outside host", "tcp", 22) == "ACCEPT"


@pytest.mark.parametrize(
    "text",
    [
        "[ALIASES]\nbad 192.0.2.0/33\n[RULES]\nIN ACCEPT -source bad\n",
        "[ALIASES]\nlocal_network 192.0.2.0/33\n",
        "[IPSET ss]\n192.0.2.0/08\n",
        "[IPSET ss]\n2001:db8::/129\n",
        "[IPSET ss]\n192.0.2.0/24\n192.0.2.1/24\n",
        "[RULES]\nIN ACCEPT -p udplite -dport 5000\n",
        "[RULES]\nIN ACCEPT -i sixteen_letters_x -p tcp\n",
        "[RULES]\nIN ACCEPT -p tcp -dport 080\n",
        "[RULES]\nIN ACCEPT -p tcp -dport bootps\n",
        "[RULES]\nIN ACCEPT -p tcp -dport echo-request\n",
        "[RULES]\nIN ACCEPT -p tcp -source 192.0.2.0/banana\n",
        "[RULES]\nGROUP gg -i sixteen_letters_x\n",
        "log_ratelimit: enable=1,rate=99999/second\n[RULES]\nIN ACCEPT -log info\n",
    ],
)
def test_fact_17_one_line_keeps_everything_from_loading(text: str) -> None:
    assert not _loads(ON + text)
    assert [fatal for _, _, fatal in _lines(ON + text)] == [True]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[ALIASES]\nlocal_network 192.0.2.0/33\n", 4),
        ("[IPSET management]\n198.51.100.7\n203.0.113.77/24\n", 5),
    ],
)
def test_fact_17_what_the_set_management_adds_is_told_with_a_line_of_the_file(text: str, line: int) -> None:
    refused = analyser(ON + text).refused
    assert [str(item.where) for item in refused if item.reason.startswith("ipset: ")] == [f"cluster.fw:{line}"]
    assert all(item.where.line for item in refused)


@pytest.mark.parametrize(
    "text",
    [
        "[ALIASES]\nbad 192.0.2.0/33\n",
        "[RULES]\nIN ACCEPT -p udplite -dport 5000,5001\n",
        "[RULES]\nIN ACCEPT -p udp -dport 080\n",
        "[RULES]\nIN ACCEPT -p tcp -dport 0443\n",
        "[RULES]\nFORWARD ACCEPT -i sixteen_letters_x\n",
        "[RULES]\n|IN ACCEPT -p tcp -dport 080\n",
        "log_ratelimit: enable=1,rate=99999/second\n[RULES]\nIN ACCEPT\n",
        "log_ratelimit: enable=0,rate=99999/second\n[RULES]\nIN ACCEPT -log info\n",
    ],
)
def test_fact_17_what_is_never_given_to_the_kernel_loads(text: str) -> None:
    assert _loads(ON + text)
    assert _lines(ON + text) == []


def test_fact_18_what_is_left_out_without_a_message() -> None:
    cluster = ON + "[ALIASES]\nshared 192.0.2.1\n[IPSET both]\n192.0.2.2\n"
    guest = GUEST_ON + "policy_in: DROP\n[RULES]\nIN ACCEPT -source guest/shared\nIN ACCEPT -source +guest/both\n"
    guest += "IN ACCEPT -p icmp -dport echo-request,echo-reply\nIN ACCEPT -source dc/shared -p tcp -dport 1\n"
    folder = read(cluster, ct100=guest)
    assert folder.warnings == ()
    assert folder.ignored == ()
    assert _lines(cluster, ct100=guest) == [("100.fw", 5, False), ("100.fw", 6, False), ("100.fw", 7, False)]
    asked = analyser(cluster, ct100=guest)
    assert verdict(asked, "outside ct100", "tcp", 9, source="192.0.2.1") == "DROP"
    assert verdict(asked, "outside ct100", "tcp", 1, source="192.0.2.1") == "ACCEPT"
    assert verdict(asked, "outside ct100", "icmp", "echo-request") == "DROP"


TWICE: dict[str, tuple[str, str, str, int, int]] = {
    "a group": ("cluster.fw", "[group Web]\nIN ACCEPT\n\n[group web] # again\nIN DROP\n", "[group web]", 1, 4),
    "a set": ("cluster.fw", "[IPSET bad]\n192.0.2.1\n[IPSET bad]\n192.0.2.2\n", "[IPSET bad]", 1, 3),
    "a set of a guest": ("100.fw", "[IPSET own]\n192.0.2.1\n[RULES]\n[IPSET OWN]\n192.0.2.2\n", "[IPSET own]", 1, 4),
    "an alias": ("cluster.fw", "[ALIASES]\nHome 192.0.2.1\nx 192.0.2.9\nhome 192.0.2.2\n", "Home 192.0.2.1", 2, 4),
    "an option": ("host.fw", "[OPTIONS]\nndp: 0\n[RULES]\n[OPTIONS]\nNDP: 1\n", "ndp: 0", 2, 5),
    "an option with the same value": ("100.fw", "[OPTIONS]\nenable: 1\nenable: 1\n", "enable: 1", 2, 3),
}  # fmt: skip


@pytest.mark.parametrize("case", TWICE)
def test_what_stands_twice_is_named_with_both_lines(case: str) -> None:
    """The last one counts, and Proxmox says nothing."""
    file, text, shown, first, second = TWICE[case]
    files = {"cluster.fw": b"", file: text.encode()}
    [found] = ignored_lines(files, NODE)
    assert (str(found.where), found.text) == (
        f"{file} (line {first})" if ":" not in str(found.where) else f"{file}:{first}",
        shown,
    )
    assert found.reason == f"line {second} has it again, and Proxmox keeps the last one"


def test_what_stands_once_in_each_file_or_section_is_not_named() -> None:
    files = {
        "cluster.fw": b"[ALIASES]\nab 192.0.2.1\n[IPSET ab]\n192.0.2.1\n[group ab]\nIN ACCEPT\n[RULES]\n[RULES]\n",
        "100.fw": b"[ALIASES]\nab 192.0.2.1\n[IPSET ab]\n192.0.2.1\n",
    }
    assert [item for item in ignored_lines(files, NODE) if "has it again" in item.reason] == []
