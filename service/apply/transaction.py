"""The service's side of the confirmed apply: begin, close, confirm over a new connection, or learn what the host did.

Nothing here decides about safety: once a change is armed, the host rolls back on its own. An old connection is not
proof of life; the confirmation always goes over a new one, to any address where the host may be by now.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from service.apply.document import PROBE_LOST, document, ended, steps_of, told
from service.apply.heard import Heard
from service.apply.proving import PATIENCE_S, Proving
from service.apply.switch import WORDS, Event, Switch
from service.apply.way_in import WayIn, entries_of, pause_of
from service.clock import Clock
from service.errors import HostError, HostRefused, Throttled
from service.model.plans import Plan
from service.model.runs import MomentName
from service.model.telling import Ended, MissedTold, PhaseTold, ReachedTold, Told
from service.observe.connection import Dialer, Host, Target

CONFIRM_TIMEOUT_S = 40.0
"""To verify again, do what waits for the confirmation, verify that: longer than it takes, shorter than for ever."""
BETWEEN_S = 0.3
BETWEEN_LOST_S = 1.0
CHECK_S = 60.0
SILENCE_S = 3.0
SETTLE_S = 30.0
"""After the deadline the host needs a moment to restore everything. Then its journal is read."""
BEFORE_ARMED: Mapping[str, MomentName] = {"locked": "locked", "snapshot": "snapshot"}
"""What the host reports before the switch is armed."""
IN_FORCE = ("applied", "confirming")
ENOUGH_S = 20.0
RENEWED_S = 30
"""If a confirmation begins less than `ENOUGH_S` before the deadline, the deadline is extended once, to `RENEWED_S` from
then. Probes and the host's own verification take some seconds, and more on a busy host.
"""


class Transaction:
    """One apply on one host."""

    def __init__(
        self,
        dialer: Dialer,
        targets: Sequence[Target],
        clock: Clock,
        tell: Callable[[Told], None],
        switch: Callable[[Host], Switch] = Switch,
        proving: Proving | None = None,
    ) -> None:
        """`proving` asks around before and after; without it a confirmation rests on new connections alone."""
        self._dialer = dialer
        self._targets = targets
        self._clock = clock
        self._tell: Callable[[Told], None] = tell
        self._switch = switch
        self._is_armed = False
        self._is_silent = True
        self._is_in_force = False
        self._way_in = WayIn(dialer, clock, 0, 0.0)
        self._proving = proving
        self._deadline_s = 0.0
        self._armed_for_s = 0
        self._patient_until_s: float | None = None
        self._is_given_up = False
        self._has_asked = False
        self._crash = ""
        self._is_renewed = False
        self._is_missed = False
        self._troubles: list[HostError] = []

    @property
    def _is_throttled(self) -> bool:
        """Whether the confirmation failed only because sshd refuses our address for a while."""
        return bool(self._troubles) and all(isinstance(error, Throttled) for error in self._troubles)

    async def run(
        self, host: Host, plan: Plan, *, apply_id: str, generation: int, controller: str, confirm_timeout_s: int
    ) -> Ended:
        """From the first probe to the confirmation, or to the probes after a rollback. Never raises for what a host
        does; closes `host` before the confirmation."""
        order = document(
            plan, apply_id=apply_id, generation=generation, controller=controller, confirm_timeout_s=confirm_timeout_s
        )
        self._tell = Heard(self._tell, len(plan.steps))
        if self._proving is None:
            return await self._run(host, plan, order)
        try:
            await self._proving.before(self._targets)
        except HostRefused as error:
            await host.close()
            return Ended("refused", error.reason, f"{WORDS[error.reason]}: {error}")
        end = await self._run(host, plan, order)
        if end.ending not in ("rolled_back", "rollback_failed"):
            return end
        lost = await self._proving.undone(self._targets)
        return replace(end, error=f"{end.error}; after the rollback, still {', '.join(lost)}") if lost else end

    async def _run(self, host: Host, plan: Plan, order: dict[str, Any]) -> Ended:
        """From LOCK to the confirmation."""
        apply_id, generation, confirm_timeout_s = order["id"], order["generation"], order["confirm_timeout_s"]
        self._deadline_s = self._clock.monotonic_s() + confirm_timeout_s
        self._armed_for_s = confirm_timeout_s
        pause_s = pause_of(plan, confirm_timeout_s)
        self._way_in = WayIn(self._dialer, self._clock, entries_of(plan), pause_s)
        begun = asyncio.ensure_future(
            self._switch(host).ask("begin", stdin=order, timeout_s=confirm_timeout_s + CHECK_S, on_event=self._follow)
        )
        try:
            result = await self._told_by_the_line(begun)
            if result is not None:
                await host.close()
                if (end := self._end(result)) is not None:
                    return end
                self._is_in_force = result.get("state") in IN_FORCE
            self._tell(PhaseTold("AwaitingConfirmation"))
            self._tell(ReachedTold("confirming"))
            return await self._confirm(apply_id, generation)
        except HostRefused as error:
            return Ended("refused", error.reason, error.what)
        finally:
            begun.cancel()
            await asyncio.gather(begun, return_exceptions=True)
            await host.close()
            await self._way_in.close()

    async def _told_by_the_line(self, begun: "asyncio.Future[dict[str, Any]]") -> dict[str, Any] | None:
        """What `begin` answers; None where the line fell silent after the switch was armed. A change that takes the
        host's address away is reported by nobody: waiting for the dead line would outlast the deadline."""
        while True:
            self._is_silent = True
            await asyncio.wait({begun}, timeout=SILENCE_S)
            if begun.done():
                try:
                    return begun.result()
                except HostRefused:
                    raise
                except HostError as error:
                    # the line was lost, perhaps by the change itself: the host continues, new connections tell
                    self._crash = str(error) if type(error) is HostError and not self._is_armed else ""
                    return {}
            if self._is_armed and self._is_silent:
                return None

    def _follow(self, event: Event) -> None:
        """A line of the running transaction."""
        self._is_silent = False
        if event.get("event") == "state":
            self._is_armed = True
            self._tell(PhaseTold("Running"))
            self._tell(ReachedTold("armed", self._armed_for_s))
        elif event.get("event") == "reached" and (moment := BEFORE_ARMED.get(str(event.get("moment")))):
            self._tell(ReachedTold(moment))
        elif event.get("event") == "step" and isinstance(number := event.get("number"), int):
            self._tell(told(number, event))

    def _end(self, result: dict[str, Any]) -> Ended | None:
        for step in steps_of(result):
            self._tell(step)
        end = ended(result)
        if end is not None and end.ending == "refused":
            what, more = WORDS.get(end.cause, end.cause), end.error.removeprefix(end.cause).removeprefix(": ")
            return Ended("refused", end.cause, f"{what}: {more}" if more else what)
        return end

    async def _confirm(self, apply_id: str, generation: int) -> Ended:
        """Confirm over new connections until it is done, or ask until the host has restored everything."""
        turn = 0
        trouble, first = "there was no time left to ask the host", ""
        while (now_s := self._clock.monotonic_s()) < self._deadline_s + SETTLE_S:
            target = self._targets[turn % len(self._targets)]
            turn += 1
            confirm = now_s < self._deadline_s and not self._is_given_up
            if now_s >= self._deadline_s and not self._is_missed:
                self._is_missed = True
                self._tell(MissedTold("throttled" if self._is_throttled else "missed"))
            try:
                journal = await self._ask_anew(target, apply_id, generation, confirm=confirm)
            except HostError as error:
                trouble, pause_s = str(error), BETWEEN_LOST_S
                first = first or trouble
                self._troubles = [*self._troubles[:8], error]
            else:
                if journal is None and (now_s >= self._deadline_s or self._crash):
                    what = "the host has no journal of it, so nothing was changed"
                    return Ended("refused", "not-begun", f"{what}: {self._crash}".removesuffix(": "))
                if journal is not None and (end := self._end(journal)) is not None:
                    if end.cause == "deadline" and self._is_throttled:  # what it was is judged when it is settled
                        self._tell(MissedTold("throttled"))
                        return Ended("unconfirmed", "throttled", first)
                    seen_here = f"{end.error}; seen from here: {first}"
                    return replace(end, error=seen_here) if first and end.cause == "deadline" else end
                trouble, pause_s = "it had not ended there yet", BETWEEN_S
            await self._clock.sleep(self._clock.jitter(pause_s))
        what = "the host was unreachable for the confirmation. It rolls back automatically, and its journal will say so"
        return Ended("unconfirmed", "unreachable", f"{what} ({first or trouble})")

    async def _ask_anew(
        self, target: Target, apply_id: str, generation: int, *, confirm: bool
    ) -> dict[str, Any] | None:
        """Confirm, or only ask for the journal, over a connection of its own. None where the host knows no such id.

        Connections from before the change was in force do not count, so that is checked first.
        """
        if confirm and not self._is_in_force:
            journal = await self._ask_over(await self._dialer.connect(target), "status", apply_id)
            self._is_in_force = journal is not None and journal.get("state") in IN_FORCE
            if not self._is_in_force:
                return journal
        if confirm:
            return await self._enter_and_close(target, apply_id, generation)
        return await self._ask_over(await self._dialer.connect(target), "status", apply_id)

    async def _enter_and_close(self, target: Target, apply_id: str, generation: int) -> dict[str, Any] | None:
        """Make the new connections, ask over the first of them while the others are made, confirm over the last one.
        With a deadline that is near, or a program that starts, all of it is one after the other."""
        early: asyncio.Future[tuple[str, ...]] | None = None
        if self._proving is not None and not self._has_asked and self._has_time and self._way_in.is_quick:
            self._has_asked = True
            first = await self._way_in.first(target)
            early = asyncio.ensure_future(self._proving.lost(self._switch(first)))
        try:
            host = await self._way_in.enter(target)
            return await self._close_over(host, apply_id, generation, early)
        finally:
            if early is not None:
                early.cancel()
                await asyncio.gather(early, return_exceptions=True)

    @property
    def _has_time(self) -> bool:
        """Whether the deadline is far enough away: it does not have to be extended."""
        return self._deadline_s - self._clock.monotonic_s() >= ENOUGH_S

    async def _close_over(
        self, host: Host, apply_id: str, generation: int, early: "asyncio.Future[tuple[str, ...]] | None"
    ) -> dict[str, Any] | None:
        """Confirm, if all that answered before answers. A lost answer has some time to come back. Then the change is
        rolled back.
        """
        try:
            await self._renew(host, apply_id, generation)
            if early is not None:
                lost = await early
            else:
                lost = await self._proving.lost(self._switch(host)) if self._proving is not None else ()
            now_s = self._clock.monotonic_s()
        except HostError:
            await host.close()
            raise
        if not lost:
            return await self._ask_over(host, "confirm", apply_id)
        if self._patient_until_s is None:
            self._patient_until_s = now_s + min(PATIENCE_S, max(0.0, self._deadline_s - now_s) / 2)
        if now_s < self._patient_until_s:
            await host.close()
            return {}
        self._tell(ReachedTold("withdrawn"))
        self._is_given_up = True  # from here on it is never confirmed, whatever becomes of this line
        return await self._ask_over(host, "rollback", apply_id, PROBE_LOST + "; ".join(lost))

    async def _renew(self, host: Host, apply_id: str, generation: int) -> None:
        """Move a deadline that is near, over a connection that came in after others, as only the one who began it may.
        Where the host does not let it, the old one stays."""
        if self._proving is None or self._is_renewed or self._has_time:
            return
        asked_s = self._clock.monotonic_s()
        self._is_renewed = True
        result = await self._switch(host).ask("extend", apply_id, str(RENEWED_S), str(generation))
        if result.get("state") != "refused":
            self._deadline_s = asked_s + RENEWED_S
            self._tell(ReachedTold("extended", RENEWED_S))

    async def _ask_over(self, host: Host, verb: str, apply_id: str, *words: str) -> dict[str, Any] | None:
        """The transaction as the host has it: its journal, or what the verb made of it. Closes `host`."""
        try:
            result = await self._switch(host).ask(verb, apply_id, *words, timeout_s=CONFIRM_TIMEOUT_S)
        except HostRefused as error:
            if error.reason != "input":
                raise
            return None
        finally:
            await host.close()
        if verb == "status":
            return next(iter(result.get("journals") or []), None)
        # Without steps it is not a journal: this confirmation was turned away (busy, an old connection), nothing ended.
        return result if "steps" in result else {}
