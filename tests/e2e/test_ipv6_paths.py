"""IPv6 with real packets: published ports, the default route by a link-local gateway, and one learned from a router."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.story import Story
from tests.e2e.test_forwards import ASK, BOX, asking

pytestmark = pytest.mark.lab(minutes=2)

OWN, INET, GUEST = "2001:db8:51::11", "2001:db8:80::80", "fd00:10::50"
FORWARDS = """\
forwards:
  - {in: enp1s0, ports: [80], to: box, names: [www.example.org]}
  - {in: enp1s0, ports: {8080: 80}, to: "fd00:10::50"}
  - {in: enp1s0, ports: 2222, to: box, to_port: 80, source: ["2001:db8:80::/64"]}
firewall:
  policy_in: drop
  policy_forward: drop
  rules:
    - {type: in, action: accept, macro: SSH}
"""
ANSWER = """\
import socket
waiting = socket.create_server(("", 80), family=socket.AF_INET6, dualstack_ipv6=True)
while True:
    connection, peer = waiting.accept()
    connection.sendall(peer[0].encode())
    connection.close()
"""
ADVERTISE = """\
import socket, struct, sys
made = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
everybody = ("ff02::1", 0, 0, socket.if_nametoindex(sys.argv[1]))
made.sendto(struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, 600, 0, 0), everybody)
"""


def device(story: Story, netns: str, address: str) -> str:
    """The name of the interface that has an IPv4 address."""
    done = story.host.lab.run_in(netns, ["ip", "-j", "-4", "address", "show", "to", address], check=True)
    return str(next(link["ifname"] for link in json.loads(str(done.stdout)) if link))


def wire(story: Story) -> str:
    """IPv6 for the provider and the internet; the provider's interface to its hosts."""
    lab = story.host.lab
    link = device(story, "provider", "198.51.100.1")
    outer, far = device(story, "provider", "198.18.0.0/15"), device(story, "inet", "198.18.0.80")
    near = f"ip -6 address add fe80::1/64 dev {link} nodad; ip -6 address add 2001:db8:51::1/64 dev {link} nodad"
    script = f"sysctl -qw net.ipv6.conf.all.forwarding=1; {near}; ip -6 address add 2001:db8:80::1/64 dev {outer} nodad"
    lab.run_in("provider", ["sh", "-c", script], check=True)
    script = f"ip -6 address add {INET}/64 dev {far} nodad; ip -6 route add default via 2001:db8:80::1"
    lab.run_in("inet", ["sh", "-c", script], check=True)
    return link


def spec(story: Story, rest: str = FORWARDS, gateway: str = ', gateway6: "fe80::1"') -> str:
    text = story.spec().replace("/24], gateway: 198.51.100.1", f'/24, "{OWN}/64"], gateway: 198.51.100.1{gateway}')
    text = text.replace("[10.10.10.1/24]", '[10.10.10.1/24, "fd00:10::1/64"]')
    box = BOX.format(mac=story.guests["box"].mac).replace("}", f', address6: "{GUEST}"}}')
    return text.replace("packages:", f"{box}packages:", 1) + rest


def serve(story: Story) -> None:
    """The guest box answers on its two addresses with the client's."""
    box = story.guests["box"]
    address = f"ip -6 address add {GUEST}/64 dev eth0 nodad; ip -6 route add default via fd00:10::1"
    box.exec(["sh", "-c", f"{address}; cat >/tmp/answer6.py"], input=ANSWER, check=True)
    box.exec(["sh", "-c", "setsid python3 /tmp/answer6.py >/dev/null 2>&1 </dev/null &"], check=True)
    story.field.wait_for(lambda: ":80 " in str(box.exec(["ss", "-Hltn"]).stdout), "box answers", timeout_s=20)


def outside(story: Story, port: int, *, netns: str = "inet", address: str = OWN) -> str:
    done = story.host.lab.run_in(netns, asking6(address, port), timeout_s=10)
    return str(done.stdout).strip().removeprefix("::ffff:")


def asking6(address: str, port: int) -> list[str]:
    return asking(address, port) if "." in address else ["python3", "-c", ASK, "tcp", address, str(port)]


def routes6(story: Story) -> list[dict[str, Any]]:
    return list(story.json("ip -6 -j route show default"))


