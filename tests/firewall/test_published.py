"""The table of what is published, taken by the real nft; and which packet is taken by what."""

import json
import subprocess
from ipaddress import ip_address

import pytest

from service.firewall.host import Closed
from service.firewall.nft.published import Published, destination, forwards_table
from service.firewall.terms.names import TCP, UDP
from service.hostside.canonical import nft_normal
from service.lab.waiting import grown_s

OWN = ("198.51.100.11", "198.51.100.12")
NETWORK = "10.10.10.0/24"
WEB = Published("enp1s0", OWN, "tcp", ((80, 80), (443, 443)), "10.10.10.20", "proxy", NETWORK)
OFFICE = Published(
    "enp1s0", OWN[:1], "tcp", ((2222, 2222),), "10.10.10.50", "dev", NETWORK, 22, ("192.0.2.7", "203.0.113.0/24")
)
REST = Published("enp1s0", OWN[:1], "tcp", ((2222, 2222),), "10.20.0.9", "10.20.0.9", "10.20.0.0/16", 22)
GAMES = Published("enp1s0", OWN, "udp", ((8000, 8010), (8011, 8011), (9000, 9000)), "10.20.0.9", "box", "10.20.0.0/16")
OWN6, NETWORK6 = ("2001:db8::11", "2001:db8::12"), "fd00:10::/64"
WEB6 = Published("enp1s0", OWN6, "tcp", ((80, 80), (443, 443)), "fd00:10::20", "proxy", NETWORK6)
OFFICE6 = Published(
    "enp1s0", OWN6[:1], "tcp", ((2222, 2222),), "fd00:10::50", "dev", NETWORK6, 22, ("2001:db8:5::7", "2001:db8:6::/48")
)
ALL = (WEB, WEB6, OFFICE, OFFICE6, REST, GAMES)
CLOSED = (Closed("enp1s0", NETWORK, "nobody routes in"), Closed("enp1s0", "10.20.0.0/16", "nobody routes in"))


@pytest.mark.host
@pytest.mark.parametrize("published", [ALL, (OFFICE,), (OFFICE6,), (GAMES, WEB)], ids=["all", "one", "one6", "two"])
def test_nft_lists_the_table_as_it_was_meant(published: tuple[Published, ...]) -> None:
    table = forwards_table(published, CLOSED if len(published) > 1 else ())
    script = "nft -f - && nft -s -j list table inet passerelle_forwards"
    for text in (table.load, f"{table.file.decode()}{table.file.decode()}"):
        done = subprocess.run(
            ["unshare", "-n", "sh", "-c", script],
            input=text,
            capture_output=True,
            text=True,
            timeout=grown_s(30),
            check=False,
        )
        assert done.returncode == 0, f"{done.stderr}\n{text}"
        listed = nft_normal(json.loads(done.stdout)["nftables"])
        assert listed == nft_normal([item for item in table.normal if isinstance(item, dict)])


def taken_by(proto: int, source: str, dest: str, port: int) -> str:
    found = destination(ALL, 6 if ":" in dest else 4, proto, int(ip_address(source)), int(ip_address(dest)), port)
    return found.goal if found else ""


@pytest.mark.parametrize(
    ("proto", "source", "dest", "port", "goal"),
    [
        (TCP, "192.0.2.1", OWN[0], 80, "10.10.10.20"),
        (TCP, "10.10.10.30", OWN[1], 443, "10.10.10.20"),
        (UDP, "192.0.2.1", OWN[0], 80, ""),
        (TCP, "192.0.2.1", "198.51.100.13", 80, ""),
        (TCP, "203.0.113.255", OWN[0], 2222, "10.10.10.50:22"),
        (TCP, "192.0.2.7", OWN[0], 2222, "10.10.10.50:22"),
        (TCP, "192.0.2.8", OWN[0], 2222, "10.20.0.9:22"),
        (TCP, "203.0.113.1", OWN[1], 2222, ""),
        (UDP, "192.0.2.1", OWN[0], 8011, "10.20.0.9"),
        (UDP, "192.0.2.1", OWN[0], 8012, ""),
        (TCP, "2001:db8:9::1", OWN6[1], 443, "fd00:10::20"),
        (TCP, "2001:db8:6:1::1", OWN6[0], 2222, "[fd00:10::50]:22"),
        (TCP, "2001:db8:7::1", OWN6[0], 2222, ""),
        (TCP, "2001:db8:9::1", "::c633:640b", 80, ""),  # the number of 198.51.100.11
    ],
)
def test_the_first_that_fits_takes_a_packet(proto: int, source: str, dest: str, port: int, goal: str) -> None:
    assert taken_by(proto, source, dest, port) == goal


def test_only_neighbours_of_a_target_get_another_address() -> None:
    [chain] = [chain for chain in forwards_table(ALL, ()).chains if chain.name == "postrouting"]
    assert [line.text for line in chain.lines] == [
        "ip saddr 10.10.10.0/24 ip daddr { 10.10.10.20, 10.10.10.50 } ct status dnat masquerade",
        "ip saddr 10.20.0.0/16 ip daddr 10.20.0.9 ct status dnat masquerade",
        "ip6 saddr fd00:10::/64 ip6 daddr { fd00:10::20, fd00:10::50 } ct status dnat masquerade",
    ]


def test_the_host_itself_and_everybody_else_are_sent_on_alike() -> None:
    chains = {chain.name: [line.text for line in chain.lines] for chain in forwards_table(ALL, CLOSED).chains}
    assert chains["prerouting"] == chains["output"] == ["jump published"]
    assert chains["neighbours"] == [
        'iifname "enp1s0" ip daddr 10.10.10.0/24 drop',
        'iifname "enp1s0" ip daddr 10.20.0.0/16 drop',
    ]
    assert [line for line in chains["published"] if "ip6" in line] == [
        "ip6 daddr 2001:db8::11-2001:db8::12 tcp dport { 80, 443 } dnat ip6 to fd00:10::20",
        "ip6 saddr { 2001:db8:5::7, 2001:db8:6::/48 } ip6 daddr 2001:db8::11 tcp dport 2222 "
        "dnat ip6 to [fd00:10::50]:22",
    ]
    assert [line for line in chains["published"] if "ip6" not in line] == [
        "ip daddr 198.51.100.11-198.51.100.12 tcp dport { 80, 443 } dnat ip to 10.10.10.20",
        "ip saddr { 192.0.2.7, 203.0.113.0/24 } ip daddr 198.51.100.11 tcp dport 2222 dnat ip to 10.10.10.50:22",
        "ip daddr 198.51.100.11 tcp dport 2222 dnat ip to 10.20.0.9:22",
        "ip daddr 198.51.100.11-198.51.100.12 udp dport { 8000-8011, 9000 } dnat ip to 10.20.0.9",
    ]
