"""The protocol of a transaction, spoken to the real file in a scratch root."""

import json
import shutil
import subprocess
from datetime import UTC, datetime

import pytest

from service.lab.waiting import grown_s
from tests.hostside.scratch import (
    ADDED,
    CONF,
    ID,
    NEW_CONF,
    NEXT_ID,
    NFT_FILE,
    NFT_NEW,
    NFT_OLD,
    OLD_CONF,
    Answer,
    Scratch,
    kill,
)

pytestmark = pytest.mark.host

FIRST = {"SSH_CONNECTION": "198.18.0.10 50001 198.51.100.11 22"}
SECOND = {"SSH_CONNECTION": "198.18.0.10 50002 198.51.100.11 22"}


def test_a_confirmed_transaction_leaves_the_new_state_and_nothing_armed(scratch: Scratch) -> None:
    assert scratch.begin(environment=FIRST)["state"] == "applied"
    assert scratch.armed()
    assert scratch.timers() == [f"passerelle-expire-{ID}-0.timer"]
    assert scratch.state()["files"][NFT_FILE[1:]][0] == NFT_OLD.encode(), "written only on confirmation"
    assert scratch.call("confirm", ID, environment=SECOND)["state"] == "confirmed"
    state = scratch.state()
    assert state["files"][CONF[1:]][0] == NEW_CONF
    assert state["files"][NFT_FILE[1:]][0] == NFT_NEW.encode()
    assert state["files"][ADDED[1:]][0] == b"net.ipv4.ip_forward=1\n"
    assert state["forward"] == "1"
    assert state["kernel"]["tables"] == {"inet passerelle_nat": NFT_NEW}
    assert state["kernel"]["links"]["vmbr1"]["up"] is True
    assert state["kernel"]["addresses"]["enp1s0"] == ["198.51.100.12/24"]
    assert state["kernel"]["routes"] == [[4, "198.51.100.1", "enp1s0"]]
    assert len(state["kernel"]["rules"]) == 1
    assert state["units"]["named.service"] == {"enabled": "disabled", "active": False}
    assert ["restart", "dnsmasq.service"] in scratch.calls("systemctl")
    assert not scratch.armed()
    assert scratch.timers() == []


