"""Published ports with real packets: from outside, from guests, from the host, after a reboot, and gone again."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.story import Story

pytestmark = pytest.mark.lab(minutes=2)

INET, CTL = "198.18.0.80", "198.18.0.10"
BOX = '  box: {{mac: "{mac}", address: 10.10.10.50}}\n'
FORWARDS = """\
forwards:
  - {in: enp1s0, ports: [80], to: box, names: [www.example.org]}
  - {in: enp1s0, ports: {8080: 80}, to: 10.10.10.50}
  - {in: enp1s0, ports: ["5000:5001"], to: box, proto: [tcp, udp]}
  - {in: enp1s0, ports: 2222, to: box, to_port: 80, source: [198.18.0.80, 203.0.113.0/24]}
"""
FIREWALL = """\
firewall:
  policy_in: drop
  policy_out: drop
  policy_forward: drop
  rules:
    - {type: in, action: accept, macro: SSH}
    - {type: out, action: accept, dest: 198.18.0.0/24}
    - {type: forward, action: accept, source: 10.10.10.0/24, dest: 198.18.0.0/24}
"""
ANSWER = """\
import select, socket
waiting = [socket.create_server(("", port)) for port in (80, 5001)]
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.bind(("", 5000))
while True:
    for one in select.select([*waiting, udp], [], [])[0]:
        if one is udp:
            _, peer = udp.recvfrom(100)
            udp.sendto(peer[0].encode(), peer)
        else:
            connection, peer = one.accept()
            connection.sendall(peer[0].encode())
            connection.close()
"""
ASK = """\
import socket, sys
proto, address, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
try:
    if proto == "tcp":
        made = socket.create_connection((address, port), timeout=2)
    else:
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.settimeout(2)
        made.connect((address, port))
        made.send(b"?")
    print(made.recv(100).decode())
except ConnectionRefusedError:
    print("refused")
except OSError:
    print("silent")
"""


def asking(address: str, port: int, proto: str = "tcp") -> list[str]:
    return ["python3", "-c", ASK, proto, address, str(port)]


def outside(story: Story, port: int, *, proto: str = "tcp", netns: str = "inet", address: str = "") -> str:
    """What somebody outside gets: its own address as the guest sees it, or refused or silent."""
    done = story.host.lab.run_in(netns, asking(address or story.host.address, port, proto), timeout_s=10)
    return str(done.stdout).strip()


def inside(story: Story, guest: str, port: int, *, proto: str = "tcp", address: str = "") -> str:
    done = story.guests[guest].exec(asking(address or story.host.address, port, proto), timeout_s=10)
    return str(done.stdout).strip()


def host_itself(story: Story, port: int, proto: str = "tcp") -> str:
    return str(story.host.exec(asking(story.host.address, port, proto), timeout_s=10).stdout).strip()


def spec(story: Story, rest: str = FORWARDS + FIREWALL, **values: str) -> str:
    text = story.spec(**values)
    box = BOX.format(mac=story.guests["box"].mac)
    return text.replace("packages:", f"{box}packages:", 1) + rest


def serve(story: Story) -> None:
    """The guest box answers with the client's address."""
    box = story.guests["box"]
    box.exec(["sh", "-c", "cat >/tmp/answer.py"], input=ANSWER, check=True)
    box.exec(["sh", "-c", "setsid python3 /tmp/answer.py >/dev/null 2>&1 </dev/null &"], check=True)
    story.field.wait_for(lambda: ":5001" in str(box.exec(["ss", "-Hltn"]).stdout), "box answers", timeout_s=20)


@pytest.fixture(scope="module")
def published(story: Story) -> Iterator[Story]:
    """Ports of the seed's host that lead to box, behind a firewall that drops everything else."""
    story.apply(spec(story), "publish box")
    story.guests["dev"].wait_for_address()
    serve(story)
    yield story
    story.apply(story.spec(), "publish nothing")
    assert "passerelle_forwards" not in story.host.sh("nft list tables")
    assert story.host.sh("ls /etc/passerelle/nft.d").split() == ["nat.nft"]
    assert outside(story, 80) == "refused"
    assert "host-record" not in story.host.read("/etc/dnsmasq.d/passerelle.conf").decode()


