"""Network facts against the real kernel, in a network namespace of the test's own."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.hostside.scratch import ID, NEXT_ID, Answer, Scratch, nft_value

pytestmark = pytest.mark.host

REAL = ("ip", "nft", "iptables", "iptables-save", "ip6tables", "ip6tables-save")
TABLE = """table inet passerelle_nat {
	chain post {
		type nat hook postrouting priority srcnat; policy accept;
		ip saddr 10.10.10.0/24 oifname "up0" counter masquerade
	}
}"""
BRIDGE = {"type": "bridge", "up": True, "stp": False, "forward_delay_s": 0}


class KernelHost(Scratch):
    """A scratch host whose kernel is real: its own network namespace with an uplink, a bridge and two guests."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.namespace = subprocess.Popen(["unshare", "-n", "sh", "-c", "echo ready; exec sleep 600"], stdout=-1)
        assert self.namespace.stdout is not None
        self.namespace.stdout.readline()
        for name in REAL:
            (self.bin / name).unlink(missing_ok=True)
            (self.bin / name).symlink_to(shutil.which(name, path="/usr/sbin") or "")
        shutil.rmtree(self.root / "proc")
        (self.root / "proc").symlink_to("/proc")
        for line in """
            link set lo up
            link add up0 type veth peer name up0far
            link set up0 up
            link set up0far up
            addr add 198.51.100.11/24 broadcast + dev up0
            addr add fd51::11/64 dev up0 nodad
            link add vmbr0 type bridge
            link add veth1 type veth peer name guest1
            link add veth2 type veth peer name guest2
            link set veth1 master vmbr0 up
            link set veth2 master vmbr0 up
            link set vmbr0 address 02:00:00:00:00:77 up
            addr add 10.10.10.1/24 dev vmbr0
            route add default via 198.51.100.1 dev up0 onlink proto kernel
            route add 192.0.2.0/24 via 198.51.100.2
            -6 route add default via fd51::1 dev up0 metric 7
            -6 route add fd99::/64 via fd51::2
        """.strip().splitlines():
            self.run("ip", *line.split())

    def run(self, *words: str) -> str:
        entered = ["nsenter", "-t", str(self.namespace.pid), "-n", "--", *words]
        return subprocess.run(entered, check=True, capture_output=True, text=True).stdout

    def command(self, *words: str) -> list[str]:
        return ["nsenter", "-t", str(self.namespace.pid), "-n", "--", *super().command(*words)]

    def capture(self, *facts: str) -> dict[str, Any]:
        return dict(self.call("capture", give=list(facts))["facts"])

    def apply(self, *steps: Answer, keep: list[Answer] | None = None) -> Answer:
        return self.begin(self.document(steps=list(steps), keep=keep or [], checks=[], blobs={}))

    def picture(self) -> str:
        """The network as the kernel's own tools show it, without what differs on its own (indices, lifetimes)."""
        links = sorted(self.run("ip", "-o", "link", "show").splitlines(), key=lambda line: line.split(": ")[1])
        shown = [line.partition(": ")[2].replace("\\", "") for line in links]
        for words in ("-o addr show scope global", "-4 route show table main", "-6 route show table main"):
            lines = [line for line in self.run("ip", *words.split()).splitlines() if not line.startswith("fe80::")]
            shown += sorted((line.partition(": ")[2] or line).replace(" tentative", "") for line in lines)
        shown += [self.run("nft", "-s", "list", "ruleset"), self.run("cat", "/proc/sys/net/ipv4/ip_forward")]
        return "\n".join(shown)


@pytest.fixture
def host(tmp_path: Path) -> Iterator[KernelHost]:
    host = KernelHost(tmp_path)
    yield host
    host.namespace.kill()
    host.namespace.communicate()


