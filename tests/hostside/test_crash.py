"""A process that is killed at a named point: the timer, or the next boot, ends in the old state or in the new one."""

import itertools

import pytest

from service.hostside.passerelle_host import POINTS
from tests.hostside.scratch import ID, NEXT_ID, Scratch, kill, wait_for

BEGIN = ("locked", "observed", "staged", "checked", "journal-armed", "armed", "proven")
STEPS = tuple(f"step-{n}-{when}" for when in ("before", "after") for n in range(10))
APPLY = (*STEPS, "verifying", "applied")
CONFIRM = ("confirm-locked", "confirm-verified", "on-confirm-10", "confirmed", "disarmed")
RESTORE = (
    *("restore-begin", "restore-file", "restore-link", "restore-addresses", "restore-routes", "restore-sysctl"),
    *("restore-nft", "restore-masquerade", "restore-unit", "restore-verify", "restored", "disarmed"),
)
BOOT = ("boot-restore-begin", "boot-restore-file", "boot-restore-unit", "boot-restored")


def end(scratch: Scratch, how: str) -> None:
    """What happens on a host after a process was killed: the deadline passes, or the power goes."""
    if how == "power cut":
        scratch.power_cut()
    elif scratch.timers():
        scratch.expire()


def judge(scratch: Scratch, before: object, after: object = None) -> None:
    """All old, or all new if the journal says confirmed; and the next transaction can begin."""
    folder = scratch.root / "var/lib/passerelle/txn" / ID / "journal.json"
    confirmed = folder.exists() and scratch.journal()["state"] == "confirmed"
    assert scratch.state() == (after if confirmed else before)
    if not confirmed:
        assert scratch.begin(scratch.drill(NEXT_ID, generation=99))["state"] == "applied"
        assert scratch.call("rollback", NEXT_ID)["state"] == "rolled_back"
        assert scratch.state() == before
    assert not scratch.armed()


def test_every_named_point_is_tested_here() -> None:
    tested = {*BEGIN, *APPLY, *CONFIRM, *RESTORE, *BOOT}
    named = {point.replace("-N", f"-{n}") for point in POINTS for n in (range(10) if "step" in point else [10])}
    assert named == tested


@pytest.mark.parametrize("how", ["deadline", "power cut"])
@pytest.mark.parametrize("point", BEGIN)
def test_killed_before_the_first_step_the_host_is_as_before(scratch: Scratch, point: str, how: str) -> None:
    before = scratch.state()
    begin = scratch.start("begin", give=scratch.document(), environment=scratch.stop_at(point))
    kill(scratch.stopped(begin))
    begin.wait()
    end(scratch, how)
    judge(scratch, before)


@pytest.mark.parametrize(("point", "how"), list(zip(APPLY, itertools.cycle(["deadline", "power cut"]), strict=False)))
def test_killed_while_the_steps_run_the_host_is_as_before(scratch: Scratch, point: str, how: str) -> None:
    before = scratch.state()
    begin = scratch.start("begin", give=scratch.document(), environment=scratch.stop_at(point))
    pid = scratch.stopped()
    kill(begin.pid)
    begin.wait()
    kill(pid)
    end(scratch, how)
    judge(scratch, before)


@pytest.mark.parametrize("how", ["deadline", "power cut"])
@pytest.mark.parametrize("point", CONFIRM)
def test_killed_while_it_is_confirmed_the_host_is_old_or_new_as_its_journal_says(
    scratch: Scratch, point: str, how: str
) -> None:
    before = scratch.state()
    scratch.begin()
    confirm = scratch.start("confirm", ID, environment=scratch.stop_at(point))
    kill(scratch.stopped(confirm))
    confirm.wait()
    after = scratch.state()
    if how == "deadline":
        end(scratch, how)
        judge(scratch, before, after)
        return
    new = scratch.journal()["state"] == "confirmed"
    files, units = after["files"], after["units"]
    scratch.power_cut()
    assert scratch.state()["files"] == (files if new else before["files"])
    assert scratch.state()["units"] == (units if new else before["units"])
    assert not scratch.armed()


@pytest.mark.parametrize("how", ["deadline", "power cut"])
@pytest.mark.parametrize("point", RESTORE)
def test_killed_while_it_rolls_back_the_rollback_is_finished(scratch: Scratch, point: str, how: str) -> None:
    before = scratch.state()
    scratch.begin()
    rollback = scratch.start("rollback", ID, environment=scratch.stop_at(point))
    kill(scratch.stopped(rollback))
    rollback.wait()
    end(scratch, how)
    judge(scratch, before)


@pytest.mark.parametrize("point", BOOT)
def test_the_power_goes_again_while_the_boot_restores(scratch: Scratch, point: str) -> None:
    before = scratch.state()
    scratch.begin()
    scratch.fresh_boot()
    (scratch.root / "var/lib/passerelle/test-stop-at").write_text(point)
    boot = scratch.start("boot")
    kill(scratch.stopped(boot))
    boot.wait()
    scratch.power_cut()
    judge(scratch, before)


def test_two_confirmations_at_once_end_confirmed(scratch: Scratch) -> None:
    scratch.begin()
    confirms = [scratch.start("confirm", ID) for _ in range(3)]
    assert [confirm.wait(30) for confirm in confirms] == [0, 0, 0]
    assert scratch.journal()["state"] == "confirmed"
    assert not scratch.armed()


def test_a_rollback_during_the_apply_kills_it_and_restores(scratch: Scratch) -> None:
    before = scratch.state()
    begin = scratch.start("begin", give=scratch.document(), environment=scratch.stop_at("step-5-after"))
    pid = scratch.stopped()
    assert scratch.call("rollback", ID)["state"] == "rolled_back"
    assert begin.wait(20) == 0
    wait_for(lambda: scratch.state() == before)
    assert pid
