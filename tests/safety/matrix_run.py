"""One run of the matrix: a transaction stopped at a point, a fault, what comes on its own, and the judgement."""

import contextlib
import json
import os
import re
from typing import Any, NamedTuple

from service.errors import LabError
from service.lab.waiting import grown_s
from service.model.plans import Plan
from service.model.telling import Fence
from tests.safety.lab_bench import DEADLINE_S, GRACE_S, MARK, ONCE, REACHED, STATE, Bench, Driver, now_s, wait_for
from tests.safety.lab_change import lay_out, trial_plan, whole_files
from tests.safety.lab_world import Whole, World, difference, read_world, torn
from tests.safety.matrix_cases import BLOWS, STORMS, SWITCH_FAULTS, Case

REACH_S = 40.0  # a loaded machine takes its time to come to a point
BOOT_S = 60.0
DRIVER_S = 75.0
SLOW, SLOW_S = 4.0, 50.0
"""On a machine with that many runnable processes per processor, a run is repeated, and a host has that much longer to
come back. A host that is not back by then would be locked out on any machine.
"""
KINDS = ("lockouts", "mixed", "disagreements", "late", "failed")
ON_TIME_S = 5.0
"""How long after the deadline a host is back at the latest when the switch itself was struck."""


class Verdict(NamedTuple):
    """`kind`: "" when all is well, one of KINDS, or "again" when the point was not reached; `told` says more; `state`
    is how the host ended: old or new."""

    kind: str
    told: str = ""
    state: str = ""
    reached_s: float = 0.0  # after the deadline or the last fault, whichever came later


def prepare(bench: Bench) -> None:
    """Lay out the old world, and learn it."""
    lay_out(bench.host)
    bench.old = read_world(bench.host)


def prove(bench: Bench) -> None:
    """Learn the new world of a host in its old one; both are what a boot makes. LabError when it is not as meant."""
    assert bench.old is not None
    driver = bench.start(trial_plan(bench.host), confirm_timeout_s=60)
    told, wrong = driver.result(grown_s(DRIVER_S))
    bench.new = read_world(bench.host)
    if wrong or told.get("ending") != "confirmed":
        raise LabError(f"{bench.host.name}: an undisturbed change is not confirmed: {wrong or told}")
    prove_new(bench)
    bench.host.power_cut(timeout_s=240)
    if left := difference(read_world(bench.host), bench.new):
        raise LabError(f"{bench.host.name}: a boot does not make the new world: {left}")
    anew(bench)


def learn_from(other: Bench, bench: Bench) -> None:
    """Take the new world over from the host that has proven its own; only the two addresses are different."""
    assert bench.old is not None
    old, new = worlds(other)
    names = dict(zip(other.addresses, bench.addresses, strict=True))
    if (left := moved(old.network, names)) != bench.old.network:
        raise LabError(f"{bench.host.name} is not laid out as {other.host.name}: {left} {bench.old.network}")
    files = dict(bench.old.files)
    for path in {*old.files, *new.files}:
        file = new.files.get(path)
        if file is None:
            files.pop(path, None)
        elif file != old.files.get(path):
            files[path] = file._replace(content=moved(file.content.decode(), names).encode())
    bench.new = World(files, moved(new.network, names), new.units)


def moved(value: Any, names: dict[str, str]) -> Any:
    """The same with other addresses."""
    one = re.compile(r"(?<![0-9.])(" + "|".join(map(re.escape, names)) + r")(?![0-9])")
    if isinstance(value, str):
        return one.sub(lambda found: names[found.group()], value)
    return json.loads(one.sub(lambda found: names[found.group()], json.dumps(value)))


def prove_new(bench: Bench) -> None:
    """The new world is the one that the plan's words mean, not whatever came out of it."""
    assert bench.old is not None
    assert bench.new is not None
    plan, network = trial_plan_files(bench), bench.new.network
    for path, content in plan.items():
        found = bench.new.files.get(path)
        if (found.content if found else None) != content:
            raise LabError(f"{path} is not as planned in the new world")
    more = sorted(bench.addresses)
    good = (
        [a.partition("/")[0] for a in sorted(network["addresses"]["enp1s0"])] == more
        and network["addresses"]["vmbr0"] == ["10.10.10.1/24"]
        and network["links"]["vmbr0"][3] == "bridge"
        and network["sysctl"] == ["1"]
        and any(i.get("table", {}).get("name") == "passerelle_nat" for i in network["nft"])
        and len([line for line in network["masquerade"] if "10.10.10.0/24" in line]) == 1
        and bench.new.units["dnsmasq"] == "loaded enabled active"
        and bench.new.units["old-leases"] == "loaded disabled inactive"
        and bench.old.units["old-leases"] == bench.new.units["named"] == "loaded enabled active"
    )
    if not good:
        raise LabError(f"the new world is not as planned: {network} {bench.new.units}")


