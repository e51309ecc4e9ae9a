"""A real host of the lab: observed over SSH, changed, confirmed, and left alone to restore itself."""

import asyncio
import hashlib
import json
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from service.apply.switch import Switch
from service.apply.transaction import Transaction
from service.clock import SystemClock
from service.lab import Host, Lab
from service.lab.waiting import grown_s
from service.model.facts import Step
from service.model.observed import HostObserved, Watch
from service.model.plans import Plan
from service.model.states import Absent, Json, Seen
from service.model.telling import Ended
from service.observe.collect import Collector
from service.observe.connection import Target
from service.ssh.connection import SshDialer
from service.ssh.keys import load_client_key
from service.ssh.pool import Connections
from service.work import InPlace
from tests.apply.clocks import QuickClock

pytestmark = pytest.mark.lab(minutes=1)

ID = "01JD0000000000000000000000"
PATH = "/etc/dnsmasq.d/passerelle.conf"
CONTENT = b"# a line\n"
WATCH = Watch(
    files=frozenset({"/etc/network/interfaces", "/etc/network/interfaces.d/*", PATH, "/etc/hosts"}),
    units=frozenset({"named.service", "ssh.service", "networking.service", "nope.service"}),
    packages=frozenset({"bind9", "dnsmasq"}),
    sysctls=frozenset({"net.ipv4.ip_forward"}),
)


@dataclass
class Way:
    """The service's way to one lab host."""

    connections: Connections
    target: Target
    collector: Collector

    async def observe(self, watch: Watch = WATCH) -> HostObserved:
        return await self.collector.observe(await self.connections.host(self.target), self.target.name, watch)


@pytest.fixture
async def way(lab: Lab, host: Host) -> AsyncIterator[Way]:
    async def dial(to: Target) -> socket.socket:
        return await asyncio.to_thread(lab.dial, to.address, to.port)

    connections = Connections(SshDialer(load_client_key(Path(lab.key)), dial=dial))
    yield Way(
        connections, Target("pve1", host.address, (host.host_key,), host.port), Collector(SystemClock(), InPlace())
    )
    await connections.close()


async def test_what_is_observed_is_what_the_host_side_file_captures(way: Way) -> None:
    observed = await way.observe()
    seen = {name: fact for name, fact in observed.facts.items() if not name.startswith("masquerade:")}
    connection = await way.connections.host(way.target)
    captured = (await Switch(connection).ask("capture", stdin=sorted(seen)))["facts"]
    assert len(seen) > 10
    for name, fact in seen.items():
        have = captured[name]
        if isinstance(have, dict) and name.startswith("file:"):
            have.pop("xattrs", None)
        assert fact == (Absent() if have is None else Seen(have)), name


async def test_a_bare_host_is_seen_as_it_is(way: Way, host: Host) -> None:
    observed = await way.observe()
    assert observed.boot_id == host.boot_id()
    assert observed.path is not None and observed.path.server == host.address
    assert observed.fact("addresses:enp1s0") == Seen([f"{host.address}/24"])
    assert observed.fact("unit:named.service") == Seen({"enabled": "enabled", "active": True})
    assert observed.fact("unit:nope.service") == Absent()
    assert isinstance(observed.listeners, Seen)
    assert {(one.program, one.port) for one in observed.listeners.value} >= {("sshd", 22), ("named", 53)}
    assert observed.packages["dnsmasq"] == Absent()
    assert observed.text("/etc/hosts") == Seen(host.read("/etc/hosts"))
    assert observed.left_overs == () and observed.armed == ""


async def test_a_change_by_hand_moves_its_own_digests_only(way: Way, host: Host) -> None:
    before = (await way.observe()).digests
    assert (await way.observe()).digests == before
    host.sh("ip addr add 10.9.9.9/32 dev lo && sysctl -qw net.ipv4.ip_forward=1")
    after = await way.observe()
    moved = {name for name in before if before[name] != after.digests[name]}
    assert moved - {"listeners"} == {"addresses", "values"}  # BIND listens at the new address, too
    assert after.fact("addresses:lo") == Seen(["10.9.9.9/32"])
    assert after.fact("sysctl:net.ipv4.ip_forward") == Seen("1")


def plan() -> Plan:
    digest = hashlib.sha256(CONTENT).hexdigest()
    after: Json = {"sha256": digest, "mode": "0644", "uid": 0, "gid": 0}
    return Plan(
        "pve1", "c" * 40, "sha256:1", steps=(Step(f"file:{PATH}", None, after, "test"),), blobs={digest: CONTENT}
    )


async def apply(
    way: Way,
    targets: list[Target],
    confirm_timeout_s: int,
    tell: Callable[[object], None],
    clock: SystemClock | None = None,
) -> Ended:
    began = await way.connections.host(way.target)
    transaction = Transaction(way.connections, targets, clock or SystemClock(), tell)
    return await transaction.run(
        began, plan(), apply_id=ID, generation=1, controller="test", confirm_timeout_s=confirm_timeout_s
    )


async def test_a_file_is_written_and_stays_after_the_confirmation(way: Way, host: Host) -> None:
    told: list[object] = []
    ended = await apply(way, [way.target], 30, told.append)
    assert (ended.ending, ended.error) == ("confirmed", "")
    observed = await way.observe()
    assert observed.text(PATH) == Seen(CONTENT)
    assert observed.armed == ""
    journal = json.loads(host.read(f"/var/lib/passerelle/txn/{ID}/journal.json"))
    assert journal["state"] == "confirmed"
    assert told


async def test_a_host_that_nobody_can_confirm_restores_itself(way: Way) -> None:
    await way.observe()
    elsewhere = Target("pve1", "198.51.100.99", way.target.host_keys)
    ended = await apply(way, [elsewhere], round(grown_s(6)), lambda _told: None, QuickClock(stride=60))
    assert ended.ending == "unconfirmed"
    assert (await way.observe()).text(PATH) == Seen(CONTENT)
    async with asyncio.timeout(grown_s(60)):
        while (await way.observe()).armed:
            continue
    assert (await way.observe()).fact(f"file:{PATH}") == Absent()
    status = await Switch(await way.connections.host(way.target)).ask("status", ID)
    assert (status["journals"][0]["state"], status["journals"][0]["cause"]) == ("rolled_back", "deadline")
