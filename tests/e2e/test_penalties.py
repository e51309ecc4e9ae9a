"""Debian 13's sshd counts failed logins by address (PerSourcePenalties). A compressed day of all that the service does.

Others behind its address fail to log in. Exempted it is never refused; where it is refused it says so, begins nothing,
and comes back on its own.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.evidence import transactions
from tests.e2e.story import Story

pytestmark = [
    pytest.mark.lab(minutes=3),
    pytest.mark.parametrize("suite", ["trixie"], indirect=True, scope="module"),
]

CONTROLLER = "198.18.0.10"
EXEMPT = "/etc/ssh/sshd_config.d/passerelle.conf"
FIRST_WORDS = (
    "import socket, sys; s = socket.create_connection((sys.argv[1], 22), 3); s.settimeout(3); print(s.recv(40))"
)
APPLIES, DRILLS = (8, 2) if os.environ.get("TESTS_FULL") else (4, 1)
"""More logins within minutes than a day has of them: some nine an apply, four a drill."""


@pytest.fixture
def stranger(tmp_path: Path, story: Story) -> Path:
    """A key that the host does not know."""
    path = tmp_path / "stranger"
    done = story.host.lab.run_in("ctl", ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)])
    assert done.returncode == 0, done.stderr
    return path


def others_fail(story: Story, stranger: Path, times: int) -> None:
    """So many failed logins at once, of others behind the controller's address."""
    options = "-o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o IdentitiesOnly=yes"
    one = f"timeout 20 ssh -F none {options} -i {stranger} root@{story.host.address} true"
    story.host.lab.run_in("ctl", ["sh", "-c", f"for n in $(seq {times}); do {one} & done; wait"], timeout_s=60)


def is_refused(story: Story) -> bool:
    """Whether sshd turns a new connection from the controller's address away."""
    asked = story.host.lab.run_in("ctl", ["python3", "-c", FIRST_WORDS, story.host.address], timeout_s=10)
    return "Not allowed at this time" in str(asked.stdout)


def drops(story: Story) -> int:
    """How many connections sshd turned away for a penalty, by its own log."""
    return int(story.host.sh("journalctl -u ssh -o cat | grep -c 'drop connection.*penalty' || true"))


@contextmanager
def exempted(story: Story) -> Iterator[None]:
    story.host.sh(f"echo 'PerSourcePenaltyExemptList {CONTROLLER}' > {EXEMPT} && systemctl reload ssh")
    try:
        yield
    finally:
        story.host.sh(f"rm {EXEMPT} && systemctl reload ssh")


def test_a_compressed_day_without_others_is_never_refused(story: Story) -> None:
    before = drops(story)
    for number in range(3):
        story.apply(story.spec(cache_size=300 + number), f"change {number}")
    assert json.loads(story.field.run("drill", "pve1", "-o", "json").stdout)["state"] == "Passed"
    assert drops(story) == before
    assert not is_refused(story)


def test_a_compressed_day_beside_others_whose_logins_fail(story: Story, stranger: Path) -> None:
    story.apply(story.spec(), "as usual")
    with exempted(story):
        before = drops(story)
        for number in range(APPLIES):
            others_fail(story, stranger, 4)
            story.apply(story.spec(cache_size=400 + number), f"change {number}")
            if number % (APPLIES // DRILLS) == 0:
                others_fail(story, stranger, 4)
                drilled = json.loads(story.field.run("drill", "pve1", "-o", "json").stdout)
                assert drilled["state"] == "Passed", drilled
        assert drops(story) == before
        assert [apply["phase"] for apply in story.applies()[:APPLIES]] == ["Succeeded"] * APPLIES
        now = story.status()
        assert (now["sync"], now["health"], now["reachability"]) == ("Synced", "Healthy", "Reachable")


def test_without_the_exemption_it_says_so_begins_nothing_and_comes_back(story: Story, stranger: Path) -> None:
    story.apply(story.spec(), "as usual")
    done = set(transactions(story.host))
    others_fail(story, stranger, 10)
    assert is_refused(story)
    commit = story.push(story.spec(cache_size=500), "while it is refused")

    def said() -> str:
        message = str(story.status()["message"])
        return message if "PerSourcePenalties" in message else ""

    message = story.field.wait_for(said, "the penalty is told", timeout_s=30)
    assert f"PerSourcePenaltyExemptList {CONTROLLER}" in message
    assert story.status()["health"] != "Healthy"
    assert set(transactions(story.host)) == done  # nothing was begun that could not be confirmed
    story.wait_synced(commit)
    assert story.field.get("hosts/pve1/latches")["items"] == []
    ends = [apply["phase"] for apply in story.applies() if apply["commit"] == commit]
    assert ends[0] == "Succeeded"
    assert "RolledBack" not in ends
