"""A fleet of Debian 12 and 13: one service, one repository, one spec; each host in its own release's words."""

from collections.abc import Iterator

import pytest

from service.lab import Lab
from service.lab.apt import SUITES
from service.lab.field import Field
from tests.e2e.story import Story

pytestmark = pytest.mark.lab(minutes=2)

FIREWALL = """\
firewall:
  rules:
    - {type: in, action: accept, macro: SSH}
    - {type: in, action: accept, proto: icmp, icmp_type: port-unreachable}
    - {type: in, action: accept, proto: icmp, icmp_type: host-prohibited}
    - {type: in, action: accept, proto: icmpv6, icmp_type: address-unreachable}
    - {type: in, action: drop, proto: icmp, icmp_type: network-redirect}
"""
NAMES = {"bookworm": "old", "trixie": "new"}


@pytest.fixture(scope="module")
def fleet(lab: Lab, field: Field) -> Iterator[list[Story]]:
    """A host of each release, bare at first, then as the same spec says."""
    stories = [Story(lab.add_host(NAMES[suite], suite=suite), field) for suite in SUITES]
    yield stories
    for story in stories:
        story.host.power_off()


def push(fleet: list[Story], sections: str, subject: str) -> None:
    """One commit for all of them; returns when each host is as it says."""
    files = {
        f"hosts/{story.host.name}.yaml": story.spec().replace("BC:24:11:00", f"BC:24:11:{number:02}") + sections
        for number, story in enumerate(fleet)
    }
    commit = fleet[0].field.push({"fleet.yaml": "passerelle: 1\n", **files}, subject)
    for story in fleet:
        story.wait_synced(commit)


def test_one_push_of_the_same_spec_is_in_force_on_both(fleet: list[Story]) -> None:
    push(fleet, "", "both as the seed says")
    for story in fleet:
        assert story.port_53_owners() == {"dnsmasq"}
        assert story.masquerades() == 1


def test_a_rule_for_one_code_of_icmp_holds_on_both_and_stays_in_sync(fleet: list[Story]) -> None:
    push(fleet, FIREWALL, "messages of ICMP")
    for story in fleet:
        story.wait_rounds()
        assert story.drift() == []
        rules = story.host.sh("nft -nn list chain inet passerelle input")
        assert "icmp type 3 icmp code 3 accept" in rules
    said = {story.host.name: story.host.sh("nft --version").split()[1] for story in fleet}
    assert said["old"] < "v1.1" < said["new"]


def test_what_is_there_comes_back_after_a_reboot_of_both(fleet: list[Story]) -> None:
    push(fleet, FIREWALL + "    - {type: in, action: drop, macro: SMB}\n", "as it has to be after a reboot")
    for story in fleet:
        story.host.reboot(wait=False)
    for story in fleet:
        story.host.wait_until_up()
        story.wait_rounds()
        assert story.drift() == []
        assert "icmp code 3" in story.host.sh("nft -nn list chain inet passerelle input")
