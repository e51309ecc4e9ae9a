"""The dead-man's switch: what carries it, that it is proven again before a change is kept, and the watcher's clock."""

import ast
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from service.apply.host_file import rooms
from service.hostside.host import boottime_s
from service.hostside.wakers import span_s
from service.lab.waiting import grown_s
from tests.hostside.scratch import ID, Scratch, kill, process_state, wait_for

pytestmark = pytest.mark.host

RECOVER = "etc/systemd/system/passerelle-recover.service"
LINK = "etc/systemd/system/sysinit.target.wants/passerelle-recover.service"


def change_units(change: Callable[[dict[str, Any]], object]) -> Callable[[Scratch], None]:
    """A damage done to what systemd has."""

    def damage(scratch: Scratch) -> None:
        units = scratch.get("units.json")
        change(units)
        scratch.put("units.json", units)

    return damage


def put(path: str, text: str) -> Callable[[Scratch], None]:
    return lambda scratch: (scratch.root / path).write_text(text) and None


def gone(path: str) -> Callable[[Scratch], None]:
    return lambda scratch: (scratch.root / path).unlink()


def stop_watcher(scratch: Scratch) -> None:
    change_units(lambda units: units.pop(f"passerelle-watch-{ID}.service"))(scratch)
    (scratch.root / "var/lib/passerelle/txn" / ID / "watch").unlink()


def other_process(scratch: Scratch) -> None:
    """The watcher has died, and its number belongs to somebody else now."""
    note = scratch.root / "var/lib/passerelle/txn" / ID / "watch"
    pid, _, until = note.read_text().split()
    stop_watcher(scratch)
    note.write_text(f"{pid} 1 {until}")


PIECES: dict[str, tuple[str, str, Callable[[Scratch], None]]] = {
    "no timer": (
        "timer", "the timer is not running", change_units(lambda units: units.pop(f"passerelle-expire-{ID}-0.timer")),
    ),
    "timer moved": (
        "timer", "would fire 90 s after",
        change_units(lambda units: units[f"passerelle-expire-{ID}-0.timer"].update(
            elapses_s=units[f"passerelle-expire-{ID}-0.timer"]["elapses_s"] + 90)),
    ),
    "no watcher": ("watcher", "the watcher is not running", stop_watcher),
    "another process": ("watcher", "the watcher is not running", other_process),
    "unit edited": ("boot unit", "is not as it was written", put(RECOVER, "[Unit]\nBefore=networking.service\n")),
    "unit disabled": ("boot unit", "UnitFileState is disabled, not enabled", gone(LINK)),
    "file edited": ("boot unit", "boot.py is another file", put("var/lib/passerelle/boot.py", "")),
    "not armed": ("boot unit", f"armed does not name {ID}", gone("var/lib/passerelle/armed")),
    "no python": ("boot unit", "/usr/bin/python3 is gone", gone("usr/bin/python3")),
    "no timeout": ("boot unit", "/usr/bin/timeout is gone", gone("usr/bin/timeout")),
    "sshd stopped": (
        "way in", "ssh.service does not run any more",
        change_units(lambda units: units["ssh.service"].update(active=False)),
    ),
    "sshd disabled": (
        "way in", "ssh.service is disabled, it was enabled",
        change_units(lambda units: units["ssh.service"].update(enabled="disabled")),
    ),
    "sshd masked": (
        "way in", "ssh.service is masked, it was enabled",
        change_units(lambda units: units["ssh.service"].update(enabled="masked")),
    ),
    "sshd gone": (
        "way in", "ssh.service does not run any more", change_units(lambda units: units.pop("ssh.service")),
    ),
    "sshd broken": ("way in", "sshd would not start any more", lambda scratch: (scratch.bin / "sshd").unlink()),
}  # fmt: skip


@pytest.mark.parametrize("name", PIECES)
def test_a_piece_that_is_missing_is_told_by_name(applied: Scratch, name: str) -> None:
    piece, said, damage = PIECES[name]
    assert all(proof["ok"] for proof in applied.call("prove", ID)["proofs"])
    damage(applied)
    missing = {proof["name"]: proof["told"] for proof in applied.call("prove", ID)["proofs"] if not proof["ok"]}
    assert said in missing[piece]