def test_what_is_captured_is_what_was_set_up(host: KernelHost) -> None:
    names = ("link:vmbr0", "link:up0", "link:nosuch", "addresses:up0", "addresses:nosuch", "routes:default")
    facts = host.capture(*names, "sysctl:net.ipv4.ip_forward")
    ports = [{"name": "veth1", "up": True}, {"name": "veth2", "up": True}]
    bridge = {"type": "bridge", "up": True, "mtu": 1500, "master": None, "stp": False, "forward_delay_s": 15}
    assert facts == {
        "link:vmbr0": {**bridge, "ports": ports},
        "link:up0": {"type": "other", "up": True, "mtu": 1500, "master": None},
        "link:nosuch": None,
        "addresses:up0": ["198.51.100.11/24", "fd51::11/64"],
        "addresses:nosuch": None,
        "routes:default": [
            {"family": 4, "via": "198.51.100.1", "dev": "up0"},
            {"family": 6, "via": "fd51::1", "dev": "up0"},
        ],
        "sysctl:net.ipv4.ip_forward": "0",
    }


def test_a_bridge_that_was_made_goes_again(host: KernelHost) -> None:
    before = host.picture()
    wanted = {**BRIDGE, "mtu": 1400, "ports": []}
    answer = host.apply(
        host.step("link:vmbr9", None, wanted), host.step("addresses:vmbr9", None, ["10.9.0.1/24", "fd09::1/64"])
    )
    assert answer["state"] == "applied", answer
    assert host.capture("link:vmbr9")["link:vmbr9"] == {**wanted, "master": None}
    assert host.capture("addresses:vmbr9") == {"addresses:vmbr9": ["10.9.0.1/24", "fd09::1/64"]}
    assert host.call("rollback", ID)["state"] == "rolled_back"
    assert host.picture() == before


def test_a_bridge_that_was_deleted_comes_back_with_its_guests_attached_and_up(host: KernelHost) -> None:
    before = host.picture()
    link = host.capture("link:vmbr0")["link:vmbr0"]
    answer = host.apply(host.step("link:vmbr0", link, None), host.step("addresses:vmbr0", ["10.10.10.1/24"], None))
    assert answer["state"] == "applied", answer
    assert "vmbr0" not in host.picture()
    assert host.call("rollback", ID)["state"] == "rolled_back"
    assert host.capture("link:vmbr0")["link:vmbr0"] == link
    assert host.picture() == before


def test_a_guest_that_left_meanwhile_is_no_failed_rollback(host: KernelHost) -> None:
    answer = host.apply(host.step("link:vmbr0", BRIDGE | {"forward_delay_s": 15}, None))
    assert answer["state"] == "applied", answer
    host.run("ip", "link", "del", "veth2")
    assert host.call("rollback", ID)["state"] == "rolled_back"
    assert host.capture("link:vmbr0")["link:vmbr0"]["ports"] == [{"name": "veth1", "up": True}]


def test_a_change_of_a_bridge_leaves_its_guests_alone(host: KernelHost) -> None:
    before = host.picture()
    wanted = {"type": "bridge", "stp": True, "forward_delay_s": 4, "mtu": 1400, "up": True}
    assert host.apply(host.step("link:vmbr0", {"stp": False}, wanted))["state"] == "applied"
    found = host.capture("link:vmbr0")["link:vmbr0"]
    assert (found["stp"], found["forward_delay_s"], found["mtu"], len(found["ports"])) == (True, 4, 1400, 2)
    assert host.call("rollback", ID)["state"] == "rolled_back"
    assert host.picture() == before


def test_an_uplink_that_is_put_into_a_bridge_comes_out_again_with_its_routes(host: KernelHost) -> None:
    before = host.picture()
    steps = [
        host.step("addresses:up0", ["198.51.100.11/24", "fd51::11/64"], []),
        host.step("link:vmbr0", {"type": "bridge"}, {"ports": [{"name": "up0", "up": True}]}),
        host.step("addresses:vmbr0", ["10.10.10.1/24"], ["10.10.10.1/24", "198.51.100.11/24"]),
    ]
    assert host.apply(*steps)["state"] == "applied"
    assert host.capture("link:up0")["link:up0"]["master"] == "vmbr0"
    assert host.call("rollback", ID)["state"] == "rolled_back"
    assert host.picture() == before


