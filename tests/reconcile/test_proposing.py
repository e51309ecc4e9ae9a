"""A branch gets a plan, and nothing else happens."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from service.errors import InputError, NoHost, NotFound, NotKnown, TooMuch
from service.model.listings import EventListing
from service.model.proposals import HostProposal, Proposal, Proposed
from service.reconcile import proposing
from tests.calls import counted
from tests.laws.specs import head
from tests.reconcile.rooms import Room, a_room

CONSOLE = "  console: https://console.example.net/pve1\n"
UPLINK = "interfaces:\n  enp1s0: {addresses: [198.51.100.11/24], gateway: 198.51.100.1}\n"
HOST = head(extra=CONSOLE) + UPLINK
BRIDGE = "bridges:\n  vmbr0: {addresses: [10.10.10.1/24], ports: []}\n"
BRANCH = Proposal("branch", "new")


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    with a_room(tmp_path) as made:
        yield made


async def begun(room: Room, **files: str) -> Room:
    """A service whose host is as Git wants it."""
    await room.push(HOST, **files)
    for _ in range(3):
        await room.round()
    assert room.status.sync == "Synced", room.status
    return room


def everyone(_host: str) -> bool:
    return True


async def proposed(room: Room, spec: str, files: Mapping[str, str] | None = None) -> Proposed:
    """What a branch with this spec of pve1 would do."""
    tree = {"fleet.yaml": "passerelle: 1\n", "hosts/pve1.yaml": spec, **(files or {})}
    if "refs/heads/new" not in room.forge.git("for-each-ref"):
        room.forge.git("branch", "new", "main")
    room.forge.push(tree, branch="new", message="a proposal")
    return await room.proposals.propose(BRANCH, everyone)


async def only(room: Room, spec: str) -> HostProposal:
    found = await proposed(room, spec)
    [one] = found.hosts
    return one


def rows(room: Room) -> tuple[Any, ...]:
    """All that a proposal could leave behind."""
    events = [event.id for event in room.queries.events(EventListing(limit=200)).items]
    return (
        room.queries.newest_revision(), room.queries.current_plan("pve1"), room.queries.host("pve1"), events,
        room.watcher.wanted, room.watcher.head, room.watcher.standing, room.watcher.findings, room.queue.depth,
    )  # fmt: skip


async def test_a_change_is_planned_against_what_was_seen_and_leaves_nothing(room: Room) -> None:
    await begun(room)
    before, standing = rows(room), room.rounds.standing("pve1")
    looked, plan = standing.looked, standing.plan
    found = await proposed(room, HOST + BRIDGE)
    [one] = found.hosts
    assert one.outcome in ("changes", "incomplete"), one
    assert one.body is not None
    assert "link:vmbr0" in [step["fact"] for step in one.body["steps"]]
    assert (one.observed_at, one.digest[:7]) == (looked.observed.observed_at if looked else None, "sha256:")
    assert (found.commit.subject, found.in_force) == ("a proposal", room.watcher.wanted.commit)
    assert found.contains_it
    assert rows(room) == before
    assert (room.rounds.standing("pve1").looked, room.rounds.standing("pve1").plan) == (looked, plan)
    assert room.hosts.applied == [*room.hosts.applied]
    await room.watcher.look()
    assert rows(room) == before


async def test_a_host_of_which_nothing_changes_is_not_planned(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    await begun(room)
    monkeypatch.setattr(proposing, "MAX_PLANS", 0)
    assert (await only(room, HOST)).outcome == "unchanged"
    commented = await only(room, "# a comment\n" + HOST)
    assert (commented.outcome, commented.settings, commented.body) == ("unchanged", (), None)
    settled = await only(room, HOST.replace("sync: auto", "sync: approve"))
    assert (settled.outcome, settled.settings) == ("unchanged", ("sync",))
    assert (await only(room, HOST + BRIDGE)).outcome == "left-out"


async def test_errors_are_the_result_with_file_and_line(room: Room) -> None:
    await begun(room)
    found = await proposed(room, HOST + "bridge: {}\n")
    assert (found.errors, found.hosts) == (1, ())
    [finding] = [one for one in found.findings if isinstance(one, dict) and one["severity"] == "error"]
    assert (finding["file"], finding["line"]) == ("hosts/pve1.yaml", len(HOST.splitlines()) + 1)
    assert room.watcher.trouble == ""


async def test_of_very_many_findings_only_those_that_are_shown_are_made(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is done on the event loop, and a branch of 4 MiB may have half a million."""
    await begun(room)
    monkeypatch.setattr(proposing, "MAX_FINDINGS", 3)
    with counted() as calls:
        found = await proposed(room, HOST + "".join(f"unknown{number}: 1\n" for number in range(20)))
    assert (found.errors, len(found.findings), found.more_findings) == (20, 3, 17)
    assert calls["spec/report.py:finding_as_json"] <= 3


