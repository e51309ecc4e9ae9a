"""Many played hosts and the service's own loop for hours, with a clock that the harness sets: nothing may grow.

Each minute some hosts are changed by hand, at random. Half of them report it by a hint, the others are looked at. The
service puts the change back. There are commits, drills, hosts that do not answer for a while, and retention of a day.
After each hour the harness reads what the process holds, and the rows.
"""

import asyncio
import gc
import random
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import func, select

from service.errors import PasserelleError, Unreachable
from service.history.tables import tallies
from service.model.retention import Keep
from service.observe.hints import KINDS
from service.reconcile.retention import Retention
from tests.laws.specs import KEY
from tests.reconcile.clocks import PassingClock
from tests.safety.flat import grows
from tests.scenarios.many_hosts import SPEC
from tests.scenarios.stage import Stage

MINUTE_S, HOUR_S = 60.0, 3600.0
KEEP = Keep(days=1, event_days=1)
JOURNALS = 5
"""So many journals a played host keeps; a real one deletes old ones, too."""
LIMITS = {"objects": (0.01, 500), "tasks": (0, 2), "descriptors": (0, 4), "memory_mb": (0.03, 3), "depth": (0, 2)}
"""By which share a figure may grow, and by how much more."""


@dataclass
class Readings:
    """A list for each figure, one value for each hour."""

    figures: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in LIMITS})
    rows: list[dict[str, int]] = field(default_factory=list)
    changes: int = 0
    applies: int = 0

    def faults(self) -> list[str]:
        """What grew. Objects may by a hundredth: caches that are bounded fill slowly."""
        found = [
            f"{name}: {values}"
            for name, values in self.figures.items()
            if grows(values, share=LIMITS[name][0], by=LIMITS[name][1])
        ]
        hours = len(self.rows)
        if hours > 36:  # a day is kept: from then on as many rows go as come
            then, now = sum(self.rows[26].values()), sum(self.rows[-1].values())
            found += [f"rows: {then}, {now}"] if now > then * 1.15 + 50 else []
        return found


class LongDay:
    """The stage, and the chance that plays on it."""

    def __init__(self, folder: Path, hosts: int, seed: int) -> None:
        self._names = [f"pve{number}" for number in range(hosts)]
        self._stage = Stage(folder, {}, names=self._names)
        self._chance = random.Random(seed)
        self._last = 1
        self.readings = Readings()

    async def run(self, hours: int) -> Readings:
        """All of it."""
        self._push()
        for number, host in enumerate(self._stage.hosts.values()):
            host.hints = KINDS if number % 2 else ()
        await self._stage.start()
        try:
            retention = Retention(self._stage.history.store, KEEP, PassingClock(self._stage.clock))
            for hour in range(hours):
                for _ in range(60):
                    self._happen()
                    await self._stage.wait(MINUTE_S)
                if hour % 4 == 3:
                    self._push()
                    await self._drill()
                await retention.run_once()
                await self._stage.settled()
                self._read()
        finally:
            await self._stage.end()
        return self.readings

    def _push(self) -> None:
        """A commit that wants another address on each bridge."""
        self._last = self._last % 200 + 1
        files = {"fleet.yaml": "passerelle: 1\n"}
        for number, name in enumerate(self._names):
            high, low = divmod(number, 250)
            files[f"hosts/{name}.yaml"] = SPEC.format(
                name=name, sync="auto", high=high, low=low, key=KEY, last=self._last
            )
        self._stage.forge.push(files)
        if hasattr(self._stage, "loop"):
            self._stage.loop.look_now()

    async def _drill(self) -> None:
        for name in self._chance.sample(self._names, max(1, len(self._names) // 10)):
            try:
                await self._stage.control.drill(name, "ann", reboot=False)
            except PasserelleError:  # it is at work on something else
                continue

    def _happen(self) -> None:
        """By hand, and by chance."""
        for host in self._stage.hosts.values():
            host.trouble = Unreachable("no route") if self._chance.random() < 0.01 else None
            if self._chance.random() < 0.03:
                host.set("addresses:vmbr0", [f"10.9.9.{self._chance.randrange(1, 250)}/24"])
                host.hint("network")
                self.readings.changes += 1
            host.sweep(JOURNALS)

    def _read(self) -> None:
        gc.collect()
        status = Path("/proc/self/status").read_text()
        read = {
            "objects": float(len(gc.get_objects())),
            "tasks": float(len(asyncio.all_tasks())),
            "descriptors": float(len(list(Path("/proc/self/fd").iterdir()))),
            "memory_mb": round(int(status.split("VmRSS:")[1].split()[0]) / 1024, 1),
            "depth": float(self._stage.queue.depth),
        }
        for name, value in read.items():
            self.readings.figures[name].append(value)
        with self._stage.history.store._database.read() as connection:
            query = select(tallies.c.what, func.sum(tallies.c.rows)).group_by(tallies.c.what)
            self.readings.rows.append({str(row[0]): int(row[1]) for row in connection.execute(query)})
        self.readings.applies = self.readings.rows[-1].get("applies", 0)
