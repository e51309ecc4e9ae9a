"""Processes of a transaction that hang, die or lose their reader: the host ends as promised nevertheless."""

import json
import os
import subprocess

import pytest

from service.lab.waiting import grown_s
from tests.hostside.scratch import ID, Answer, Scratch, kill, process_state, wait_for

pytestmark = pytest.mark.host


def test_a_hung_apply_does_not_keep_the_deadline_from_acting(scratch: Scratch) -> None:
    before = scratch.state()
    begin = scratch.start("begin", give=scratch.document(), environment=scratch.stop_at("step-6-after"))
    pid = scratch.stopped()
    assert scratch.expire()["state"] == "rolled_back"
    wait_for(lambda: process_state(pid) in ("", "Z"))
    assert scratch.state() == before
    assert begin.wait(grown_s(20)) == 0


def test_a_hung_confirmation_does_not_keep_the_deadline_from_acting(applied: Scratch, before: Answer) -> None:
    confirm = applied.start("confirm", ID, environment=applied.stop_at("confirm-verified"))
    applied.stopped(confirm)
    assert applied.expire()["state"] == "rolled_back"
    assert confirm.wait(grown_s(20)) == -9
    assert applied.state() == before


def test_a_hung_holder_that_could_not_leave_its_note_is_found_by_the_kernels(applied: Scratch, before: Answer) -> None:
    confirm = applied.start("confirm", ID, environment=applied.stop_at("confirm-verified"))
    applied.stopped(confirm)
    (applied.root / "var/lib/passerelle/lock").write_text("4242 1 begin")
    assert applied.expire()["state"] == "rolled_back"
    assert confirm.wait(grown_s(20)) == -9
    assert applied.state() == before


def test_an_apply_that_dies_is_rolled_back_by_the_one_who_follows_it(scratch: Scratch) -> None:
    before = scratch.state()
    begin = scratch.start("begin", give=scratch.document(), environment=scratch.stop_at("step-6-after"))
    kill(scratch.stopped())
    units = scratch.get("units.json")
    del units[f"passerelle-apply-{ID}.service"]
    scratch.put("units.json", units)
    assert begin.wait(grown_s(30)) == 0
    assert scratch.journal()["cause"] == "run died"
    assert scratch.state() == before


def test_a_run_goes_on_when_the_connection_that_began_it_dies(scratch: Scratch) -> None:
    begin = scratch.start("begin", give=scratch.document(), environment=scratch.stop_at("step-3-before"))
    pid = scratch.stopped()
    kill(begin.pid)
    begin.wait()
    os.kill(pid, 18)
    wait_for(lambda: scratch.journal()["state"] == "applied")
    assert scratch.call("confirm", ID)["state"] == "confirmed"


def test_a_reader_that_goes_away_does_not_stop_the_one_who_begins(scratch: Scratch) -> None:
    read, write = os.pipe()
    os.close(read)
    process = subprocess.Popen(scratch.command("begin"), stdin=subprocess.PIPE, stdout=write, env={})
    os.close(write)
    process.communicate(json.dumps(scratch.document()).encode(), timeout=grown_s(30))
    assert process.returncode == 0
    assert scratch.journal()["state"] == "applied"