def assert_published(story: Story) -> None:
    """Every way to what is published."""
    assert {port: outside(story, port) for port in (80, 8080, 5001, 2222, 81)} == {
        80: INET, 8080: INET, 5001: INET, 2222: INET, 81: "silent",
    }  # fmt: skip
    assert outside(story, 5000, proto="udp") == INET
    assert {port: outside(story, port, netns="ctl") for port in (80, 2222)} == {80: CTL, 2222: "silent"}
    assert {port: inside(story, "dev", port) for port in (80, 8080, 5001)} == dict.fromkeys(
        (80, 8080, 5001), "10.10.10.1"
    )
    assert inside(story, "dev", 5000, proto="udp") == "10.10.10.1"
    assert {port: host_itself(story, port) for port in (80, 8080)} == dict.fromkeys((80, 8080), story.host.address)
    assert host_itself(story, 5000, "udp") == story.host.address


def test_what_is_published_is_reached_from_everywhere_and_nothing_else(published: Story) -> None:
    assert_published(published)


@pytest.mark.parametrize("filtered", ["0", "1"])
def test_guests_reach_it_whether_or_not_bridged_packets_pass_the_firewall(published: Story, filtered: str) -> None:
    key = "net.bridge.bridge-nf-call-iptables"
    before = published.host.sh(f"sysctl -n {key}").strip()
    published.host.sh(f"sysctl -qw {key}={filtered}")
    try:
        assert inside(published, "dev", 80) == "10.10.10.1"
        assert inside(published, "dev", 5000, proto="udp") == "10.10.10.1"
        assert inside(published, "dev", 80, address="10.10.10.50") == published.guests["dev"].address()
        if filtered == "0":
            assert inside(published, "box", 80) == "10.10.10.1"
    finally:
        published.host.sh(f"sysctl -qw {key}={before}")


def test_a_name_leads_guests_straight_to_the_guest_and_the_guest_to_itself(published: Story) -> None:
    own = published.guests["dev"].address()
    assert inside(published, "dev", 80, address="www.example.org") == own
    assert inside(published, "box", 80, address="www.example.org") == "10.10.10.50"


@pytest.mark.parametrize("walled", [True, False], ids=["firewall", "no firewall"])
def test_a_neighbour_of_the_uplink_gets_there_by_the_published_port_alone(published: Story, walled: bool) -> None:
    published.apply(spec(published, FORWARDS + (FIREWALL if walled else "")), f"firewall: {walled}")
    lab, route = published.host.lab, ["10.10.10.0/24", "via", published.host.address]
    lab.run_in("provider", ["ip", "route", "add", *route], check=True)
    try:
        assert outside(published, 80, netns="provider", address="10.10.10.50") == "silent"
        assert re.fullmatch(r"198\.51\.100\.[0-9]+", outside(published, 80, netns="provider"))
    finally:
        lab.run_in("provider", ["ip", "route", "del", *route])
        published.apply(spec(published), "as before")


def test_rules_deleted_in_the_kernel_are_seen_and_put_back(published: Story) -> None:
    published.apply(spec(published, sync="approve"), "only look")
    published.host.sh("nft flush chain inet passerelle_forwards published")
    items = published.field.wait_for(published.drift, "the drift")
    assert {(i["resource"], i["field"], i["where"], i["moved"]) for i in items} == {
        ("inet passerelle_forwards published", "rules", "live", "host")
    }
    assert outside(published, 80) == "silent"
    published.apply(spec(published), "put it back")
    assert outside(published, 80) == INET
    assert published.drift() == []


