"""A guest's own firewall with real packets: from outside, from another guest, from the host; and nobody in disguise."""

import json
from collections.abc import Iterator

import pytest

from service.lab import Guest
from tests.e2e.story import Story
from tests.e2e.test_firewall import CONNECT, FLEET, RULES, apply, inside, outside

pytestmark = pytest.mark.lab(minutes=1)

DEV, ADDRESS = "bc:24:11:00:00:01", "10.10.10.10"
GUEST = """\
    mac: "BC:24:11:00:00:01"
    address: 10.10.10.10
    port: veth-dev
    firewall:
      policy_out: reject
      rules:
        - {type: in, action: drop, source: 198.18.0.10}
        - {type: in, action: accept, macro: HTTP}
        - {type: in, action: reject, proto: tcp, dport: 8007}
        - {type: in, action: accept, proto: tcp, dport: 9999, source: 10.10.10.50}
        - {type: out, action: accept, macro: DNS, dest: 10.10.10.1}
        - {type: out, action: accept, macro: Ping}
"""
FORWARDS = "forwards:\n  - {in: enp1s0, ports: [80], to: dev}\n"
LISTEN = """\
import select, socket
waiting = [socket.create_server(("", port)) for port in (80, 8007, 9999, 10000)]
while True:
    for one in select.select(waiting, [], [])[0]:
        one.accept()[0].close()
"""


def spec(story: Story, sync: str = "auto") -> str:
    plain = '  dev: {mac: "BC:24:11:00:00:01"}\n'
    text = story.spec(sync=sync)
    assert plain in text
    rules = RULES.replace("HTTP, source: 198.18.0.80", "HTTP")
    return text.replace(plain, f"  dev:\n{GUEST}") + rules + FORWARDS


@pytest.fixture(scope="module")
def guarded(story: Story) -> Iterator[Story]:
    """The seed's host, one of its guests behind rules of its own."""
    apply(story, spec(story), "a guest with a firewall", FLEET)
    dev = story.guests["dev"]
    dev.stop()
    dev.start()
    story.field.wait_for(lambda: dev.address() == ADDRESS, "the guest has its fixed address", timeout_s=45)
    story.guests["alpine"].wait_for_address()
    dev.exec(["sh", "-c", "cat > /root/listen.py"], input=LISTEN, check=True)
    dev.exec(["sh", "-c", "python3 /root/listen.py >/dev/null 2>&1 &"], check=True)
    story.field.wait_for(lambda: inside(story, "dev", "127.0.0.1", 10000) == "open", "the guest listens")
    yield story
    apply(story, story.spec(), "no firewall", "passerelle: 1\n")
    assert "passerelle\n" not in story.host.sh("nft list tables").replace("passerelle_nat", "")
    dev.stop()
    dev.start()
    dev.wait_for_address()


def from_host(story: Story, port: int) -> str:
    return story.host.exec(["python3", "-c", CONNECT, ADDRESS, str(port)]).stdout.strip()


def test_a_guests_rules_hold_against_outside_other_guests_and_the_host(guarded: Story) -> None:
    ports = (80, 8007, 9999, 10000)
    assert {port: inside(guarded, "alpine", ADDRESS, port) for port in ports} == {
        80: "open", 8007: "refused", 9999: "silent", 10000: "silent",
    }  # fmt: skip
    assert {port: inside(guarded, "box", ADDRESS, port) for port in ports} == {
        80: "open", 8007: "refused", 9999: "open", 10000: "silent",
    }  # fmt: skip
    assert {port: from_host(guarded, port) for port in ports} == {
        80: "open", 8007: "refused", 9999: "silent", 10000: "silent",
    }  # fmt: skip
    assert outside(guarded, 80) == "open"
    assert outside(guarded, 80, "ctl") == "silent"


def test_a_guest_sends_only_what_its_rules_allow(guarded: Story) -> None:
    assert guarded.pings("dev", "alpine")
    assert inside(guarded, "dev", "10.10.10.1", 53) == "open"
    assert inside(guarded, "dev", "10.10.10.1", 8006) == "refused"
    assert inside(guarded, "dev", "10.10.10.50", 80) == "refused"
    assert guarded.address_seen_outside("dev") == ""
    seen = guarded.field.wait_for(
        lambda: guarded.address_seen_outside("alpine"), "another guest gets out", timeout_s=30
    )
    assert seen.split()[0] == guarded.host.address


