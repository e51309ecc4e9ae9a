"""Proxmox's firewall files on a host: written as they have to be, edits seen and reverted. The host runs no Proxmox."""

from collections.abc import Iterator

import pytest

from tests.e2e.story import Story

pytestmark = pytest.mark.lab

FLEET = "passerelle: 1\nfirewall: {policy_in: drop, aliases: {local_network: 198.18.0.10}}\n"
FIREWALL = """\
firewall:
  rules:
    - {type: in, action: accept, macro: SSH, source: 198.18.0.10, comment: the service}
"""
GUEST = '  dev: {mac: "BC:24:11:00:00:01", address: 10.10.10.10, vmid: 100, firewall: {policy_out: drop}}\n'
FILES = "/etc/pve/firewall/cluster.fw", "/etc/pve/nodes/pve1/host.fw", "/etc/pve/firewall/100.fw"


def spec(story: Story, sync: str = "auto") -> str:
    text = story.spec(sync=sync).replace("platform: debian", "platform: proxmox")
    plain = '  dev: {mac: "BC:24:11:00:00:01"}\n'
    assert plain in text
    return text.replace(plain, GUEST) + FIREWALL


def push(story: Story, text: str, subject: str, fleet: str = FLEET) -> str:
    return story.field.push({"fleet.yaml": fleet, f"hosts/{story.host.name}.yaml": text}, subject)


@pytest.fixture(scope="module")
def node(story: Story) -> Iterator[Story]:
    story.host.sh("mkdir -p /etc/pve/firewall /etc/pve/nodes/pve1")
    story.wait_synced(push(story, spec(story), "Proxmox's firewall"))
    yield story
    story.wait_synced(push(story, story.spec(), "no firewall", "passerelle: 1\n"))
    assert story.host.sh("ls /etc/pve/firewall").split() == ["100.fw", "cluster.fw"]  # left to Proxmox


def test_the_files_are_there_as_proxmox_has_them(node: Story) -> None:
    said = node.host.sh(f"stat -c '%n %a %U:%G' {' '.join(FILES)}").splitlines()
    assert said == [f"{path} 640 root:www-data" for path in FILES]
    assert "IN SSH(ACCEPT) -source 198.18.0.10 # the service\n" in node.host.sh(f"cat {FILES[1]}")
    assert "IN ACCEPT -i vmbr0 -p udp -dport 67 # dnsmasq serves DHCP on vmbr0\n" in node.host.sh(f"cat {FILES[1]}")
    table = node.host.sh("nft list table inet passerelle")
    assert 'iifname "enp1s0" ip daddr 10.10.10.0/24 drop' in table
    assert "hook input" not in table


def test_an_edit_in_the_gui_is_drift_and_is_put_back(node: Story) -> None:
    node.wait_synced(push(node, spec(node, "approve"), "only look"))
    node.host.sh(f"sed -i 's/policy_in: DROP/policy_in: ACCEPT/' {FILES[0]}; echo 'IN ACCEPT' >> {FILES[1]}")
    wanted = {(FILES[0], "option policy_in", "host"), (FILES[1], "rules", "host")}

    def seen() -> bool:
        return {(item["resource"], item["field"], item["moved"]) for item in node.drift()} == wanted

    node.field.wait_for(seen, "both edits are drift")
    node.wait_synced(push(node, spec(node), "put it back"))
    assert node.drift() == []
    assert "policy_in: DROP" in node.host.sh(f"cat {FILES[0]}")


def test_a_rule_set_that_shuts_the_service_out_is_refused(node: Story) -> None:
    commit = push(
        node,
        spec(node).replace("source: 198.18.0.10", "source: 192.0.2.9"),
        "shut out",
        FLEET.replace("198.18.0.10", "192.0.2.9"),
    )

    def refused() -> bool:
        now = node.status()
        return bool(now.get("observed_commit") == commit and now["phase"] == "Refused")

    node.field.wait_for(refused, "it is refused", timeout_s=40)
    assert "the firewall would keep 198.18.0.10 from 198.51.100.11:22" in node.status()["message"]
    node.wait_synced(push(node, spec(node), "let in"))
