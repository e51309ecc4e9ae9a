"""Forwarding of one interface, or a strict filter on it, disconnects guests although the host's own switch is on."""

from dataclasses import dataclass

import pytest

from tests.e2e.story import Story

pytestmark = [pytest.mark.lab(minutes=4), pytest.mark.every_suite(full=True)]

OUTER = "bridges:\n  vmbr9: {addresses: [203.0.113.1/24], ports: [], stp: false, forward_delay: 0}\n"
PUBLISHED = "forwards:\n  - {in: vmbr9, ports: [8080], to: 10.10.10.50}\n"
LINK = "net.ipv4.conf"


@dataclass(frozen=True)
class Switch:
    """A kernel setting of one interface, the value that somebody gives it, and whether no guest gets out then."""

    key: str
    value: str
    cuts: bool = False


SWITCHES = [
    Switch(f"{LINK}.vmbr0.forwarding", "0", cuts=True),  # requests come in on it
    Switch(f"{LINK}.enp1s0.forwarding", "0", cuts=True),  # answers do
    Switch(f"{LINK}.vmbr9.forwarding", "0"),
    Switch(f"{LINK}.vmbr9.rp_filter", "1"),  # something is published on it, and the default route is elsewhere
]


def on_the_way(story: Story, sync: str = "auto") -> str:
    """The seed's host with a second network from which a guest is reached."""
    text = story.spec(sync=sync).replace("confirm_timeout: 30s", "confirm_timeout: 60s")
    return text.replace("bridges:\n", OUTER, 1) + PUBLISHED


def gets_out(story: Story) -> bool:
    """Whether a guest's TCP connection gets out of the host, under the host's address."""
    return story.address_seen_outside("box").split()[:1] == [story.host.address]


@pytest.mark.parametrize("switch", SWITCHES, ids=lambda switch: switch.key)
def test_a_setting_on_the_packets_way_is_seen_and_put_back(story: Story, switch: Switch) -> None:
    story.apply(on_the_way(story), "all as it should be")
    story.field.wait_for(lambda: gets_out(story), "the guest gets out")
    good = story.host.sh(f"sysctl -n {switch.key}").strip()
    story.apply(on_the_way(story, "approve"), "only look")
    story.host.sh(f"sysctl -qw {switch.key}={switch.value}")
    assert gets_out(story) != switch.cuts
    items = story.field.wait_for(story.drift, f"drift after {switch.key} = {switch.value}")
    assert {(i["resource"], i["field"], i["where"], i["moved"]) for i in items} == {
        (switch.key, "value", "live", "host")
    }
    story.field.wait_for(lambda: story.status()["reason"] == "Drifted", "the host's status says so")
    story.wait_synced(story.push(on_the_way(story), "put it back"))
    assert gets_out(story)
    story.host.sh(f"sysctl -qw {switch.key}={switch.value}")  # again, and nobody pushes anything
    wanted = {good, "2"} if switch.key.endswith("rp_filter") else {good}
    story.field.wait_for(
        lambda: story.host.sh(f"sysctl -n {switch.key}").strip() in wanted, f"{switch.key} is put back"
    )
    story.field.wait_for(lambda: story.drift() == [], "nothing differs")
    steps = story.field.get(f"applies/{story.applies()[0]['id']}")["steps"]
    assert [step["fact"] for step in steps] == [f"sysctl:{switch.key}"]
    assert gets_out(story)


def test_a_file_that_switches_it_off_at_boot_is_named(story: Story) -> None:
    """Nothing differs in the kernel: only the next boot would disconnect the guests."""
    story.apply(story.spec(), "all as it should be")
    story.field.wait_for(lambda: gets_out(story), "the guest gets out")
    key, file = f"{LINK}.vmbr0.forwarding", "/etc/sysctl.d/99-by-hand.conf"
    story.host.write(file, f"{key} = 0\n")
    try:
        items = story.field.wait_for(story.drift, "the next boot differs")
        assert [(i["resource"], i["where"], i["moved"]) for i in items] == [(key, "boot", "host")]
        story.wait_status(phase="Refused")
        (refusal,) = story.field.get(f"hosts/{story.host.name}/plan")["body"]["refusals"]
        assert refusal["what"].startswith(f"{file}:1 sets {key} to 0")
        assert gets_out(story)
    finally:
        story.host.sh(f"rm {file}")
    story.field.wait_for(lambda: story.status()["sync"] == "Synced", "without the file nothing differs")