def test_a_link_that_was_set_down_comes_back_with_its_routes(host: KernelHost) -> None:
    before = host.picture()
    assert host.apply(host.step("link:up0", {"up": True}, {"up": False}))["state"] == "applied"
    assert "default" not in host.run("ip", "route", "show")
    assert host.call("rollback", ID)["state"] == "rolled_back"
    assert host.picture() == before


def test_a_new_primary_address_keeps_the_secondary_that_the_kernel_takes_along(host: KernelHost) -> None:
    host.run("ip", "addr", "add", "198.51.100.50/24", "dev", "up0")
    host.run("sysctl", "-qw", "net.ipv4.conf.all.promote_secondaries=0", "net.ipv4.conf.up0.promote_secondaries=0")
    before = host.picture()
    old = ["198.51.100.11/24", "198.51.100.50/24", "fd51::11/64"]
    new = ["198.51.100.12/24", "198.51.100.50/24", "fd51::11/64"]
    route = host.capture("routes:default")["routes:default"]
    keep = [host.step("routes:default", route, route)]
    assert host.apply(host.step("addresses:up0", old, new), keep=keep)["state"] == "applied"
    assert host.capture("addresses:up0", "routes:default") == {"addresses:up0": new, "routes:default": route}
    assert "192.0.2.0/24 via 198.51.100.2" in host.run("ip", "route", "show")
    assert host.call("rollback", ID)["state"] == "rolled_back"
    assert sorted(host.capture("addresses:up0")["addresses:up0"]) == old
    assert host.picture().replace(" secondary", "") == before.replace(" secondary", "")


def test_a_default_route_is_replaced_and_comes_back_as_it_was(host: KernelHost) -> None:
    before = host.picture()
    old = host.capture("routes:default")["routes:default"]
    new = [{"family": 4, "via": "10.10.10.254", "dev": "vmbr0"}]
    assert host.apply(host.step("routes:default", old, new))["state"] == "applied"
    assert host.capture("routes:default")["routes:default"] == new
    assert host.call("rollback", ID)["state"] == "rolled_back"
    assert host.picture() == before


def test_forwarding_is_switched_on_and_off(host: KernelHost) -> None:
    before = host.picture()
    assert host.apply(host.step("sysctl:net.ipv4.ip_forward", "0", "1"))["state"] == "applied"
    assert host.run("cat", "/proc/sys/net/ipv4/ip_forward") == "1\n"
    assert host.call("rollback", ID)["state"] == "rolled_back"
    assert host.picture() == before


def test_an_own_table_is_made_replaced_and_deleted_whole(host: KernelHost) -> None:
    before = host.picture()
    fact = "nft:inet passerelle_nat"
    assert host.apply(host.step(fact, None, {"load": TABLE}))["state"] == "applied"
    first = host.capture(fact)[fact]
    assert TABLE.replace("counter", "counter") in host.run("nft", "-s", "list", "ruleset")
    assert host.call("confirm", ID)["state"] == "confirmed"
    second = TABLE.replace("10.10.10.0/24", "10.10.20.0/24")
    document = host.document(NEXT_ID, 2, steps=[host.step(fact, first, {"load": second})], keep=[], checks=[], blobs={})
    assert host.begin(document)["state"] == "applied"
    assert "10.10.20.0/24" in host.run("nft", "list", "ruleset")
    assert host.call("rollback", NEXT_ID)["state"] == "rolled_back"
    assert host.capture(fact)[fact]["normal"] == first["normal"]
    last = host.document(
        "01JD0000000000000000000002", 3, steps=[host.step(fact, first, None)], keep=[], checks=[], blobs={}
    )
    assert host.begin(last)["state"] == "applied"
    assert host.call("confirm", last["id"])["state"] == "confirmed"
    assert host.picture() == before


