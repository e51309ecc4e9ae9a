"""One bad change on a lab host: applied with every refusal overridden, cut or not, and back on its own."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from service.errors import LabError
from service.hostside.boot_unit import RECOVER_TEXT, RECOVER_UNIT
from service.lab.waiting import grown_s
from service.model.plans import Plan
from tests.safety.bad_pushes import BadPush, judged
from tests.safety.lab_bench import DEADLINE_S, MARK, REACHED, Bench, Driver, now_s, wait_for
from tests.safety.lab_change import whole_files
from tests.safety.lab_world import Whole, difference, read_world, torn
from tests.safety.matrix_run import DRIVER_S, REACH_S, deadline_s, disagreement, wait_for_deadline, words

KINDS = ("lockouts", "late", "mixed", "disagreements", "switch", "failed")
BACK_S = 5.0
LOCKED_OUT_S = 15.0
SESSION_S = 2.0
LAST_LOOK_S = 2.5
KEY_REFUSED = "does not accept the service's key"
ENDED = ("confirmed", "rolled_back", "rollback_failed")
STARTED = ("applied", "confirming", "confirmed", "rolling_back", "rolled_back", "rollback_failed")


class Outcome(NamedTuple):
    """`kind`: "" when all is well, else one of KINDS. `cut`: no new connection could be made before the deadline.
    `state`: old, or new where the change harmed nobody's connection and was confirmed. `back_s`: after the deadline.
    `refused`: by the host itself, before anything was armed."""

    kind: str
    told: str = ""
    cut: bool = False
    state: str = ""
    back_s: float = 0.0
    refused: bool = False


INSTALL = """
set -e
printf '#!/bin/sh\\nexit 101\\n' >/usr/sbin/policy-rc.d && chmod 755 /usr/sbin/policy-rc.d
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends {names} >/dev/null 2>&1
rm /usr/sbin/policy-rc.d
for name in {names}; do systemctl disable $name 2>/dev/null || true; done
"""


def prepare(bench: Bench) -> None:
    """A host as a provider hands it over."""
    bench.clear()
    bench.host.fresh(timeout_s=240)
    world = read_world(bench.host)
    if bench.old is None:
        bench.old = world
    elif left := difference(world, bench.old):
        raise LabError(f"{bench.host.name} is not as at the beginning: {left}")


@contextlib.contextmanager
def installed(bench: Bench, packages: Sequence[str]) -> Iterator[None]:
    """The host with these packages as well, their services off; a fresh one in the end."""
    if not packages:
        yield
        return
    bare = bench.old
    bench.host.sh(INSTALL.format(names=" ".join(packages)), timeout_s=240)
    bench.old = read_world(bench.host)
    yield
    bench.old = bare
    prepare(bench)


def run(
    bench: Bench,
    plan: Plan,
    *,
    cut_at: str = "",
    timeout_s: int = DEADLINE_S,
    file: str = "",
    old_connection: bool = False,
    fresh: bool = True,
) -> Outcome:
    """Apply it and see. `cut_at`: the power is cut at this point of the transaction. `fresh`: the host is given a new
    disk where it did not end as it was."""
    bench.clear()
    whole = whole_files(bench.host, plan)
    if cut_at:
        bench.put(MARK, cut_at + "\n")
    driver = bench.start(plan, file=file, old_connection=old_connection, confirm_timeout_s=timeout_s)
    try:
        outcome = _follow(bench, driver, whole, cut_at)
    except (LabError, OSError) as error:
        outcome = Outcome("failed", f"{type(error).__name__}: {error}")
    bench.clear()
    if fresh and (outcome.kind or outcome.state != "old"):
        prepare(bench)
    return outcome


def _follow(bench: Bench, driver: Driver, whole: Whole, cut_at: str) -> Outcome:
    cut = False
    if cut_at:
        if not bench.wait_stopped(cut_at, now_s() + grown_s(REACH_S), driver.is_over):
            if driver.is_over() and driver.result(1)[0].get("cause") == "switch lost":
                return _refused_there(bench, driver)
            return Outcome("failed", f"not applied: {driver.result(1)} {words(bench, driver)}")
        bench.forget(MARK, REACHED)
        if broken := torn(bench.host, whole):
            return Outcome("mixed", f"at the point: {broken}")
        bench.host.power_cut(wait=False)
        began_s = now_s()
    else:
        started = wait_for(lambda: _state(bench, driver) in STARTED or driver.is_over(), now_s() + grown_s(REACH_S))
        if not started:
            return Outcome("failed", f"not applied: {words(bench, driver)}")
        if driver.is_over() and driver.result(1)[0].get("ending") in ("refused", "conflict"):
            return _refused_there(bench, driver)
        cut = _is_cut(bench, driver)
        wait_for_deadline(bench, driver, now_s())
        began_s = deadline_s(bench, driver, now_s())
    wrong = wait_for(lambda: bench.session(SESSION_S) or "yes", began_s)
    while wrong != "yes" and now_s() < began_s + LOCKED_OUT_S:
        if KEY_REFUSED in wrong:  # sshd counts each such try (PerSourcePenalties): no second one before the end
            wait_for(lambda: _state(bench, driver) in ENDED, began_s + LOCKED_OUT_S)
        wrong = bench.session(SESSION_S) or "yes"
    back_s = round(now_s() - began_s, 2)
    if wrong != "yes":
        return Outcome("lockouts", f"{LOCKED_OUT_S:.0f} s after the deadline: {wrong}; {words(bench, driver)}", cut)
    if broken := torn(bench.host, whole):
        return Outcome("mixed", f"after the deadline: {broken}", cut)
    outcome = _judge(bench, driver)._replace(cut=cut and _state(bench, driver) != "confirmed", back_s=back_s)
    if not outcome.kind and back_s > BACK_S + (BACK_S if cut_at else 0):
        return outcome._replace(kind="late", told=f"{back_s} s after the deadline")
    return outcome


def _refused_there(bench: Bench, driver: Driver) -> Outcome:
    """The host took nothing of it: it is up, as it was, and its switch is whole."""
    told = driver.result(1)[0]
    assert bench.old is not None
    if told.get("ending") == "conflict":
        return Outcome("failed", f"the harness was wrong about the host: {told.get('error')}")
    if wrong := bench.session(LOCKED_OUT_S):
        return Outcome("lockouts", f"refused, and {wrong}")
    if left := difference(read_world(bench.host), bench.old):
        return Outcome("mixed", f"refused, and not as before: {left}")
    if broken := switch_broken(bench):
        return Outcome("switch", broken)
    return Outcome("", str(told.get("error")), state="old", refused=True)


def switch_broken(bench: Bench) -> str:
    """What of the switch is not there, "" where all is: its unit for the boot, its program, systemd's timers."""
    unit = f"/etc/systemd/system/{RECOVER_UNIT}"
    asked = (
        f"systemctl is-enabled {RECOVER_UNIT}; test -x /usr/bin/python3 && echo python; "
        "/usr/bin/python3 -I -S /var/lib/passerelle/boot.py status >/dev/null && echo program; "
        "systemd-run --quiet --collect --on-active=1h --unit=harness-waker true && echo timer; "
        "systemctl stop harness-waker.timer; systemctl is-active ssh"
    )
    if not bench.look(unit):
        return ""  # nothing was ever applied here
    said = bench.host.sh(asked, check=False, timeout_s=60).split()
    missing = [word for word in ("enabled", "python", "program", "timer", "active") if word not in said]
    if bench.look(unit) != RECOVER_TEXT.strip():
        missing.append("the unit's text")
    return f"of the switch is not as it was: {', '.join(missing)}" if missing else ""


