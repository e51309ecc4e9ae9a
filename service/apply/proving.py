"""What answered before a change has to answer after it, or the change is not confirmed.

Each host has these probes: it accepts a new SSH connection, its default gateways answer as neighbours, its resolvers
resolve. The spec's `checks` are added: the host runs them, or the service from its own machine. Checks that already
failed before are ignored, but for those that the change is to make answer (`Probe.is_due`). After a rollback all
probes run once more, for the record.

The service itself probes addresses only, with one plain TCP connection, GET, echo request or DNS query. It follows no
redirect, keeps only whether there was an answer, and never probes its own machine.
"""

import asyncio
import socket
from collections.abc import Callable, Sequence, Set
from dataclasses import asdict, replace
from typing import Any

from service.apply.document import words
from service.apply.switch import Switch
from service.clock import Clock
from service.errors import Garbled, HostError, HostRefused
from service.hostside.host import Host as AskingHost
from service.hostside.probes import ask_all
from service.model.probes import Probe, ProbeAnswer
from service.model.runs import ProbeRecord
from service.model.telling import ProbesTold, Told
from service.observe.connection import Dialer, Host, Target

ASK_S = 30.0
PATIENCE_S = 10.0
"""How long what is lost may take to come back: a daemon that restarts, a neighbour that is found again."""
UNDONE_S = 5.0
BETWEEN_S = 0.5
NEW_CONNECTION = "ssh"
OK = "ok"


class Proving:
    """The probes around one apply on one host."""

    def __init__(
        self,
        dialer: Dialer,
        checks: Sequence[Probe],
        clock: Clock,
        tell: Callable[[Told], None],
        switch: Callable[[Host], Switch] = Switch,
    ) -> None:
        self._dialer = dialer
        self._clock = clock
        self._tell = tell
        self._switch = switch
        self._there = [check for check in checks if check.origin == "host"]
        self._here = [check for check in checks if check.origin == "controller"]
        self._records: dict[str, ProbeRecord] = {}
        self._due = {check.name for check in checks if check.is_due}

    async def before(self, targets: Sequence[Target]) -> None:
        """Ask all before anything is armed. HostRefused (no-way-in) where no new connection comes in: then nothing
        could be confirmed. A host without other probes has nothing to lose."""
        host = await self._enter(targets)
        try:
            answers = await self._answers(self._switch(host))
        except HostError as error:
            answers = [ProbeAnswer("probes", ok=False, told=f"could not be run: {error.what}")]
        finally:
            await host.close()
        for answer in [ProbeAnswer(NEW_CONNECTION, ok=True), *answers]:
            self._records[answer.name] = ProbeRecord(answer.name, before=said(answer))
        self._tell_all()

    async def lost(self, switch: Switch) -> tuple[str, ...]:
        """What answered before or is due, and does not answer now, in words (`dns 10.0.0.1: no answer`), over a new
        connection. A probe
        that is no longer needed (of a former gateway) is not lost. Raises HostError.
        """
        answers = [ProbeAnswer(NEW_CONNECTION, ok=True), *await self._answers(switch)]
        for answer in answers:
            self._note(answer, after=said(answer))
        self._tell_all()
        return self._lost(answers, self._due)

    async def undone(self, targets: Sequence[Target]) -> tuple[str, ...]:
        """After a rollback: what answered before the change and still does not, in words."""
        lost: tuple[str, ...] = ()
        ends_s = self._clock.monotonic_s() + UNDONE_S
        while True:
            try:
                host = await self._enter(targets)
                try:
                    answers = [ProbeAnswer(NEW_CONNECTION, ok=True), *await self._answers(self._switch(host))]
                finally:
                    await host.close()
            except HostError as error:
                answers = [ProbeAnswer(NEW_CONNECTION, ok=False, told=words(error.what))]
            for answer in answers:
                self._note(answer, undone=said(answer))
            lost = self._lost(answers)
            if not lost or self._clock.monotonic_s() >= ends_s:
                self._tell_all()
                return lost
            await self._clock.sleep(BETWEEN_S)

    def _passed(self) -> set[str]:
        return {name for name, record in self._records.items() if record.before == OK}

    def _lost(self, answers: Sequence[ProbeAnswer], due: Set[str] = frozenset()) -> tuple[str, ...]:
        passed = self._passed() | due
        return tuple(f"{a.name}: {a.told}" for a in answers if a.name in passed and not a.ok)

    def _note(self, answer: ProbeAnswer, **what: str) -> None:
        known = self._records.get(answer.name) or ProbeRecord(answer.name)
        self._records[answer.name] = replace(known, **what)

    def _tell_all(self) -> None:
        self._tell(ProbesTold(tuple(self._records.values())))

    async def _enter(self, targets: Sequence[Target]) -> Host:
        """A new connection, at the first address where one comes in."""
        first: HostError | None = None
        for target in targets:
            try:
                return await self._dialer.connect(target)
            except HostError as error:
                first = first or error
        hint = first.hint if first else ""
        raise HostRefused(first.what if first else "no address", reason="no-way-in", hint=hint)

    async def _answers(self, switch: Switch) -> list[ProbeAnswer]:
        there = switch.ask("probe", stdin=[as_asked(probe) for probe in self._there], timeout_s=ASK_S)
        here = asyncio.to_thread(ask_from_here, self._here)
        told, own = await asyncio.gather(there, here)
        return [*answers_of(told), *own]


def ask_from_here(probes: Sequence[Probe]) -> list[ProbeAnswer]:
    """Ask from where the service runs. Blocks for at most the longest timeout."""
    refused = [ProbeAnswer(p.name, ok=False, told="the service's own machine") for p in probes if is_own(p.address)]
    asked = [as_asked(probe) for probe in probes if not is_own(probe.address)]
    answers = ask_all(asked, AskingHost()) if asked else []
    return [*refused, *answers_of({"probes": answers})]


def is_own(address: str) -> bool:
    """Whether an address is one of this machine: only such a one can be bound to."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        try:
            sock.bind((address, 0))
        except OSError:
            return False
    return True


def as_asked(probe: Probe) -> dict[str, Any]:
    """A probe as the host-side file takes it."""
    fields = asdict(probe)
    del fields["origin"], fields["is_due"]
    return fields | {"name": probe.name}


def answers_of(result: dict[str, Any]) -> list[ProbeAnswer]:
    """The answers in a result. Garbled when it has none."""
    rows = result.get("probes")
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise Garbled("the host-side file gave no answers to probes")
    return [ProbeAnswer(words(row.get("name")), row.get("ok") is True, words(row.get("told"))) for row in rows]


def said(answer: ProbeAnswer) -> str:
    """An answer as it is recorded."""
    return OK if answer.ok else answer.told or "no answer"