def test_nobody_speaks_under_the_name_of_another(guarded: Story) -> None:
    dev, box, alpine = (guarded.guests[name] for name in ("dev", "box", "alpine"))

    def reaches(guest: Guest, source: str, dest: str) -> bool:
        return guest.exec(["busybox", "ping", "-c1", "-W2", "-I", source, dest]).returncode == 0

    dev.exec(["ip", "address", "add", "10.10.10.77/24", "dev", "eth0"], check=True)
    assert reaches(dev, ADDRESS, alpine.address())
    assert not reaches(dev, "10.10.10.77", alpine.address())
    # nor does the host get through to an address that is not the guest's
    guarded.host.sh("ip neigh replace 10.10.10.77 lladdr bc:24:11:00:00:01 dev vmbr0")
    assert guarded.host.exec(["ping", "-c1", "-W2", "10.10.10.77"]).returncode != 0
    guarded.host.sh("ip neigh del 10.10.10.77 dev vmbr0")
    dev.exec(["ip", "address", "del", "10.10.10.77/24", "dev", "eth0"], check=True)

    box.exec(["ip", "address", "add", "10.10.10.10/24", "dev", "eth0"], check=True)
    assert not reaches(box, ADDRESS, alpine.address())
    box.exec(["ip", "address", "del", "10.10.10.10/24", "dev", "eth0"], check=True)
    box.exec(["ip", "link", "set", "eth0", "address", DEV], check=True)
    assert not reaches(box, "10.10.10.50", alpine.address())
    box.exec(["ip", "link", "set", "eth0", "address", box.mac], check=True)
    guarded.field.wait_for(lambda: reaches(box, "10.10.10.50", alpine.address()), "box is itself again", timeout_s=20)
    assert from_host(guarded, 80) == "open"


def test_what_is_changed_by_hand_is_seen_and_put_back(guarded: Story) -> None:
    apply(guarded, spec(guarded, "approve"), "only look", FLEET)
    guarded.host.sh("nft flush chain inet passerelle in_dev")
    guarded.host.sh("nft flush chain bridge passerelle prerouting")
    guarded.host.sh("sysctl -qw net.bridge.bridge-nf-call-iptables=0")
    wanted = {
        ("inet passerelle in_dev", "rules", "live"),
        ("bridge passerelle prerouting", "rules", "live"),
        ("net.bridge.bridge-nf-call-iptables", "value", "live"),
    }

    def seen() -> bool:
        return {(item["resource"], item["field"], item["where"]) for item in guarded.drift()} == wanted

    guarded.field.wait_for(seen, "all of it is drift")
    assert inside(guarded, "alpine", ADDRESS, 10000) == "open"
    apply(guarded, spec(guarded), "put it back", FLEET)
    assert inside(guarded, "alpine", ADDRESS, 10000) == "silent"
    assert guarded.drift() == []


def test_a_question_is_answered_as_packets_are(guarded: Story) -> None:
    folder = guarded.field._work
    asked = {
        ("alpine", "dev", 80): "ACCEPT",
        ("alpine", "dev", 8007): "REJECT",
        ("alpine", "dev", 9999): "DROP",
        ("host", "dev", 9999): "DROP",
        ("dev", "host", 8006): "REJECT",
        ("dev", "outside", 443): "REJECT",
    }
    for (source, dest, port), verdict in asked.items():
        done = guarded.field.run(
            "trace", "--repo", str(folder), "--host", guarded.host.name, "--from", source, "--to", dest,
            "--proto", "tcp", "--dport", str(port), "-o", "json",
        )  # fmt: skip
        assert json.loads(done.stdout)["verdict"] == verdict, (source, dest, port)


def test_the_bridges_packets_pass_the_filter_again_after_somebody_switched_that_off(guarded: Story) -> None:
    """br_netfilter shows frames of a bridge to the filter only while this is on (kernel, ip-sysctl)."""
    key = "net.bridge.bridge-nf-call-iptables"
    assert guarded.host.sh(f"sysctl -n {key}").strip() == "1"
    apply(guarded, spec(guarded, "approve"), "only look", FLEET)
    guarded.host.sh(f"sysctl -qw {key}=0")
    items = guarded.field.wait_for(guarded.drift, f"drift after {key} = 0")
    assert [(i["resource"], i["field"], i["where"], i["moved"]) for i in items] == [(key, "value", "live", "host")]
    apply(guarded, spec(guarded), "put it back", FLEET)
    assert guarded.host.sh(f"sysctl -n {key}").strip() == "1"
    guarded.host.sh(f"sysctl -qw {key}=0")  # again, and nobody pushes anything
    guarded.field.wait_for(lambda: guarded.host.sh(f"sysctl -n {key}").strip() == "1", "it is put back")
    assert inside(guarded, "box", ADDRESS, 10000) == "silent"