def trial_plan_files(bench: Bench) -> dict[str, bytes | None]:
    """What each file of the change holds afterwards."""
    from tests.safety import lab_change as change

    return {
        change.INTERFACES: change.new_interfaces(bench.host, cut=False),
        change.SYSCTL: b"net.ipv4.ip_forward = 1\n",
        change.DNSMASQ: change.NEW_DNSMASQ,
        change.GONE: None,
        change.LOADER: change.LOADER_TEXT,
        change.NAT: (change.TABLE + "\n").encode(),
    }


def anew(bench: Bench) -> None:
    """The host as at the beginning. LabError when it cannot be had."""
    bench.clear()
    lay_out(bench.host)
    assert bench.old is not None
    if left := difference(read_world(bench.host), bench.old):
        raise LabError(f"{bench.host.name} is not as at the beginning: {left}")


def run(
    bench: Bench,
    case: Case,
    timeout_s: int = DEADLINE_S,
    file: str = "",
    plan: Plan | None = None,
    old_connection: bool = False,
) -> Verdict:
    """One case on a host in its old world. `file` is another host-side file, for controls."""
    assert bench.old is not None
    bench.host.wait_until_up(BOOT_S)
    if difference(read_world(bench.host), bench.old):
        anew(bench)
    plan = plan or trial_plan(bench.host, cut=case.trigger == "deadline", broken=case.trigger == "failed")
    bench.clear()
    with contextlib.ExitStack() as undo:
        try:
            bench.put(MARK, (case.first or case.point) + "\n")
            whole = whole_files(bench.host, plan)
            driver = bench.start(plan, file=file, old_connection=old_connection, confirm_timeout_s=timeout_s)
            verdict = _strike(bench, case, driver, whole, undo)
        except (LabError, OSError) as error:
            verdict = Verdict("failed", f"{type(error).__name__}: {error}")
    bench.clear()
    if verdict.kind not in ("", "again") or verdict.state == "new":
        anew(bench)
    return verdict


def _was_taken_over(bench: Bench, case: Case) -> bool:
    """The process stopped at the last point of a rollback, and the other waker ended it before this harness saw it. A
    stopped holder of the lock is killed after a second. The fault strikes then what that one left.
    """
    return case.point == "restored" and case.fault not in SWITCH_FAULTS and bench.look(REACHED) == case.point


def _strike(bench: Bench, case: Case, driver: Driver, whole: Whole, undo: contextlib.ExitStack) -> Verdict:
    if not case.point:
        driver.process.join(grown_s(DRIVER_S))
        return _end(bench, driver, whole, now_s())
    pid = bench.wait_stopped(case.first or case.point, now_s() + grown_s(REACH_S), driver.is_over)
    if not pid and not _was_taken_over(bench, case):
        return Verdict("again", f"{driver.result(0.1)} {words(bench, driver)}")
    if case.first:
        bench.put(ONCE, case.point + "\n")
        bench.host.power_cut(wait=False)
        pid = bench.wait_stopped(case.point, now_s() + grown_s(BOOT_S))
        if not pid:
            return Verdict("again", words(bench, driver))
    bench.forget(MARK, REACHED)
    broken = torn(bench.host, whole)
    struck_s = now_s()
    if case.fault == "controller":
        driver.kill()
        if not case.hung:
            bench.go_on(pid)
    elif case.fault == "host":
        bench.kill(pid)
    elif case.fault == "power":
        bench.host.power_cut(wait=False)
    elif case.fault in SWITCH_FAULTS:
        storm = contextlib.ExitStack()
        undo.push(storm)
        _strike_switch(bench, case, driver, pid, storm)
        verdict = _end(bench, driver, whole, struck_s, storm)
        if case.alive and not verdict.kind and verdict.state == "new":
            return Verdict("failed", "confirmed, though one waker was gone", "new")
        return verdict
    else:
        hole = contextlib.ExitStack()
        hole.enter_context(bench.black_hole(case.direction))
        undo.push(hole)
        bench.go_on(pid)
        wait_for_deadline(bench, driver, struck_s)
        hole.close()
        struck_s = now_s()
    if broken:
        return Verdict("mixed", f"at the point: {broken}")
    return _end(bench, driver, whole, struck_s)


def _strike_switch(bench: Bench, case: Case, driver: Driver, pid: int, storm: contextlib.ExitStack) -> None:
    """Hit the rollback, and let the stopped process continue. Nobody confirms unless one is `alive`."""
    if not case.alive:
        driver.kill()
    if case.fault in STORMS:
        storm.enter_context(bench.storm(case.fault))
    else:
        now = ["--no-block"] if case.point.startswith("restore-") else []  # the stopped process may be that waker
        bench.host.exec(["systemctl", *now, "stop", BLOWS[case.fault]], check=True, timeout_s=grown_s(30))
    if not case.hung:
        bench.go_on(pid)


def woke_on_time(bench: Bench, driver: Driver) -> bool:
    """Did the rollback begin on time? On a machine out of breath, how long it takes says nothing of the switch."""
    journal = bench.journal(driver.apply_id)
    began = journal.get("restore_began") or {}
    return float(began.get("boottime_s", "inf")) <= float(journal.get("deadline_boottime_s") or 0) + ON_TIME_S


