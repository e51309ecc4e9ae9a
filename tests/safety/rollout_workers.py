"""One rollout over played hosts by real processes of the service on PostgreSQL, of which one is killed in each wave.

    fleet = Rolled(folder, server, hosts=20, workers=3); await fleet.begin()
    kills = await killed_in_waves(fleet, rng)
    fleet.broken()             what of the order and the limits did not hold, by the records and by the hosts
    await sigkill(hosts, folder)                          all of it, with one process

A process is killed (SIGKILL) while a host is in the middle of its change, and started again.
"""

import asyncio
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import psycopg

from service.lab.waiting import grown_s
from service.model.rollouts import Policy, Share
from tests.laws.specs import head
from tests.postgres import cluster
from tests.safety.worker_field import Field
from tests.safety.worker_runs import Fleet

POLICY = Policy(tuple(map(Share.parse, ("1", "25%", "50%", "100%"))), 1, 1, Share(4))
SLOWEST_S = 120.0
EACH_HOST_S = 6.0


class Counting(Field):
    """Keeps how many hosts were in a change at once, at most."""

    most = 0

    async def _do(self, name: str, verb: str, given: Any) -> Any:
        answer = await super()._do(name, verb, given)
        self.most = max(self.most, len(self.armed))
        return answer


def spec_of(number: int, address: str) -> str:
    """A host whose bridge has this address."""
    high, low = divmod(number, 250)
    text = head("auto").replace("pve1", f"h{number}").replace("198.51.100.11", f"198.51.{100 + high}.{low + 1}")
    text = text.replace("connection:\n", "connection:\n  confirm_timeout: 8s\n")
    return f"{text}bridges:\n  vmbr0: {{addresses: [{address}], ports: []}}\n"


@dataclass
class Rolled(Fleet):
    """Hosts that get a revision in waves."""

    policy: Policy = POLICY

    def made_field(self, names: list[str]) -> Counting:
        return Counting(names, self.latency_s)

    def address(self, number: int, version: int) -> str:
        high, low = divmod(number, 250)
        return f"10.{version}.{high}.{low + 1}/24"

    def push(self, hosts: list[int] | None = None) -> None:
        """A new version for all hosts."""
        self.version += 1
        self.versions = dict.fromkeys(hosts or range(1, self.hosts + 1), self.version)
        of = self.policy
        most = f", max_unavailable: {of.max_unavailable}" if of.max_unavailable else ""
        waves = ", ".join(map(str, of.waves))
        words = f"waves: [{waves}], soak: {of.soak_s:g}s, max_failures: {of.max_failures}{most}"
        named = {number: self.address(number, version) for number, version in self.versions.items()}
        files = {f"hosts/h{number}.yaml": spec_of(number, address) for number, address in named.items()}
        self.forge.push({"fleet.yaml": f"passerelle: 1\nrollout: {{{words}}}\n", **files})

    def rollout(self) -> tuple[str, str, int]:
        """Id, state and wave of the newest rollout; empty before there is one."""
        try:
            found = self.rows("SELECT id, state, wave FROM rollouts ORDER BY number DESC LIMIT 1")
        except psycopg.Error:  # the first worker makes the tables
            found = []
        return found[0] if found else ("", "", 0)

    def members(self) -> list[Mapping[str, Any]]:
        """The hosts of the newest rollout."""
        columns = ("host", "state", "wave", "begun_at", "ended_at")
        query = f"SELECT {', '.join(columns)} FROM rollout_hosts WHERE rollout_id = '{self.rollout()[0]}'"
        return [dict(zip(columns, row, strict=True)) for row in self.rows(query)]

    def broken(self) -> list[str]:
        """What did not hold. All members are done when this is called."""
        members, of = self.members(), self.policy
        found = [f"{one['host']} is {one['state']}" for one in members if one["state"] != "done"]
        waves = {one["host"]: one["wave"] for one in members}
        for wave in range(1, max(waves.values(), default=0)):
            until = sum(one <= wave for one in waves.values())
            if until > of.hosts_until(wave - 1, len(members)):
                found.append(f"{until} hosts were begun until wave {wave}")
            ended = max(_time(one["ended_at"]) for one in members if one["wave"] <= wave)
            begun = min(_time(one["begun_at"]) for one in members if one["wave"] > wave)
            if begun < ended + of.soak_s * 1e6:
                found.append(f"wave {wave + 1} began {(begun - ended) / 1e6:.2f} s after the end of wave {wave}")
        order = [waves[host] for host, _, _ in self.field.begun if host in waves]
        found += [
            f"one of wave {one} began before one of wave {after}" for one, after in pairwise(order) if after < one
        ]
        most = of.max_unavailable.of(len(members)) if of.max_unavailable else len(members)
        if isinstance(self.field, Counting) and self.field.most > most:
            found.append(f"{self.field.most} hosts were in a change at once")
        return found


def _time(stored: Any) -> float:
    """Microseconds, as the history keeps a time."""
    return stored.timestamp() * 1e6 if isinstance(stored, datetime) else float(stored)


async def killed_in_waves(fleet: Rolled, rng: random.Random) -> list[int]:
    """Kill one process in each wave, in the middle of a change, until the rollout is done: the waves in which one was.
    AssertionError where it does not come to its end."""
    hit: list[int] = []
    ends_s = time.monotonic() + grown_s(SLOWEST_S + EACH_HOST_S * fleet.hosts)
    while (now := fleet.rollout())[1] != "done":
        assert time.monotonic() < ends_s, (now, fleet.members())
        assert now[1] in ("", "running"), now
        if now[2] > len(hit) and fleet.field.armed:
            hit.append(now[2])
            await asyncio.sleep(rng.uniform(0, 0.1))
            victim = rng.choice(sorted(fleet.running))
            fleet.kill(victim)
            fleet.start(victim)
        await asyncio.sleep(0.02)
    return hit


async def sigkill(hosts: int, folder: Path) -> Mapping[str, int]:
    """One process of the service is killed in every wave. AssertionError where order or limits do not hold after it."""
    of = Policy(tuple(map(Share.parse, ("1", "10%", "50%", "100%"))), 1, 1)
    with cluster() as server:
        fleet = Rolled(folder, server, hosts, workers=1, policy=of, observe_s=60)
        await fleet.begin()
        try:
            waves = await killed_in_waves(fleet, random.Random(1))
            assert await fleet.until(fleet.is_settled, SLOWEST_S), fleet.rows("SELECT host, sync, phase FROM hosts")
            faults = [*fleet.broken(), *(one for told in fleet.faults().values() for one in told)]
            assert not faults, faults
            return {"kills": len(waves), "waves": fleet.rollout()[2], "begun": len(fleet.field.begun)}
        finally:
            await fleet.end()
