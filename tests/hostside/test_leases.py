"""dnsmasq's lease file in a transaction: it may move, names may go from it, and no lease is ever lost."""

from typing import Any

import pytest

from tests.hostside.scratch import ID, Answer, Scratch, kill

pytestmark = pytest.mark.host

OLD, NEW = "/tmp/dnsmasq.leases", "/var/lib/misc/dnsmasq.leases"
DEV = "1795500000 bc:24:11:00:00:01 10.10.10.135 dev 01:bc:24:11:00:00:01\n"
WEB = "1795500000 bc:24:11:00:00:02 10.10.10.137 web *\n"
LATER = "1795600000 bc:24:11:00:00:03 10.10.10.138 late *\n"
SIX = "duid 00:01:00:01\n1795500000 1234 fd00::1 dev 00:01:00:01\n"


@pytest.fixture
def moved(scratch: Scratch) -> Scratch:
    """A host whose leases are in a place that a reboot empties."""
    put(scratch, OLD, DEV + WEB)
    return scratch


def put(scratch: Scratch, path: str, text: str) -> None:
    file = scratch.root / path[1:]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    file.chmod(0o640)


def leases(scratch: Scratch, path: str) -> str:
    file = scratch.root / path[1:]
    return file.read_text() if file.exists() else "no file"


def begun(scratch: Scratch, path: str, after: dict[str, Any], **options: Any) -> Answer:
    steps = [scratch.step(f"leases:{path}", {}, after)]
    return scratch.begin(scratch.document(steps=steps, checks=[], blobs={}, keep=[]), **options)


def test_leases_move_with_their_file_and_dnsmasq_does_not_run_meanwhile(moved: Scratch) -> None:
    assert begun(moved, NEW, {"from": OLD})["state"] == "applied"
    assert moved.call("confirm", ID, "--console")["state"] == "confirmed"
    assert leases(moved, NEW) == DEV + WEB
    assert (moved.root / NEW[1:]).stat().st_mode & 0o777 == 0o640
    done = [
        words for words in moved.calls("systemctl") if words[0] in ("stop", "start") and words[1] == "dnsmasq.service"
    ]
    assert done == [["stop", "dnsmasq.service"], ["start", "dnsmasq.service"]]


def test_a_file_that_was_in_the_new_place_before_stays_after_a_rollback(moved: Scratch) -> None:
    put(moved, NEW, LATER)
    assert begun(moved, NEW, {"from": OLD})["state"] == "applied"
    assert moved.call("rollback", ID)["state"] == "rolled_back"
    assert leases(moved, OLD) == DEV + WEB
    assert leases(moved, NEW) != "no file"


@pytest.mark.parametrize("how", ["asked", "deadline", "power cut"])
def test_what_was_given_out_before_a_rollback_is_kept_in_the_old_place(moved: Scratch, how: str) -> None:
    assert begun(moved, NEW, {"from": OLD})["state"] == "applied"
    put(moved, NEW, DEV + LATER)
    if how == "asked":
        assert moved.call("rollback", ID)["state"] == "rolled_back"
    elif how == "deadline":
        moved.expire()
    else:
        moved.power_cut()
    assert moved.journal()["state"] == "rolled_back"
    assert (leases(moved, OLD), leases(moved, NEW)) == (DEV + LATER, "no file")
    assert moved.get("units.json")["dnsmasq.service"]["active"]


@pytest.mark.parametrize("point", ["step-0-before", "step-0-after", "verifying"])
def test_a_run_that_is_killed_loses_no_lease(moved: Scratch, point: str) -> None:
    steps = [moved.step(f"leases:{NEW}", {}, {"from": OLD})]
    document = moved.document(steps=steps, checks=[], blobs={}, keep=[])
    begin = moved.start("begin", give=document, environment=moved.stop_at(point))
    pid = moved.stopped()
    kill(begin.pid)
    begin.wait()
    kill(pid)
    moved.expire()
    assert (leases(moved, OLD), leases(moved, NEW)) == (DEV + WEB, "no file")
    assert moved.get("units.json")["dnsmasq.service"]["active"]


