import pytest

from service.errors import LabError
from service.lab import Host
from service.lab.waiting import wait_for

pytestmark = pytest.mark.lab

MASQUERADE = "iptables -t nat -A POSTROUTING -s 10.10.10.0/24 -o enp1s0 -j MASQUERADE"


def test_three_sorts_of_guests_get_their_addresses_and_only_the_named_one_its_name(gateway_host: Host) -> None:
    dev = gateway_host.guest_add("dev")
    alpine = gateway_host.guest_add("alpine", sort="silent")
    box = gateway_host.guest_add("box", sort="static", address="10.10.10.50/24")
    assert box.wait_for_address() == "10.10.10.50"
    assert dev.wait_for_address().startswith("10.10.10.1")
    assert alpine.wait_for_address().startswith("10.10.10.1")
    leases = {
        line.split()[1]: line.split()[3] for line in gateway_host.sh("cat /var/lib/misc/dnsmasq.leases").splitlines()
    }
    assert leases == {dev.mac.lower(): "dev", alpine.mac.lower(): "*"}
    assert alpine.exec(["ping", "-c1", "-W5", "dev"]).returncode == 0
    assert "not known" in dev.exec(["ping", "-c1", "-W5", "alpine"]).stderr
    assert dev.exec(["hostname"]).stdout == "dev\n"


def test_a_guest_reaches_the_internet_only_through_masquerading(gateway_host: Host) -> None:
    box = gateway_host.guest_add("box", sort="static", address="10.10.10.50/24")
    box.wait_for_address()
    gateway_host.sh("echo 1 > /proc/sys/net/ipv4/ip_forward")
    ask = ["curl", "-s", "--max-time", "2", "http://198.18.0.80/"]
    assert box.exec(ask).stdout == ""
    gateway_host.sh(MASQUERADE)
    assert box.exec(ask).stdout == f"{gateway_host.address}\n"


def test_guests_come_back_into_the_bridge_after_a_reboot_with_their_addresses(gateway_host: Host) -> None:
    dev = gateway_host.guest_add("dev")
    once = gateway_host.guest_add("once", sort="static", address="10.10.10.51/24", autostart=False)
    address = dev.wait_for_address()
    once.wait_for_address()
    gateway_host.reboot()
    assert dev.wait_for_address() == address
    assert dev.is_plugged()
    assert once.address() == ""


def test_a_guest_waits_for_a_bridge_that_is_not_there_yet(host: Host) -> None:
    box = host.guest_add("box", sort="static", address="10.10.10.50/24")
    assert box.state() == "waiting for its bridge"
    with pytest.raises(LabError, match="guest box of pve1 does not run: waiting for its bridge"):
        box.exec(["true"])
    host.sh("ip link add vmbr0 type bridge; ip addr add 10.10.10.1/24 dev vmbr0; ip link set vmbr0 up")
    box.wait_for_address()
    wait_for(box.is_plugged, "the guest in its bridge", 10)
    assert host.exec(["ping", "-c1", "-W5", "10.10.10.50"]).returncode == 0


def test_a_renewal_asks_the_server_and_takes_what_it_says_now(gateway_host: Host) -> None:
    alpine = gateway_host.guest_add("alpine", sort="silent")
    before = alpine.wait_for_address()
    assert alpine.renew() == before
    gateway_host.write("/etc/dnsmasq.d/names", f"dhcp-host={alpine.mac},alpine,10.10.10.20\n")
    gateway_host.sh("systemctl restart dnsmasq")
    wait_for(lambda: alpine.renew() == "10.10.10.20", "the reserved address", 60, poll_s=1)
    assert gateway_host.exec(["dig", "+short", "@10.10.10.1", "alpine.madyanne.lan"]).stdout == "10.10.10.20\n"


def test_a_cable_can_be_pulled_and_a_guest_stopped_and_removed(gateway_host: Host) -> None:
    box = gateway_host.guest_add("box", sort="static", address="10.10.10.50/24")
    box.wait_for_address()
    box.unplug()
    assert not box.is_plugged()
    box.plug()
    assert box.is_plugged()
    box.stop()
    assert (box.state(), box.address()) == ("stopped", "")
    box.start()
    assert box.wait_for_address() == "10.10.10.50"
    box.remove()
    assert box.state() == "removed"
    wait_for(lambda: "veth-box" not in gateway_host.sh("ip link"), "the guest's link to go", 10)


def test_guests_that_cannot_be_are_errors(shared_host: Host) -> None:
    with pytest.raises(LabError, match="a static guest needs an address"):
        shared_host.guest_add("box", sort="static")
    with pytest.raises(LabError, match="no sort of guest 'loud': named, silent, static"):
        shared_host.guest_add("box", sort="loud")
    with pytest.raises(LabError, match="is not a name for a guest"):
        shared_host.guest_add("much-too-long")
