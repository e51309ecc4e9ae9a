"""The service's side of the confirmed apply: begin, close, confirm over a new connection, or learn what the host did.

Nothing here decides about safety: the host does all by itself once it is armed. An old connection is no proof of life;
the confirmation always goes over a new one, to any address where the host may be by now.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from service.apply.document import document, ended, steps_of, told
from service.apply.host import Dialer, Host, Target
from service.apply.switch import WORDS, Event, Switch
from service.apply.way_in import WayIn, entries_of
from service.clock import Clock
from service.errors import HostError, HostRefused
from service.model.plans import Plan
from service.model.telling import Ended, PhaseTold, Told

CONFIRM_TIMEOUT_S = 40.0
"""To verify again, do what waits for the confirmation, verify that: longer than it takes, shorter than for ever."""
BETWEEN_S = 0.3
BETWEEN_LOST_S = 1.0
CHECK_S = 60.0
SILENCE_S = 3.0
SETTLE_S = 30.0
"""After the deadline the host needs a moment to put everything back; then its journal is asked for."""
IN_FORCE = ("applied", "confirming")


class Transaction:
    """One apply on one host."""

    def __init__(
        self,
        dialer: Dialer,
        targets: Sequence[Target],
        clock: Clock,
        tell: Callable[[Told], None],
        switch: Callable[[Host], Switch] = Switch,
    ) -> None:
        self._dialer = dialer
        self._targets = targets
        self._clock = clock
        self._tell = tell
        self._switch = switch
        self._is_armed = False
        self._is_silent = True
        self._is_in_force = False
        self._way_in = WayIn(dialer, 0)

    async def run(
        self, host: Host, plan: Plan, *, apply_id: str, generation: int, controller: str, confirm_timeout_s: int
    ) -> Ended:
        """From LOCK to the confirmation. Never raises for what a host does; closes `host` before the confirmation."""
        order = document(
            plan, apply_id=apply_id, generation=generation, controller=controller, confirm_timeout_s=confirm_timeout_s
        )
        deadline_s = self._clock.monotonic_s() + confirm_timeout_s
        self._way_in = WayIn(self._dialer, entries_of(plan))
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
            return await self._confirm(apply_id, deadline_s)
        except HostRefused as error:
            return Ended("refused", error.reason, error.what)
        finally:
            begun.cancel()
            await asyncio.gather(begun, return_exceptions=True)
            await host.close()
            await self._way_in.close()

    async def _told_by_the_line(self, begun: "asyncio.Future[dict[str, Any]]") -> dict[str, Any] | None:
        """What `begin` answers; None where the line fell silent after the switch was armed. A change that takes the
        host's address away is told by nobody: waiting for the dead line would outlast the deadline."""
        while True:
            self._is_silent = True
            await asyncio.wait({begun}, timeout=SILENCE_S)
            if begun.done():
                try:
                    return begun.result()
                except HostRefused:
                    raise
                except HostError:
                    return {}  # the line was lost, perhaps by the change itself: the host goes on, new connections tell
            if self._is_armed and self._is_silent:
                return None

    def _follow(self, event: Event) -> None:
        """A line of the running transaction."""
        self._is_silent = False
        if event.get("event") == "state":
            self._is_armed = True
            self._tell(PhaseTold("Running"))
        elif event.get("event") == "step" and isinstance(number := event.get("number"), int):
            self._tell(told(number, event))

    def _end(self, result: dict[str, Any]) -> Ended | None:
        for step in steps_of(result):
            self._tell(step)
        end = ended(result)
        if end is not None and end.ending == "refused":
            what = WORDS.get(end.cause, end.cause)
            return Ended("refused", end.cause, f"{what}: {end.error}" if end.error else what)
        return end

    async def _confirm(self, apply_id: str, deadline_s: float) -> Ended:
        """Confirm over new connections until it is done, or ask until the host has put everything back."""
        give_up_s = deadline_s + SETTLE_S
        turn = 0
        trouble, first = "it was not asked in time", ""
        while (now_s := self._clock.monotonic_s()) < give_up_s:
            target = self._targets[turn % len(self._targets)]
            turn += 1
            try:
                journal = await self._ask_anew(target, apply_id, confirm=now_s < deadline_s)
            except HostError as error:
                trouble, pause_s = str(error), BETWEEN_LOST_S
                first = first or trouble
            else:
                if journal is None and now_s >= deadline_s:
                    return Ended("refused", "not-begun", "the host has no journal of it, so nothing was changed")
                if journal is not None and (end := self._end(journal)) is not None:
                    seen_here = f"{end.error}; seen from here: {first}"
                    return replace(end, error=seen_here) if first and end.cause == "deadline" else end
                trouble, pause_s = "it had not ended there yet", BETWEEN_S
            await self._clock.sleep(self._clock.jitter(pause_s))
        what = "the host could not be reached to confirm; it puts everything back by itself and its journal will tell"
        return Ended("unconfirmed", "unreachable", f"{what} ({first or trouble})")

    async def _ask_anew(self, target: Target, apply_id: str, *, confirm: bool) -> dict[str, Any] | None:
        """Confirm, or only ask for the journal, over a connection of its own. None where the host knows no such id.

        What came in before the change was in force does not count, so that is asked for first.
        """
        if confirm and not self._is_in_force:
            journal = await self._ask_over(await self._dialer.connect(target), "status", apply_id)
            self._is_in_force = journal is not None and journal.get("state") in IN_FORCE
            if not self._is_in_force:
                return journal
        if confirm:
            return await self._ask_over(await self._way_in.enter(target), "confirm", apply_id)
        return await self._ask_over(await self._dialer.connect(target), "status", apply_id)

    async def _ask_over(self, host: Host, verb: str, apply_id: str) -> dict[str, Any] | None:
        """The transaction as the host has it: its journal, or what the confirmation made of it. Closes `host`."""
        try:
            result = await self._switch(host).ask(verb, apply_id, timeout_s=CONFIRM_TIMEOUT_S)
        except HostRefused as error:
            if error.reason != "input":
                raise
            return None
        finally:
            await host.close()
        if verb == "status":
            return next(iter(result.get("journals") or []), None)
        # Without steps it is no journal: this confirmation was turned away (busy, an old connection), nothing ended.
        return result if "steps" in result else {}
