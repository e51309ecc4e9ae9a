"""May it reach a guest that has rules of its own, and which rule says so?"""

import pytest

from service.firewall.host import HostFirewall
from service.firewall.trace.host_trace import HostAnalyser
from service.firewall.trace.packets import parse_packet
from service.firewall.trace.verdict import Verdict
from tests.firewall.host_specs import FLEET, GUESTS, Section, firewall_of

DEV, WEB, OTHER = "bc:24:11:00:00:01", "bc:24:11:00:00:02", "02:00:00:00:00:99"
OPEN: Section = {"policy_in": "accept", "policy_out": "accept", "policy_forward": "accept"}
WEB_ONLY: Section = {"rules": [{"type": "in", "action": "accept", "macro": "HTTP"}]}


def walled(firewall: Section, host: Section = OPEN, port: str = "") -> HostFirewall:
    guests = {"dev": GUESTS["dev"], "web": {**GUESTS["web"], "firewall": firewall}}
    if port:
        guests["web"]["port"] = port
    return firewall_of(host, FLEET, (), guests)


def ask(firewall: HostFirewall, way: str, source: str, dest: str, dport: int | str = 80, **fields: str) -> Verdict:
    """`way` is "FROM TO" in interfaces, "host" for the host."""
    ends = ["" if place == "host" else place for place in way.split()]
    packet = {"from": way.split(maxsplit=1)[0], "to": way.split()[1], "proto": "tcp", "source": source, "dest": dest}
    asked = parse_packet({**packet, "dport": dport, **fields})
    return HostAnalyser(firewall).trace(ends[0], ends[1], asked.flow)


@pytest.mark.parametrize(("dport", "verdict"), [(80, "ACCEPT"), (22, "DROP")])
def test_a_guests_rules_hold_from_everywhere(dport: int, verdict: str) -> None:
    firewall = walled(WEB_ONLY)
    ways = {
        "enp1s0 vmbr0": ask(firewall, "enp1s0 vmbr0", "192.0.2.1", "10.10.10.20", dport),
        "host vmbr0": ask(firewall, "host vmbr0", "10.10.10.1", "10.10.10.20", dport, dest_mac=WEB),
        "vmbr0 vmbr0": ask(firewall, "vmbr0 vmbr0", "10.10.10.10", "10.10.10.20", dport, mac=DEV, dest_mac=WEB),
    }
    assert {way: said.verdict for way, said in ways.items()} == dict.fromkeys(ways, verdict)
    expected = "IN HTTP(ACCEPT)" if verdict == "ACCEPT" else "policy_in of guest web: drop"
    for way, said in ways.items():
        assert expected in said.why, way


def test_a_guest_without_rules_is_not_filtered() -> None:
    firewall = walled(WEB_ONLY)
    assert ask(firewall, "vmbr0 vmbr0", "10.10.10.20", "10.10.10.10", 22, mac=WEB, dest_mac=DEV).verdict == "ACCEPT"
    assert ask(firewall, "enp1s0 vmbr0", "192.0.2.1", "10.10.10.10", 22).verdict == "ACCEPT"


def test_what_stays_on_the_bridge_is_not_the_hosts_affair() -> None:
    firewall = walled(WEB_ONLY, {**OPEN, "policy_forward": "drop"})
    assert ask(firewall, "vmbr0 vmbr0", "10.10.10.10", "10.10.10.20", mac=DEV, dest_mac=WEB).verdict == "ACCEPT"
    routed = ask(firewall, "enp1s0 vmbr0", "192.0.2.1", "10.10.10.20")
    assert (routed.verdict, routed.why) == ("DROP", "through the host: policy_forward: drop")


