"""The firewall with real packets: from outside, from a guest, from a neighbour of the uplink, and after a reboot."""

import json
from collections.abc import Iterator

import pytest

from tests.e2e.repository import Repository
from tests.e2e.story import Story

pytestmark = [pytest.mark.lab(minutes=2), pytest.mark.every_suite(full=True)]

FLEET = """\
passerelle: 1
firewall:
  policy_in: drop
  policy_out: accept
  ipsets:
    monitors: [198.18.0.0/24, "!198.18.0.10"]
  rules:
    - {type: in, action: accept, macro: Ping, source: +monitors}
"""
RULES = """\
firewall:
  rules:
    - {type: in, action: accept, macro: SSH}
    - {type: in, action: accept, proto: tcp, dport: 8006}
    - {type: in, action: accept, macro: HTTP, source: 198.18.0.80}
    - {type: in, action: reject, proto: tcp, dport: 8007}
"""
LISTEN = """\
import select, socket
waiting = [socket.create_server(("", port)) for port in (80, 8006, 8007, 9999)]
while True:
    for one in select.select(waiting, [], [])[0]:
        one.accept()[0].close()
"""
CONNECT = """\
import socket, sys
try:
    socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=2).close()
    print("open")
except ConnectionRefusedError:
    print("refused")
except OSError:
    print("silent")
"""
TABLE = "nft -j list table inet passerelle"


def push(story: Story, spec: str, subject: str, fleet: str = FLEET) -> str:
    return story.field.push({"fleet.yaml": fleet, f"hosts/{story.host.name}.yaml": spec}, subject)


def apply(story: Story, spec: str, subject: str, fleet: str = FLEET) -> str:
    commit = push(story, spec, subject, fleet)
    story.wait_synced(commit)
    return commit


def listen(story: Story) -> None:
    """Something that answers on every port of interest."""
    story.host.write("/root/listen.py", LISTEN)
    story.host.sh("systemctl reset-failed probe 2>/dev/null; systemd-run -q --unit=probe python3 /root/listen.py")
    story.field.wait_for(lambda: ":9999" in story.host.sh("ss -Hltn"), "the probe listens", timeout_s=20)


def outside(story: Story, port: int, netns: str = "inet") -> str:
    """What a connection from outside gets: open, refused or silent."""
    done = story.host.lab.run_in(netns, ["python3", "-c", CONNECT, story.host.address, str(port)], timeout_s=10)
    return str(done.stdout).strip()


def inside(story: Story, guest: str, address: str, port: int) -> str:
    done = story.guests[guest].exec(["python3", "-c", CONNECT, address, str(port)], timeout_s=10)
    return str(done.stdout).strip()


@pytest.fixture(scope="module")
def walled(story: Story) -> Iterator[Story]:
    """The seed's host behind its firewall."""
    apply(story, story.spec() + RULES, "a firewall")
    listen(story)
    yield story
    apply(story, story.spec(), "no firewall", "passerelle: 1\n")
    assert "inet passerelle\n" not in story.host.sh("nft list tables")


def assert_walled(story: Story) -> None:
    """Every verdict of the spec, by packets."""
    assert {port: outside(story, port) for port in (22, 80, 8006, 8007, 9999, 53)} == {
        22: "open", 80: "open", 8006: "open", 8007: "refused", 9999: "silent", 53: "silent",
    }  # fmt: skip
    assert outside(story, 80, "ctl") == "silent"
    assert {port: inside(story, "dev", "10.10.10.1", port) for port in (53, 8006, 9999)} == {
        53: "open", 8006: "open", 9999: "silent",
    }  # fmt: skip


@pytest.mark.every_suite
def test_what_is_allowed_is_reached_and_the_rest_is_not(walled: Story) -> None:
    walled.guests["dev"].wait_for_address()
    assert_walled(walled)


def test_a_set_with_an_exception_lets_some_ping(walled: Story) -> None:
    ping = ["busybox", "ping", "-c1", "-W2", walled.host.address]
    assert walled.host.lab.run_in("inet", ping).returncode == 0
    assert walled.host.lab.run_in("ctl", ping).returncode != 0


@pytest.mark.every_suite
def test_dhcp_and_dns_work_though_all_else_is_dropped(walled: Story) -> None:
    for name in ("dev", "alpine"):
        walled.guests[name].stop()
        walled.guests[name].start()
        walled.guests[name].wait_for_address()
    assert walled.pings("alpine", "dev")
    assert walled.pings("box", "dev.madyanne.lan")
    assert walled.address_seen_outside("dev").split()[0] == "198.51.100.11"


