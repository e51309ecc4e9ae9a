"""What only the next boot shows: refused where it would lose the host, proven by reboots where it is applied."""

import json

import pytest

from service.lab import Lab
from service.lab.field import Field
from tests.e2e.evidence import evidence
from tests.e2e.story import NAT, Story

pytestmark = pytest.mark.lab(minutes=2)

HEAD = """\
host: {name}
sync: auto
connection:
  address: {address}
  host_keys: [{host_key}]
  confirm_timeout: 30s
{extra}"""
CARD = "interfaces:\n  enp1s0: {addresses: [198.51.100.11/24], gateway: 198.51.100.1}\n"
LEFT_OUT = CARD.replace(", gateway: 198.51.100.1", "")
SINGLE = """\
interfaces:
  enp1s0: {addresses: [198.51.100.11/32, "2001:db8:51::11/128"], gateway: 198.51.100.1, gateway6: "2001:db8:77::1"}
"""
BRIDGE = "bridges:\n  vmbr0: {addresses: [10.10.10.1/24], ports: [], stp: false, forward_delay: 0}\n"
ALLOW = "  allow_management_change: true\n"
POINT_TO_POINT = """\
auto lo
iface lo inet loopback

auto enp1s0
iface enp1s0 inet static
\taddress 198.51.100.11
\tnetmask 255.255.255.255
\tgateway 198.51.100.1
\tpointopoint 198.51.100.1
"""
NETWORKD = "[Match]\nName=enp1s0\n\n[Network]\nAddress=198.51.100.11/24\nGateway=198.51.100.1\n"
BY_NETWORKD = "/etc/systemd/network/10-uplink.network"


@pytest.fixture
def bare(lab: Lab, suite: str, field: Field) -> Story:
    """pve1 as a provider hands it over. First the service wants nothing of it: it would apply the last test's spec.
    That this commit is accepted is not enough: a round that began before may still wait for its connection.
    """
    story = Story(lab.host("pve1"), field)
    commit = story.push(spec(story, "").replace("sync: auto", "sync: observe"), "only look")
    story.wait_status(observed_commit=commit)
    story.host.fresh(suite=suite)
    return story


def spec(story: Story, sections: str, extra: str = "") -> str:
    host = story.host
    return HEAD.format(name=host.name, address=host.address, host_key=host.host_key, extra=extra) + sections


def refused(story: Story, commit: str) -> dict[str, str]:
    """The refusals of a commit, by rule."""
    story.wait_status(observed_commit=commit, phase="Refused")
    return {r["rule"]: r["what"] for r in story.field.get(f"hosts/{story.host.name}/plan")["body"]["refusals"]}


def wait_reachable(story: Story) -> None:
    """The host was looked at since it came back."""
    story.wait_status(reachability="Reachable")
    story.wait_rounds(1)


def test_a_spec_without_the_gateway_is_refused_and_a_reboot_keeps_the_host(bare: Story) -> None:
    bare.apply(spec(bare, CARD), "as it is")
    before = evidence(bare.host)
    rule = {"management-path": "at the next boot no route to 198.18.0.10 is left"}
    assert refused(bare, bare.push(spec(bare, LEFT_OUT), "the gateway is left out")) == rule
    assert refused(bare, bare.push(spec(bare, LEFT_OUT, ALLOW), "insist")) == rule
    assert evidence(bare.host) == before
    bare.host.reboot()
    wait_reachable(bare)
    assert [route["gateway"] for route in bare.default_routes()] == ["198.51.100.1"]


def test_a_gateway_on_the_link_is_applied_and_boots(bare: Story) -> None:
    bare.apply(spec(bare, CARD), "as it is")
    bare.guests["box"] = bare.host.guest_add("box", sort="static", address="10.10.10.50/24")
    commit = bare.apply(spec(bare, SINGLE + BRIDGE + NAT), "single addresses")
    text = bare.host.read("/etc/network/interfaces").decode()
    assert "address 198.51.100.11/32" in text
    assert "gateway 2001:db8:77::1" in text
    bare.host.reboot()
    wait_reachable(bare)
    bare.wait_synced(commit)
    assert bare.addresses("enp1s0") == ["198.51.100.11/32"]
    for found, gateway in (
        (bare.default_routes(), "198.51.100.1"),
        (bare.json("ip -6 -j route show default"), "2001:db8:77::1"),
    ):
        assert [(route["gateway"], route["flags"]) for route in found] == [(gateway, ["onlink"])]
    bare.field.wait_for(bare.guests["box"].is_plugged, "the guest is on its bridge")
    bare.field.wait_for(lambda: bare.address_seen_outside("box"), "the guest gets out", timeout_s=30)
    assert bare.address_seen_outside("box").split()[0] == bare.host.address


