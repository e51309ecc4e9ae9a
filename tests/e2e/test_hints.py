"""A host reports on its own what is changed on it by hand: it is on record long before the next look that is due."""

from collections.abc import Iterator
from dataclasses import dataclass
from urllib.request import Request, urlopen

import pytest

from service.lab import Lab
from service.lab.field import Field
from tests.e2e.story import Story

pytestmark = pytest.mark.lab(minutes=2)

NEVER_S = "86400"
KINDS = ["network", "rules", "files", "units"]


@dataclass(frozen=True)
class ByHand:
    """What somebody does on the host, the kind of hint that the host sends then, and what differs."""

    command: str
    kind: str
    resource: str


FILE = "/etc/dnsmasq.d/passerelle.conf"
CHANGES = [
    ByHand("ip address add 10.66.0.1/24 dev vmbr0", "network", "vmbr0"),
    ByHand("nft flush chain inet passerelle_nat postrouting", "rules", "10.10.10.0/24>enp1s0"),
    ByHand(f"sed -i s/cache-size=256/cache-size=1/ {FILE}", "files", FILE),
    ByHand("systemctl stop dnsmasq", "units", "dnsmasq.service"),
]


@pytest.fixture(scope="module")
def field(lab: Lab, suite: str) -> Iterator[Field]:
    """A service that looks at a host when it has a reason, and else once a day."""
    with Field.open(lab, poll_s="1", observe_s=NEVER_S, sweep_s=NEVER_S) as opened:
        yield opened


def hints_of(story: Story) -> list[str]:
    """The kinds of changes that the host reports now."""
    return list(story.status().get("hints", []))


def told(story: Story, kind: str) -> float:
    """How many hints of a kind there were."""
    request = Request(f"{story.field.url}/metrics", headers={"Authorization": f"Bearer {story.field.token}"})
    with urlopen(request, timeout=30) as answer:
        lines = answer.read().decode().splitlines()
    name = f'passerelle_hints_total{{kind="{kind}"}} '
    return next(float(line.removeprefix(name)) for line in lines if line.startswith(name))


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.kind)
def test_a_change_by_hand_is_found_without_waiting(story: Story, change: ByHand) -> None:
    story.apply(story.spec(sync="auto"), "all as it should be")
    story.apply(story.spec(sync="approve"), "only look")
    story.field.wait_for(lambda: hints_of(story) == KINDS, "the host reports all kinds")
    before = told(story, change.kind)
    story.host.sh(change.command)
    items = story.field.wait_for(story.drift, f"drift after `{change.command}`")
    assert change.resource in {item["resource"] for item in items}
    # a hint of another kind may have been first: a daemon that stops closes its sockets and lets go of its files, too
    story.field.wait_for(lambda: told(story, change.kind) > before, f"a hint of {change.kind}")
    story.apply(story.spec(sync="auto"), "put it back")


def test_a_host_whose_program_was_ended_reports_again(story: Story) -> None:
    story.apply(story.spec(sync="auto"), "all as it should be")
    story.apply(story.spec(sync="approve"), "only look")
    story.field.wait_for(lambda: hints_of(story) == KINDS, "the host reports all kinds")
    first = program_of(story)
    story.host.sh(f"kill {first}")
    story.field.wait_for(lambda: program_of(story) not in ("", first), "it runs again", timeout_s=60)
    story.host.sh("ip address add 10.66.0.2/24 dev vmbr0")
    story.field.wait_for(story.drift, "drift")
    story.apply(story.spec(sync="auto"), "put it back")


def program_of(story: Story) -> str:
    """The process on the host that reports changes; empty where there is none."""
    return story.host.sh("pgrep -f '^python3 -I -S -c .*Prints that something' || true").strip()
