"""The service's side of the confirmed apply: begin, close, confirm over a new connection, or learn what the host did.

Nothing here decides about safety: the host does all by itself once it is armed. An old connection is no proof of life;
the confirmation always goes over a new one, to any address where the host may be by now.
"""

from collections.abc import Callable, Sequence
from typing import Any

from service.apply.document import document, ended, steps_of, told
from service.apply.host import Dialer, Host, Target
from service.apply.switch import WORDS, Event, Switch
from service.clock import Clock
from service.errors import HostError, HostRefused
from service.model.plans import Plan
from service.model.telling import Ended, PhaseTold, Told

ASK_TIMEOUT_S = 10.0
BETWEEN_S = 0.3
CHECK_S = 60.0
SETTLE_S = 30.0
"""After the deadline the host needs a moment to put everything back; then its journal is asked for."""


class Transaction:
    """One apply on one host."""

    def __init__(self, dialer: Dialer, targets: Sequence[Target], clock: Clock, tell: Callable[[Told], None]) -> None:
        self._dialer = dialer
        self._targets = targets
        self._clock = clock
        self._tell = tell

    async def run(
        self, host: Host, plan: Plan, *, apply_id: str, generation: int, controller: str, confirm_timeout_s: int
    ) -> Ended:
        """From LOCK to the confirmation. Never raises for what a host does; the host is closed before the confirmation."""
        order = document(
            plan, apply_id=apply_id, generation=generation, controller=controller, confirm_timeout_s=confirm_timeout_s
        )
        deadline_s = self._clock.monotonic_s() + confirm_timeout_s
        try:
            result = await Switch(host).ask(
                "begin", stdin=order, timeout_s=confirm_timeout_s + CHECK_S, on_event=self._follow
            )
        except HostRefused as error:
            return Ended("refused", error.reason, error.what)
        except HostError:
            result = {}  # the line was lost, perhaps by the change itself: the host goes on, new connections tell
        finally:
            await host.close()
        if (end := self._end(result)) is not None:
            return end
        self._tell(PhaseTold("AwaitingConfirmation"))
        return await self._confirm(apply_id, deadline_s)

    def _follow(self, event: Event) -> None:
        """A line of the running transaction."""
        if event.get("event") == "state":
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
        while (now_s := self._clock.monotonic_s()) < give_up_s:
            target = self._targets[turn % len(self._targets)]
            turn += 1
            verb = "confirm" if now_s < deadline_s else "status"
            result = await self._ask_anew(target, verb, apply_id)
            if verb == "status":
                result = next(iter(result.get("journals") or [{}]))
            if (end := self._end(result)) is not None:
                return end
            await self._clock.sleep(BETWEEN_S)
        return Ended(
            "unconfirmed",
            "unreachable",
            "the host could not be reached to confirm; it puts everything back by itself and its journal will tell",
        )

    async def _ask_anew(self, target: Target, verb: str, apply_id: str) -> dict[str, Any]:
        """One verb over a connection of its own; empty when the host does not answer."""
        try:
            host = await self._dialer.connect(target)
        except HostError:
            return {}
        try:
            return await Switch(host).ask(verb, apply_id, timeout_s=ASK_TIMEOUT_S)
        except HostError:
            return {}
        finally:
            await host.close()
