"""What a commit may ask for on its own, and what waits for an approval; a pusher is not always who decides."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from service.errors import InputError
from service.model.ceilings import Ceilings
from service.settings import read_settings
from tests.laws.specs import head
from tests.reconcile.rooms import Room, a_room

NETWORK = (
    "interfaces:\n  enp1s0: {addresses: [198.51.100.11/24], gateway: 198.51.100.1}\n"
    "bridges:\n  vmbr0: {addresses: [10.10.10.1/24], ports: []}\n"
)
NAT = NETWORK + "nat:\n  - {source: 10.10.10.0/24, out: enp1s0}\n"
FIREWALL = NETWORK + "firewall:\n  policy_in: drop\n  rules:\n    - {type: in, action: accept, macro: SSH}\n"


def published(ports: str) -> str:
    return NETWORK + f"forwards:\n  - {{in: enp1s0, ports: [{ports}], to: 10.10.10.20}}\n"


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    with a_room(tmp_path) as made:
        yield made


def ceilings(room: Room, **texts: str) -> None:
    room.rounds.ceilings = Ceilings.parse(**texts)


async def settled(room: Room) -> None:
    """A host of mode auto that is as wanted."""
    await room.push(head() + NETWORK)
    for _ in range(3):
        await room.round()
    assert room.status.sync == "Synced"
    room.hosts.applied.clear()


def plan_digest(room: Room) -> str:
    plan = room.queries.current_plan("pve1")
    assert plan is not None
    return plan.digest


async def test_without_a_setting_a_commit_may_ask_for_anything(room: Room) -> None:
    await room.push(head() + NAT)
    await room.round()
    assert len(room.hosts.applied) == 1


async def test_the_operators_mode_caps_that_of_the_spec(room: Room) -> None:
    ceilings(room, max_sync="auto,pve*=approve")
    await room.push(head() + NAT)
    await room.round()
    assert room.hosts.applied == []
    assert (room.status.sync_mode, room.status.phase) == ("approve", "WaitingForApproval")
    assert room.status.message == (
        "the plan waits for approval; the spec says sync: auto, PASSERELLE_MAX_SYNC allows approve"
    )
    await room.control.apply("pve1", None, plan_digest(room), "ann")
    await room.round()
    assert len(room.hosts.applied) == 1


async def test_what_is_capped_to_observe_is_never_written(room: Room) -> None:
    ceilings(room, max_sync="observe")
    await room.push(head() + NAT)
    await room.round()
    assert (room.hosts.applied, room.status.sync_mode) == ([], "observe")
    with pytest.raises(InputError, match="nothing is ever written"):
        await room.control.apply("pve1", None, plan_digest(room), "ann", may_raise=True)
    with pytest.raises(InputError, match="nothing is ever written"):
        await room.control.drill("pve1", "ann")


async def test_a_raise_to_auto_counts_after_one_approval(room: Room) -> None:
    ceilings(room, raises="approve")
    await room.push(head("approve") + NETWORK)
    await room.round()
    await room.push(head("auto") + NAT)
    await room.round()
    assert room.hosts.applied == []
    assert room.status.sync_mode == "approve"
    assert (
        "sync was raised to auto. It takes effect when a plan is applied with a token of scope approve"
        in room.status.message
    )
    await room.control.apply("pve1", None, plan_digest(room), "deployer")
    await room.round()
    await room.round()
    assert (len(room.hosts.applied), room.status.sync_mode) == (1, "approve")  # whoever may apply may not raise
    await room.push(head("auto") + NETWORK)
    await room.round()
    assert len(room.hosts.applied) == 1
    await room.control.apply("pve1", None, plan_digest(room), "ann", may_raise=True)
    await room.round()
    await room.round()
    assert (len(room.hosts.applied), room.status.sync_mode) == (2, "auto")
    await room.push(head("auto") + NAT)
    await room.round()
    assert len(room.hosts.applied) == 3


async def test_a_new_host_is_no_way_around(room: Room) -> None:
    ceilings(room, raises="approve")
    await room.push(head("auto") + NAT)
    for _ in range(3):
        await room.round()
    assert (room.hosts.applied, room.status.sync_mode) == ([], "approve")


async def test_a_lower_mode_counts_at_once(room: Room) -> None:
    await settled(room)
    ceilings(room, raises="approve")
    await room.push(head("observe") + NAT)
    await room.round()
    assert (room.hosts.applied, room.status.sync_mode) == ([], "observe")


async def test_what_opens_beyond_the_ceiling_waits_for_an_approval_once(room: Room) -> None:
    await settled(room)
    ceilings(room, max_open="tcp/80,tcp/443")
    await room.push(head() + published("80, 443"))
    await room.round()
    assert len(room.hosts.applied) == 1
    await room.round()
    await room.push(head() + published("80, 443, 8006"))
    for _ in range(2):
        await room.round()
    assert len(room.hosts.applied) == 1
    assert room.status.phase == "WaitingForApproval"
    assert "beyond PASSERELLE_MAX_OPEN: opens tcp/" in room.status.message
    assert "scope approve" in room.status.message
    with pytest.raises(InputError, match="needs an approval"):
        await room.control.apply("pve1", None, plan_digest(room), "deployer")
    await room.control.apply("pve1", None, plan_digest(room), "ann", may_raise=True)
    for _ in range(3):
        await room.round()
    assert len(room.hosts.applied) == 2
    assert room.status.sync == "Synced"


async def test_an_accept_beyond_the_ceiling_waits_too_and_one_within_does_not(room: Room) -> None:
    await room.push(head() + FIREWALL)
    for _ in range(3):
        await room.round()
    count = len(room.hosts.applied)
    ceilings(room, max_open="tcp/443,any@192.0.2.0/24")
    within = "    - {type: in, action: accept, proto: tcp, dport: 443}\n"
    from_net = "    - {type: in, action: accept, proto: udp, dport: 161, source: 192.0.2.16/28}\n"
    await room.push(head() + FIREWALL + within + from_net)
    for _ in range(2):
        await room.round()
    assert len(room.hosts.applied) == count + 1, room.status
    await room.push(head() + FIREWALL + within + from_net + "    - {type: in, action: accept, proto: tcp, dport: 25}\n")
    await room.round()
    assert len(room.hosts.applied) == count + 1
    assert "beyond PASSERELLE_MAX_OPEN: opens tcp/25 from anywhere" in room.status.message
    await room.push(head() + NETWORK)  # no firewall at all opens everything
    await room.round()
    assert len(room.hosts.applied) == count + 1
    assert "opens icmp from anywhere" in room.status.message


async def test_an_override_of_the_management_path_waits_where_raises_do(room: Room) -> None:
    await settled(room)
    ceilings(room, raises="approve")
    moved = NETWORK.replace("198.51.100.11/24", "198.51.100.12/24")
    await room.push(head("auto", "  allow_management_change: true\n") + moved)
    await room.round()
    assert room.hosts.applied == []
    assert "allow_management_change: " in room.status.message
    assert "needs an approval, once" in room.status.message
    ceilings(room)
    await room.round()
    assert len(room.hosts.applied) == 1


@pytest.mark.parametrize(
    ("variable", "text", "said"),
    [
        ("max_sync", "sometimes", "'sometimes' is none of observe, approve, auto"),
        ("max_sync", "auto,approve", "both have no pattern"),
        ("max_sync", "auto,PVE 1=approve", "'PVE 1' is not a pattern of host names"),
        ("max_sync", "", "is none of"),
        ("raises", "never", "'never' is none of approve, commit"),
        ("max_open", "443", "'443' is not an opening"),
        ("max_open", "icmp/8", "ports are those of tcp or udp"),
        ("max_open", "tcp/90-80", "the lower one first"),
        ("max_open", "tcp/22@192.0.2.1/24", "has host bits set"),
        ("max_open", "tcp/80,,tcp/443", "is not an opening"),
    ],
)
def test_a_setting_that_cannot_be_used_ends_the_start_with_its_name(variable: str, text: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        read_settings(**{variable: text})
    assert f"PASSERELLE_{variable.upper()}: " in caught.value.what
    assert said in caught.value.what


def test_of_several_patterns_the_strictest_counts() -> None:
    made = Ceilings.parse(max_sync="auto,pve*=approve,*-lab=auto,pve9=observe")
    assert [made.sync(host, "auto") for host in ("web", "pve1", "pve1-lab", "x-lab", "pve9")] == [
        "auto", "approve", "approve", "auto", "observe",
    ]  # fmt: skip
    assert made.sync("web", "observe") == "observe"


def firewall(rules: int, sync: str = "auto", more: str = "") -> str:
    """A host with so many rules besides the one for SSH."""
    lines = (f"    - {{type: in, action: accept, proto: tcp, dport: {1000 + n}}}\n" for n in range(rules))
    return head(sync) + FIREWALL + "".join(lines) + more


async def test_a_commit_that_removes_most_rules_waits_for_an_approval(room: Room) -> None:
    """Not at the first apply, nor while the kernel has lost what Git wants as before."""
    await room.push(firewall(9))
    for _ in range(3):
        await room.round()
    assert (len(room.hosts.applied), room.status.sync) == (1, "Synced")
    await room.push(firewall(3))
    await room.round()
    await room.round()
    assert (len(room.hosts.applied), room.status.phase) == (1, "WaitingForApproval")
    assert "it removes 6 of 10 firewall rules, more than 50 % (PASSERELLE_STOP_RULES)" in room.status.message
    await room.control.apply("pve1", None, plan_digest(room), "ann", may_raise=True)
    await room.round()
    await room.round()
    assert (len(room.hosts.applied), room.status.sync) == (2, "Synced")
    await room.push(firewall(0))
    await room.round()
    assert len(room.hosts.applied) == 3  # three of four may go


async def test_a_limit_that_changes_counts_at_once(room: Room) -> None:
    await room.push(firewall(9))
    await room.round()
    await room.push(firewall(3))
    await room.round()
    assert (len(room.hosts.applied), room.status.phase) == (1, "WaitingForApproval")
    ceilings(room, stop_rules="60%")
    await room.round()
    assert len(room.hosts.applied) == 2


@pytest.mark.parametrize(("rules", "is_stopped"), [(8, False), (3, True)])
async def test_where_the_last_commit_is_lost_more_than_four_rules_wait(
    room: Room, rules: int, is_stopped: bool
) -> None:
    await room.push(firewall(9))
    for _ in range(2):
        await room.round()
    base = room.queries.base("pve1")
    assert base is not None
    room.store.set_base(
        "pve1", base.desired, digest=base.digest, commit="0" * 40, apply_id=base.apply_id, at=room.clock.now()
    )
    await room.push(firewall(rules))
    await room.round()
    assert len(room.hosts.applied) == (1 if is_stopped else 2)
    assert ("the commit of the last apply cannot be read" in room.status.message) == is_stopped