def test_a_table_that_the_kernel_refuses_leaves_the_old_one_in_force(host: KernelHost) -> None:
    fact = "nft:inet passerelle_nat"
    host.apply(host.step(fact, None, {"load": TABLE}))
    host.call("confirm", ID)
    before = host.picture()
    broken = nft_value(TABLE.replace("masquerade", "goto nowhere"))
    document = host.document(NEXT_ID, 2, steps=[host.step(fact, host.capture(fact)[fact], broken)], keep=[], blobs={})
    assert host.begin({**document, "checks": [["nft", "inet passerelle_nat"]]})["reason"] == "check"
    document.update(checks=[], generation=3)
    assert host.begin(document)["state"] == "rolled_back"
    assert host.picture() == before


def test_masquerading_that_was_doubled_becomes_one_rule_and_two_again(host: KernelHost) -> None:
    rule = ["POSTROUTING", "-s", "10.10.10.0/24", "-o", "up0", "-j", "MASQUERADE"]
    for _ in range(2):
        host.run("iptables", "-t", "nat", "-A", *rule)
    host.run("iptables", "-t", "nat", "-A", *rule, "-m", "comment", "--comment", "a 'b' c")
    host.run(
        "iptables", "-t", "nat", "-A", "POSTROUTING", "-s", "10.10.10.7", "-o", "up0", "-p", "tcp", "-j", "MASQUERADE"
    )
    fact = "masquerade:10.10.10.0/24>up0"
    assert host.capture(fact, "masquerade:10.10.10.7/32>up0") == {fact: 3, "masquerade:10.10.10.7/32>up0": 0}
    answer = host.apply(host.step(fact, 3, 1))
    assert answer["state"] == "applied", answer
    assert host.run("iptables-save", "-t", "nat").count("-s 10.10.10.0/24") == 1
    assert host.call("rollback", ID)["state"] == "rolled_back"
    assert host.capture(fact) == {fact: 3}
    document = host.document(NEXT_ID, 2, steps=[host.step(fact, 3, 0)], keep=[], checks=[], blobs={})
    assert host.begin(document)["state"] == "applied"
    assert host.run("iptables-save", "-t", "nat").count("-s 10.10.10.0/24") == 0
    assert host.run("iptables-save", "-t", "nat").count("10.10.10.7") == 1


def test_a_link_that_is_not_there_cannot_be_wanted(host: KernelHost) -> None:
    before = host.picture()
    answer = host.apply(host.step("link:up9", None, {"type": "other", "up": True}))
    assert (answer["state"], answer["error"]) == ("rolled_back", "there is no link up9")
    assert host.picture() == before


def test_a_gateways_address_on_the_host_itself_is_never_confirmed(scratch: Scratch) -> None:
    before = scratch.state()
    document = scratch.document()
    step = next(step for step in document["steps"] if step["fact"] == "addresses:enp1s0")
    step["after"] = ["198.51.100.1/24", "198.51.100.11/24"]
    answer = scratch.begin(document)
    assert (answer["state"], answer["cause"]) == ("rolled_back", "verify failed")
    assert answer["error"] == "198.51.100.1 is the gateway and one of this host's own addresses as well"
    assert scratch.state() == before


def test_an_address_with_a_peer_goes_whole_and_comes_back_with_its_peer(host: KernelHost) -> None:
    host.run("ip", "addr", "add", "203.0.113.11/32", "peer", "203.0.113.1/32", "dev", "up0")
    before = host.picture()
    fact = "addresses:up0"
    have = host.capture(fact)[fact]
    assert have.count("203.0.113.11/32") == 1
    host.apply(host.step(fact, have, [address for address in have if address != "203.0.113.11/32"]))
    assert "203.0.113.11" not in host.picture()
    host.expire()
    assert host.journal()["verified_old"] is True
    assert host.picture() == before


def test_an_address_that_ifreload_left_with_several_peers_counts_once_and_goes_whole(host: KernelHost) -> None:
    for peer in ("203.0.113.1/32", "203.0.113.2/32"):
        host.run("ip", "addr", "add", "203.0.113.11/32", "peer", peer, "dev", "up0")
    fact = "addresses:up0"
    have = host.capture(fact)[fact]
    assert have.count("203.0.113.11/32") == 1
    host.apply(host.step(fact, have, [address for address in have if address != "203.0.113.11/32"]))
    assert "203.0.113.11" not in host.picture()
    assert host.call("status")["journals"][0]["state"] == "applied"