def test_a_neighbour_of_the_uplink_does_not_reach_a_guest(walled: Story) -> None:
    lab, route = walled.host.lab, ["10.10.10.0/24", "via", walled.host.address]
    apply(walled, walled.spec(sync="approve") + RULES, "only look")

    def reached() -> str:
        done = lab.run_in("provider", ["python3", "-c", CONNECT, "10.10.10.50", "22"], timeout_s=10)
        return str(done.stdout).strip()

    lab.run_in("provider", ["ip", "route", "add", *route], check=True)
    try:
        assert reached() == "silent"
        walled.host.sh("nft flush chain inet passerelle prerouting")
        assert reached() == "refused"  # by the guest itself: nothing else would stop it
        apply(walled, walled.spec() + RULES, "put it back")
        assert reached() == "silent"
    finally:
        lab.run_in("provider", ["ip", "route", "del", *route])


@pytest.mark.every_suite
def test_a_rule_deleted_in_the_kernel_is_seen_and_put_back(walled: Story) -> None:
    apply(walled, walled.spec(sync="approve") + RULES, "only look")
    rules = [item["rule"] for item in json.loads(walled.host.sh(TABLE))["nftables"] if "rule" in item]
    handle = next(r["handle"] for r in rules if r["chain"] == "input" and "8006" in json.dumps(r["expr"]))
    walled.host.sh(f"nft delete rule inet passerelle input handle {handle}")
    items = walled.field.wait_for(walled.drift, "the drift")
    assert {(i["resource"], i["field"], i["where"], i["moved"]) for i in items} == {
        ("inet passerelle input", "rules", "live", "host")
    }
    assert outside(walled, 8006) == "silent"
    apply(walled, walled.spec() + RULES, "put it back")
    assert outside(walled, 8006) == "open"
    assert walled.drift() == []


def test_foreign_tables_stay_as_they_are(walled: Story) -> None:
    walled.host.sh("nft add table inet foreign; nft add chain inet foreign c; nft add rule inet foreign c counter")
    before = walled.host.sh("nft -s list table inet foreign; iptables-save 2>/dev/null | grep -v '^#'; true")
    apply(walled, walled.spec() + RULES + "    - {type: in, action: drop, macro: SMB}\n", "one rule more")
    after = walled.host.sh("nft -s list table inet foreign; iptables-save 2>/dev/null | grep -v '^#'; true")
    assert after == before
    walled.host.sh("nft delete table inet foreign")
    apply(walled, walled.spec() + RULES, "one less")


def test_the_seeds_broken_state_cannot_be_pushed(walled: Story) -> None:
    commit = push(walled, walled.spec() + RULES + "  derive: false\n", "derive nothing")

    found = Repository(walled.field).revision(commit)
    assert found["state"] == "refused"
    found = walled.field.get(f"revisions/{commit}")["findings"]
    errors = {f["rule"]: f for f in found if f["severity"] == "error"}
    assert {"firewall.dhcp-blocked", "firewall.dns-blocked"} <= errors.keys()
    assert errors["firewall.dhcp-blocked"]["right"].startswith(
        "add {type: in, action: accept, iface: vmbr0, proto: udp, dport: 67} to `firewall.rules`"
    )
    apply(walled, walled.spec() + RULES, "derive again")
    assert_walled(walled)


def test_a_firewall_that_shuts_the_service_out_is_refused(walled: Story) -> None:
    commit = push(walled, walled.spec() + RULES.replace("macro: SSH", "macro: SSH, source: 192.0.2.1"), "shut out")

    def refused() -> bool:
        now = walled.status()
        return bool(now.get("observed_commit") == commit and now["phase"] == "Refused")

    walled.field.wait_for(refused, "it is refused", timeout_s=40)
    assert "the firewall would keep 198.18.0.10 from 198.51.100.11:22" in walled.status()["message"]
    apply(walled, walled.spec() + RULES, "let in")


@pytest.mark.every_suite
def test_it_is_there_again_after_a_reboot(walled: Story) -> None:
    walled.host.reboot()
    walled.guests["dev"].wait_for_address()
    listen(walled)
    assert_walled(walled)
    walled.wait_synced(walled.status()["applied_commit"])
    assert walled.drift() == []