def test_the_journal_says_in_utc_when_it_was_made_whatever_the_zone_of_the_host(scratch: Scratch) -> None:
    earliest = datetime.now(UTC).replace(microsecond=0)
    scratch.begin(environment={**FIRST, "TZ": "EAST-9"})  # nine hours ahead of UTC, as POSIX writes it
    made = datetime.strptime(scratch.journal()["created"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    assert earliest <= made <= datetime.now(UTC)


def test_nobody_confirms_so_the_deadline_brings_everything_back(scratch: Scratch) -> None:
    before = scratch.state()
    assert scratch.begin()["state"] == "applied"
    assert scratch.state() != before
    answer = scratch.expire()
    assert (answer["state"], answer["cause"], answer["verified_old"]) == ("rolled_back", "deadline", True)
    assert scratch.state() == before
    assert not scratch.armed()


def test_a_rollback_that_is_asked_for_brings_everything_back_and_can_be_asked_twice(
    applied: Scratch, before: Answer
) -> None:
    assert applied.call("rollback", ID, "changed my mind")["cause"] == "asked: changed my mind"
    assert applied.call("rollback", ID)["state"] == "rolled_back"
    assert applied.state() == before


def test_a_reboot_brings_the_old_files_back_before_the_kernel_is_set_up(applied: Scratch, before: Answer) -> None:
    answer = applied.power_cut()
    assert (answer["state"], answer["cause"], answer["verified_old"]) == ("rolled_back", "boot", None)
    assert applied.state() == before
    assert applied.call("status", ID, "--verify")["verified_old"] is True
    assert applied.journal()["verified_old"] is True


@pytest.mark.parametrize("fact", [f"file:{CONF}", "addresses:enp1s0", "nft:inet passerelle_nat", "routes:default"])
def test_a_host_that_is_not_as_planned_for_is_a_conflict_and_nothing_is_written(scratch: Scratch, fact: str) -> None:
    kernel = scratch.get("kernel.json")
    (scratch.root / CONF[1:]).write_bytes(b"edited=1\n" if fact.startswith("file") else OLD_CONF)
    kernel["addresses"]["enp1s0"] += ["192.0.2.1/32"] if fact.startswith("addresses") else []
    kernel["tables"] = {} if fact.startswith("nft") else kernel["tables"]
    kernel["routes"] += [[4, "192.0.2.9", "vmbr0"]] if fact.startswith("routes") else []
    scratch.put("kernel.json", kernel)
    before = scratch.state()
    answer = scratch.begin()
    assert answer["state"] == "conflict"
    assert [item["fact"] for item in answer["conflicts"]] == [fact]
    assert scratch.state() == before
    assert scratch.call("status") | {"boottime_s": 0} == {
        "event": "result",
        "state": "ok",
        "generation": 0,
        "controller": None,
        "armed": None,
        "quarantined": None,
        "boottime_s": 0,
        "boot_id": (scratch.root / "proc/sys/kernel/random/boot_id").read_text(),
        "journals": [],
    }


def test_a_generation_that_is_not_above_the_last_one_is_fenced_off(scratch: Scratch) -> None:
    scratch.begin(scratch.document(generation=7))
    scratch.call("rollback", ID)
    before = scratch.state()
    for generation in (6, 7):
        answer = scratch.begin(scratch.document(NEXT_ID, generation=generation))
        assert (answer["state"], answer["reason"], answer["generation"]) == ("refused", "fenced", 7)
    assert scratch.state() == before
    assert scratch.begin(scratch.document(NEXT_ID, generation=8))["state"] == "applied"


def test_a_second_transaction_is_refused_while_one_is_armed(applied: Scratch) -> None:
    answer = applied.begin(applied.document(NEXT_ID, generation=2))
    assert (answer["reason"], answer["armed"]) == ("armed", ID)
    assert applied.call("confirm", ID)["state"] == "confirmed"


def test_an_id_is_used_once(applied: Scratch) -> None:
    applied.call("confirm", ID)
    assert applied.begin(applied.document(generation=2))["reason"] == "known"


def test_a_confirmation_over_the_connection_of_the_change_is_refused(scratch: Scratch) -> None:
    scratch.begin(environment=FIRST)
    assert scratch.call("confirm", ID, environment=FIRST)["reason"] == "same-connection"
    assert scratch.call("confirm", ID)["reason"] == "no-connection"
    assert scratch.journal()["state"] == "applied"
    assert scratch.call("confirm", ID, "--console")["state"] == "confirmed"


def test_a_confirmation_that_comes_twice_says_confirmed_twice(applied: Scratch) -> None:
    assert [applied.call("confirm", ID)["state"] for _ in range(2)] == ["confirmed", "confirmed"]


def test_a_confirmation_that_comes_late_says_rolled_back(applied: Scratch, before: Answer) -> None:
    applied.expire()
    assert applied.call("confirm", ID)["state"] == "rolled_back"
    assert applied.state() == before


def test_a_confirmation_after_the_deadline_rolls_back_when_the_timer_has_not(applied: Scratch, before: Answer) -> None:
    applied.pass_deadline()
    assert applied.call("confirm", ID)["state"] == "rolled_back"
    assert applied.state() == before


def test_a_confirmation_of_an_unknown_id_is_bad_input(applied: Scratch) -> None:
    assert applied.call("confirm", NEXT_ID, code=2)["state"] == "invalid"
    assert applied.call("confirm", "../x", code=2)["state"] == "invalid"


def test_a_confirmation_while_the_steps_run_says_applying(scratch: Scratch) -> None:
    begin = scratch.start("begin", give=scratch.document(), environment=scratch.stop_at("step-1-before"))
    pid = scratch.stopped()
    assert scratch.call("confirm", ID)["state"] == "applying"
    kill(pid)
    assert scratch.call("rollback", ID)["state"] == "rolled_back"
    assert begin.wait(grown_s(20)) == 0


def test_a_host_that_moved_since_the_apply_is_rolled_back_by_the_confirmation(applied: Scratch, before: Answer) -> None:
    kernel = applied.get("kernel.json")
    kernel["routes"] = []
    applied.put("kernel.json", kernel)
    answer = applied.call("confirm", ID)
    assert (answer["state"], answer["cause"]) == ("rolled_back", "verify failed")
    assert "routes:default" in answer["error"]
    assert applied.state() == before


def test_a_step_that_fails_brings_everything_back_at_once(scratch: Scratch) -> None:
    before = scratch.state()
    document = scratch.document()
    document["steps"].append(scratch.step("unit:nosuch.service", None, {"active": True}))
    answer = scratch.begin(document)
    assert (answer["state"], answer["cause"]) == ("rolled_back", "step failed")
    assert answer["error"] == "there is no unit nosuch.service"
    assert answer["steps"][-1]["error"] == "there is no unit nosuch.service"
    assert scratch.state() == before


def test_a_kept_route_that_a_step_takes_along_is_set_again(scratch: Scratch) -> None:
    document = scratch.document()
    address = scratch.step("addresses:enp1s0", ["198.51.100.11/24"], [])
    back = scratch.step("addresses:enp1s0", [], ["198.51.100.12/24"])
    document["steps"] = [address, back]
    assert scratch.begin(document)["state"] == "applied"
    assert ["-4", "route", "replace", "default", "via", "198.51.100.1", "dev", "enp1s0", "onlink"] in scratch.calls(
        "ip"
    )
    assert scratch.call("confirm", ID)["state"] == "confirmed"


def test_a_deadline_can_be_moved_by_who_knows_the_id_and_never_without_a_timer(scratch: Scratch) -> None:
    scratch.begin(scratch.document(timeout_s=30))
    first = scratch.journal()["deadline_boottime_s"]
    assert scratch.call("extend", ID, "300")["deadline_boottime_s"] > first + 200
    assert scratch.timers() == [f"passerelle-expire-{ID}-1.timer"]
    started = [words for words in scratch.calls("systemd-run") if any("on-startup" in word for word in words)]
    assert len(started) == 2
    assert all(proof["ok"] for proof in scratch.call("prove", ID)["proofs"]), "the watcher has it from the journal"
    assert scratch.call("expire", ID)["state"] == "applied", "an old timer does nothing"
    assert scratch.call("extend", ID, "300", "2")["reason"] == "holder"
    assert scratch.call("extend", ID, "300", "1")["state"] == "applied"
    assert scratch.call("extend", ID, "4000", code=2)["state"] == "invalid"
    scratch.call("confirm", ID)
    assert scratch.call("extend", ID, "60")["reason"] == "ended"


def test_a_journal_of_an_unknown_format_is_never_touched(applied: Scratch) -> None:
    path = applied.root / "var/lib/passerelle/txn" / ID / "journal.json"
    path.write_text(json.dumps({**applied.journal(), "format": 2}))
    kept = {p: p.read_bytes() for p in path.parent.rglob("*") if p.is_file()}
    assert "format" in applied.call("boot", code=1)["error"]
    assert applied.begin(applied.document(NEXT_ID, generation=2))["reason"] == "journal-format"
    assert {p: p.read_bytes() for p in path.parent.rglob("*") if p.is_file()} == kept
    assert applied.armed()
    assert applied.call("status")["journals"][0]["state"] == "unknown"


def test_a_rollback_that_fails_quarantines_the_host_until_a_person_releases_it(scratch: Scratch) -> None:
    document = scratch.document()
    document["steps"] = [step for step in document["steps"] if step["fact"] == f"file:{CONF}"]
    document["keep"] = []
    scratch.begin(document)
    (scratch.root / CONF[1:]).unlink()
    (scratch.root / CONF[1:]).mkdir()
    answer = scratch.call("rollback", ID)
    assert answer["state"] == "rollback_failed"
    assert "not a regular file" in answer["rollback_error"]
    refused = scratch.begin(scratch.document(NEXT_ID, generation=2))
    assert (refused["reason"], refused["id"]) == ("quarantined", ID)
    assert scratch.call("status")["quarantined"] == ID
    assert scratch.call("release", ID, "", code=2)["state"] == "invalid"
    assert scratch.call("release", ID, "looked at it")["state"] == "released"
    assert scratch.journal()["released"] == "looked at it"
    assert scratch.call("status")["quarantined"] is None
    assert not scratch.armed()


def test_a_rollback_that_failed_can_be_asked_for_again(applied: Scratch, before: Answer) -> None:
    (applied.root / CONF[1:]).unlink()
    (applied.root / CONF[1:]).mkdir()
    assert applied.call("rollback", ID)["state"] == "rollback_failed"
    (applied.root / CONF[1:]).rmdir()
    assert applied.call("rollback", ID)["state"] == "rolled_back"
    assert applied.state() == before


def test_without_a_timer_nothing_is_changed(scratch: Scratch) -> None:
    before = scratch.state()
    (scratch.bin / "systemd-run").unlink()
    answer = scratch.begin()
    assert (answer["state"], answer["reason"]) == ("refused", "arm")
    assert scratch.state() == before
    assert not scratch.armed()
    assert scratch.journal()["state"] == "refused"


def test_the_steps_are_told_while_they_happen(scratch: Scratch) -> None:
    ran = subprocess.run(
        scratch.command("begin"),
        input=json.dumps(scratch.document()).encode(),
        capture_output=True,
        env={},
        timeout=grown_s(60),
    )
    lines = [json.loads(line) for line in ran.stdout.splitlines()]
    assert [line.get("moment") or line["state"] for line in lines[:3]] == ["locked", "snapshot", "armed"]
    done = [line["number"] for line in lines if line["event"] == "step" and line["state"] == "done"]
    assert done == list(range(12))


def test_the_newest_twenty_transactions_are_kept(scratch: Scratch) -> None:
    names = [f"01JD{number:022d}" for number in range(24)]
    scratch.begin(scratch.drill(names[0]))
    scratch.call("confirm", names[0])
    done = scratch.root / "var/lib/passerelle/txn" / names[0]
    for number, name in enumerate(names[1:22], 1):  # as if they had been done like it
        shutil.copytree(done, done.with_name(name))
        journal = {**scratch.journal(name), "id": name, "generation": number + 1}
        (done.with_name(name) / "journal.json").write_text(json.dumps(journal))
    for number, name in enumerate(names[22:], 22):
        assert scratch.begin(scratch.drill(name, generation=number + 1))["state"] == "applied"
        assert scratch.call("confirm", name)["state"] == "confirmed"
    journals = scratch.call("status")["journals"]
    assert [journal["generation"] for journal in journals] == list(range(24, 4, -1))
    assert sorted(path.name for path in done.parent.iterdir()) == names[3:]


def test_a_drill_arms_a_checkpoint_that_changes_nothing(scratch: Scratch) -> None:
    before = scratch.state()
    assert scratch.begin(scratch.drill())["state"] == "applied"
    proofs = scratch.call("prove", ID)["proofs"]
    pieces = ("timer", "watcher", "boot unit", "way in")
    assert [(proof["name"], proof["ok"]) for proof in proofs] == [(name, True) for name in pieces]
    assert scratch.expire()["state"] == "rolled_back"
    assert scratch.journal()["verified_old"] is True
    assert scratch.journal()["restore_began"]["verb"] == "expire"
    assert scratch.state() == before
