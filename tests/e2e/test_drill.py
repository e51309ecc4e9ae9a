"""A drill on a real host: it proves the switch, changes nothing, and fails loudly where the switch could not act."""

import json
from typing import Any

import pytest

from tests.e2e.evidence import evidence, transactions
from tests.e2e.story import Story

pytestmark = [pytest.mark.lab(minutes=2), pytest.mark.every_suite(full=True)]

ARMED = ["timer", "watcher", "boot unit", "way in"]
NAMES = [*ARMED, "watcher fired", "timer fired", "rollback", "new connection"]


def untouched(story: Story) -> list[str]:
    """What the host shows, without the folder in which transactions keep their journals."""
    return [line for line in evidence(story.host) if not line.startswith("/var/lib/passerelle")]


def drill(story: Story) -> tuple[int, dict[str, Any]]:
    done = story.field.run("drill", "pve1", "-o", "json", check=False)
    found: dict[str, Any] = json.loads(done.stdout)
    return done.returncode, found


@pytest.mark.every_suite
def test_a_drill_proves_the_switch_and_changes_nothing(story: Story) -> None:
    commit = story.apply(story.spec(), "as usual")
    story.wait_rounds()
    applies, before, old = story.applies(), untouched(story), set(transactions(story.host))
    status = story.status()
    code, found = drill(story)
    assert (code, found["state"], found["error"]) == (0, "Passed", "")
    assert [proof["name"] for proof in found["proofs"]] == NAMES
    assert all(proof["ok"] for proof in found["proofs"])
    [new] = set(transactions(story.host)) - old
    assert new == found["id"]
    journal = json.loads(story.host.read(f"/var/lib/passerelle/txn/{new}/journal.json"))
    assert (journal["state"], journal["cause"], journal["verified_old"]) == ("rolled_back", "deadline", True)
    assert journal["restore_began"]["verb"] in ("watch", "expire")
    assert set(journal["woke"]) == {"watch", "expire"}
    assert untouched(story) == before
    assert story.host.sh("ls /run/passerelle-drill-* 2>/dev/null || true") == ""
    assert story.applies() == applies
    assert story.field.items("hosts/pve1/latches") == []
    now = story.wait_synced(commit)
    assert (now["sync"], now["health"], now["phase"]) == ("Synced", status["health"], status["phase"])
    assert now["proven_at"] == found["ended_at"]
    assert [row["id"] for row in story.field.items("drills?host=pve1")][:1] == [new]


def test_a_drill_that_cannot_arm_anything_fails_with_the_reason(story: Story) -> None:
    story.apply(story.spec(), "as usual")
    proven = story.status()["proven_at"]
    with story.host.faults.read_only_disk():
        code, found = drill(story)
    assert (code, found["state"]) == (1, "Failed")
    assert "the snapshot could not be written" in found["error"] or "Read-only file system" in found["error"]
    assert story.status()["proven_at"] == proven
    told = story.field.items("events?type=drill.failed&limit=200")[-1]["text"]
    assert found["error"][:60] in told
    story.wait_rounds()
    assert story.status()["reason"] != "RolledBackLatched"


def test_a_host_that_lets_nobody_in_afterwards_has_proven_nothing(story: Story) -> None:
    story.apply(story.spec(), "as usual")
    asked = story.field.post("drills", {"host": "pve1"})
    story.field.wait_for(lambda: asked["id"] in transactions(story.host), "the drill is under way")
    with story.host.faults.sshd_stopped():
        found = story.field.wait_for(
            lambda: (d := story.field.get(f"drills/{asked['id']}"))["ended_at"] and d, "the drill ends"
        )
    assert found["state"] == "Failed"
    lost = {proof["name"] for proof in found["proofs"] if not proof["ok"]}
    assert "new connection" in lost
    journal = json.loads(story.host.read(f"/var/lib/passerelle/txn/{asked['id']}/journal.json"))
    assert (journal["state"], journal["verified_old"]) == ("rolled_back", True)
    story.wait_status(reachability="Reachable", sync="Synced")
