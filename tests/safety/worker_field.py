"""Played hosts that outlive whoever works on them: a server of its own, and what workers have in place of connections.

    field = Field(["pve1", "pve2"], latency_s=0.05); await field.serve(path)      in the process that judges
    world_of(path)                                                               `app.Outside` of a worker

Each call of a worker is one connection to the server. An answer needs `latency_s` before the host does anything, and as
much after it: a worker that is killed may or may not have reached the host.
"""

import asyncio
import pickle
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from service.api.metrics import Metrics
from service.app import Outside
from service.clock import SystemClock
from service.errors import Unreachable
from service.model.observed import HostObserved, Watch
from service.model.sightings import Sighting
from service.observe.connection import Answer, Target
from service.work import InPlace
from tests.reconcile.internet import PlayedInternet
from tests.reconcile.sights import digested, seen_in, sighting_of
from tests.scenarios.played_host import PlayedHost
from tests.scenarios.played_lines import Line

HEAD = 8


class Field:
    """The hosts. `begun` is (host, transaction, generation) of every change that a host took, `refused` why one was
    not. `looked_s` is when each host was last looked at. No change begins while `takes_changes` is not set."""

    def __init__(self, names: Sequence[str], latency_s: float) -> None:
        self.clock = SystemClock()
        self.hosts = {name: PlayedHost(self.clock) for name in names}
        self.latency_s = latency_s
        self.looks = 0
        self.begun: list[tuple[str, str, int]] = []
        self.refused: list[tuple[str, str]] = []
        self.looked_s: dict[str, float] = {}
        self.takes_changes = asyncio.Event()
        self.takes_changes.set()
        self._server: asyncio.Server | None = None

    async def serve(self, path: Path) -> None:
        """Take calls from now on."""
        self._server = await asyncio.start_unix_server(self._call, path)

    async def close(self) -> None:
        """Take none any more."""
        if self._server is not None:
            self._server.close()

    @property
    def armed(self) -> list[str]:
        """The hosts in the middle of a change."""
        return [name for name, host in self.hosts.items() if host.armed]

    async def _call(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            size = int.from_bytes(await reader.readexactly(HEAD))
            name, verb, given = pickle.loads(await reader.readexactly(size))
            await asyncio.sleep(self.latency_s)
            answer = await self._do(name, verb, given)
            await asyncio.sleep(self.latency_s)
            packed = pickle.dumps(answer)
            writer.write(len(packed).to_bytes(HEAD) + packed)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):  # the worker was killed
            return
        finally:
            writer.close()

    async def _do(self, name: str, verb: str, given: Any) -> Any:
        host = self.hosts.get(name)
        if host is None:
            return None
        if verb == "observe":
            self.looks += 1
            self.looked_s[name] = time.monotonic()
            return host.observed(given)
        if verb == "run":
            argv, stdin = given
            if "begin" in argv:
                await self.takes_changes.wait()
            before = set(host.journals)
            answer = await Line(host).run(argv, stdin=stdin, timeout_s=60)
            self.begun += [(name, new, host.journals[new]["generation"]) for new in host.journals.keys() - before]
            for reason in ("armed", "fenced", "known", "conflict"):
                if f'"reason": "{reason}"'.encode() in answer.stdout:
                    self.refused.append((name, reason))
            return answer
        host.tick()
        return True


class FarLine:
    """A connection of a worker to a host of the field."""

    def __init__(self, path: Path, name: str) -> None:
        self.path = path
        self.name = name

    async def call(self, verb: str, given: Any = None) -> Any:
        """One call. Unreachable where the field does not answer."""
        try:
            reader, writer = await asyncio.open_unix_connection(self.path)
            try:
                packed = pickle.dumps((self.name, verb, given))
                writer.write(len(packed).to_bytes(HEAD) + packed)
                await writer.drain()
                answer = pickle.loads(await reader.readexactly(int.from_bytes(await reader.readexactly(HEAD))))
            finally:
                writer.close()
        except (OSError, asyncio.IncompleteReadError) as error:
            raise Unreachable(f"{self.name}: {error}") from None
        if answer is None:
            raise Unreachable(f"{self.name}: no route")
        return answer

    async def run(
        self, argv: Sequence[str], *, stdin: bytes = b"", timeout_s: float,
        on_line: Callable[[str], None] | None = None,
    ) -> Answer:  # fmt: skip
        answer: Answer = await self.call("run", (list(argv), stdin))
        if on_line is not None:
            for line in answer.stdout.decode().splitlines():
                on_line(line)
        return answer

    async def ask(self, script: bytes, timeout_s: float) -> bytes:
        raise AssertionError("a host of the field is looked at as a value")

    async def listen(self, command: str, order: bytes, heard: Callable[[bytes], None]) -> None:
        heard(b"none\n")

    async def close(self) -> None:
        return


class FarLines:
    """All connections of a worker."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def host(self, target: Target) -> FarLine:
        return FarLine(self._path, target.name)

    async def connect(self, target: Target) -> FarLine:
        line = FarLine(self._path, target.name)
        await line.call("connect")
        return line

    async def drop(self, name: str) -> None:
        return

    def doubt(self, name: str) -> str:
        return ""


class FarLooks:
    """Looks of a worker."""

    def __init__(self) -> None:
        self._last: dict[str, Sighting] = {}

    async def observe(self, host: FarLine, name: str, watch: Watch) -> HostObserved:
        observed: HostObserved = await host.call("observe", watch)
        return self._kept(name, observed)

    def _kept(self, name: str, observed: HostObserved) -> HostObserved:
        seen = digested(_named(observed, name))
        self._last[name] = sighting_of(seen)
        return seen

    def sighting(self, name: str) -> Sighting | None:
        return self._last.get(name)

    async def recall(self, sighting: Sighting) -> HostObserved:
        return seen_in(sighting)

    def forget(self, name: str) -> None:
        self._last.pop(name, None)


def _named(observed: HostObserved, name: str) -> HostObserved:
    return replace(observed, host=name)


async def _nothing() -> None:
    return


def world_of(path: Path) -> Outside:
    """What a worker is on: the field, and real time."""
    clock = SystemClock()
    return Outside(clock, clock, FarLines(path), FarLooks(), InPlace(), _nothing, Metrics(), PlayedInternet())
