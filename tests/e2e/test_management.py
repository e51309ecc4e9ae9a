"""The service's own way to the host: refused when a push would cut it, let through once, and guarded in every case."""

import json

import pytest

from service.errors import LabError
from tests.e2e.evidence import evidence, transactions
from tests.e2e.story import Story

pytestmark = pytest.mark.lab(minutes=2)

ALLOW = "  allow_management_change: true\n"
ELSEWHERE = "198.51.100.99"
MOVED = "198.51.100.51"


def quick(spec: str) -> str:
    """A spec whose changes do not wait long for their confirmation."""
    return spec.replace("confirm_timeout: 30s", "confirm_timeout: 8s")


def wait_for_refusal(story: Story, commit: str) -> str:
    """The refusal's words, once the host was compared with the commit."""
    story.wait_status(observed_commit=commit, phase="Refused")
    refusals = story.field.get("hosts/pve1/plan")["body"]["refusals"]
    assert {r["rule"] for r in refusals} == {"management-path"}
    return str(story.status()["message"])


def assert_refused(story: Story, commit: str, before: list[str]) -> None:
    """Said by the API and the command line, and not done, whoever asks."""
    said = wait_for_refusal(story, commit)
    assert said.startswith("198.51.100.11, by which the service reaches this host, would be removed from enp1s0")
    digest = story.field.get("hosts/pve1/plan")["digest"]
    status, problem = story.field.ask("POST", "applies", {"host": "pve1", "digest": digest})
    assert status == 422
    assert "198.51.100.11" in problem["detail"]
    assert "allow_management_change" in problem["hint"]
    told = story.field.run("apply", "pve1", "--yes", check=False)
    assert told.returncode == 1
    assert b"would be removed from enp1s0" in told.stderr
    assert evidence(story.host) == before
    assert [a for a in story.applies() if a["commit"] == commit] == []


def test_a_push_that_would_cut_the_service_off_is_refused(story: Story) -> None:
    story.apply(story.spec(), "as usual")
    before = evidence(story.host)
    assert_refused(story, story.push(story.spec(uplink=ELSEWHERE), "another address"), before)
    story.apply(story.spec(), "as it was")


def test_the_override_counts_only_in_the_commit_that_brings_it(story: Story) -> None:
    story.apply(story.spec(), "as usual")
    allowed = story.apply(story.spec(extra=ALLOW, cache_size=310), "allow it, and change something harmless")
    warned = [f for f in story.field.get(f"revisions/{allowed}")["findings"] if f["severity"] == "warning"]
    assert "connection.allow-management-change" in {f["rule"] for f in warned}
    before = evidence(story.host)
    later = story.push(story.spec(extra=ALLOW, uplink=ELSEWHERE, cache_size=310), "the key is still there")
    assert_refused(story, later, before)
    story.apply(story.spec(), "without the key")


def test_a_cutting_change_that_was_insisted_upon_is_undone_by_the_host_alone(story: Story) -> None:
    good = story.apply(story.spec(), "as usual")
    interfaces, done = story.host.read("/etc/network/interfaces"), transactions(story.host)
    # with its port 22 closed to everybody the service can neither confirm nor help: the host is on its own
    commit = story.push(quick(story.spec(extra=ALLOW, uplink=ELSEWHERE)), "insist")
    story.field.wait_for(lambda: story.addresses("enp1s0") == [f"{ELSEWHERE}/24"], "the address moves", timeout_s=40)
    with story.host.faults.tcp_reset():
        story.field.wait_for(
            lambda: story.addresses("enp1s0") == [f"{story.host.address}/24"], "the host puts it back", timeout_s=60
        )
        [new] = set(transactions(story.host)) - set(done)
        path = f"/var/lib/passerelle/txn/{new}/journal.json"
        story.field.wait_for(lambda: json.loads(story.host.read(path))["state"] == "rolled_back", "it is undone")
    assert json.loads(story.host.read(path))["cause"] == "deadline"
    assert story.host.read("/etc/network/interfaces") == interfaces
    story.wait_status(reason="RolledBackLatched")
    with pytest.raises(LabError, match="was rolled back: nobody confirmed before the deadline"):
        story.wait_synced(commit)  # nothing is waited for that cannot come
    record = story.field.get(f"applies/{new}")
    assert (record["phase"], record["cause"], record["commit"]) == ("RolledBack", "deadline", commit)
    assert "nobody confirmed before the deadline" in record["error"]
    assert {step["state"] for step in record["steps"]} == {"undone"}
    now = story.status()
    assert (now["sync"], now["phase"], now["applied_commit"]) == ("OutOfSync", "RolledBack", good)
    story.wait_rounds(3)
    assert [a["id"] for a in story.applies() if a["commit"] == commit] == [new]  # it is not tried again on its own
    assert story.masquerades() == 1
    assert all(guest.is_plugged() for guest in story.guests.values())
    story.apply(story.spec(), "as it was")


def test_the_uplink_moves_with_the_service_when_one_commit_says_so(story: Story) -> None:
    story.apply(story.spec(), "as usual")
    story.guests["dev"].wait_for_address()
    commit = story.push(story.spec(extra=ALLOW, address=MOVED, uplink=MOVED), "pve1 moves")
    now = story.wait_synced(commit)
    assert (now["address"], now["reachability"]) == (MOVED, "Reachable")
    assert story.addresses("enp1s0") == [f"{MOVED}/24"]
    assert [r["gateway"] for r in story.default_routes()] == ["198.51.100.1"]
    record = next(a for a in story.applies() if a["commit"] == commit)
    assert (record["phase"], record["trigger"]) == ("Succeeded", "push")
    journal = json.loads(story.host.read(f"/var/lib/passerelle/txn/{record['id']}/journal.json"))
    assert journal["state"] == "confirmed"
    assert story.address_seen_outside("dev").split()[0] == MOVED
    assert all(guest.is_plugged() for guest in story.guests.values())
    story.field.stop()
    story.field.start()
    story.field.wait_for(story.field.is_up, "the service answers")
    story.apply(story.spec(address=MOVED, uplink=MOVED), "the key goes")
    story.apply(story.spec(extra=ALLOW), "and back")
    assert story.addresses("enp1s0") == [f"{story.host.address}/24"]
    assert story.status()["address"] == story.host.address
    assert story.masquerades() == 1
    story.apply(story.spec(), "the key goes again")
