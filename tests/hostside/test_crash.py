"""A process that is killed at a named point: the timer, or the next boot, ends in the old state or in the new one."""

import itertools
import json

import pytest

from service.hostside.points import POINTS
from service.lab.waiting import grown_s
from tests.hostside.scratch import ID, NEXT_ID, Answer, Scratch, fact_of, kill, wait_for

pytestmark = pytest.mark.host

BEGIN = ("locked", "observed", "staged", "checked", "journal-armed", "armed", "proven")
STEPS = tuple(f"step-{n}-{when}" for when in ("before", "after") for n in range(12))
APPLY = (*STEPS, "verifying", "applied")
CONFIRM = ("confirm-locked", "confirm-verified", "on-confirm-12", "confirmed", "disarmed")
RESTORE = (
    *("restore-begin", "restore-file", "restore-link", "restore-addresses", "restore-routes", "restore-sysctl"),
    *("restore-nft", "restore-masquerade", "restore-unit", "restore-proxy", "restore-verify", "restored", "disarmed"),
)
BOOT = ("boot-restore-begin", "boot-restore-file", "boot-restore-unit", "boot-restored")


def end(scratch: Scratch, how: str) -> None:
    """What happens on a host after a process was killed: the deadline passes, or the power goes."""
    if how == "power cut":
        scratch.power_cut()
    elif scratch.timers():
        scratch.expire()


def judge(scratch: Scratch, before: object, after: object = None) -> None:
    """All old, or all new if the journal says confirmed; and the next transaction can begin (as far as a conflict)."""
    folder = scratch.root / "var/lib/passerelle/txn" / ID / "journal.json"
    confirmed = folder.exists() and scratch.journal()["state"] == "confirmed"
    assert scratch.state() == (after if confirmed else before)
    if not confirmed:
        never = [scratch.step("sysctl:net.ipv4.ip_forward", "7", "7")]
        assert scratch.begin(scratch.drill(NEXT_ID, generation=99) | {"keep": never})["state"] == "conflict"
        assert scratch.state() == before
    assert not scratch.armed()


def test_every_named_point_is_tested_here() -> None:
    tested = {*BEGIN, *APPLY, *CONFIRM, *RESTORE, *BOOT}
    named = {point.replace("-N", f"-{n}") for point in POINTS for n in (range(12) if "step" in point else [12])}
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
    applied: Scratch, before: Answer, point: str, how: str
) -> None:
    confirm = applied.start("confirm", ID, environment=applied.stop_at(point))
    kill(applied.stopped(confirm))
    confirm.wait()
    after = applied.state()
    if how == "deadline":
        end(applied, how)
        judge(applied, before, after)
        return
    new = applied.journal()["state"] == "confirmed"
    files, units = after["files"], after["units"]
    applied.power_cut()
    assert applied.state()["files"] == (files if new else before["files"])
    assert applied.state()["units"] == (units if new else before["units"])
    assert not applied.armed()


@pytest.mark.parametrize("how", ["deadline", "power cut"])
@pytest.mark.parametrize("point", RESTORE)
def test_killed_while_it_rolls_back_the_rollback_is_finished(
    applied: Scratch, before: Answer, point: str, how: str
) -> None:
    rollback = applied.start("rollback", ID, environment=applied.stop_at(point))
    kill(applied.stopped(rollback))
    rollback.wait()
    end(applied, how)
    judge(applied, before)


def test_an_enablement_that_was_cut_half_way_is_undone_whatever_systemd_says_of_it(applied: Scratch) -> None:
    journal = applied.journal()
    (number,) = [n for n, step in enumerate(journal["steps"]) if step["fact"] == "unit:named.service"]
    journal["steps"][number]["state"] = "doing"
    (applied.root / f"var/lib/passerelle/txn/{ID}/journal.json").write_text(json.dumps(journal))
    units = applied.get("units.json")
    applied.put("units.json", {**units, "named.service": {"enabled": "enabled", "active": True}})
    assert applied.call("rollback", ID)["state"] == "rolled_back"
    assert ["enable", "named.service"] in applied.calls("systemctl")


def test_a_unit_that_was_off_leaves_the_list_of_failed_ones_with_the_rollback(scratch: Scratch) -> None:
    off, on = {"enabled": "disabled", "active": False}, {"enabled": "enabled", "active": True}
    scratch.put("units.json", {**scratch.get("units.json"), "named.service": off})
    steps = [scratch.step("unit:named.service", off, on)]
    assert scratch.begin(scratch.document(steps=steps, keep=[], checks=[], blobs={}))["state"] == "applied"
    assert scratch.call("rollback", ID)["state"] == "rolled_back"
    assert scratch.calls("systemctl").count(["reset-failed", "named.service"]) == 2


@pytest.mark.parametrize("point", BOOT)
def test_the_power_goes_again_while_the_boot_restores(applied: Scratch, before: Answer, point: str) -> None:
    applied.fresh_boot()
    (applied.root / "var/lib/passerelle/test-stop-at").write_text(point)
    boot = applied.start("boot")
    kill(applied.stopped(boot))
    boot.wait()
    applied.power_cut()
    judge(applied, before)


def test_two_confirmations_at_once_end_confirmed(applied: Scratch) -> None:
    confirms = [applied.start("confirm", ID) for _ in range(3)]
    assert [confirm.wait(grown_s(30)) for confirm in confirms] == [0, 0, 0]
    assert applied.journal()["state"] == "confirmed"
    assert not applied.armed()


def test_a_rollback_during_the_apply_kills_it_and_restores(scratch: Scratch) -> None:
    before = scratch.state()
    begin = scratch.start("begin", give=scratch.document(), environment=scratch.stop_at("step-5-after"))
    pid = scratch.stopped()
    assert scratch.call("rollback", ID)["state"] == "rolled_back"
    assert begin.wait(grown_s(20)) == 0
    wait_for(lambda: scratch.state() == before)
    assert pid


def test_what_enabled_a_unit_goes_with_it_and_comes_back_with_the_rollback(scratch: Scratch) -> None:
    unit = scratch.root / "etc/systemd/system/passerelle-nft.service"
    link = unit.parent / "sysinit.target.wants" / unit.name
    link.parent.mkdir(parents=True)
    unit.write_bytes(b"[Install]\nWantedBy=sysinit.target\n")
    link.symlink_to(unit)
    steps = [
        scratch.step(f"unit:{unit.name}", {"enabled": "enabled"}, None),
        scratch.step(f"file:/etc/systemd/system/{unit.name}", fact_of(unit.read_bytes()), None),
    ]
    assert scratch.begin(scratch.document(steps=steps, keep=[], checks=[], blobs={}))["state"] == "applied"
    assert not unit.exists() and not link.is_symlink()
    assert scratch.call("rollback", ID)["state"] == "rolled_back"
    assert unit.exists() and scratch.calls("systemctl").count(["enable", unit.name]) == 1
