"""What loads our own nft tables at boot is enabled as long as one of them is wanted, and leaves nothing behind."""

import pytest

from tests.e2e.story import NAT, Story

pytestmark = [pytest.mark.lab(minutes=1), pytest.mark.every_suite(full=True)]

UNIT = "/etc/systemd/system/passerelle-nft.service"
LINK = "/etc/systemd/system/sysinit.target.wants/passerelle-nft.service"
FIREWALL = """\
firewall:
  policy_in: drop
  policy_out: accept
  rules: [{type: in, action: accept, macro: SSH}]
"""


def loader(story: Story) -> str:
    """What there is of it on the host: its file, the link that enables it, what systemd says."""
    said = story.host.sh(
        f"test ! -e {UNIT} || echo file; test ! -L {LINK} || echo link; "
        "systemctl list-unit-files --no-legend passerelle-nft.service | awk '{print $2}'"
    )
    return " ".join(said.split())


def test_the_loader_goes_with_the_last_table_of_ours(story: Story) -> None:
    there = "file link enabled"
    assert loader(story) == there  # for NAT
    story.apply(story.spec() + FIREWALL, "NAT and a firewall")
    assert loader(story) == there
    story.apply(story.spec(nat="") + FIREWALL, "the firewall alone")
    assert loader(story) == there
    story.apply(story.spec(nat=""), "neither")
    assert (loader(story), story.drift()) == ("", [])
    assert "passerelle" not in story.host.sh("nft list tables; systemctl --failed --no-legend; true")
    story.apply(story.spec(nat=NAT), "NAT again")
    assert loader(story) == there