def _state(bench: Bench, driver: Driver) -> str:
    return str(bench.journal(driver.apply_id).get("state"))


def _is_cut(bench: Bench, driver: Driver) -> bool:
    """Is a new connection refused shortly before the deadline, while the change is on trial?

    Called once, so that the service reaches a limit, and this harness does not use it up. What the router remembers of
    ARP is forgotten again and again: it would only put a cut off by half a minute.
    """

    def on_trial() -> bool:
        return _state(bench, driver) in ("applied", "confirming")

    def remaining_s() -> float:
        return deadline_s(bench, driver, now_s()) - now_s()

    while on_trial() and remaining_s() > LAST_LOOK_S:
        bench.lab.run_in("provider", ["ip", "neigh", "flush", "to", bench.host.address])
        wait_for(lambda: not on_trial(), now_s() + 0.2)
    if not on_trial() or remaining_s() < 0.5:
        return False  # too late to say
    bench.lab.run_in("provider", ["ip", "neigh", "flush", "to", bench.host.address])
    refused = bench.session(max(0.5, min(SESSION_S, remaining_s())))
    return bool(refused) and on_trial() and remaining_s() > -0.2


def _judge(bench: Bench, driver: Driver) -> Outcome:
    assert bench.old is not None
    told, wrong = driver.result(grown_s(DRIVER_S))
    ended = wait_for(lambda: not bench.look("/var/lib/passerelle/armed"), now_s() + DEADLINE_S)
    record = bench.patient_record(now_s() + LOCKED_OUT_S)
    bench.host.wait_until_up(60)
    left = difference(read_world(bench.host), bench.old)
    confirmed = told.get("ending") == "confirmed" or _state(bench, driver) == "confirmed"
    if left and not confirmed:
        return Outcome("mixed", f"{words(bench, driver)}: {left}")
    state = "new" if left or confirmed else "old"
    if broken := switch_broken(bench):
        return Outcome("switch", f"{words(bench, driver)}: {broken}", state=state)
    if isinstance(record, str) or not ended or wrong:
        return Outcome(
            "failed", f"{record if isinstance(record, str) else ''} {wrong}; {words(bench, driver)}", state=state
        )
    if trouble := disagreement(state, told, record, driver.apply_id):
        return Outcome("disagreements", f"the host is {state}, but {trouble}", state=state)
    return Outcome("", state=state)


class Pushed(NamedTuple):
    """A push as the service took it: refused in words, or applied with an outcome."""

    refused: str
    outcome: Outcome | None


def push(bench: Bench, bad: BadPush, *, override: bool = False) -> Pushed:
    """As pushed; or, with `override`, with every refusal lifted that a person can lift, and the others ignored."""
    said = judged(bad, bench.host, override)
    if said.plan is None or (said.is_refused and not override) or not said.plan.steps:
        return Pushed(said.why, None)
    return Pushed(said.why, run(bench, said.plan))
