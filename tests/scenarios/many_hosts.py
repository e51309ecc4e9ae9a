"""A fleet of many hosts that are values, with the real service, repository and database; for benches."""

import asyncio
from dataclasses import replace
from pathlib import Path

from service.api.metrics import Metrics
from service.app import Outside, build
from service.clock import SystemClock
from service.history import open_history
from service.settings import Settings
from service.work import InPlace
from tests.git.forge import Forge
from tests.laws.specs import KEY
from tests.reconcile.internet import PlayedInternet
from tests.scenarios.played_host import PlayedHost
from tests.scenarios.played_lines import Lines, Looks
from tests.state_folders import made

SPEC = """\
host: {name}
platform: debian
sync: {sync}
connection: {{address: 10.{high}.{low}.1, console: "https://console.example.net/{name}", host_keys: ["{key}"]}}
bridges: {{vmbr0: {{addresses: [192.0.2.{last}/24], ports: [], stp: false, forward_delay: 0}}}}
"""


async def nothing() -> None:
    """What is left to close of a world that is played."""


class ManyHosts:
    """The service and its hosts `pve0`, `pve1`, …. `sync` is the mode of them all."""

    def __init__(self, hosts: int, folder: Path, *, sync: str = "observe") -> None:
        self.clock = SystemClock()
        self.hosts = {f"pve{number}": PlayedHost(self.clock) for number in range(hosts)}
        self.sync = sync
        self.forge = Forge(folder / "fleet.git")
        self.push(1)
        settings = Settings(state_dir=folder / "state", source=str(self.forge.path), stop_hosts="100%")
        self.history = open_history(made(settings.database_path), serve=True)
        world = Outside(
            clock=self.clock, apply_clock=self.clock, connections=Lines(self.hosts), looks=Looks(), work=InPlace(),
            close=nothing, metrics=Metrics(), internet=PlayedInternet(),
        )  # fmt: skip
        self.service = build(settings, self.history, world)
        self._changes = 0

    def push(self, last: int) -> None:
        """A commit that wants the address 192.0.2.`last` of the bridge of every host."""
        files = {"fleet.yaml": "passerelle: 1\n"}
        for number, name in enumerate(self.hosts):
            high, low = divmod(number, 250)
            files[f"hosts/{name}.yaml"] = SPEC.format(name=name, sync=self.sync, high=high, low=low, key=KEY, last=last)
        self.forge.push(files)

    def look(self) -> None:
        """One round of each host."""

        async def rounds() -> None:
            await self.service.watcher.look()
            if self.service.watcher.trouble or not self.service.watcher.wanted.hosts:
                raise SystemExit("\n".join(map(str, self.service.watcher.findings)) or self.service.watcher.trouble)
            await self.service.rounds.follow(self.service.watcher.wanted)
            for name in self.hosts:
                await self.service.rounds.reconcile(name, self.service.watcher.wanted)

        asyncio.run(rounds())

    def change(self) -> None:
        """One host's status changes."""
        name = f"pve{self._changes % len(self.hosts)}"
        self._changes += 1
        status = self.history.queries.host(name)
        assert status is not None
        changed = replace(status, message=f"change {self._changes}")
        self.history.store.set_host_status(changed, at=self.clock.now())

    def close(self) -> None:
        self.history.close()
