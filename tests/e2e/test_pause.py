"""What keeps applies from beginning, on a real host: suspension, window, stop file, and going back. The drift is
shown meanwhile, and healed after."""

from datetime import UTC, datetime, timedelta
from urllib.request import Request, urlopen

import pytest

from service.stop_file import NAME
from tests.e2e.story import Story

pytestmark = pytest.mark.lab(minutes=4)

CONF = "/etc/dnsmasq.d/passerelle.conf"
FORWARD = "net.ipv4.ip_forward"


def spoiled(story: Story) -> None:
    """Somebody switches forwarding off by hand."""
    story.host.sh(f"sysctl -qw {FORWARD}=0")


def forwards(story: Story) -> bool:
    return story.host.sh(f"sysctl -n {FORWARD}").strip() == "1"


def shown(story: Story, said: str) -> None:
    """The drift is shown, and nothing is applied although the host is looked at again."""
    applies = len(story.applies())
    story.wait_status(sync="OutOfSync", reason="Drifted")
    story.wait_rounds(3)
    status = story.status()
    assert said in status["message"], status["message"]
    assert any(FORWARD in str(one) for one in story.drift())
    assert len(story.applies()) == applies
    assert not forwards(story)
    refused = story.field.run("apply", story.host.name, "--yes", check=False)
    assert refused.returncode == 1
    assert said in " ".join(refused.stderr.decode().split())


def healed(story: Story) -> None:
    story.field.wait_for(lambda: forwards(story), "the drift is healed")
    story.wait_status(sync="Synced")


@pytest.mark.every_suite
def test_a_suspended_host_is_watched_and_healed_after(story: Story) -> None:
    story.apply(story.spec(), "as usual")
    name = story.host.name
    story.field.run("suspend", name, "--reason", "the switch is replaced")
    spoiled(story)
    shown(story, "suspended by")
    said = story.field.run("status").stderr.decode()
    assert "the switch is replaced" in said
    story.field.stop(kill=True)
    story.field.start()
    story.field.wait_for(story.field.is_up, "the service answers")
    shown(story, "suspended by")
    story.field.run("resume", name)
    healed(story)


def test_a_suspension_runs_out_and_the_host_is_healed(story: Story) -> None:
    story.apply(story.spec(), "as usual")
    until = (datetime.now(UTC) + timedelta(seconds=12)).isoformat()
    story.field.post("suspensions", {"label": "site=lab", "reason": "for a moment", "until": until})
    labelled = story.spec(extra="labels: {site: lab}\n")
    story.apply(labelled, "the host has a label")
    spoiled(story)
    story.wait_status(sync="OutOfSync", reason="Drifted")
    healed(story)
    assert datetime.now(UTC) > datetime.fromisoformat(until)


def test_a_closed_window_holds_a_commit_until_git_opens_it(story: Story) -> None:
    story.apply(story.spec(), "as usual")
    applies = len(story.applies())
    never = "passerelle: 1\nwindows:\n  - {name: never, kind: deny, zone: Europe/Paris}\n"
    path = f"hosts/{story.host.name}.yaml"
    story.field.push({"fleet.yaml": never, path: story.spec(cache_size=321)}, "nothing begins now")
    status = story.wait_status(phase="WaitingForWindow")
    assert "the window never" in status["message"]
    story.wait_rounds(3)
    assert len(story.applies()) == applies
    assert b"cache-size=256" in story.host.read(CONF)
    assert story.field.run("windows", story.host.name, check=False).returncode == 2
    open_ = never.replace("deny", "allow")
    commit = story.field.push({"fleet.yaml": open_, path: story.spec(cache_size=321)}, "now they do")
    story.wait_synced(commit)
    assert b"cache-size=321" in story.host.read(CONF)


def test_the_stop_file_holds_everything_while_it_is_there(story: Story) -> None:
    story.apply(story.spec(), "as usual")
    stop = story.field.state_dir / NAME
    stop.write_text("the storage is being moved")
    try:
        spoiled(story)
        shown(story, "no apply begins while the stop file")
        assert "the storage is being moved" in " ".join(story.field.run("status").stderr.decode().split())
        assert "passerelle_stop_file 1.0" in metrics(story)
    finally:
        stop.unlink()
    healed(story)
    assert "passerelle_stop_file 0.0" in metrics(story)


def metrics(story: Story) -> str:
    asked = Request(f"{story.field.url}/metrics", headers={"Authorization": f"Bearer {story.field.token}"})
    with urlopen(asked, timeout=30) as answer:
        text: str = answer.read().decode()
    return text


def test_a_host_goes_back_and_is_held_until_git_moves(story: Story) -> None:
    before = story.apply(story.spec(), "as it was")
    story.apply(story.spec(cache_size=777), "not so good")
    assert b"cache-size=777" in story.host.read(CONF)
    name = story.host.name
    patch = story.field.run("rollback", name, "--to", before[:12], "--patch").stdout.decode()
    assert "-  cache_size: 777\n+  cache_size: 256\n" in patch
    done = story.field.run("rollback", name, "--to", before[:12], "--reason", "names were slow")
    assert f"{name}: Succeeded" in done.stderr.decode()
    assert b"cache-size=256" in story.host.read(CONF)
    assert story.applies()[0]["trigger"] == "rollback"
    story.wait_status(sync="OutOfSync", reason="PendingChange", phase="Pending")
    applies = len(story.applies())
    spoiled(story)
    story.wait_rounds(3)
    assert not forwards(story)
    assert len(story.applies()) == applies
    commit = story.push(story.spec(cache_size=512), "better")
    story.wait_synced(commit)
    assert forwards(story)
    assert b"cache-size=512" in story.host.read(CONF)
    assert story.status()["suspension"] is None
