"""A drill that reboots: the switch is armed, the host reboots, and what comes back is compared with what was there.

It proves two things that no live check can. The boot unit restores the state before an unconfirmed change. The files
bring up the SSH connection with the same addresses, link and default routes. Every guest of the host is interrupted.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from service.apply.document import ended, words
from service.apply.drilling import BEGIN_S, proofs_of, why_not
from service.apply.switch import Switch
from service.clock import Clock
from service.errors import HostError
from service.model.runs import Proof
from service.observe.connection import Dialer, Host, Target

BOOT_S = 600
"""How long a host may take to come back, and the deadline of the switch: a host that does not reboot rolls back
then.
"""
BETWEEN_S = 1.0
SETTLE_S = 30.0
"""For addresses and routes to be as before, once SSH answers."""
ASK_S = 15.0
REBOOT = ("systemctl", "reboot", "--no-block")
BOOT_ID = ("cat", "/proc/sys/kernel/random/boot_id")


class RebootRun:
    """One reboot of one host. `run` gives the proofs; one that is not ok has made the drill fail."""

    def __init__(
        self,
        dialer: Dialer,
        targets: Sequence[Target],
        clock: Clock,
        switch: Callable[[Host], Switch] = Switch,
        reboot: Sequence[str] = REBOOT,
        boot_id: Sequence[str] = BOOT_ID,
    ) -> None:
        """`reboot` and `boot_id` are the commands for both, others on a host that is a folder."""
        self._dialer = dialer
        self._targets = targets
        self._clock = clock
        self._switch = switch
        self._reboot_words = reboot
        self._boot_id_words = boot_id

    async def run(self, host: Host, order: Mapping[str, Any]) -> tuple[Proof, ...]:
        """Arm, look at what is armed, reboot, wait for the host, compare. Closes `host`."""
        drill_id = str(order["id"])
        try:
            result = await self._switch(host).ask("begin", stdin=order, timeout_s=BEGIN_S)
            if result.get("state") != "applied":
                return (Proof("armed", ok=False, told=why_not(result)),)
            armed = proofs_of(await self._switch(host).ask("prove", drill_id))
            before = await self._boot_id(host)
            if not all(proof.ok for proof in armed):
                return (*armed, Proof("reboot", ok=False, told="not started: the automatic rollback is not complete"))
            await self._reboot(host)
        except HostError as error:
            return (Proof("armed", ok=False, told=words(error)),)
        finally:
            await host.close()
        return (*armed, *await self._after(drill_id, before))

    async def _reboot(self, host: Host) -> None:
        try:
            answer = await host.run(self._reboot_words, timeout_s=ASK_S)
        except HostError:
            return  # the connection may go before the answer comes: the boot id says
        if answer.exit_status not in (0, None):
            raise HostError(f"`systemctl reboot` failed: {words(answer.stderr.decode('utf-8', 'replace'))}")

    async def _boot_id(self, host: Host) -> str:
        """The kernel's name for this boot. HostError where it cannot be read."""
        answer = await host.run(self._boot_id_words, timeout_s=ASK_S)
        found = answer.stdout.decode("ascii", "replace").strip()
        if answer.exit_status != 0 or not 8 <= len(found) <= 64:
            raise HostError("the host does not say which boot this is")
        return found

    async def _after(self, drill_id: str, before: str) -> tuple[Proof, ...]:
        """Wait for another boot and for the end of the transaction, over new connections."""
        began_s = self._clock.monotonic_s()
        trouble, turn = "there was no time left to ask the host", 0
        while (spent_s := self._clock.monotonic_s() - began_s) < BOOT_S:
            await self._clock.sleep(BETWEEN_S)
            target = self._targets[turn % len(self._targets)]
            turn += 1
            try:
                host = await self._dialer.connect(target)
                try:
                    if await self._boot_id(host) == before:
                        trouble = "the host answers and has not rebooted"
                        continue
                    came = Proof("reboot", ok=True, told=f"a new connection came in {spent_s:.0f} s later")
                    return (came, *await self._compared(host, drill_id))
                finally:
                    await host.close()
            except HostError as error:
                trouble = words(error)
        return (Proof("reboot", ok=False, told=f"the host did not come back within {BOOT_S} s: {trouble}"),)

    async def _compared(self, host: Host, drill_id: str) -> tuple[Proof, Proof]:
        """Who rolled it back, and whether the connection is as before. Checked until it is, or for `SETTLE_S`."""
        began_s = self._clock.monotonic_s()
        while True:
            found = await self._switch(host).ask("status", drill_id)
            journal: dict[str, Any] = next(iter(found.get("journals") or []), {})
            result = await self._switch(host).ask("status", drill_id, "--verify") if ended(journal) else {}
            differs = [words(fact) for fact in result.get("differs") or []]
            is_settled = ended(journal) is not None and not differs
            if is_settled or self._clock.monotonic_s() - began_s > SETTLE_S:
                return restored(journal), way_in(journal, differs)
            await self._clock.sleep(BETWEEN_S)


def restored(journal: Mapping[str, Any]) -> Proof:
    """Whether the unit that runs before networking undid the change."""
    began = journal.get("restore_began")
    verb = words(began.get("verb")) if isinstance(began, dict) else "nobody"
    is_boot = journal.get("state") == "rolled_back" and verb == "boot"
    told = f"rolled back by `{verb}` before networking started" if is_boot else f"rolled back by {verb}"
    if error := words(journal.get("rollback_error") or journal.get("error")):
        told += f": {error}"
    return Proof("boot restore", is_boot, told)


def way_in(journal: Mapping[str, Any], differs: Sequence[str]) -> Proof:
    """Whether the boot brought up what carries the service's connection as it was."""
    if journal.get("state") != "rolled_back":
        return Proof("connection after it", ok=False, told="could not be compared: the change was not rolled back")
    told = f"differs from before the reboot: {', '.join(differs)}" if differs else "as before the reboot"
    return Proof("connection after it", not differs, told)
