"""The service is killed in the middle of an apply; after its next start it tells what the host's own journal says."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.e2e.evidence import transactions
from tests.e2e.story import Story

pytestmark = pytest.mark.lab

CONF = "/etc/dnsmasq.d/passerelle.conf"
HOSTSIDE = "python3 -I -S $(ls -t /var/lib/passerelle/hostside/*.py | head -1)"


def journal(story: Story, apply_id: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(story.host.read(f"/var/lib/passerelle/txn/{apply_id}/journal.json"))
    return found


@contextmanager
def killed_while_armed(story: Story, spec: str, subject: str) -> Iterator[tuple[str, str]]:
    """Push; once the change is made and the host waits for the confirmation, the service is gone: (apply, commit).

    No new connection gets through to sshd meanwhile, so that the confirmation cannot be quicker than the kill.
    """
    story.wait_status(sync="Synced")
    done = set(transactions(story.host))
    with story.host.faults.sshd_stopped():
        commit = story.push(spec, subject)

        def armed() -> str:
            new = set(transactions(story.host)) - done
            steps = [journal(story, one)["state"] for one in new]
            return new.pop() if steps == ["applied"] else ""

        apply_id = story.field.wait_for(armed, "the host waits for the confirmation", timeout_s=30)
        story.field.stop(kill=True)
    yield apply_id, commit


def restart(story: Story) -> None:
    story.field.start()
    story.field.wait_for(story.field.is_up, "the service answers")


def ended(story: Story, apply_id: str) -> dict[str, Any]:
    def over() -> dict[str, Any]:
        found: dict[str, Any] = story.field.get(f"applies/{apply_id}")
        return found if found["ended_at"] else {}

    found: dict[str, Any] = story.field.wait_for(over, "the record of the apply is settled", timeout_s=60)
    return found


def test_an_apply_whose_service_died_is_undone_by_the_host_and_told_so(story: Story) -> None:
    good = story.apply(story.spec(), "as usual")
    hasty = story.spec(cache_size=888).replace("confirm_timeout: 15s", "confirm_timeout: 8s")
    with killed_while_armed(story, hasty, "nobody will confirm") as (apply_id, commit):
        assert b"cache-size=888" in story.host.read(CONF)
    restart(story)
    assert story.field.get(f"applies/{apply_id}")["phase"] in ("Running", "AwaitingConfirmation", "RolledBack")
    record = ended(story, apply_id)
    assert journal(story, apply_id)["state"] == "rolled_back"
    assert (record["phase"], record["cause"], record["commit"]) == ("RolledBack", "deadline", commit)
    assert {step["state"] for step in record["steps"]} == {"undone"}
    assert b"cache-size=256" in story.host.read(CONF)
    now = story.wait_status(reason="RolledBackLatched", reachability="Reachable")
    assert (now["phase"], now["sync"], now["applied_commit"]) == ("RolledBack", "OutOfSync", good)
    assert [a["id"] for a in story.applies() if a["commit"] == commit] == [apply_id]
    story.apply(story.spec(), "as it was")


def test_an_apply_that_was_confirmed_before_the_service_could_record_it_has_succeeded(story: Story) -> None:
    story.apply(story.spec(nat=""), "no NAT")
    with killed_while_armed(story, story.spec(), "NAT again") as (apply_id, commit):
        # the confirmation reached the host, and the service died before it could write that down
        story.host.sh(f"{HOSTSIDE} confirm {apply_id} --console")
    assert journal(story, apply_id)["state"] == "confirmed"
    restart(story)
    record = ended(story, apply_id)
    assert (record["phase"], record["commit"], record["error"]) == ("Succeeded", commit, "")
    assert {step["state"] for step in record["steps"]} == {"done"}
    story.wait_synced(commit)
    assert story.masquerades() == 1
    assert [a["id"] for a in story.applies() if a["commit"] == commit] == [apply_id]


def test_what_a_confirmed_but_unrecorded_apply_made_is_still_known_as_ours(story: Story) -> None:
    story.apply(story.spec(nat=""), "no NAT")
    with killed_while_armed(story, story.spec(), "NAT again") as (apply_id, commit):
        story.host.sh(f"{HOSTSIDE} confirm {apply_id} --console")
    assert story.masquerades() == 1
    last = story.push(story.spec(nat=""), "no NAT after all")
    restart(story)
    assert ended(story, apply_id)["phase"] == "Succeeded"
    story.wait_synced(last)
    assert story.masquerades() == 0
    assert story.host.sh("ls /etc/passerelle/nft.d 2>/dev/null || true").split() == []
    newest = story.applies()[0]
    assert (newest["commit"], newest["trigger"], newest["phase"]) == (last, "push", "Succeeded")
    assert commit != last
    story.apply(story.spec(), "as usual")
