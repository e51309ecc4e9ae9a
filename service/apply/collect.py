"""To look at a host: one question, one answer, one observation.

Collector(clock, timeout_s=20)
    .observe(host, name, watch) -> HostObserved       raises what `Host.ask` raises
    .forget(name)
"""

import secrets

from service.apply.collect_script import collect_script
from service.apply.host import Host
from service.apply.read_answer import Reading, read_answer
from service.clock import Clock
from service.model.observed import HostObserved, Watch


class Collector:
    """Observes hosts and keeps each one's last reading, so that a section that did not change is not read again."""

    def __init__(self, clock: Clock, timeout_s: float = 20.0) -> None:
        self._clock = clock
        self._timeout_s = timeout_s
        self._last: dict[str, Reading] = {}

    async def observe(self, host: Host, name: str, watch: Watch) -> HostObserved:
        """One round trip. What could not be read is Unknown in the observation; only a host that gives no answer at all
        is an error: Unreachable or Garbled."""
        nonce = secrets.token_hex(16)
        answer = await host.ask(collect_script(watch, nonce), self._timeout_s)
        reading = read_answer(answer, nonce, watch, name, self._clock.now(), before=self._last.get(name))
        self._last[name] = reading
        return reading.observed

    def forget(self, name: str) -> None:
        """A host that is looked at no more."""
        self._last.pop(name, None)
