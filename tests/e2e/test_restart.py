"""The service is killed in the middle of an apply; after its next start it says what the host's own journal says."""

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from service.lab.enter import inside_root
from tests.e2e.evidence import transactions
from tests.e2e.story import Story

pytestmark = pytest.mark.lab(minutes=2)

CONF = "/etc/dnsmasq.d/passerelle.conf"
CONSOLE = "  console: https://console.example.net/pve1\n"
HOSTSIDE = "python3 -I -S $(ls -t /var/lib/passerelle/hostside/*.py | head -1)"


def journal(story: Story, apply_id: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(story.host.read(f"/var/lib/passerelle/txn/{apply_id}/journal.json"))
    return found


def armed_after(story: Story, done: set[str]) -> str:
    """Wait until the host is armed for another transaction than those: its id."""
    folder = inside_root(story.host.console_pid, "/var/lib/passerelle/txn")

    def armed() -> str:
        new = [path.name for path in folder.iterdir() if path.name not in done]
        return new[0] if new and state(story, new[0]) in ("armed", "applying", "applied") else ""

    found: str = story.field.wait_for(armed, "the host is armed", timeout_s=60)
    return found


def state(story: Story, apply_id: str) -> str:
    """How far a transaction is by the host's own journal; empty while it has none."""
    folder = inside_root(story.host.console_pid, "/var/lib/passerelle/txn")
    with suppress(OSError, ValueError):
        return str(json.loads((folder / apply_id / "journal.json").read_bytes())["state"])
    return ""


@contextmanager
def killed_while_armed(story: Story, spec: str, subject: str) -> Iterator[tuple[str, str]]:
    """Push; as soon as the host is armed the service is gone; what it began continues without it: (apply, commit)."""
    story.wait_status(sync="Synced")
    done = set(transactions(story.host))
    commit = story.push(spec, subject)
    apply_id = armed_after(story, done)
    story.field.stop(kill=True)
    story.field.wait_for(
        lambda: state(story, apply_id) == "applied", "the host waits for the confirmation", timeout_s=30
    )
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


def test_an_apply_whose_service_died_is_undone_by_the_host_and_tried_once_more(story: Story) -> None:
    story.apply(story.spec(), "as usual")
    hasty = story.spec(cache_size=888).replace("confirm_timeout: 30s", "confirm_timeout: 8s")
    with killed_while_armed(story, hasty, "nobody will confirm") as (apply_id, commit):
        assert b"cache-size=888" in story.host.read(CONF)
        story.field.wait_for(lambda: state(story, apply_id) == "rolled_back", "the host undid it", timeout_s=60)
        assert b"cache-size=256" in story.host.read(CONF)
    restart(story)
    record = ended(story, apply_id)
    assert (record["phase"], record["cause"], record["commit"]) == ("RolledBack", "controller away", commit)
    assert {step["state"] for step in record["steps"]} == {"undone"}
    story.wait_synced(commit)
    assert b"cache-size=888" in story.host.read(CONF)
    assert [a["phase"] for a in story.applies() if a["commit"] == commit] == ["Succeeded", "RolledBack"]
    assert story.field.get("hosts/pve1/latches")["items"] == []
    story.apply(story.spec(), "as it was")


def test_the_second_time_in_a_row_it_is_latched(story: Story) -> None:
    good = story.apply(story.spec(), "as usual")
    hasty = story.spec(cache_size=889).replace("confirm_timeout: 30s", "confirm_timeout: 8s")
    with killed_while_armed(story, hasty, "nobody will confirm") as (first, commit):
        story.field.wait_for(lambda: state(story, first) == "rolled_back", "the host undid it", timeout_s=60)
    done = set(transactions(story.host))
    story.field.start()
    second = armed_after(story, done)
    story.field.stop(kill=True)
    story.field.wait_for(lambda: state(story, second) == "rolled_back", "the host undid it again", timeout_s=60)
    restart(story)
    record = ended(story, second)
    assert (record["phase"], record["cause"]) == ("RolledBack", "deadline")
    assert "for the second time" in record["error"]
    now = story.wait_status(reason="RolledBackLatched", reachability="Reachable")
    assert (now["phase"], now["sync"], now["applied_commit"]) == ("RolledBack", "OutOfSync", good)
    story.wait_rounds()
    assert {a["id"] for a in story.applies() if a["commit"] == commit} == {first, second}
    story.apply(story.spec(), "as it was")


def test_told_to_stop_in_the_middle_of_a_confirmation_the_service_finishes_it(story: Story) -> None:
    story.apply(story.spec(), "as usual")
    done = set(transactions(story.host))
    commit = story.push(story.spec(cache_size=890), "stopped during the drill")
    apply_id = armed_after(story, done)
    assert story.field.stop() == 0
    assert state(story, apply_id) == "confirmed"
    restart(story)
    record = story.field.get(f"applies/{apply_id}")
    assert (record["phase"], record["cause"], record["commit"]) == ("Succeeded", "", commit)
    story.wait_synced(commit)
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


def test_a_rollback_that_failed_while_nobody_looked_is_told_with_the_console_and_released(story: Story) -> None:
    story.apply(story.spec(extra=CONSOLE), "with a console")
    hasty = story.spec(extra=CONSOLE, cache_size=889).replace("confirm_timeout: 30s", "confirm_timeout: 8s")
    with killed_while_armed(story, hasty, "nobody will confirm") as (apply_id, commit):
        story.host.sh(f"rm {CONF} && mkdir {CONF}")  # somebody is in the way of the rollback
        over = ("rollback_failed", "rolled_back")
        story.field.wait_for(lambda: journal(story, apply_id)["state"] in over, "the host has tried", timeout_s=60)
    restart(story)
    record = ended(story, apply_id)
    assert (record["phase"], record["cause"], record["commit"]) == ("RollbackFailed", "deadline", commit)
    assert "not a regular file" in record["error"]
    now = story.wait_status(phase="RollbackFailed", health="Degraded", reachability="Reachable")
    assert now["quarantined"] == apply_id
    assert "not a regular file" in now["message"]
    assert "console https://console.example.net/pve1" in now["message"]
    shown = story.field.run("status").stderr.decode()
    assert f"the rollback of {apply_id} failed" in shown
    assert "passerelle release pve1 --reason TEXT" in shown
    digest = story.field.get("hosts/pve1/plan")["digest"]
    asked = story.field.ask("POST", "applies", {"host": "pve1", "digest": digest})
    assert asked[0] in (202, 422)
    story.wait_rounds()
    assert [a["id"] for a in story.applies() if a["phase"] in ("Running", "Succeeded") and a["commit"] == commit] == []
    story.host.sh(f"rmdir {CONF}")
    released = story.field.run("release", "pve1", "--reason", "the folder was mine")
    assert b"pve1: released" in released.stderr
    assert journal(story, apply_id)["state"] == "released"
    assert "the folder was mine" in journal(story, apply_id)["released"]
    assert story.status()["quarantined"] == ""
    assert story.field.run("release", "pve1", "--reason", "again", check=False).returncode == 1
    story.apply(story.spec(), "as usual")
    assert b"cache-size=256" in story.host.read(CONF)


def test_an_apply_that_a_power_cut_ended_is_told_and_the_host_is_compared_once_it_is_up(story: Story) -> None:
    story.apply(story.spec(), "as usual")
    slow = story.spec(cache_size=890).replace("confirm_timeout: 30s", "confirm_timeout: 5m")
    with killed_while_armed(story, slow, "nobody will confirm") as (apply_id, commit):
        story.host.power_cut()
    assert journal(story, apply_id)["verified_old"] is None  # at boot the daemons were not up yet
    restart(story)
    record = ended(story, apply_id)
    assert (record["phase"], record["cause"], record["commit"]) == ("RolledBack", "boot", commit)
    assert "booted before the change was confirmed" in record["error"]
    assert "not as before" not in record["error"]
    assert journal(story, apply_id)["verified_old"] is True
    assert b"cache-size=256" in story.host.read(CONF)
    story.apply(story.spec(), "as it was")
