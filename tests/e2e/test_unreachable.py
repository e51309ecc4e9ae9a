"""A host that is down, cut off, or not the one it was: said in the status, nothing assumed, nothing sent to it."""

from typing import Any

import pytest

from tests.e2e.evidence import evidence, transactions
from tests.e2e.story import Story

pytestmark = pytest.mark.lab(minutes=2)

OTHER_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"


def wait_for_reachability(story: Story, word: str) -> dict[str, Any]:
    def there() -> dict[str, Any]:
        now = story.status()
        return now if now.get("reachability") == word else {}

    found: dict[str, Any] = story.field.wait_for(there, f"pve1 is {word}", timeout_s=60)
    return found


def assert_told(story: Story, word: str, *words: str) -> None:
    """The API and the command line say it, and no axis claims what is not known."""
    now = wait_for_reachability(story, word)
    assert (now["sync"], now["reason"], now["health"]) == ("Unknown", "ComparisonError", "Unknown")
    assert all(text in now["message"] for text in words), now["message"]
    shown = story.field.run("status", "pve1", check=False)
    assert shown.returncode == 4
    assert word.encode() in shown.stdout


def test_another_pinned_key_is_no_reason_to_talk_to_the_host(story: Story) -> None:
    story.apply(story.spec(), "as usual")
    before = evidence(story.host)
    commit = story.push(story.spec(host_key=OTHER_KEY, cache_size=111), "a key of somebody else")
    assert_told(story, "HostKeyChanged", "198.51.100.11", "pinned: SHA256:", "Nothing was sent to it")
    story.host.sh("nft flush chain inet passerelle_nat postrouting")
    story.field.post("hosts/pve1/reconcile")
    wait_for_reachability(story, "HostKeyChanged")
    assert story.masquerades() == 0
    assert [a for a in story.applies() if a["commit"] == commit] == []
    mended = story.apply(story.spec(), "the right key")
    assert story.masquerades() == 1
    assert story.status()["applied_commit"] == mended
    assert [line for line in evidence(story.host) if "/etc/" in line] == [line for line in before if "/etc/" in line]


def test_a_host_with_a_new_key_is_not_talked_to_until_git_pins_it(story: Story) -> None:
    story.apply(story.spec(), "as usual")
    host = story.host
    host.sh("cp -p /etc/ssh/ssh_host_ed25519_key /etc/ssh/ssh_host_ed25519_key.pub /root/")
    try:
        host.sh("rm /etc/ssh/ssh_host_*; ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/ssh_host_ed25519_key")
        host.sh("systemctl restart ssh")
        new = " ".join(host.sh("cat /etc/ssh/ssh_host_ed25519_key.pub").split()[:2])
        host.faults.cut_connections()
        done = transactions(host)
        host.sh("nft flush chain inet passerelle_nat postrouting")
        assert_told(story, "HostKeyChanged", "shows the host key ssh-ed25519 SHA256:", "connection.host_keys")
        assert story.masquerades() == 0
        assert transactions(host) == done
        story.apply(story.spec(host_key=new), "pin the new key")
        assert story.masquerades() == 1
    finally:
        host.sh("mv /root/ssh_host_ed25519_key /root/ssh_host_ed25519_key.pub /etc/ssh/; systemctl restart ssh")
        host.faults.cut_connections()
    story.apply(story.spec(), "the old key again")


def test_a_host_that_is_off_gets_its_push_when_it_is_back(story: Story) -> None:
    story.apply(story.spec(), "as usual")
    story.host.power_off()
    commit = story.push(story.spec(cache_size=222), "for later")
    assert_told(story, "Unreachable", "pve1 (198.51.100.11 port 22)")
    assert [a for a in story.applies() if a["commit"] == commit] == []
    story.host.power_on()
    story.wait_synced(commit)
    assert b"cache-size=222" in story.host.read("/etc/dnsmasq.d/passerelle.conf")
    assert story.status()["reachability"] == "Reachable"


def test_what_happened_behind_a_partition_is_seen_and_put_back_after_it(story: Story) -> None:
    commit = story.apply(story.spec(), "as usual")
    with story.host.faults.partition():
        before = evidence(story.host)
        assert_told(story, "Unreachable", "pve1 (198.51.100.11 port 22)")
        assert evidence(story.host) == before
        story.host.sh("sysctl -qw net.ipv4.ip_forward=0")
    wait_for_reachability(story, "Reachable")
    story.wait_synced(commit)
    assert story.host.sh("sysctl -n net.ipv4.ip_forward").strip() == "1"
