"""Hosts with Debian's own kernel, for what the machine's may lack: links, carriers, an apply and its next boots."""

import json
from collections.abc import Iterator

import pytest

from service.lab import VirtualHost
from service.lab.field import Field
from tests.e2e.story import Story

pytestmark = [pytest.mark.lab(minutes=6), pytest.mark.timeout(1500)]
"""The emulated processor is slow: a boot takes 20 s of CPU time, and more on the clock while other tests run."""

SPEC = """\
host: {name}
platform: debian
sync: auto
connection:
  address: {address}
  host_keys: [{host_key}]
interfaces:
  enp1s0: {{addresses: [{addresses}], gateway: 198.51.100.1}}
{vlans}"""
VLANS = """\
vlans:
  enp1s0.20: {addresses: [10.20.0.1/24]}
  other30: {parent: enp1s0, id: 30, addresses: [10.30.0.1/24]}
"""
PEER = """
set -e
ip netns add peer
ip link set enp2s0 netns peer
ip -n peer link set enp2s0 up
for id in 20 30; do
    ip -n peer link add link enp2s0 name at$id type vlan id $id
    ip -n peer address add 10.$id.0.2/24 dev at$id
    ip -n peer link set at$id up
    ping -c 3 -W 5 10.$id.0.2 >&2
done
for id in 20 30; do ip netns exec peer cat /sys/class/net/at$id/statistics/rx_packets; done
ip netns del peer
"""
"""The second card is at the provider's switch, too. In a namespace of its own it is another host on the same trunk."""
SECOND = "198.51.100.201/24"
LINKS = """
set -e
ip netns add links
in="ip -n links link"
$in add card type veth peer name cable
$in add link card name card.20 type vlan id 20
$in add vmbr0 type bridge vlan_filtering 1
$in set card master vmbr0
bridge -n links vlan add dev card vid 20
$in add bond0 type bond mode active-backup miimon 100
$in set cable master bond0
$in add wg0 type wireguard
bridge -n links -j vlan show dev card
ip netns del links
"""


@pytest.fixture(scope="module")
def field_of_it(second_kernel_host: VirtualHost) -> Iterator[Field]:
    with Field.open(second_kernel_host.lab, poll_s="1", observe_s="5") as opened:  # type: ignore[arg-type]
        yield opened


def test_its_kernel_has_vlans_filtering_bonds_and_wireguard(second_kernel_host: VirtualHost) -> None:
    [shown] = json.loads(second_kernel_host.sh(LINKS))
    assert [vlan["vlan"] for vlan in shown["vlans"]] == [1, 20]


def test_a_pulled_cable_takes_the_carrier_and_the_console_stays(second_kernel_host: VirtualHost) -> None:
    second_kernel_host.sh("ip link set enp2s0 up")
    carrier = "cat /sys/class/net/enp2s0/carrier"
    assert second_kernel_host.sh(carrier) == "1\n"
    with second_kernel_host.unplugged(2):
        assert second_kernel_host.sh(carrier) == "0\n"
    with second_kernel_host.faults.cable_down():
        assert second_kernel_host.sh("cat /sys/class/net/enp1s0/carrier") == "0\n"
        assert not second_kernel_host.ssh_answers(timeout_s=1)
    second_kernel_host.wait_for_ssh()


def assert_both_vlans_talk(host: VirtualHost) -> None:
    """Tagged packets pass the switch in both VLANs, and each arrives in its own."""
    in_20, in_30 = host.sh(PEER, timeout_s=60).split()
    assert int(in_20) > 0
    assert int(in_30) > 0
    host.sh("until [ -e /sys/class/net/enp2s0 ]; do sleep 0.1; done", timeout_s=20)


def test_applied_addresses_and_vlans_are_there_after_a_reboot_and_after_a_power_cut(
    second_kernel_host: VirtualHost, field_of_it: Field
) -> None:
    host = second_kernel_host
    story = Story(host, field_of_it)
    own = f"{host.address}/24"
    values = {"name": host.name, "address": host.address, "host_key": host.host_key}
    story.apply(SPEC.format(**values, addresses=own, vlans=""), f"say {host.name}")
    commit = story.apply(SPEC.format(**values, addresses=f"{own}, {SECOND}", vlans=VLANS), "an address and two VLANs")
    assert story.status()["applied_commit"] == commit
    assert story.addresses("enp1s0") == [own, SECOND]
    assert_both_vlans_talk(host)
    first = host.boot_id()
    host.reboot()
    assert story.addresses("enp1s0") == [own, SECOND]
    assert_both_vlans_talk(host)
    second = host.boot_id()
    host.power_cut()
    assert story.addresses("enp1s0") == [own, SECOND]
    assert_both_vlans_talk(host)
    assert len({first, second, host.boot_id()}) == 3
    story.wait_synced(commit)
