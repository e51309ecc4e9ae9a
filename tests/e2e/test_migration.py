"""The seed's migration: the same spec on a second, empty host, with only its name and addresses changed."""

import pytest

from tests.e2e.story import Story
from tests.lab_fixtures import FreshHost

pytestmark = pytest.mark.lab


def test_the_spec_on_an_empty_host_gives_the_same_result(fresh_host: FreshHost, story: Story) -> None:
    second = Story(fresh_host("pve2"), story.field)
    second.guests["dev"] = second.host.guest_add("dev", mac="BC:24:11:00:01:01")
    second.guests["alpine"] = second.host.guest_add("alpine", sort="silent", mac="BC:24:11:00:01:02")
    moved = second.spec().replace("BC:24:11:00:00", "BC:24:11:00:01")
    second.apply(moved, "pve1's networks on pve2")
    for path in ("/etc/dnsmasq.d/passerelle.conf", "/etc/sysctl.d/60-passerelle.conf", "/etc/passerelle/nft.d/nat.nft"):
        assert second.host.read(path) == story.host.read(path)
    theirs = story.host.read("/etc/network/interfaces").decode()
    assert second.host.read("/etc/network/interfaces").decode() == theirs.replace(
        story.host.address, second.host.address
    )
    second.guests["dev"].wait_for_address()
    second.guests["alpine"].wait_for_address()
    assert second.pings("dev", "alpine")
    assert second.address_seen_outside("dev").split()[0] == second.host.address
    assert second.port_53_owners() == {"dnsmasq"}
