"""A revision that goes to three real hosts in waves: in order, killed in the middle, poisoned, emptied.

Tests run in any order: each begins with three hosts that have the version that was last brought to them well.
"""

from collections.abc import Iterator
from datetime import datetime
from itertools import pairwise
from typing import Any

import pytest

from service.lab import Lab
from service.lab.field import Field
from tests.e2e.story import OUTSIDE, Story

pytestmark = pytest.mark.lab(minutes=3)

SOAK_S = 3
FLEET = f"passerelle: 1\nrollout: {{waves: [1, 2, 3], soak: {SOAK_S}s, max_failures: 1}}\n"
SPEC = """\
host: {name}
platform: debian
sync: auto
connection:
  address: {address}
  host_keys: [{host_key}]
  console: https://192.0.2.1/
  confirm_timeout: 10s
interfaces:
  enp1s0: {{addresses: [{address}/24], gateway: 198.51.100.1}}
bridges:
  vmbr0: {{addresses: [10.10.{version}.1/24], ports: [], stp: false, forward_delay: 0}}
checks:
  - {{type: icmp, address: {outside}}}
"""
POISON = f"""\
firewall:
  rules:
    - {{type: in, action: accept, macro: SSH}}
    - {{type: out, action: drop, proto: icmp, dest: {OUTSIDE}}}
"""
WRITTEN = (
    "ls -lR --full-time /var/lib/passerelle /etc/network /etc/passerelle 2>/dev/null; ip -o address; nft list ruleset"
)


class Trio:
    """Three hosts under one repository. `version` is the one that Git wants, `good` the last one that came to all."""

    def __init__(self, stories: list[Story], field: Field) -> None:
        self.stories = stories
        self.field = field
        self.version = 0
        self.good = 0

    def push(self, subject: str, more: str = "") -> str:
        """A commit that wants the next version of each host."""
        self.version += 1
        files = {
            self.path(one): SPEC.format(
                name=one.host.name, address=one.host.address, host_key=one.host.host_key, version=self.version,
                outside=OUTSIDE,
            ) + more
            for one in self.stories
        }  # fmt: skip
        return self.field.push({"fleet.yaml": FLEET, **files}, subject)

    def empty(self, subject: str) -> None:
        """A commit without any host."""
        self.field.push({self.path(one): None for one in self.stories}, subject)

    @staticmethod
    def path(story: Story) -> str:
        return f"hosts/{story.host.name}.yaml"

    def rollout(self) -> dict[str, Any]:
        """The newest."""
        found = self.field.items("rollouts?limit=1")
        return found[0] if found else {}

    def members(self) -> list[dict[str, Any]]:
        """The hosts of the newest, by wave."""
        found = self.field.items(f"rollouts/{self.rollout()['id']}/hosts")
        return sorted(found, key=lambda one: int(one["wave"]))

    def wait_for(self, commit: str, state: str) -> None:
        def there() -> bool:
            now = self.rollout()
            return now.get("commit") == commit and now["state"] == state

        self.field.wait_for(there, f"the rollout of {commit[:10]} is {state}")

    def wait_until_good(self, commit: str) -> None:
        """All hosts have it, one in each wave."""
        self.wait_for(commit, "done")
        self.good = self.version
        self.assert_good()
        members = self.members()
        assert [one["wave"] for one in members] == [1, 2, 3], members
        for before, after in pairwise(members):
            waited = datetime.fromisoformat(after["begun_at"]) - datetime.fromisoformat(before["ended_at"])
            assert waited.total_seconds() >= SOAK_S, members

    def assert_good(self) -> None:
        """Each bridge has the address of the last good version."""
        found = {one.host.name: one.addresses("vmbr0") for one in self.stories}
        assert found == {one.host.name: [f"10.10.{self.good}.1/24"] for one in self.stories}, self.applies()

    def having_this(self) -> int:
        """How many hosts have the version that Git wants."""
        return sum(one.addresses("vmbr0") == [f"10.10.{self.version}.1/24"] for one in self.stories)

    def applies(self) -> list[tuple[str, str, str]]:
        """Of all hosts: (host, commit, how it ended)."""
        return [(one["host"], one["commit"], one["phase"]) for story in self.stories for one in story.applies()]

    def wait_rounds(self, number: int) -> None:
        """Wait until each host was looked at that many more times."""
        for _ in range(number):
            before = self.looked_at()
            self.field.wait_for(
                lambda before=before: all(at != before[host] for host, at in self.looked_at().items()),
                "each host is looked at",
            )

    def looked_at(self) -> dict[str, str]:
        """When each host was looked at last."""
        return {row["host"]: row["observed_at"] for row in self.field.items("hosts?limit=200")}


@pytest.fixture(scope="module")
def trio(lab: Lab, field: Field, suite: str) -> Iterator[Trio]:
    """Three hosts to which their first version came in waves."""
    lab.host("pve1").fresh(suite=suite)
    others = [lab.add_host(name, suite=suite) for name in ("second", "third")]
    made = Trio([Story(host, field) for host in (lab.host("pve1"), *others)], field)
    made.wait_until_good(made.push("the first version"))
    yield made
    for host in others:
        host.power_off()


def test_a_good_commit_goes_in_order_with_the_pause(trio: Trio) -> None:
    commit = trio.push("a good one")
    trio.wait_until_good(commit)
    assert sorted(one for one in trio.applies() if one[1] == commit) == [
        (name, commit, "Succeeded") for name in ("pve1", "second", "third")
    ]


def test_a_poisoned_commit_touches_one_host_which_rolls_back_by_itself(trio: Trio) -> None:
    rules = [one.host.sh("nft list ruleset") for one in trio.stories]
    commit = trio.push("nothing outside answers any more", POISON)
    trio.wait_for(commit, "halted")
    touched = [one for one in trio.applies() if one[1] == commit]
    assert [phase for _, _, phase in touched] == ["RolledBack"]
    trio.wait_rounds(3)
    assert [one for one in trio.applies() if one[1] == commit] == touched
    trio.assert_good()
    assert [one.host.sh("nft list ruleset") for one in trio.stories] == rules


def test_a_service_that_is_killed_in_the_second_wave_continues_there(trio: Trio) -> None:
    commit = trio.push("good, and the service is killed")

    def is_in_second() -> bool:
        now = trio.rollout()
        return bool(now.get("commit") == commit and now["wave"] == 2 and now["applying"])

    trio.field.wait_for(is_in_second, "a host of the second wave is in its change")
    begun = {(one["host"], one["wave"]) for one in trio.members() if one["wave"]}
    trio.field.stop(kill=True)
    assert trio.having_this() <= 2
    trio.field.start()
    trio.field.wait_for(trio.field.is_up, "the service answers")
    trio.wait_until_good(commit)
    assert begun <= {(one["host"], one["wave"]) for one in trio.members()}, "a host lost its place to another one"


def test_an_emptied_repository_changes_nothing_on_any_host(trio: Trio) -> None:
    trio.wait_rounds(2)
    before, applies = [one.host.sh(WRITTEN) for one in trio.stories], trio.applies()
    trio.empty("emptied by mistake")
    trio.field.wait_for(lambda: trio.field.get("source")["state"] == "refused", "it is refused")
    trio.wait_rounds(3)
    assert [one.host.sh(WRITTEN) for one in trio.stories] == before
    assert trio.applies() == applies
