"""A real host is retired: passerelle goes, the guests notice nothing, people still get in."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.lab.waiting import grown_s
from tests.e2e.story import Story

pytestmark = pytest.mark.lab(minutes=2)

PERSON = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPnMuRArpXCMB2oMafDHiIjr90HGUiuvwRcPlZ9pAPrT me@laptop\n"
KEYS = "/root/.ssh/authorized_keys"


@pytest.fixture
def given_back(story: Story) -> Iterator[Story]:
    """A retired host does not let the service in any more; the next tests of this worker need one that does."""
    yield story
    story.host.fresh()


def passerelle(story: Story, at: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    """A command in the controller's network, with the lab's key as the service's own."""
    argv = ["nsenter", f"--net={story.host.lab.netns('ctl')}", "--", sys.executable, "-m", "service", *words]
    environment = {
        "PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).parents[2]),
        "PASSERELLE_STATE_DIR": str(at / "none"), "PASSERELLE_SSH_KEY": str(story.host.lab.key),
    }  # fmt: skip
    return subprocess.run(argv, cwd=at, env=environment, capture_output=True, text=True, timeout=grown_s(120))


def test_a_retired_host_keeps_its_network_and_nothing_of_the_service(given_back: Story, tmp_path: Path) -> None:
    story, host = given_back, given_back.host
    story.apply(story.spec(), "as usual")
    story.guests["dev"].wait_for_address()
    observed = story.spec(sync="observe")
    story.push(observed, "nothing is applied any more")
    line = passerelle(story, tmp_path, "key").stdout
    host.write(KEYS, PERSON + line)  # the line that the docs tell people to add, restrictions included
    (tmp_path / "hosts").mkdir()
    (tmp_path / "fleet.yaml").write_text("passerelle: 1\n")
    (tmp_path / "hosts" / "pve1.yaml").write_text(observed)
    assert passerelle(story, tmp_path, "plan", "pve1", "--repo", ".").returncode == 0, "the line lets the service in"

    look = "ip -br address; nft list ruleset; systemctl is-active dnsmasq; systemctl is-enabled passerelle-nft"
    before = host.sh(look)
    done = passerelle(story, tmp_path, "retire", "pve1", "--repo", ".", "--yes")
    assert done.returncode == 0, done.stderr
    assert "/etc/dnsmasq.d/passerelle.conf" in done.stdout
    assert host.read(KEYS).decode() == PERSON
    assert (
        host.sh("ls -d /var/lib/passerelle*; systemctl list-unit-files 'passerelle-recover*' --no-legend", check=False)
        == ""
    )
    assert "passerelle-watch" not in host.sh("systemctl list-units --all 'passerelle-*' --no-legend", check=False)
    assert host.sh(look) == before
    refused = passerelle(story, tmp_path, "plan", "pve1", "--repo", ".")
    assert refused.returncode != 0
    assert "does not accept the service's key" in refused.stderr

    host.reboot()
    story.guests["dev"].wait_for_address()
    assert "masquerade" in host.sh("nft list ruleset")
