"""A rollback that is let happen on purpose: the switch is armed, nobody confirms, and all that had to act is looked at.

The test change is one file of the drill's own in /run. The host's addresses, links and default routes are kept and
compared as in every apply. So the drill fails if the host could not be restored as it was.
"""

import base64
import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from service.apply.document import ended, words
from service.apply.switch import WORDS, Switch
from service.clock import Clock
from service.errors import HostError
from service.model.facts import FactId
from service.model.runs import Proof
from service.model.states import Json
from service.observe.connection import Dialer, Host, Target

DEADLINE_S = 10
SETTLE_S = 20.0
LATE_S = 3.0
"""How long after the deadline a waker may come: a timer's accuracy is 100 ms, a busy host takes its time."""
WAKERS = {"watch": "watcher fired", "expire": "timer fired"}
"""Those that each would have rolled it back, by the verb that they run: both have to come."""
BETWEEN_S = 0.5
BEGIN_S = 60.0
CONTENT = b"A drill of passerelle: this file goes away when the host undoes what nobody confirmed.\n"


def drill_document(
    facts: Mapping[FactId, Json],
    *,
    drill_id: str,
    generation: int,
    controller: str,
    deadline_s: int = DEADLINE_S,
    folder: str = "/run",
) -> dict[str, Any]:
    """The transaction of a drill. `facts` are held as they are now. The file on trial is in `folder`; a reboot empties
    /run."""
    digest = hashlib.sha256(CONTENT).hexdigest()
    marker = {"sha256": digest, "mode": "0600", "uid": 0, "gid": 0}
    why = "drill: a file that the rollback has to remove"
    return {
        "format": 1,
        "id": drill_id,
        "generation": generation,
        "controller": controller,
        "plan_digest": "drill",
        "confirm_timeout_s": deadline_s,
        "steps": [{"fact": f"file:{folder}/passerelle-drill-{drill_id}", "before": None, "after": marker, "why": why}],
        "keep": [{"fact": fact, "before": value, "after": value, "why": "drill"} for fact, value in facts.items()],
        "checks": [],
        "blobs": {digest: base64.b64encode(CONTENT).decode("ascii")},
    }


class DrillRun:
    """One drill on one host. `run` gives the proofs; one that is not ok has made the drill fail."""

    def __init__(
        self, dialer: Dialer, targets: Sequence[Target], clock: Clock, switch: Callable[[Host], Switch] = Switch
    ) -> None:
        self._dialer = dialer
        self._targets = targets
        self._clock = clock
        self._switch = switch

    async def run(self, host: Host, order: Mapping[str, Any]) -> tuple[Proof, ...]:
        """Arm, look at what is armed, close the connection, wait for the host to undo it. Closes `host`."""
        drill_id, deadline_s = str(order["id"]), float(order["confirm_timeout_s"])
        began_s = self._clock.monotonic_s()
        try:
            switch = self._switch(host)
            result = await switch.ask("begin", stdin=order, timeout_s=deadline_s + BEGIN_S)
            if result.get("state") != "applied":
                return (Proof("armed", ok=False, told=why_not(result)),)
            armed = proofs_of(await switch.ask("prove", drill_id))
        except HostError as error:
            return (Proof("armed", ok=False, told=words(error)),)
        finally:
            await host.close()
        journal, trouble = await self._journal(drill_id, began_s + deadline_s)
        return (*armed, *judged(journal), Proof("new connection", ok=bool(journal), told=trouble or "one came in"))

    async def _journal(self, drill_id: str, deadline_s: float) -> tuple[dict[str, Any], str]:
        """The journal once it has ended, requested over new connections; empty, and why, where it never did."""
        await self._clock.sleep(max(0.0, deadline_s - self._clock.monotonic_s()))
        trouble = "there was no time left to ask the host"
        turn = 0
        while self._clock.monotonic_s() < deadline_s + SETTLE_S:
            await self._clock.sleep(BETWEEN_S)
            target = self._targets[turn % len(self._targets)]
            turn += 1
            try:
                host = await self._dialer.connect(target)
                try:
                    result = await self._switch(host).ask("status", drill_id)
                finally:
                    await host.close()
            except HostError as error:
                trouble = words(error)
                continue
            journal: dict[str, Any] = next(iter(result.get("journals") or []), {})
            if ended(journal) is not None and (has_woken(journal) or self._clock.monotonic_s() > deadline_s + LATE_S):
                return journal, ""
            trouble = f"the transaction is still {words(journal.get('state'))} after its deadline"
        return {}, trouble


def why_not(result: Mapping[str, Any]) -> str:
    """Why a drill did not come as far as being armed and applied, in words."""
    reason = words(result.get("reason") or result.get("cause") or result.get("state"))
    return ": ".join(part for part in (WORDS.get(reason, reason), words(result.get("error"))) if part)


def proofs_of(result: Mapping[str, Any]) -> tuple[Proof, ...]:
    """What the host-side file says of what is armed."""
    rows = [row for row in result.get("proofs") or [] if isinstance(row, dict)]
    return tuple(Proof(words(row.get("name")), row.get("ok") is True, words(row.get("told"))) for row in rows) or (
        Proof("armed", ok=False, told="the host did not say what is armed"),
    )


def judged(journal: Mapping[str, Any]) -> tuple[Proof, ...]:
    """What the journal proves: both wakers came, one undid it, in time, and the host was found as it was."""
    if not journal:
        return (Proof("rollback", ok=False, told="its end is not known"),)
    fired = tuple(_fired(name, journal, verb) for verb, name in WAKERS.items())
    state, verified = journal.get("state"), journal.get("verified_old")
    is_old = state == "rolled_back" and verified is True
    told = (
        "the host was compared with the snapshot and is as before" if is_old else f"the transaction is {words(state)}"
    )
    if error := words(journal.get("rollback_error") or journal.get("error")):
        told += f": {error}"
    return (*fired, Proof("rollback", is_old, told))


def has_woken(journal: Mapping[str, Any]) -> bool:
    """Have both wakers come?"""
    woke = journal.get("woke")
    return isinstance(woke, dict) and set(WAKERS) <= set(woke)


def _fired(name: str, journal: Mapping[str, Any], verb: str) -> Proof:
    woke, deadline_s, began = journal.get("woke"), journal.get("deadline_boottime_s"), journal.get("restore_began")
    at_s = woke.get(verb) if isinstance(woke, dict) else None
    if not isinstance(at_s, int | float) or not isinstance(deadline_s, int | float):
        return Proof(name, ok=False, told="the journal does not say that it came")
    late_s = at_s - deadline_s
    undone = isinstance(began, dict) and began.get("verb") == verb
    told = f"it came {late_s:.1f} s after the deadline" + (" and rolled the change back" if undone else "")
    return Proof(name, -0.5 <= late_s <= LATE_S, told)
