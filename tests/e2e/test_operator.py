"""What an operator does next to the service: a host set up by hand before, `ifreload -a`, reboots."""

import pytest

from service.lab import Lab
from service.lab.field import Field
from tests.e2e.story import Story

pytestmark = pytest.mark.lab(minutes=1)

BY_HAND = b"""\
    auto lo
    iface lo inet loopback

    auto enp1s0
    iface enp1s0 inet static
            address  198.51.100.11
            netmask  255.255.255.0
            gateway  198.51.100.1

    auto vmbr0
    iface vmbr0 inet static
            address  10.10.10.1
            netmask  255.255.255.0
            bridge_ports none
            bridge_stp off
            bridge_fd 0
            post-up echo 1 > /proc/sys/net/ipv4/ip_forward
            post-up iptables -t nat -A POSTROUTING -s '10.10.10.0/24' -o enp1s0 -j MASQUERADE
            post-down iptables -t nat -D POSTROUTING -s '10.10.10.0/24' -o enp1s0 -j MASQUERADE
"""
KEEPS = b"            bridge-ports-condone-regex ^(tap|veth|fwpr)\n"


@pytest.fixture(scope="module")
def by_hand(lab: Lab, field: Field, suite: str) -> Story:
    """A host whose bridge and NAT somebody made by hand long ago, under the spec that says the same."""
    host = lab.host("pve1")
    host.fresh(suite=suite)
    host.write("/etc/network/interfaces", BY_HAND)
    host.sh("systemctl restart networking")
    made = Story(host, field)
    made.guests["dev"] = host.guest_add("dev", mac="BC:24:11:00:00:01")
    made.guests["box"] = host.guest_add("box", sort="static", address="10.10.10.50/24")
    made.apply(made.spec(), "pve1 as it stands")
    return made


def test_nat_that_a_post_up_line_makes_is_met_and_one_line_keeps_the_guests(by_hand: Story) -> None:
    lines = by_hand.host.read("/etc/network/interfaces").splitlines(keepends=True)
    assert b"".join(line for line in lines if line != KEEPS) == BY_HAND
    assert lines.count(KEEPS) == 1
    assert by_hand.masquerades() == 1
    assert by_hand.host.sh("ls /etc/passerelle/nft.d 2>/dev/null || true") == ""


def test_after_an_operators_ifreload_the_guests_are_attached_and_nat_is_made_once(by_hand: Story) -> None:
    by_hand.host.sh("ifreload -a; ifreload -a")
    assert all(guest.is_plugged() for guest in by_hand.guests.values())
    by_hand.field.wait_for(lambda: by_hand.masquerades() == 1, "the doubled rules are one again", timeout_s=60)
    assert by_hand.address_seen_outside("box").split()[0] == by_hand.host.address


def test_where_nothing_differs_there_is_no_plan_and_nothing_to_apply(by_hand: Story) -> None:
    name = by_hand.host.name
    by_hand.apply(by_hand.spec(), "as usual")
    assert by_hand.field.get(f"hosts/{name}/plan")["body"]["steps"] == []
    shown = by_hand.field.run("plan", name, "--detailed-exitcode", check=False)
    assert (shown.returncode, shown.stdout) == (0, f"{name}: no changes\n".encode())
    assert by_hand.field.run("apply", name, "--yes", check=False).returncode == 0


def test_whoever_asks_to_apply_to_a_host_that_is_away_is_told_so(by_hand: Story) -> None:
    name = by_hand.host.name
    commit = by_hand.push(by_hand.spec(sync="approve", cache_size=700), "wait for a person")
    by_hand.wait_status(observed_commit=commit, phase="WaitingForApproval")
    with by_hand.host.faults.tcp_reset():
        told = by_hand.field.run("apply", name, "--yes", check=False)
    assert told.returncode == 4, told.stderr
    assert by_hand.applies()[0]["cause"] == "unreachable"
    by_hand.apply(by_hand.spec(), "as usual")


def test_dnsmasq_bound_to_its_bridge_serves_after_every_reboot(by_hand: Story) -> None:
    by_hand.apply(by_hand.spec().replace("  expand_hosts", "  bind_interfaces: true\n  expand_hosts"), "bind")
    for _ in range(2):
        by_hand.host.reboot()
        assert by_hand.host.sh("systemctl is-active dnsmasq").strip() == "active"
        assert by_hand.host.sh("systemctl show -p NRestarts --value dnsmasq").strip() == "0"
        assert by_hand.port_53_owners() == {"dnsmasq"}