def test_a_point_to_point_uplink_is_met_and_its_address_can_change(lab: Lab, bare: Story) -> None:
    bare.host.fresh(files={"/etc/network/interfaces": POINT_TO_POINT})
    card = CARD.replace("11/24", "11/32")
    commit = bare.apply(spec(bare, card), "as it is")
    plan = bare.field.get(f"hosts/{bare.host.name}/plan")["body"]
    assert (plan["steps"], plan["drifts"], plan["at_boot"]) == ([], [], [])
    more = spec(bare, card.replace("11/32]", "11/32, 198.51.100.77/32]"))
    commit = bare.apply(more, "a second address")
    bare.host.reboot()
    wait_reachable(bare)
    bare.wait_synced(commit)
    peer = bare.json("ip -j -4 address show dev enp1s0")[0]["addr_info"][0]
    assert (peer["local"], peer["address"]) == ("198.51.100.11", "198.51.100.1")


def test_a_host_that_networkd_runs_gets_no_interfaces_file(bare: Story) -> None:
    bare.host.sh("mkdir -p /etc/systemd/network")
    bare.host.write(BY_NETWORKD, NETWORKD)
    bare.host.write("/etc/network/interfaces", "auto lo\niface lo inet loopback\n")
    bare.host.sh("systemctl disable networking && systemctl enable systemd-networkd")
    bare.host.reboot()
    found = refused(bare, bare.push(spec(bare, BRIDGE), "a bridge"))
    assert set(found) == {"not-ifupdown"}
    assert found["not-ifupdown"].startswith("the network of this host is brought up by systemd-networkd")
    assert bare.host.read("/etc/network/interfaces") == b"auto lo\niface lo inet loopback\n"
    assert "vmbr0" not in bare.host.sh("ip -br link")
    bare.apply(spec(bare, ""), "nothing of the network")
    bare.host.sh("systemctl enable networking")  # a mixed host: ifupdown runs the bridge, networkd the uplink
    commit = bare.apply(spec(bare, BRIDGE), "the bridge alone")
    assert refused(bare, bare.push(spec(bare, CARD + BRIDGE), "the uplink, too")).keys() == {"not-ifupdown"}
    bare.host.reboot()
    assert bare.addresses("vmbr0") == ["10.10.10.1/24"]
    assert commit


def test_a_drill_that_reboots_proves_that_the_host_comes_back(bare: Story) -> None:
    commit = bare.apply(spec(bare, CARD + BRIDGE + NAT), "as it is, with a bridge")
    name, boot = bare.host.name, bare.host.boot_id()
    routes = "ip route show table all; ip -6 route show table main; ip -br address"
    before = bare.host.sh(routes)
    assert bare.field.run("drill", name, "--reboot", check=False).returncode == 1  # nobody to ask
    done = bare.field.run("drill", name, "--reboot", "--yes", "-o", "json", check=False)
    found = json.loads(done.stdout)
    shown = f"before:\n{before}\nnow:\n{bare.host.sh(routes)}"
    assert (done.returncode, found["state"], found["error"]) == (0, "Passed", ""), shown
    assert [proof["name"] for proof in found["proofs"]][-3:] == ["reboot", "boot restore", "connection after it"]
    assert bare.host.boot_id() != boot
    assert bare.host.sh("ls /etc/passerelle-drill-* 2>/dev/null || true") == ""
    bare.wait_synced(commit)
    commit = bare.push(spec(bare, "").replace("sync: auto", "sync: approve"), "the spec lets the network go")
    bare.wait_status(observed_commit=commit)
    bare.host.write("/etc/network/interfaces", "auto lo\niface lo inet loopback\n")
    boot = bare.host.boot_id()
    refused_drill = bare.field.run("drill", name, "--reboot", "--yes", "-o", "json", check=False)
    assert "the host was not rebooted: at the next boot enp1s0" in json.loads(refused_drill.stdout)["error"]
    assert bare.host.boot_id() == boot