def test_a_guest_may_send_what_its_rules_allow() -> None:
    out = {"policy_out": "reject", "rules": [{"type": "out", "action": "accept", "macro": "DNS", "dest": "10.10.10.1"}]}
    firewall = walled(out)
    asked = {
        "to the host, allowed": ask(firewall, "vmbr0 host", "10.10.10.20", "10.10.10.1", 53, mac=WEB),
        "to the host": ask(firewall, "vmbr0 host", "10.10.10.20", "10.10.10.1", 22, mac=WEB),
        "outside": ask(firewall, "vmbr0 enp1s0", "10.10.10.20", "192.0.2.1", 443, mac=WEB),
        "another": ask(firewall, "vmbr0 vmbr0", "10.10.10.20", "10.10.10.10", 22, mac=WEB, dest_mac=DEV),
        "dhcp": ask(
            firewall, "vmbr0 host", "0.0.0.0", "255.255.255.255", 67, mac=WEB, proto="udp", sport="68"
        ),
    }  # fmt: skip
    assert {name: said.verdict for name, said in asked.items()} == {
        "to the host, allowed": "ACCEPT", "to the host": "REJECT", "outside": "REJECT", "another": "REJECT",
        "dhcp": "ACCEPT",
    }  # fmt: skip
    assert "policy_out of guest web: reject" in asked["outside"].why


def test_the_hosts_rules_come_before_and_after() -> None:
    host: Section = {**OPEN, "rules": [{"type": "out", "action": "drop", "dest": "10.10.10.20"}]}
    assert "OUT DROP" in ask(walled(WEB_ONLY, host), "host vmbr0", "10.10.10.1", "10.10.10.20").why
    closed: Section = {"policy_in": "drop"}
    said = ask(walled({"policy_in": "drop"}, closed), "vmbr0 host", "10.10.10.20", "10.10.10.1", 22, mac=WEB)
    assert said.why == "into the host: policy_in: drop"


def test_nobody_speaks_under_the_name_of_another() -> None:
    firewall = walled({"policy_in": "accept"}, port="veth-web")
    cases = {
        "macfilter": ask(firewall, "vmbr0 host", "10.10.10.20", "10.10.10.1", mac=OTHER, port="veth-web"),
        "foreign port": ask(firewall, "vmbr0 host", "10.10.10.20", "10.10.10.1", mac=WEB, port="veth-dev"),
        "ipfilter": ask(firewall, "vmbr0 host", "10.10.10.99", "10.10.10.1", mac=WEB, port="veth-web"),
        "its address": ask(firewall, "vmbr0 enp1s0", "10.10.10.20", "192.0.2.1", mac=DEV, port="veth-dev"),
        "another address": ask(firewall, "enp1s0 vmbr0", "192.0.2.1", "10.10.10.66", dest_mac=WEB),
        "IPv6": ask(firewall, "vmbr0 host", "2001:db8:aaaa::66", "2001:db8:aaaa::1", mac=WEB, port="veth-web"),
    }
    assert {name: said.verdict for name, said in cases.items()} == dict.fromkeys(cases, "DROP")
    assert all(said.why.startswith("on the bridge: ") for said in cases.values())
    honest = ask(firewall, "vmbr0 host", "fe80::be24:11ff:fe00:2", "fe80::1", mac=WEB, port="veth-web")
    assert honest.verdict == "ACCEPT"


def test_without_the_filters_a_guest_may_route_for_others() -> None:
    firewall = walled({"policy_in": "accept", "macfilter": False, "ipfilter": False})
    assert ask(firewall, "vmbr0 enp1s0", "172.16.0.9", "192.0.2.1", mac=WEB).verdict == "ACCEPT"
    assert ask(firewall, "enp1s0 vmbr0", "192.0.2.1", "172.16.0.9", dest_mac=WEB).verdict == "ACCEPT"


def test_a_guest_is_no_router_of_ipv6() -> None:
    said = ask(
        walled({}), "vmbr0 vmbr0", "fe80::be24:11ff:fe00:2", "ff02::1", mac=WEB, proto="icmpv6",
        dport="router-advertisement",
    )  # fmt: skip
    assert (said.verdict, said.why) == ("DROP", "on the bridge: guest web is not a router")