async def test_a_token_for_some_hosts_gets_findings_of_these_however_many_others_have(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    await begun(room)
    monkeypatch.setattr(proposing, "MAX_FINDINGS", 3)
    other = HOST.replace("pve1", "a0").replace("198.51.100.11", "198.51.100.12") + "".join(
        f"no{n}: 1\n" for n in range(9)
    )
    wrong = HOST + "".join(f"unknown{number}: 1\n" for number in range(5))
    everything = await proposed(room, wrong, {"hosts/a0.yaml": other})
    assert {one["file"] for one in everything.findings if isinstance(one, dict)} == {"hosts/a0.yaml"}
    found = await room.proposals.propose(BRANCH, lambda host: host == "pve1")
    assert {one["file"] for one in found.findings if isinstance(one, dict)} == {"hosts/pve1.yaml"}
    assert (found.errors, len(found.findings), found.more_findings) == (14, 3, 2)


@pytest.mark.parametrize("ticks", [2, 8, 14])
async def test_reading_a_branch_ends_when_its_time_is_spent(room: Room, ticks: int) -> None:
    """It is looked at before each file and each step, here until it jumps."""
    await begun(room)
    looks = iter(range(1, 1000))
    room.proposals._cpu_s = lambda: 1000.0 if next(looks) >= ticks else 0.0
    with pytest.raises(InputError, match="reading the branch new takes more than 10 s of CPU time"):
        await proposed(room, HOST + BRIDGE, {"hosts/pve2.yaml": HOST.replace("pve1", "pve2").replace(".11", ".12")})


async def test_hosts_that_come_go_and_change_their_name_are_named(room: Room) -> None:
    await begun(room)
    other = HOST.replace("pve1", "pve2").replace("198.51.100.11", "198.51.100.12")
    found = await proposed(room, HOST, {"hosts/pve2.yaml": other})
    assert [(one.host, one.outcome) for one in found.hosts] == [("pve1", "unchanged"), ("pve2", "new")]
    room.forge.push({"fleet.yaml": "passerelle: 1\n", "hosts/pve2.yaml": other}, branch="new")
    found = await room.proposals.propose(BRANCH, everyone)
    assert [(one.host, one.outcome) for one in found.hosts] == [("pve1", "gone"), ("pve2", "new")]
    moved = other + "renamed_from: pve1\n"
    room.forge.push({"fleet.yaml": "passerelle: 1\n", "hosts/pve2.yaml": moved}, branch="new")
    found = await room.proposals.propose(BRANCH, everyone)
    assert [(one.host, one.outcome) for one in found.hosts] == [("pve1", "renamed"), ("pve2", "renamed")]
    assert all(one.other in one.why for one in found.hosts)
    for seen, hidden in (({"pve1"}, "pve2"), ({"pve2"}, "pve1")):
        [one] = (await room.proposals.propose(BRANCH, seen.__contains__)).hosts
        assert (one.outcome, hidden in repr(one)) == ("renamed", False)


async def test_the_key_of_a_branch_opens_nothing(room: Room) -> None:
    """`allow_management_change` in a branch, whoever wrote it, is not a permission."""
    await begun(room)
    cut = HOST.replace("198.51.100.11/24", "198.51.100.99/24")
    plain = await only(room, cut)
    assert plain.outcome == "refused", plain
    allowed = await only(room, cut.replace(CONSOLE, CONSOLE + "  allow_management_change: true\n"))
    assert allowed.outcome == "refused"
    assert proposing.HOSTILE_KEY in allowed.why
    assert allowed.body is not None
    assert allowed.body["overridden"] == ()


async def test_what_nobody_looked_at_is_not_refused_for_good(room: Room) -> None:
    await begun(room)
    one = await only(room, HOST + "packages: {htop: present}\n")
    assert one.outcome == "incomplete", one
    assert "the last look did not include" in one.why
    assert "the package htop" in one.why


async def test_a_token_for_some_hosts_sees_those(room: Room) -> None:
    await begun(room)
    await proposed(room, HOST + BRIDGE)
    assert (await room.proposals.propose(BRANCH, lambda host: host != "pve1")).hosts == ()
    with pytest.raises(NoHost):
        await room.proposals.propose(BRANCH, lambda host: host != "pve1", ["pve1"])
    with pytest.raises(NoHost):
        await room.proposals.propose(BRANCH, everyone, ["pve9"])
    assert [one.host for one in (await room.proposals.propose(BRANCH, everyone, ["pve1"])).hosts] == ["pve1"]


async def test_before_anything_is_in_force_there_is_no_plan(room: Room) -> None:
    room.forge.push({"fleet.yaml": "passerelle: 1\n"}, branch="new")
    with pytest.raises(NotKnown):
        await room.proposals.propose(BRANCH, everyone)


async def test_a_host_that_was_never_seen_has_no_plan(room: Room) -> None:
    await room.push(HOST)
    assert (await only(room, HOST + BRIDGE)).outcome == "not-known"
    with pytest.raises(NotFound):
        await room.proposals.propose(Proposal("branch", "nothing"), everyone)


async def test_a_branch_that_is_behind_says_so(room: Room) -> None:
    await begun(room)
    await proposed(room, HOST + BRIDGE)
    await room.push(HOST, message="more", **{"README.md": "more\n"})
    assert not (await room.proposals.propose(BRANCH, everyone)).contains_it


async def test_a_plan_that_takes_too_long_ends_with_its_host(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    await begun(room)

    async def slow(*_: object, **__: object) -> None:
        raise TooMuch("planning pve1 took more than 3 s")

    monkeypatch.setattr(room.proposals._planning, "anew", slow)
    one = await only(room, HOST + BRIDGE)
    assert (one.outcome, "more than 3 s" in one.why) == ("not-known", True)


async def test_a_branch_is_bounded(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    await begun(room)
    monkeypatch.setattr(proposing, "MAX_NEW_BYTES", 10)
    with pytest.raises(Exception, match="10 are looked at"):
        await proposed(room, HOST + BRIDGE)
    monkeypatch.setattr(proposing, "MAX_WAITING", 0)
    with pytest.raises(Exception, match="wait already"):
        await room.proposals.propose(BRANCH, everyone)