@pytest.mark.parametrize("name", PIECES)
def test_a_change_without_its_whole_switch_is_never_confirmed(
    applied: Scratch, before: dict[str, Any], name: str
) -> None:
    _, said, damage = PIECES[name]
    damage(applied)
    answer = applied.call("confirm", ID)
    assert (answer["state"], answer["cause"]) == ("rolled_back", "switch lost")
    assert said in answer["error"]
    if not name.startswith("sshd"):  # those damages are of the host itself and stay
        assert applied.state() == before


def test_a_step_that_takes_the_way_in_from_the_next_boot_is_undone_before_anybody_is_asked(scratch: Scratch) -> None:
    before = scratch.state()
    off = scratch.step(
        "unit:ssh.service", {"enabled": "enabled", "active": True}, {"enabled": "disabled", "active": True}
    )
    answer = scratch.begin(scratch.document(steps=[off], checks=[], blobs={}))
    assert (answer["state"], answer["cause"]) == ("rolled_back", "switch lost")
    assert "ssh.service is disabled, it was enabled: nobody could log in after a boot" in answer["error"]
    assert scratch.state() == before


def test_what_was_off_before_the_change_need_not_be_on_after_it(scratch: Scratch) -> None:
    change_units(lambda units: units["ssh.service"].update(enabled="disabled", active=False))(scratch)
    assert scratch.begin()["state"] == "applied"
    assert scratch.call("confirm", ID)["state"] == "confirmed"


def test_nothing_is_armed_where_the_timer_would_come_late(scratch: Scratch) -> None:
    """A systemd that counts from elsewhere than it says."""
    (scratch.model / "counts-from").write_text("30000000")
    answer = scratch.begin()
    assert (answer["state"], answer["reason"]) == ("refused", "arm")
    assert "the timer would fire 29 s after the deadline" in answer["error"]


def test_systemd_reads_what_somebody_changed_before_anything_is_armed(scratch: Scratch) -> None:
    (scratch.model / "need-reload").write_text("")
    assert scratch.begin()["state"] == "applied"
    assert ["daemon-reload"] in scratch.calls("systemctl")
    (scratch.model / "need-reload").write_text("")
    answer = scratch.call("confirm", ID)
    assert (answer["state"], answer["cause"]) == ("rolled_back", "switch lost")
    assert "NeedDaemonReload is yes, not no" in answer["error"]


def test_the_journal_tells_from_where_and_why_a_change_was_undone(applied: Scratch) -> None:
    applied.expire()
    journal = applied.journal()
    assert (journal["cause"], journal["restore_began"]["state"], journal.get("confirms", 0)) == (
        "deadline",
        "applied",
        0,
    )
    assert set(journal["woke"]) == {"expire"}
    applied.call("watch", ID)
    assert set(applied.journal()["woke"]) == {"expire"}, "it had ended when the watcher looked"


def test_a_confirmation_that_was_too_late_is_counted(applied: Scratch) -> None:
    applied.pass_deadline()
    applied.call("confirm", ID)
    journal = applied.journal()
    assert (journal["cause"], journal["restore_began"]["verb"], journal["confirms"]) == ("deadline", "confirm", 1)


def test_both_wakers_at_once_undo_it_once(applied: Scratch, before: dict[str, Any]) -> None:
    applied.pass_deadline()
    both = [applied.start(verb, ID) for verb in ("watch", "expire", "watch", "expire")]
    assert [process.wait(grown_s(30)) for process in both] == [0, 0, 0, 0]
    journal = applied.journal()
    assert (journal["state"], journal["verified_old"]) == ("rolled_back", True)
    assert applied.state() == before
    assert not applied.armed()


def move_deadline(scratch: Scratch, seconds: float) -> None:
    path = scratch.root / "var/lib/passerelle/txn" / ID / "journal.json"
    journal = {**scratch.journal(), "deadline_boottime_s": round(boottime_s() + seconds, 3)}
    path.with_suffix(".test").write_text(json.dumps(journal))
    path.with_suffix(".test").rename(path)


