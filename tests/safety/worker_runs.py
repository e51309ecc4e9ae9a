"""Workers that are killed in the middle of their work, and what the hosts and the records say afterwards."""

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import psycopg

from service.history.postgres.place import PLACES
from service.lab.waiting import grown_s
from service.model.runs import FINISHED
from tests.git.forge import Forge
from tests.laws.specs import head
from tests.postgres import Cluster
from tests.safety.worker_field import Field

TAKEN_S = 30.0
"""How soon after a kill every host has to be looked at again."""


def spec_of(number: int, version: int, sync: str = "auto") -> str:
    """A host whose bridge has an address of this version. What is not confirmed soon is rolled back soon."""
    text = head(sync).replace("pve1", f"h{number}").replace("198.51.100.11", f"198.51.100.{number + 10}")
    text = text.replace("connection:\n", "connection:\n  confirm_timeout: 8s\n")
    return f"{text}bridges:\n  vmbr0: {{addresses: [{address(number, version)}], ports: []}}\n"


def address(number: int, version: int) -> str:
    return f"10.{version // 250}.{version % 250}.{number}/24"


@dataclass
class Fleet:
    """A field of hosts, a repository, a server, and the workers on them."""

    folder: Path
    server: Cluster
    hosts: int
    workers: int
    latency_s: float = 0.03
    observe_s: float = 4.0
    poll_s: float = 0.5
    threads: int = 8
    sync: str = "auto"
    version: int = 0
    sources: dict[int, Path] = field(default_factory=dict)
    """Where a worker has a repository of its own name, which a test may break."""
    health_ports: dict[int, int] = field(default_factory=dict)
    running: "dict[int, subprocess.Popen[bytes]]" = field(default_factory=dict)
    started: int = 0

    async def begin(self) -> None:
        self.field = self.made_field([f"h{number}" for number in range(1, self.hosts + 1)])
        await self.field.serve(self.folder / "field")
        self.url = self.server.made(f"fleet_{os.getpid()}_{time.monotonic_ns()}").reveal().decode()
        self.forge = Forge(self.folder / "fleet.git")
        self.push()
        for number in range(self.workers):
            self.start(number)

    def made_field(self, names: list[str]) -> Field:
        """The hosts."""
        return Field(names, self.latency_s)

    def address(self, number: int, version: int) -> str:
        """What the bridge of a host should have."""
        return address(number, version)

    def push(self, hosts: list[int] | None = None) -> None:
        """A new version for these hosts; for all of them where none is named."""
        self.version += 1
        self.versions = getattr(self, "versions", {})
        for number in hosts or range(1, self.hosts + 1):
            self.versions[number] = self.version
        versions = self.versions.items()
        files = {f"hosts/h{number}.yaml": spec_of(number, version, self.sync) for number, version in versions}
        self.forge.push({"fleet.yaml": "passerelle: 1\n", **files})

    def start(self, number: int) -> None:
        self.started += 1
        source = self.sources.get(number, self.forge.path)
        environment = {
            **os.environ, "FIELD_SOURCE": str(source), "FIELD_OBSERVE_S": str(self.observe_s),
            "FIELD_POLL_S": str(self.poll_s), "FIELD_WORKERS": str(self.threads),
            "FIELD_HEALTH_PORT": str(self.health_ports.get(number, 0)),
        }  # fmt: skip
        command = [
            sys.executable, "-m", "tests.safety.worker_process", self.folder / f"worker{number}", self.url,
            self.folder / "field", "worker",
        ]  # fmt: skip
        with (self.folder / "log").open("ab") as log:
            self.running[number] = subprocess.Popen(
                command, env=environment, stdout=log, stderr=log, cwd=Path(__file__).resolve().parents[2]
            )

    def kill(self, number: int) -> None:
        """As by the kernel, at this moment."""
        one = self.running.pop(number)
        one.send_signal(signal.SIGKILL)
        one.wait()

    async def until(self, condition: Any, seconds: float) -> bool:
        """Whether it comes true in time."""
        ends_s = time.monotonic() + grown_s(seconds)
        while not condition():
            if time.monotonic() > ends_s:
                return False
            await asyncio.sleep(0.05)
        return True

    def is_looked_at(self, since_s: float) -> bool:
        """Whether every host was looked at since."""
        return all(self.field.looked_s.get(name, 0) > since_s for name in self.field.hosts)

    def is_settled(self) -> bool:
        """Whether every host is as wanted, by the host itself and by the records."""
        for number, version in self.versions.items():
            if self.field.hosts[f"h{number}"].captured("addresses:vmbr0") != [self.address(number, version)]:
                return False
        return not self.field.armed and self._is_recorded()

    def _is_recorded(self) -> bool:
        query = "SELECT count(*) FILTER (WHERE sync <> 'Synced' OR phase NOT IN ('Idle', 'Succeeded')) FROM hosts"
        try:
            return self.rows(query) == [(0,)] and not self.open_applies()
        except psycopg.OperationalError:
            return False

    def are_in(self) -> bool:
        """Whether every worker takes part. One that starts while the server is away ends, as the log says."""
        query = f"SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND classid = {PLACES} AND objsubid = 2"
        return self.rows(query) == [(len(self.running),)]

    def open_applies(self) -> list[Any]:
        return [row for row in self.rows("SELECT id, phase FROM applies") if row[1] not in FINISHED]

    def rows(self, query: str) -> list[Any]:
        with psycopg.connect(self.url, autocommit=True, connect_timeout=5) as session:
            return session.execute(query.encode()).fetchall()

    async def end(self) -> None:
        for one in self.running.values():
            one.terminate()
        for one in self.running.values():
            try:
                await asyncio.to_thread(one.wait, grown_s(30))
            except subprocess.TimeoutExpired:
                one.kill()
                one.wait()
        await self.field.close()

    def faults(self) -> dict[str, list[str]]:
        """What must not be, by kind."""
        found: dict[str, list[str]] = {"twice at once": [], "applied twice": [], "generations": [], "records": []}
        found["twice at once"] = [f"{host}: {why}" for host, why in self.field.refused if why != "conflict"]
        rows = {row[0]: row for row in self.rows("SELECT id, host, phase, generation FROM applies")}
        for name, host in self.field.hosts.items():
            confirmed = [one for one, journal in host.journals.items() if journal["state"] == "confirmed"]
            values = Counter(
                str(step["after"]) for one in confirmed for step in host._documents[one]["steps"]
                if step["fact"] == "addresses:vmbr0"
            )  # fmt: skip
            found["applied twice"] += [f"{name}: {value}" for value, times in values.items() if times > 1]
            given = [number for host_name, _, number in self.field.begun if host_name == name]
            if given != sorted(set(given)):
                found["generations"].append(f"{name}: {given}")
            for one in confirmed:
                if one not in rows or rows[one][2] != "Succeeded":
                    found["records"].append(f"{name}: {one} is confirmed, and recorded as {rows.get(one)}")
        found["records"] += [f"{one} is not ended: {phase}" for one, phase in self.open_applies()]
        return found


