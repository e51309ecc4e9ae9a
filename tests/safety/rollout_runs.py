"""A fleet of played hosts under the service's own loop, and revisions that go to it in waves.

Each run is a claim of deploy/docs/rollouts.md. It returns what was counted; AssertionError where the claim does not
hold. The clock is set, so that pauses cost nothing.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from service.errors import Unreachable
from service.model.listings import RolloutListing
from service.model.rollouts import Rollout
from service.model.states import Seen
from tests.laws.specs import KEY
from tests.scenarios.stage import Stage

SPEC = """\
host: {name}
sync: auto
connection: {{address: 10.{high}.{low}.1, console: "https://console.example.net/{name}", host_keys: ["{key}"]}}
bridges: {{vmbr0: {{addresses: [192.0.2.{last}/24], ports: []}}}}
"""
POLICY = "rollout: {waves: [1, 10%, 50%, 100%], soak: 30s, max_failures: 1}\n"
STEP_S = 15.0
LONG_S = 3600.0
Counted = Mapping[str, int]


class Fleet:
    """So many hosts, whose bridges should all have the same address."""

    def __init__(self, hosts: int, folder: Path) -> None:
        self.names = [f"pve{number}" for number in range(hosts)]
        self.stage = Stage(folder, {"stop_hosts": "100%"}, names=self.names)

    async def push(self, last: int | None, policy: str = POLICY) -> None:
        """A commit that wants 192.0.2.`last` of each; None: the repository has no host any more."""
        files = {"fleet.yaml": f"passerelle: 1\n{policy}"}
        for number, name in enumerate(self.names if last is not None else ()):
            high, low = divmod(number, 250)
            files[f"hosts/{name}.yaml"] = SPEC.format(name=name, high=high, low=low, key=KEY, last=last)
        self.stage.forge.push(files)
        self.stage.loop.look_now()
        await self.stage.settled()

    def having(self, last: int) -> set[str]:
        """The hosts that have it."""
        return {name for name in self.names if self.address(name) == [f"192.0.2.{last}/24"]}

    def address(self, name: str) -> object:
        """What the bridge of a host has."""
        seen = self.stage.hosts[name].host.facts.get("addresses:vmbr0")
        return seen.value if isinstance(seen, Seen) else None

    def tried(self) -> set[str]:
        """The hosts on which a change failed."""
        return {name for name in self.names if self.stage.queries.latches(name)}

    @property
    def rollout(self) -> Rollout:
        """The newest."""
        return self.stage.queries.rollouts(RolloutListing(limit=1)).items[0]

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Let time pass until something is so."""
        passed = 0.0
        while not is_so():
            assert passed < LONG_S, f"after {passed:.0f} s: {self.rollout}"
            await self.stage.wait(STEP_S)
            passed += STEP_S


class Killer:
    """Kills the service once in each wave, as soon as a host has applied: each time another host, for the second time
    on one is held against the change."""

    def __init__(self, fleet: Fleet) -> None:
        self.waves: list[int] = []
        self._fleet = fleet
        self._hit: set[str] = set()
        self.arm()

    def arm(self) -> None:
        """From now on."""
        for name, one in self._fleet.stage.hosts.items():
            one.began = partial(self._began, name)

    def _began(self, name: str) -> None:
        wave = self._fleet.rollout.wave
        if wave not in self.waves and name not in self._hit:
            self.waves.append(wave)
            self._hit.add(name)
            self._fleet.stage.die()

    async def again(self) -> bool:
        """Start the service where it was killed. Whether it was."""
        stage = self._fleet.stage
        if stage.running is None or not stage.running.done():
            return False
        await stage.end()
        await stage.start()
        self.arm()
        return True


@asynccontextmanager
async def fleet_of(hosts: int, folder: Path) -> AsyncIterator[Fleet]:
    """A fleet that has its first revision, to which it came in waves."""
    fleet = Fleet(hosts, folder)
    await fleet.stage.start()
    try:
        await fleet.push(1)
        await fleet.until(lambda: fleet.rollout.state == "done")
        assert len(fleet.having(1)) == hosts
        yield fleet
    finally:
        await fleet.stage.stop()


async def poisoned(hosts: int, folder: Path) -> Counted:
    """No host can be reached with what a commit wants: at most one has tried it, and none has it. The commit that
    corrects it goes to all."""
    async with fleet_of(hosts, folder) as fleet:
        for one in fleet.stage.hosts.values():
            one.locks_out = Unreachable("no route")
        await fleet.push(2)
        await fleet.stage.wait(1200)
        tried = fleet.tried()
        assert len(tried) == 1, tried
        assert len(fleet.having(1)) == hosts
        assert fleet.rollout.state == "halted"
        for one in fleet.stage.hosts.values():
            one.locks_out = None
        await fleet.push(3)
        await fleet.until(lambda: len(fleet.having(3)) == hosts)
        return {"tried": len(tried), "corrected": len(fleet.having(3))}


async def away(hosts: int, folder: Path) -> Counted:
    """Three of ten hosts cannot be reached, the first by name among them. The others get it, and those once they are
    back."""
    async with fleet_of(hosts, folder) as fleet:
        gone = set(fleet.names[: max(1, hosts * 3 // 10)])
        for name in gone:
            fleet.stage.hosts[name].trouble = Unreachable("no route")
        await fleet.stage.wait(120)
        await fleet.push(2)
        await fleet.until(lambda: fleet.having(2) == set(fleet.names) - gone)
        reached = len(fleet.having(2))
        assert fleet.rollout.state == "running"
        for name in gone:
            fleet.stage.hosts[name].trouble = None
        await fleet.until(lambda: len(fleet.having(2)) == hosts)
        await fleet.until(lambda: fleet.rollout.state == "done")
        return {"away": len(gone), "had_it_without_them": reached}


async def killed(hosts: int, folder: Path) -> Counted:
    """The service is killed in every wave while a host is in its change. No wave begins before the one before has
    ended, and in the end every host has it."""
    async with fleet_of(hosts, folder) as fleet:
        killer = Killer(fleet)
        await fleet.push(2)
        passed = 0.0
        while await killer.again() or fleet.rollout.state != "done":
            assert passed < 4 * LONG_S, fleet.rollout
            await fleet.stage.wait(STEP_S)
            passed += STEP_S
            now = fleet.rollout
            assert now.begun <= now.policy.hosts_until(now.wave - 1, hosts), now
        assert len(fleet.having(2)) == hosts
        assert not fleet.tried()
        return {"kills": len(killer.waves), "waves": now.waves}


async def emptied(hosts: int, folder: Path) -> Counted:
    """A repository without any host: nothing is written."""
    async with fleet_of(hosts, folder) as fleet:
        before = {name: (one.generation, list(one.writes)) for name, one in fleet.stage.hosts.items()}
        await fleet.push(None)
        await fleet.stage.wait(600)
        written = [n for n, one in fleet.stage.hosts.items() if (one.generation, list(one.writes)) != before[n]]
        assert not written
        assert len(fleet.having(1)) == hosts
        return {"written": len(written)}


RUNS: Mapping[str, Callable[[int, Path], Awaitable[Counted]]] = {
    "poisoned": poisoned, "away": away, "killed": killed, "emptied": emptied,
}  # fmt: skip
