"""Going back: what comes between the request and the round, and a service that ends in the middle of it."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from service.errors import WaitsAlready
from service.model.listings import ApplyListing
from service.model.observed import HostObserved, Watch
from service.spec.host import HostSpec
from tests.laws.host import bare_host
from tests.laws.specs import head
from tests.reconcile.rooms import Hosts, Room, a_room
from tests.reconcile.sights import digested
from tests.reconcile.test_controller_away import BRIDGE, killed_in_the_middle, told

WHY = "names are slow"
OTHER = BRIDGE.replace("10.10.10.1/24]", "10.10.10.1/24, 10.10.30.1/24]")


@dataclass
class Packaged(Hosts):
    """Records what is installed on the host, where apt would install all that it has to."""

    installed: list[str] = field(default_factory=list)

    async def observe(self, spec: HostSpec, watch: Watch, known: Sequence[str]) -> HostObserved:
        seen = await super().observe(spec, watch, known)
        self.host = digested(replace(seen, weighed=bare_host(watch).weighed))
        return self.host

    async def install(self, _spec: HostSpec, packages: Sequence[str], _come: Sequence[object] = ()) -> None:
        self.installed.extend(packages)


async def at_other(room: Room, then: str = BRIDGE) -> str:
    """The host has `OTHER` by an apply; the commit before it wanted `then`, and was never applied."""
    commit = await room.push(head("observe") + then)
    await room.push(head("auto") + OTHER)
    for _ in range(2):
        await room.round()
    assert room.status.sync == "Synced"
    return commit


async def test_no_package_comes_for_it_on_a_host_that_was_suspended_meanwhile(tmp_path: Path) -> None:
    hosts = Packaged()
    with a_room(tmp_path, hosts) as room:
        commit = await at_other(room, BRIDGE + "packages: {tcpdump: present}\n")
        await room.control.rollback("pve1", commit, WHY, "ann")
        room.store.suspend("all", "", "the storage is moved", by="bob", at=room.clock.now(), until=None)
        before = len(hosts.applied)
        await room.round()
        assert (hosts.installed, len(hosts.applied)) == ([], before)
        (ended,) = room.queries.applies(ApplyListing(host="pve1", limit=1)).items
        assert (ended.trigger, ended.phase, ended.cause) == ("rollback", "Refused", "suspended")


async def test_a_second_request_that_is_refused_leaves_the_hold_of_the_first(tmp_path: Path) -> None:
    with a_room(tmp_path) as room:
        commit = await at_other(room)
        await room.control.rollback("pve1", commit, WHY, "ann")
        before = room.queries.suspended(room.clock.now())
        with pytest.raises(WaitsAlready):
            await room.control.rollback("pve1", commit, "twice", "bob")
        assert room.queries.suspended(room.clock.now()) == before
        for _ in range(3):
            await room.round()
        assert told(room)[-1] == ("rollback", "Succeeded", "")
        assert "suspended by ann" in room.status.message


async def test_one_that_was_interrupted_is_tried_once_more_and_still_goes_back(tmp_path: Path) -> None:
    hosts = Packaged()
    with a_room(tmp_path, hosts) as room:
        forge = room.forge
        commit = await at_other(room)
        await room.control.rollback("pve1", commit, WHY, "ann")
        await killed_in_the_middle(room)
    with a_room(tmp_path, hosts, forge) as room:
        await room.watcher.look()
        for _ in range(3):
            await room.round()
        assert told(room)[1:] == [("rollback", "RolledBack", "controller away"), ("rollback", "Succeeded", "")]
        assert "suspended by ann" in room.status.message


async def test_of_two_plans_it_goes_back_by_the_approved_one_only(tmp_path: Path) -> None:
    with a_room(tmp_path) as room:
        commit = await at_other(room)
        before = len(room.hosts.applied)
        await room.control.rollback("pve1", commit, WHY, "ann", digest="sha256:" + 12 * "0")
        await room.round()
        (ended,) = room.queries.applies(ApplyListing(host="pve1", limit=1)).items
        assert (ended.phase, ended.cause, len(room.hosts.applied)) == ("Refused", "stale", before)
        digest = ended.error.rpartition(" ")[2]
        await room.control.rollback("pve1", commit, WHY, "ann", digest=digest[:19])
        for _ in range(2):
            await room.round()
        (ended,) = room.queries.applies(ApplyListing(host="pve1", limit=1)).items
        assert (ended.phase, ended.plan_digest) == ("Succeeded", digest)