async def killed(fleet: Fleet, kills: int, rng: random.Random, told: Any = lambda _: None) -> dict[str, Any]:
    """Kill a worker again and again, most times in the middle of an apply; how soon its hosts were looked at."""
    taken_s, in_mid_apply, late = [], 0, []
    for _ in range(kills):
        fleet.push(sorted(rng.sample(range(1, fleet.hosts + 1), max(1, fleet.hosts // 2))))
        await fleet.until(lambda: bool(fleet.field.armed), 15)
        await asyncio.sleep(rng.uniform(0, 0.2))
        in_mid_apply += bool(fleet.field.armed)
        victim = rng.choice(sorted(fleet.running))
        fleet.kill(victim)
        at_s = time.monotonic()
        fleet.start(victim)
        await fleet.until(partial(fleet.is_looked_at, at_s), 2 * TAKEN_S)
        took_s = time.monotonic() - at_s
        taken_s.append(took_s)
        if took_s > grown_s(TAKEN_S):
            late.append(round(took_s, 1))
        told({"kills": len(taken_s), "in mid-apply": in_mid_apply, "late": len(late)})
    ordered = sorted(taken_s)
    return {
        "kills": kills, "in_mid_apply": in_mid_apply, "taken_over_s": round(ordered[len(ordered) // 2], 1),
        "slowest_s": round(ordered[-1], 1), "late": late,
    }  # fmt: skip


async def away(fleet: Fleet, seconds: float) -> None:
    """The server ends in the middle of applies, and comes back."""
    await fleet.until(fleet.are_in, 30)
    fleet.push()
    await fleet.until(lambda: bool(fleet.field.armed), 15)
    fleet.server.stop()
    await asyncio.sleep(seconds)
    fleet.server.start()
