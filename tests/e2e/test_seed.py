"""The seed's host: described in Git, pushed, and there: rows 1, 2, 3, 8, 9 and 11 of what it asks for."""

import pytest

from tests.e2e.story import Story

pytestmark = [pytest.mark.lab(minutes=2), pytest.mark.every_suite]


def test_the_uplink_has_its_address_and_the_only_default_route(story: Story) -> None:
    assert story.addresses("enp1s0") == ["198.51.100.11/24"]
    assert [(r["gateway"], r["dev"]) for r in story.default_routes()] == [("198.51.100.1", "enp1s0")]


def test_the_bridge_is_up_with_its_address_without_spanning_tree(story: Story) -> None:
    assert story.addresses("vmbr0") == ["10.10.10.1/24"]
    assert story.host.sh(
        "cat /sys/class/net/vmbr0/bridge/stp_state /sys/class/net/vmbr0/bridge/forward_delay"
    ).split() == ["0", "0"]
    assert "UP" in story.json("ip -j link show vmbr0")[0]["flags"]


def test_guests_of_all_sorts_leave_under_the_uplinks_address(story: Story) -> None:
    for name in ("dev", "alpine"):
        story.guests[name].wait_for_address()
    for name in ("dev", "alpine", "box"):
        assert story.address_seen_outside(name).split()[0] == "198.51.100.11"
    assert story.masquerades() == 1


def test_port_53_belongs_to_dnsmasq_and_bind_is_out(story: Story) -> None:
    assert story.port_53_owners() == {"dnsmasq"}
    assert story.host.sh("systemctl is-active named; systemctl is-enabled named; true").split() == [
        "inactive",
        "disabled",
    ]


def test_a_guest_pings_another_by_its_short_name_even_a_silent_one(story: Story) -> None:
    address = story.guests["dev"].wait_for_address()
    story.guests["alpine"].wait_for_address()
    assert address.split("/")[0].startswith("10.10.10.")
    assert story.pings("alpine", "dev")
    assert story.pings("dev", "alpine")
    assert story.pings("box", "dev.madyanne.lan")


def test_every_directive_of_the_seeds_file_is_written_and_taken(story: Story) -> None:
    text = story.host.read("/etc/dnsmasq.d/passerelle.conf").decode()
    lines = {line for line in text.splitlines() if line and not line.startswith("#")}
    assert lines >= {
        "domain-needed", "bogus-priv", "no-poll", "no-hosts", "no-dhcp-interface=enp1s0", "interface=vmbr0",
        "expand-hosts", "domain=madyanne.lan", "dhcp-authoritative", "dhcp-leasefile=/var/lib/misc/dnsmasq.leases",
        "dhcp-range=10.10.10.100,10.10.10.200,255.255.255.0,12h", "dhcp-option=3,10.10.10.1",
        "dhcp-option=6,10.10.10.1", "dhcp-option=19,1", "cache-size=256", "log-facility=/var/log/dnsmasq.log",
    }  # fmt: skip
    assert story.host.exec(["dnsmasq", "--test"]).returncode == 0
    story.guests["dev"].wait_for_address()
    assert "BC:24:11:00:00:01".lower() in story.host.read("/var/lib/misc/dnsmasq.leases").decode()


def test_leases_are_known_to_the_api_with_the_guests_names(story: Story) -> None:
    address = story.guests["dev"].wait_for_address().split("/")[0]
    leases = story.field.wait_for(lambda: story.field.items("leases?name=dev"), "the lease of dev is seen")
    assert {(lease["ip"], lease["mac"], lease["active"]) for lease in leases} == {(address, "bc:24:11:00:00:01", True)}


@pytest.mark.every_suite(full=True)
def test_ten_applies_leave_one_masquerade_and_every_guest_attached(story: Story) -> None:
    for turn in range(10):
        story.apply(story.spec(cache_size=300 + turn), f"cache of {300 + turn}")
    assert story.masquerades() == 1
    assert all(guest.is_plugged() for guest in story.guests.values())
    assert story.pings("box", "dev")
    story.apply(story.spec(), "as before")


def test_what_is_there_comes_back_after_a_reboot(story: Story) -> None:
    story.host.reboot()
    story.guests["dev"].wait_for_address()
    assert story.addresses("vmbr0") == ["10.10.10.1/24"]
    assert story.masquerades() == 1
    assert story.port_53_owners() == {"dnsmasq"}
    assert [r["gateway"] for r in story.default_routes()] == ["198.51.100.1"]
    assert story.address_seen_outside("dev").split()[0] == "198.51.100.11"
    commit = story.status()["applied_commit"]
    story.wait_synced(commit)
    assert story.drift() == []


@pytest.mark.every_suite(full=True)
def test_without_its_nat_section_the_masquerade_is_gone(story: Story) -> None:
    story.apply(story.spec(nat=""), "no NAT")
    assert story.masquerades() == 0
    assert story.host.sh("ls /etc/passerelle/nft.d 2>/dev/null || true").split() == []
    story.apply(story.spec(), "NAT again")
    assert story.masquerades() == 1