def test_each_interface_forwards_as_before_when_the_hosts_own_switch_goes_back(host: KernelHost) -> None:
    folder = "/proc/sys/net/ipv4/conf"
    host.run("sh", "-c", f"echo 1 >{folder}/vmbr0/forwarding")  # as ifupdown2 does to a bridge with an address
    shown = f"cd {folder}; grep -H . */forwarding"
    before = host.run("sh", "-c", shown)
    assert "vmbr0/forwarding:1" in before
    assert "up0/forwarding:0" in before
    assert host.apply(host.step("sysctl:net.ipv4.ip_forward", "0", "1"))["state"] == "applied"
    assert ":0" not in host.run("sh", "-c", shown)
    assert host.call("rollback", ID)["state"] == "rolled_back"
    assert host.run("sh", "-c", shown) == before


def test_an_interface_that_does_not_forward_is_set_alone(host: KernelHost) -> None:
    host.run("sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward; echo 0 >/proc/sys/net/ipv4/conf/vmbr0/forwarding")
    fact = "sysctl:net.ipv4.conf.vmbr0.forwarding"
    assert host.capture(fact) == {fact: "0"}
    assert host.apply(host.step(fact, "0", "1"))["state"] == "applied"
    assert host.capture(fact) == {fact: "1"}
    assert host.call("rollback", ID)["state"] == "rolled_back"
    assert host.capture(fact) == {fact: "0"}


def test_an_address_that_another_machine_has_is_not_there_and_the_apply_is_rolled_back(host: KernelHost) -> None:
    host.run(*["ip", "addr", "add", "fd51::99/64", "dev", "up0far", "nodad"])
    before = host.picture()
    wanted = ["198.51.100.11/24", "fd51::11/64", "fd51::99/64"]
    answer = host.apply(host.step("addresses:up0", wanted[:2], wanted))
    assert answer["state"] == "rolled_back", answer
    assert "another machine on the network of up0 has fd51::99/64" in answer["error"]
    assert host.picture() == before


def test_an_address_that_another_machine_has_is_told_when_the_kernel_knows_it_before_the_next_look(
    host: KernelHost,
) -> None:
    host.run(*["ip", "addr", "add", "fd51::99/64", "dev", "up0far", "nodad"])
    own = host.bin / "ip"
    real = own.readlink()
    own.unlink()
    known = f"while ! {real} addr show dev up0 | grep -q dadfailed; do sleep 0.1; done"
    wait = f"case \"$*\" in 'addr add fd51::99'*) timeout 10 sh -c '{known}' ;; esac"
    own.write_text(f'#!/bin/sh\nPATH=/usr/bin:/bin:/usr/sbin\n{real} "$@" || exit $?\n{wait}\n')
    own.chmod(0o755)
    wanted = ["198.51.100.11/24", "fd51::11/64", "fd51::99/64"]
    answer = host.apply(host.step("addresses:up0", wanted[:2], wanted))
    assert answer["state"] == "rolled_back", answer
    assert "another machine on the network of up0 has fd51::99/64" in answer["error"]


def test_an_address_is_tried_again_when_the_other_machine_is_gone(host: KernelHost) -> None:
    host.run(*["ip", "addr", "add", "fd51::99/64", "dev", "up0far", "nodad"])
    host.run(*["ip", "addr", "add", "fd51::99/64", "dev", "up0"])
    words = "while ! ip addr show dev up0 | grep -q dadfailed; do sleep 0.1; done; ip addr del fd51::99/64 dev up0far"
    host.run("timeout", "10", "sh", "-c", words)
    assert host.capture("addresses:up0") == {"addresses:up0": ["198.51.100.11/24", "fd51::11/64"]}
    wanted = ["198.51.100.11/24", "fd51::11/64", "fd51::99/64"]
    answer = host.apply(host.step("addresses:up0", wanted[:2], wanted))
    assert answer["state"] == "applied", answer
    assert host.capture("addresses:up0") == {"addresses:up0": wanted}