def test_a_question_has_one_answer_and_packets_agree(published: Story) -> None:
    box, host = "10.10.10.50", published.host.address
    questions = [
        (("outside", "host", "80"), "ACCEPT", box, outside(published, 80)),
        (("outside", host, "81"), "DROP", "", outside(published, 81)),
        ((CTL, host, "2222"), "DROP", "", outside(published, 2222, netns="ctl")),
        (("dev", host, "8080"), "ACCEPT", "leaves as 10.10.10.1", inside(published, "dev", 8080)),
        (("host", host, "5001"), "ACCEPT", box, host_itself(published, 5001)),
    ]
    work = str(published.field.room / "work")
    for (source, dest, port), verdict, nat, packet in questions:
        words = ["--host", "pve1", "--from", source, "--to", dest, "--proto", "tcp", "--dport", port, "-o", "json"]
        said = json.loads(published.field.run("trace", *words).stdout)
        assert said == json.loads(published.field.run("trace", "--repo", work, *words).stdout)
        assert (said["verdict"], packet == "silent") == (verdict, verdict == "DROP")
        assert nat in " ".join(said["nat"])
        query = f"from={source}&to={dest}&proto=tcp&dport={port}"
        assert said.items() <= published.field.get(f"hosts/pve1/trace?{query}").items()


def test_a_forward_of_the_management_port_is_refused(published: Story) -> None:
    taken = FORWARDS.replace("ports: [80]", "ports: [80, 22]")
    commit = published.push(spec(published, taken + FIREWALL), "publish SSH")

    def refused() -> bool:
        now = published.status()
        return bool(now.get("observed_commit") == commit and now["phase"] == "Refused")

    published.field.wait_for(refused, "it is refused", timeout_s=40)
    assert (
        "198.51.100.11:22, by which the service reaches this host from 198.18.0.10, would be taken by a forward: "
        "tcp/22,80 on enp1s0 to box (10.10.10.50), hosts/pve1.yaml:"
    ) in published.status()["message"]
    assert published.host.ssh_answers()
    published.apply(spec(published), "leave SSH alone")


def test_the_plan_says_what_follows_and_from_what(published: Story) -> None:
    published.apply(story_without(published), "nothing published")
    commit = published.push(spec(published, sync="approve"), "publish again")
    published.wait_status(observed_commit=commit)
    plan = published.field.wait_for(lambda: plan_with_steps(published), "the plan")
    derived = {entry["thing"]: entry["cause"] for entry in plan["body"]["derived"]}
    web = "forwards: tcp/80 on enp1s0 to box (10.10.10.50)"
    assert derived["DNAT 198.51.100.11 tcp/80 to 10.10.10.50"] == web
    other = "forwards: tcp/8080 on enp1s0 to 10.10.10.50 port 80"
    assert derived["FORWARD ACCEPT -dest 10.10.10.50 -p tcp -dport 80"] == f"{web}; {other}"
    opened = "opens tcp/80 on 198.51.100.11 from anywhere, which leads to 10.10.10.50"
    assert opened in plan["body"]["reachability"]
    assert f"  + {opened}" in published.field.run("plan", "pve1").stdout.decode()
    published.apply(spec(published), "publish again, at once")
    assert_published(published)


def story_without(story: Story) -> str:
    return spec(story, FIREWALL)


def plan_with_steps(story: Story) -> dict[str, Any]:
    status, plan = story.field.ask("GET", f"hosts/{story.host.name}/plan")
    is_there = status == 200 and any("passerelle_forwards" in step["fact"] for step in plan["body"]["steps"])
    return dict(plan) if is_there else {}


def test_it_is_there_again_after_a_reboot(published: Story) -> None:
    published.host.reboot()
    published.guests["dev"].wait_for_address()
    published.field.wait_for(lambda: published.guests["box"].address() == "10.10.10.50", "box is up", timeout_s=30)
    serve(published)
    assert_published(published)
    published.wait_synced(published.status()["applied_commit"])
    assert published.drift() == []
