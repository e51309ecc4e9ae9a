"""To look at a host: one question, one answer, one observation.

Collector(clock, work, timeout_s=20)
    .observe(host, name, watch) -> HostObserved       raises what `Host.ask` raises, and TooMuch
    .sighting(name) -> Sighting or None               what the host sent at the last look
    .recall(sighting) -> HostObserved or None         what was seen then; None where it was asked otherwise
    .forget(name)
"""

import secrets

from service.clock import Clock
from service.errors import TooMuch
from service.model.observed import HostObserved, Watch
from service.model.sightings import Sighting
from service.observe.connection import Host
from service.observe.kept import form
from service.observe.part import Part
from service.observe.read_answer import Begun, Reading, begin, finish, read_answer, read_part, unread_part
from service.observe.script import question, with_nonce
from service.work import READ_CPU_S, Effort, Work

WHOLE_BYTES = 128 << 10
"""Answers up to this are read in one go; of larger ones each part has limits of its own."""
AFTER_TOO_MUCH_CPU_S = 1.0


class Collector:
    """Observes hosts and keeps each one's last reading, so that a section that did not change is not read again.

    Nothing of an answer is looked at on the event loop: `work` does it.
    """

    def __init__(self, clock: Clock, work: Work, timeout_s: float = 20.0) -> None:
        self._clock = clock
        self._work = work
        self._timeout_s = timeout_s
        self._last: dict[str, Reading] = {}
        self._sightings: dict[str, Sighting] = {}
        self._questions: dict[str, tuple[Watch, tuple[str, ...]]] = {}

    async def observe(self, host: Host, name: str, watch: Watch) -> HostObserved:
        """One round trip. What could not be read is Unknown in the observation; only a host that gives no answer at all
        is an error: Unreachable or Garbled."""
        nonce = secrets.token_hex(16)
        kept = self._questions.get(name)
        if kept is None or kept[0] is not watch:
            kept = self._questions[name] = (watch, question(watch))
        answer = await host.ask(with_nonce(kept[1], nonce), self._timeout_s)
        sighting = Sighting(name, self._clock.now(), form(), nonce, watch, answer)
        observed = await self._read(sighting)
        self._sightings[name] = sighting
        return observed

    def sighting(self, name: str) -> Sighting | None:
        """What the host sent at the last look that was read."""
        return self._sightings.get(name)

    async def recall(self, sighting: Sighting) -> HostObserved | None:
        """What was seen then, by the same reading. None for the answer to a question that is put otherwise now."""
        return await self._read(sighting) if sighting.form == form() else None

    async def _read(self, sighting: Sighting) -> HostObserved:
        name, watch, answer, nonce = sighting.host, sighting.watch, sighting.answer, sighting.nonce
        at, before = sighting.at, self._last.get(name)
        effort = Effort(f"reading {name}", len(answer), READ_CPU_S)
        if len(answer) <= WHOLE_BYTES:
            reading = await self._work.run(effort, read_answer, answer, nonce, watch, name, at, before=before)
        else:
            small = Effort(effort.what, 0, READ_CPU_S)
            begun = await self._work.run(small, begin, answer, nonce, watch, before)
            parts = await self._parts(begun, watch)
            reading = await self._work.run(small, finish, begun, parts, watch, name, at, before)
        self._last[name] = reading
        return reading.observed

    async def _parts(self, begun: Begun, watch: Watch) -> dict[str, Part]:
        """Each part on its own: of one that takes too much only what it would have reported is Unknown."""
        parts: dict[str, Part] = {}
        cpu_s = READ_CPU_S
        for name, to_read in begun.to_read.items():
            effort = Effort(f"reading the {name}", to_read.size, cpu_s)
            try:
                parts[name] = await self._work.run(effort, read_part, name, to_read.needed, watch)
            except TooMuch as error:
                parts[name] = unread_part(name, error.what, watch)
                cpu_s = AFTER_TOO_MUCH_CPU_S
        return parts

    def forget(self, name: str) -> None:
        """A host that is looked at no more."""
        self._last.pop(name, None)
        self._sightings.pop(name, None)
        self._questions.pop(name, None)