def load() -> float:
    """How many processes have wanted to run in the last minute, for each processor."""
    return os.getloadavg()[0] / (os.cpu_count() or 1)


def worlds(bench: Bench) -> tuple[World, World]:
    """The old one and the new one."""
    assert bench.old is not None
    assert bench.new is not None
    return bench.old, bench.new


def deadline_s(bench: Bench, driver: Driver, struck_s: float) -> float:
    """When it has to be confirmed, on the boot clock: as the host says, or as late as it could be."""
    told = bench.journal(driver.apply_id).get("deadline_boottime_s")
    return float(told) if told else struck_s + DEADLINE_S


def wait_for_deadline(bench: Bench, driver: Driver, struck_s: float) -> None:
    wait_for(lambda: now_s() > deadline_s(bench, driver, struck_s) + 0.5, struck_s + 30)


def _end(
    bench: Bench, driver: Driver, whole: Whole, struck_s: float, storm: contextlib.ExitStack | None = None
) -> Verdict:
    """What comes on its own, then the judgement. A storm continues until the host is back, which has to be on time."""
    wait_for_deadline(bench, driver, struck_s)
    began_s = max(deadline_s(bench, driver, struck_s), struck_s)
    grace_s = GRACE_S if storm is None else ON_TIME_S
    limit_s = began_s + grace_s

    def ended() -> bool:
        return bool(bench.look("/proc/uptime")) and not bench.look(STATE + "/armed") and bool(bench.answers())

    if not wait_for(ended, limit_s):
        kind, what = ("failed", "still armed") if bench.answers() else ("lockouts", "no new connection")
        found = Verdict(kind, f"{what} {grace_s:.0f} s after the deadline; {words(bench, driver)}")
        if storm is not None and (load() >= SLOW or wait_for(ended, began_s + GRACE_S)):
            found = found._replace(kind="late")
        if load() < SLOW or not wait_for(ended, limit_s + SLOW_S):
            return found
        if storm is None or not woke_on_time(bench, driver):
            return found._replace(
                kind="again", told=f"{found.told}; {now_s() - began_s:.0f} s after it, on a slow machine"
            )
    reached_s = now_s() - began_s
    if storm is not None:
        storm.close()
    if broken := torn(bench.host, whole):
        return Verdict("mixed", f"after the deadline: {broken}")
    told, wrong = driver.result(grown_s(DRIVER_S))
    record = bench.patient_record(now_s() + GRACE_S)
    bench.host.wait_until_up(BOOT_S)
    verdict = _judge(bench, driver, told, record)
    if not verdict.kind and wrong:
        verdict = Verdict("failed", wrong)
    return verdict._replace(reached_s=round(reached_s, 2))


def _judge(bench: Bench, driver: Driver, told: dict[str, str], record: Fence | str) -> Verdict:
    assert bench.old is not None
    found = read_world(bench.host)
    is_old = difference(found, bench.old)
    is_new = difference(found, bench.new) if bench.new is not None else "not learnt yet"
    if is_old and is_new:
        return Verdict("mixed", f"{words(bench, driver)}; against old: {is_old}; against new: {is_new}")
    state = "new" if is_old else "old"
    if isinstance(record, str):
        return Verdict("lockouts", f"greeted, but no session: {record}", state)
    if wrong := disagreement(state, told, record, driver.apply_id):
        return Verdict("disagreements", f"the host is {state}, but {wrong}", state)
    if bench.journal(driver.apply_id).get("verified_old") is False:
        return Verdict("disagreements", "rolled back, but recorded as not verified", state)
    left = wait_for(lambda: not bench.left_units(), now_s() + DEADLINE_S)
    if not left:
        return Verdict("failed", f"units are left: {bench.left_units()}", state)
    return Verdict("", state=state)


def disagreement(state: str, told: dict[str, str], record: Fence, apply_id: str) -> str:
    """Where what is informed of a host differs from what it is; "" when all agree.

    `told` is what the service's own transaction said (nothing when it was killed), `record` what a service that
    starts now reads. A transaction that the record does not know to have ended must have changed nothing.
    """
    means = {"confirmed": "new", "rolled_back": "old", "refused": "old", "conflict": "old", "unconfirmed": state}
    ending = told.get("ending", "unconfirmed")
    if means.get(ending) != state:
        return f"the service says {told}"
    known = record.journals.get(apply_id)
    if known is None and state != "old":
        return "the record knows of no end"
    if known is not None and means.get(known.ending) != state:
        return f"the record says {known.ending} ({known.error})"
    if record.armed or record.quarantined:
        return f"the record says armed {record.armed!r}, quarantined {record.quarantined!r}"
    return ""


def words(bench: Bench, driver: Driver) -> str:
    journal = bench.journal(driver.apply_id)
    kept = {key: journal.get(key) for key in ("state", "cause", "error", "rollback_error")}
    return f"its journal: {kept}"