@pytest.fixture(scope="module")
def published(story: Story) -> Iterator[Story]:
    """Ports of both families that lead to box, behind a firewall that drops everything else."""
    wire(story)
    story.apply(spec(story), "publish box in both families")
    serve(story)
    yield story
    story.apply(story.spec(), "publish nothing")
    assert story.host.sh("sysctl -n net.ipv6.conf.all.forwarding").strip() == "0"


def test_a_published_port_is_reached_over_ipv6_and_nothing_else(published: Story) -> None:
    [route] = routes6(published)
    assert (route["gateway"], route["dev"]) == ("fe80::1", "enp1s0")
    assert {port: outside(published, port) for port in (80, 8080, 2222, 81)} == {
        80: INET, 8080: INET, 2222: INET, 81: "silent",
    }  # fmt: skip
    assert outside(published, 2222, netns="provider") == "silent"
    assert outside(published, 80, address=published.host.address) == "198.18.0.80"
    assert outside(published, 8080, address=published.host.address) == "silent"
    said = published.field.run(
        "trace", "--host", "pve1", "--from", "outside", "--to", OWN, "--proto", "tcp", "--dport", "8080", "-o", "json"
    )
    answer = json.loads(said.stdout)
    assert (answer["verdict"], f"forwarded to [{GUEST}]:80" in " ".join(answer["nat"])) == ("ACCEPT", True)
    assert published.drift() == []


def test_guests_resolve_the_name_in_both_families(published: Story) -> None:
    asked = "import socket; print({one[4][0] for one in socket.getaddrinfo('www.example.org', 80)})"
    published.guests["dev"].wait_for_address()
    said = str(published.guests["dev"].exec(["python3", "-c", asked]).stdout)
    assert ("10.10.10.50" in said, GUEST in said) == (True, True)


def test_it_is_there_again_after_a_reboot(published: Story) -> None:
    published.host.reboot()
    published.field.wait_for(lambda: published.guests["box"].address() == "10.10.10.50", "box is up", timeout_s=30)
    serve(published)
    published.field.wait_for(lambda: outside(published, 80) == INET, "box is reached", timeout_s=30)
    assert [(route["gateway"], route["dev"]) for route in routes6(published)] == [("fe80::1", "enp1s0")]
    assert published.drift() == []


@pytest.fixture
def unpublished(published: Story) -> Iterator[Story]:
    """Nothing is published, and there is no IPv6; afterwards it is again as the other tests want it."""
    published.apply(published.spec(), "no IPv6")
    yield published
    published.apply(spec(published), "publish box in both families again")


def test_a_host_that_forwards_goes_on_to_learn_its_default_route(unpublished: Story) -> None:
    story = unpublished
    story.host.sh("ip -6 route del default || true; sysctl -qw net.ipv6.conf.enp1s0.accept_ra=1")
    link = device(story, "provider", "198.51.100.1")

    def learned() -> bool:
        story.host.lab.run_in("provider", ["python3", "-c", ADVERTISE, link], check=True)
        return [route["protocol"] for route in routes6(story)] == ["ra"]

    story.field.wait_for(learned, "the host learns its route", timeout_s=20)
    story.apply(spec(story, gateway=""), "publish, and learn the gateway")
    assert [route["protocol"] for route in routes6(story)] == ["ra"]
    keys = "net.ipv6.conf.all.forwarding net.ipv6.conf.enp1s0.accept_ra"
    assert story.host.sh(f"sysctl -n {keys}").split() == ["1", "2"]
    story.host.sh("ip -6 route del default")
    story.field.wait_for(learned, "the host learns its route again", timeout_s=20)
    assert outside(story, 80) == INET


def test_without_a_firewall_nobody_outside_gets_to_other_ports_and_guests_get_their_answers(published: Story) -> None:
    lab, box = published.host.lab, published.guests["box"]
    there = ["ip", "-6", "route", "replace", "fd00:10::/64", "via", OWN]
    lab.run_in("provider", there, check=True)
    published.apply(spec(published, FORWARDS.partition("firewall:")[0]), "publish box, and filter nothing")
    try:
        assert outside(published, 80) == INET
        assert outside(published, 80, address=GUEST) == "silent"
        assert box.exec(["ping", "-6", "-c", "1", "-W", "5", INET]).returncode == 0
    finally:
        published.apply(spec(published), "publish box behind a firewall again")
        lab.run_in("provider", ["ip", "-6", "route", "del", "fd00:10::/64"], check=True)