def test_a_name_goes_from_its_lease_and_nothing_else_changes(scratch: Scratch) -> None:
    put(scratch, NEW, DEV + WEB + SIX)
    assert begun(scratch, NEW, {"unnamed": ["bc:24:11:00:00:01 dev"]})["state"] == "applied"
    assert leases(scratch, NEW) == DEV.replace(" dev ", " * ") + WEB + SIX
    assert scratch.call("rollback", ID)["state"] == "rolled_back"
    assert WEB in leases(scratch, NEW)
    assert scratch.get("units.json")["dnsmasq.service"]["active"]


SILENT = DEV.replace(" dev ", " * ")


@pytest.mark.parametrize("how", ["asked", "deadline", "power cut"])
def test_a_lease_gets_a_name_and_loses_it_again_in_a_rollback(scratch: Scratch, how: str) -> None:
    put(scratch, NEW, SILENT + WEB + SIX)
    after = {"named": ["bc:24:11:00:00:01 dev", "bc:24:11:00:00:02 other", "bc:24:11:00:00:07 gone", "1234 six"]}
    assert begun(scratch, NEW, after)["state"] == "applied"
    assert leases(scratch, NEW) == DEV + WEB + SIX
    if how == "asked":
        assert scratch.call("rollback", ID)["state"] == "rolled_back"
    elif how == "deadline":
        scratch.expire()
    else:
        scratch.power_cut()
    assert leases(scratch, NEW) == SILENT + WEB + SIX
    assert scratch.get("units.json")["dnsmasq.service"]["active"]


def test_a_name_that_a_lease_got_stays_once_it_is_confirmed(scratch: Scratch) -> None:
    put(scratch, NEW, SILENT)
    assert begun(scratch, NEW, {"named": ["bc:24:11:00:00:01 dev"]})["state"] == "applied"
    assert scratch.call("confirm", ID, "--console")["state"] == "confirmed"
    assert leases(scratch, NEW) == DEV


def test_leases_that_move_and_get_a_name_go_back_without_it(moved: Scratch) -> None:
    put(moved, OLD, SILENT + WEB)
    assert begun(moved, NEW, {"from": OLD, "named": ["bc:24:11:00:00:01 dev"]})["state"] == "applied"
    assert leases(moved, NEW) == DEV + WEB
    put(moved, NEW, DEV + WEB + LATER)
    assert moved.call("rollback", ID)["state"] == "rolled_back"
    assert (leases(moved, OLD), leases(moved, NEW)) == (SILENT + WEB + LATER, "no file")


@pytest.mark.parametrize("point", ["step-0-before", "step-0-after", "verifying"])
def test_a_run_that_is_killed_leaves_no_name_that_was_not_there(scratch: Scratch, point: str) -> None:
    put(scratch, NEW, SILENT + WEB)
    steps = [scratch.step(f"leases:{NEW}", {}, {"named": ["bc:24:11:00:00:01 dev"]})]
    document = scratch.document(steps=steps, checks=[], blobs={}, keep=[])
    begin = scratch.start("begin", give=document, environment=scratch.stop_at(point))
    pid = scratch.stopped()
    kill(begin.pid)
    begin.wait()
    kill(pid)
    scratch.expire()
    assert leases(scratch, NEW) == SILENT + WEB


def test_no_leases_and_no_daemon_are_nothing_to_do(scratch: Scratch) -> None:
    scratch.put("units.json", {"named.service": {"enabled": "enabled", "active": True}})
    assert begun(scratch, NEW, {"from": OLD, "unnamed": ["bc:24:11:00:00:01 dev"]})["state"] == "applied"
    assert scratch.call("confirm", ID, "--console")["state"] == "confirmed"
    assert leases(scratch, NEW) == "no file"


@pytest.mark.parametrize(
    "after",
    [
        {"from": "relative"},
        {"from": "/a/../b"},
        {"from": 1},
        {"unnamed": ["x\ny"]},
        {"unnamed": "dev"},
        {"named": ["x"]},
        {"other": 1},
    ],
)
def test_what_is_no_change_of_leases_is_refused(scratch: Scratch, after: dict[str, Any]) -> None:
    begun(scratch, NEW, after, code=2)
