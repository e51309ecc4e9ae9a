"""Situations: how a host came to where a verb of the host-side file is due, and what comes after that verb dies."""

from typing import Any, NamedTuple

from tests.hostside.scratch import ID, NEXT_ID
from tests.safety.scratch_host import ScratchHost
from tests.safety.workloads import Workload

TIMER, BOOT, BEGIN = "timer", "boot", "begin"


class Situation(NamedTuple):
    """`way` is how it came about, `verb` what is due and gets the fault, `next` what may come after it."""

    name: str
    way: str
    verb: str
    next: tuple[str, ...]
    booted: bool = False


def _situations() -> dict[str, Situation]:
    undisturbed = [
        Situation("begin", "idle", "begin", (TIMER, BOOT)),
        Situation("run", "armed", "run", (TIMER, BOOT, BEGIN)),
        Situation("extend", "applied", "extend", (TIMER, BOOT)),
        Situation("confirm", "applied", "confirm", (TIMER, BOOT, BEGIN)),
        Situation("rollback", "applied", "rollback", (TIMER, BOOT, BEGIN)),
        Situation("expire", "applied", "expire", (TIMER, BOOT, BEGIN)),
        Situation("boot", "applied", "boot", (BOOT, BEGIN), booted=True),
        Situation("next begin", "over", "next", (TIMER, BOOT, BEGIN)),
    ]
    # a first fault before: killed at a named point; the second one strikes in the recovery
    broken = ["step-1-after", "step-3-before", "on-confirm", "confirmed", "restore-file"]
    double = [Situation(f"{at}, expire", at, "expire", (TIMER, BOOT, BEGIN)) for at in broken]
    double += [Situation(f"{at}, boot", at, "boot", (BOOT, BEGIN), booted=True) for at in broken]
    double.append(Situation("boot-restore-file, boot", "boot-restore-file", "boot", (BOOT, BEGIN), booted=True))
    return {situation.name: situation for situation in [*undisturbed, *double]}


SITUATIONS = _situations()


def prepare(host: ScratchHost, workload: Workload, situation: Situation) -> None:
    """Bring a host into the situation: an applied one where `needs_applied` says so, else one that is laid out."""
    way, document = situation.way, workload.document(host)
    if way == "armed":
        host.stop_and_kill("proven", "begin", give=document)
    elif way.startswith("step-"):
        host.stop_and_kill(way, "begin", give=document)
    elif way == "on-confirm":
        host.stop_and_kill(f"on-confirm-{workload.on_confirm}", "confirm", ID)
    elif way == "confirmed":
        host.stop_and_kill("confirmed", "confirm", ID)
    elif way == "restore-file":
        host.stop_and_kill("restore-file", "rollback", ID)
    elif way == "boot-restore-file":
        host.fresh_boot()
        host.stop_and_kill("boot-restore-file", "boot")
    if situation.booted:
        host.fresh_boot()
    elif situation.verb in ("expire", "next"):
        host.late_deadline()


def needs_applied(situation: Situation) -> bool:
    return situation.way not in ("idle", "armed") and not situation.way.startswith("step-")


def words(situation: Situation) -> list[str]:
    """The command line of the verb that is due."""
    verbs = {"begin": ["begin"], "next": ["begin"], "boot": ["boot"], "extend": ["extend", ID, "3000"]}
    return verbs.get(situation.verb, [situation.verb, ID])


def given(situation: Situation, workload: Workload, host: ScratchHost) -> Any:
    """Its standard input."""
    if situation.verb == "begin":
        return workload.document(host)
    return probe(host) if situation.verb == "next" else None


def probe(host: ScratchHost) -> dict[str, Any]:
    """A transaction that meets a conflict: a host that answers so takes changes again, and nothing is changed."""
    never = host.step("sysctl:net.ipv4.ip_forward", "7", "7")
    return host.document(NEXT_ID, 99, steps=[], checks=[], blobs={}, keep=[never])


def come_next(host: ScratchHost, what: str) -> bool:
    """What comes on its own after a fault, undisturbed: the timer, the next boot, or the next begin. Was it a boot?

    A timer comes as long as it was not stopped (its unit is started again when it is killed); the boot unit runs if
    the switch is armed. TimeoutError when one does not end.
    """
    armed = host.armed()
    if what == BOOT:
        host.fresh_boot()
        if armed:
            host.verb("boot")
        return True
    if what == TIMER and host.timers():
        host.late_deadline()
        host.verb("expire", ID)
    elif what == BEGIN:
        host.late_deadline()
        host.verb("begin", give=probe(host))
    return False