def test_the_watcher_waits_for_the_deadline_in_the_journal_and_follows_it(
    applied: Scratch, before: dict[str, Any]
) -> None:
    stop_watcher(applied)
    note = applied.root / "var/lib/passerelle/txn" / ID / "watch"
    watcher = applied.start("watch", ID)
    wait_for(lambda: note.exists() and note.read_text().split()[0] == str(watcher.pid))
    assert float(note.read_text().split()[2]) == applied.journal()["deadline_boottime_s"]
    move_deadline(applied, 2.5)
    due_s = applied.journal()["deadline_boottime_s"]
    wait_for(lambda: float(note.read_text().split()[2]) == due_s)
    assert watcher.wait(grown_s(30)) == 0
    journal = applied.journal()
    assert (journal["state"], journal["cause"], journal["restore_began"]["verb"]) == (
        "rolled_back",
        "deadline",
        "watch",
    )
    assert 0 <= journal["woke"]["watch"] - due_s < 5
    assert applied.state() == before


def test_the_watcher_ends_with_the_transaction(applied: Scratch) -> None:
    watcher = applied.start("watch", ID)
    assert applied.call("confirm", ID)["state"] == "confirmed"
    assert watcher.wait(grown_s(30)) == 0
    assert applied.journal()["state"] == "confirmed"


def test_a_stopped_watcher_is_none(applied: Scratch) -> None:
    stop_watcher(applied)
    note = applied.root / "var/lib/passerelle/txn" / ID / "watch"
    watcher = applied.start("watch", ID)
    wait_for(note.exists)
    [found] = [proof for proof in applied.call("prove", ID)["proofs"] if proof["name"] == "watcher"]
    assert found["ok"]
    watcher.send_signal(19)  # SIGSTOP
    wait_for(lambda: process_state(watcher.pid) == "T")
    [found] = [proof for proof in applied.call("prove", ID)["proofs"] if proof["name"] == "watcher"]
    assert not found["ok"]
    kill(watcher.pid)
    watcher.wait(grown_s(30))


def test_what_an_earlier_version_armed_is_confirmed_or_undone_by_this_one(applied: Scratch, tmp_path: Path) -> None:
    """Its journal has no watcher and no connection, and its timer counts from when it was started."""
    stop_watcher(applied)
    path = applied.root / "var/lib/passerelle/txn" / ID / "journal.json"
    path.write_text(json.dumps({k: v for k, v in applied.journal().items() if k not in ("watched", "way_in")}))
    units = applied.get("units.json")
    units[f"passerelle-expire-{ID}-0.timer"]["elapses_s"] += 100  # a reload has postponed it
    applied.put("units.json", units)
    other = applied.copy(tmp_path / "other")
    assert all(proof["ok"] for proof in applied.call("prove", ID)["proofs"])
    assert applied.call("extend", ID, "300")["state"] == "applied"
    assert applied.call("confirm", ID)["state"] == "confirmed"
    assert other.expire()["state"] == "rolled_back"
    assert other.call("status", ID)["journals"][0]["verified_old"] is True


@pytest.mark.parametrize(
    ("shown", "seconds"),
    [
        ("16min 47.102609s", 1007.102609), ("1d 2h 3min 4s", 93784.0), ("1w 500ms", 604800.5), ("3us", 3e-6),
        ("1month 2w", 2629800 + 2 * 604800), ("1y", 31557600), ("infinity", 0), ("", 0), ("0", 0),
    ],
)  # fmt: skip
def test_a_span_of_time_is_read_as_systemd_shows_it(shown: str, seconds: float) -> None:
    assert span_s(shown) == pytest.approx(seconds)


def test_no_decision_on_a_host_rests_on_the_wall_clock() -> None:
    """A step of it by a day, back or forth, moves no deadline. The file reads it to show it, and for the age of a
    guest's template: at the worst one is made again."""
    clocks = []
    for node in [node for text in rooms().values() for node in ast.walk(ast.parse(text))]:
        if (
            isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id in ("time", "datetime")
        ):
            clocks.append(node.attr)
    shown_only = {"strftime": 1, "gmtime": 1, "time": 1}
    assert {name: clocks.count(name) for name in shown_only} == shown_only
    allowed = {"monotonic", "sleep", "clock_gettime", "CLOCK_BOOTTIME", "CLOCK_MONOTONIC", *shown_only}
    assert set(clocks) <= allowed
