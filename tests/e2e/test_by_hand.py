"""What somebody changes on the host by hand is seen, in the kernel alone and in the file alone, and is restored."""

from dataclasses import dataclass

import pytest

from tests.e2e.story import Story

pytestmark = pytest.mark.lab(minutes=2)

INTERFACES = "/etc/network/interfaces"
CONF = "/etc/dnsmasq.d/passerelle.conf"
SYSCTL = "/etc/sysctl.d/60-passerelle.conf"
NAT_FILE = "/etc/passerelle/nft.d/nat.nft"
NAT = "10.10.10.0/24>enp1s0"


@dataclass(frozen=True)
class Edit:
    """A command, and the difference that it must make: resource, field, where."""

    name: str
    do: str
    resource: str
    field: str
    where: str


EDITS = [
    Edit("address added, kernel", "ip address add 10.99.0.1/24 dev vmbr0", "vmbr0", "addresses", "live"),
    Edit(
        "address added, file", rf"sed -i '/address 10.10.10.1/a\\taddress 10.99.0.1/24' {INTERFACES}",
        "vmbr0", "addresses", "file",
    ),
    Edit("bridge down, kernel", "ip link set vmbr0 down", "vmbr0", "up", "live"),
    Edit("bridge down, file", f"sed -i '/^auto vmbr0/d' {INTERFACES}", "vmbr0", "auto", "file"),
    Edit("ip_forward off, kernel", "sysctl -qw net.ipv4.ip_forward=0", "net.ipv4.ip_forward", "value", "live"),
    Edit("ip_forward off, file", f"sed -i 's/= *1/= 0/' {SYSCTL}", "net.ipv4.ip_forward", "value", "boot"),
    Edit("NAT rule deleted, kernel", "nft flush chain inet passerelle_nat postrouting", NAT, "masquerade", "live"),
    Edit("NAT rule deleted, file", f"sed -i '/masquerade/d' {NAT_FILE}", NAT, "masquerade", "boot"),
    Edit("dnsmasq's file edited", f"sed -i 's/cache-size=.*/cache-size=5/' {CONF}", CONF, "cache-size", "file"),
    Edit("dnsmasq stopped", "systemctl stop dnsmasq", "dnsmasq.service", "active", "live"),
    Edit("dnsmasq disabled", "systemctl disable dnsmasq", "dnsmasq.service", "enabled", "boot"),
    Edit(
        "default route added, kernel", "ip route add default via 198.51.100.77 metric 500",
        "default", "routes", "live",
    ),
    Edit(
        "default route added, file",
        rf"sed -i '/gateway 198/a\\tup ip route add default via 198.51.100.77' {INTERFACES}",
        "enp1s0", "gateways", "file",
    ),
    Edit("a file's mode changed", f"chmod 666 {CONF}", CONF, "mode", "file"),
    Edit("the interfaces file's mode changed", f"chmod 600 {INTERFACES}", INTERFACES, "mode", "file"),
]  # fmt: skip


@pytest.mark.parametrize("edit", EDITS, ids=lambda edit: edit.name)
def test_an_edit_by_hand_is_seen_and_put_back(story: Story, edit: Edit) -> None:
    story.apply(story.spec(), "all as it should be")
    story.apply(story.spec(sync="approve"), "only look")
    story.host.sh(edit.do)
    items = story.field.wait_for(story.drift, f"drift after: {edit.do}")
    keys = {(item["resource"], item["field"], item["where"], item["moved"]) for item in items}
    assert (edit.resource, edit.field, edit.where, "host") in keys
    assert {item["moved"] for item in items} == {"host"}
    story.field.wait_for(lambda: story.status()["reason"] == "Drifted", "the host's status says so")
    commit = story.apply(story.spec(), "put it back")
    story.wait_synced(commit)
    assert story.drift() == []
    assert story.masquerades() == 1
    assert all(guest.is_plugged() for guest in story.guests.values())
