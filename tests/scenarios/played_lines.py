"""Connections to played hosts, and looks at them."""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from service.errors import Unreachable
from service.model.observed import HostObserved, Watch
from service.model.sightings import Sighting
from service.observe.connection import Answer, Target
from tests.reconcile.sights import digested, seen_in, sighting_of
from tests.scenarios.played_host import PlayedHost, Result


class Line:
    """A connection to the host."""

    def __init__(self, host: PlayedHost) -> None:
        self.host = host

    async def run(
        self, argv: Sequence[str], *, stdin: bytes = b"", timeout_s: float,
        on_line: Callable[[str], None] | None = None,
    ) -> Answer:  # fmt: skip
        """What the service runs on hosts."""
        lines: list[str] = []

        def tell(event: Result) -> None:
            lines.append(json.dumps(event))
            if on_line is not None:
                on_line(lines[-1])

        self.meet()
        words = list(argv)
        if words == ["cat"]:
            return Answer(0, stdin, b"")
        if words[:1] == ["cat"]:
            return Answer(0, self.host.boot_id.encode(), b"")
        if words[:2] == ["systemctl", "reboot"]:
            self.host.boot()
            return Answer(0, b"", b"")
        verb = words[6:] if words[0] == "sh" else words[5:]  # sh -c RUN sh DIGEST PATH VERB, python3 -I -S -c CODE VERB
        result = self.host.verb(verb, stdin, tell)
        tell({"event": "result", **result})
        code = 2 if result.get("state") == "invalid" else 0
        return Answer(code, ("\n".join(lines) + "\n").encode(), b"")

    async def ask(self, script: bytes, timeout_s: float) -> bytes:
        raise AssertionError("a played host is looked at as a value")

    async def listen(self, command: str, order: bytes, heard: Callable[[bytes], None]) -> None:
        """As the program for hints does."""
        assert "python3" in command
        assert json.loads(order)["folders"]
        if not self.host.hints:
            heard(b"none\n")
            return
        heard(f"ready {' '.join(self.host.hints)}\n".encode())
        cut = asyncio.Event()
        self.host.hearers.append((heard, cut))
        try:
            await cut.wait()
        finally:
            self.host.hearers.remove((heard, cut))

    async def close(self) -> None:
        return

    def meet(self) -> None:
        """What is in the way of every connection."""
        if self.host.trouble is not None:
            raise self.host.trouble


class Lines:
    """All connections to the hosts: those that are kept, and new ones."""

    def __init__(self, hosts: Mapping[str, PlayedHost]) -> None:
        self._hosts = hosts
        self._kept: dict[str, Line] = {}
        self.doubted = ""

    async def host(self, target: Target) -> Line:
        """The kept connection."""
        line = self._kept.setdefault(target.name, Line(self._host(target)))
        line.meet()
        return line

    async def connect(self, target: Target) -> Line:
        """A new one."""
        host = self._host(target)
        host.tick()
        if host.locks_out is not None and host.armed:
            raise host.locks_out
        line = Line(host)
        line.meet()
        return line

    def _host(self, target: Target) -> PlayedHost:
        if target.name not in self._hosts:
            raise Unreachable(f"{target.name}: no route")
        return self._hosts[target.name]

    async def drop(self, name: str) -> None:
        if self._kept.pop(name, None) is not None:
            self._hosts[name].deafen()

    def doubt(self, name: str) -> str:
        return self.doubted


class Looks:
    """What the collector is to `FleetHosts`: a look at a host that is a value."""

    def __init__(self) -> None:
        self._last: dict[str, Sighting] = {}

    async def observe(self, host: Line, name: str, watch: Watch) -> HostObserved:
        """What is there now."""
        host.meet()
        observed = digested(replace(host.host.observed(watch), host=name))
        self._last[name] = sighting_of(observed)
        return observed

    def sighting(self, name: str) -> Sighting | None:
        return self._last.get(name)

    async def recall(self, sighting: Sighting) -> HostObserved:
        return seen_in(sighting)

    def forget(self, name: str) -> None:
        self._last.pop(name, None)
