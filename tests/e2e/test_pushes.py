"""A push is recorded from commit to confirmation; pushes during an apply become one."""

import pytest

from tests.e2e.story import Story

pytestmark = pytest.mark.lab


def test_the_api_tells_commit_author_steps_and_times_of_an_apply(story: Story) -> None:
    commit = story.apply(story.spec(cache_size=400), "a bigger cache")
    found = next(apply for apply in story.applies() if apply["commit"] == commit)
    apply = story.field.get(f"applies/{found['id']}")
    assert apply["phase"] == "Succeeded"
    assert (apply["author_name"], apply["subject"]) == ("Yax", "a bigger cache")
    assert apply["trigger"] == "push"
    assert [step["fact"] for step in apply["steps"]] == ["file:/etc/dnsmasq.d/passerelle.conf", "unit:dnsmasq.service"]
    assert all(step["state"] == "done" and step["started_at"] and step["ended_at"] for step in apply["steps"])
    assert apply["requested_at"] <= apply["started_at"] <= apply["ended_at"]


def test_pushes_during_an_apply_become_one(story: Story) -> None:
    before = len(story.applies())
    story.push(story.spec(cache_size=500), "first")
    story.field.wait_for(lambda: story.status().get("phase") == "Running", "the first apply runs", timeout_s=30)
    for size in (501, 502, 503):
        last = story.push(story.spec(cache_size=size), f"cache {size}")
    story.wait_synced(last)
    assert "cache-size=503" in story.host.read("/etc/dnsmasq.d/passerelle.conf").decode()
    assert len(story.applies()) - before <= 3


def test_a_plan_that_waits_for_approval_is_applied_when_a_person_says_so(story: Story) -> None:
    story.apply(story.spec(), "as usual")
    commit = story.push(story.spec(sync="approve", cache_size=600), "wait for me")
    story.field.wait_for(
        lambda: story.status().get("phase") == "WaitingForApproval" and story.status().get("observed_commit") == commit,
        "the plan waits",
    )
    shown = story.field.run("plan", "pve1", "--detailed-exitcode", check=False)
    assert shown.returncode == 2, shown.stderr
    assert b"cache-size" in shown.stdout
    done = story.field.run("apply", "pve1", "--yes", check=False)
    assert done.returncode == 0, done.stderr
    assert "cache-size=600" in story.host.read("/etc/dnsmasq.d/passerelle.conf").decode()
    story.wait_synced(commit)


def test_commands_show_what_the_service_knows(story: Story) -> None:
    story.apply(story.spec(), "as usual")
    for words in (["status"], ["status", "pve1"], ["drift"], ["leases", "--active"], ["history", "pve1"]):
        table = story.field.run(*words)
        assert table.returncode == 0, table.stderr
        assert story.field.run(*words, "-o", "json").stdout.lstrip()[:1] in (b"[", b"{")
