"""The same MAC address, or the same address, on two hosts of a repository."""

import pytest

from tests.spec.test_fleet import Read, lines

MAC = '{mac: "BC:24:11:00:00:01"'
NETWORKS = {
    "a public network": ("198.51.100.1{}/24", "192.0.2.{}", f"dev: {MAC}}}", "guests.mac-in-one-network"),
    "its own address elsewhere": (
        "198.51.100.1{}/24", "192.0.2.{}", f"dev: {MAC}, address: 10.10.10.9}}", "guests.mac-on-two-hosts",
    ),
    "a private network of two sites": ("192.168.1.{}/24", "192.0.2.{}", f"dev: {MAC}}}", "guests.mac-on-two-hosts"),
    "a private network that the service is in": (
        "192.168.1.{}/24", "192.168.1.{}", f"dev: {MAC}}}", "guests.mac-in-one-network",
    ),
}  # fmt: skip


def test_a_mac_address_on_two_hosts_is_doubtful(read: Read, host: str) -> None:
    """A guest on its way, a restored copy, a twin for tests: networks behind two hosts are not one."""
    other = host.replace("pve1", "pve2").replace("198.51.100.11", "198.51.100.12").replace("00:00:02", "00:00:03")
    fleet = read({"hosts/pve1.yaml": host, "hosts/pve2.yaml": other})
    assert lines(fleet) == [
        "hosts/pve2.yaml:21:17: guests.dev.mac: bc:24:11:00:00:01 is also the MAC address of dev on pve1. Fix: correct "
        "one of the two, unless one is a copy or the guest is moving to the other host (warning) "
        "[guests.mac-on-two-hosts]"
    ]
    assert not fleet.has_errors


def wired(name: str, connection: str, network: str, guest: str) -> str:
    """A host whose guests are in the network of its own port. `network` has a place for the host's number."""
    return f"""\
host: {name}
platform: proxmox
sync: observe
connection:
  address: {connection}
  console: https://console.example.net/{name}
  host_keys: [ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPnMuRArpXCMB2oMafDHiIjr90HGUiuvwRcPlZ9pAPrT]
interfaces: {{eno1: {{}}}}
bridges: {{vmbr0: {{addresses: [{network.format(name[-1])}], ports: [eno1]}}, vmbr1: {{addresses: [10.10.10.1/24]}}}}
guests: {{{guest}}}
"""


@pytest.mark.parametrize("case", NETWORKS)
def test_a_mac_address_twice_in_one_network_is_wrong(read: Read, case: str) -> None:
    network, connection, guest, rule = NETWORKS[case]
    files = {f"hosts/pve{n}.yaml": wired(f"pve{n}", connection.format(n), network, guest) for n in (1, 2)}
    found = [one for one in read(files).findings if one.rule.startswith("guests.mac")]
    assert [one.rule for one in found] == [rule]
    assert (found[0].severity == "error") == (rule == "guests.mac-in-one-network")
    if rule == "guests.mac-in-one-network":
        assert found[0].what == (
            f"bc:24:11:00:00:01 is also the MAC address of dev on pve1, and both are in {network.format(0)} "
            "(by vmbr0 of pve1 and vmbr0 of pve2)"
        ).replace("198.51.100.10/24", "198.51.100.0/24")


def test_of_three_hosts_the_two_in_one_network_are_named(read: Read) -> None:
    guest = f"dev: {MAC}}}"
    networks = {1: "203.0.113.{}/24", 2: "198.51.100.1{}/24", 3: "198.51.100.1{}/24"}
    files = {f"hosts/pve{n}.yaml": wired(f"pve{n}", f"192.0.2.{n}", network, guest) for n, network in networks.items()}
    found = [one for one in read(files).findings if one.rule.startswith("guests.mac")]
    assert [(one.file, one.rule) for one in found] == [
        ("hosts/pve2.yaml", "guests.mac-on-two-hosts"),
        ("hosts/pve3.yaml", "guests.mac-in-one-network"),
    ]
    assert "dev on pve2, and both are in 198.51.100.0/24" in found[1].what


def test_two_hosts_at_one_address_are_wrong(read: Read, host: str) -> None:
    other = host.replace("pve1", "pve2").replace("BC:24:11", "BC:24:12")
    fleet = read({"hosts/pve1.yaml": host, "hosts/pve2.yaml": other})
    assert lines(fleet) == [
        "hosts/pve2.yaml:5:12: connection.address: pve1 (hosts/pve1.yaml) is reached at the same address and port. "
        "Fix: correct one of the two [connection.duplicate-address]"
    ]
    assert fleet.has_errors
    behind = other.replace("address: 198.51.100.11\n", "address: 198.51.100.11\n  port: 2222\n")
    assert lines(read({"hosts/pve1.yaml": host, "hosts/pve2.yaml": behind})) == []
