"""Files: replaced whole, with their owner, mode and attributes; other people's edits are never lost."""

import os
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from service.hostside.durable import read_file
from service.hostside.errors import Trouble
from service.hostside.host import Host
from service.hostside.setter import Setter
from service.lab.waiting import grown_s
from tests.hostside.scratch import ADDED, CONF, ID, NEW_CONF, OLD_CONF, Scratch, fact_of, kill

pytestmark = pytest.mark.host


def files_only(scratch: Scratch) -> dict[str, Any]:
    document = scratch.document()
    document["steps"] = [
        step for step in document["steps"] if step["fact"].startswith("file:") and "nat" not in step["fact"]
    ]
    document["keep"] = []
    return document


def test_a_replaced_file_keeps_the_owner_mode_and_attributes_that_nobody_changed(scratch: Scratch) -> None:
    path = scratch.root / CONF[1:]
    os.chown(path, 12, 34)
    os.setxattr(path, "user.note", b"mine")
    document = files_only(scratch)
    for step in document["steps"]:
        if step["fact"] == f"file:{CONF}":
            step["before"], step["after"] = {"mode": "0640"}, {"sha256": fact_of(NEW_CONF)["sha256"]}
    assert scratch.begin(document)["state"] == "applied"
    for content in (NEW_CONF, OLD_CONF):
        found = path.stat()
        assert path.read_bytes() == content
        assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (12, 34, 0o640)
        assert os.getxattr(path, "user.note") == b"mine"
        scratch.call("rollback", ID)


def test_a_file_that_comes_back_has_the_time_of_its_last_change(scratch: Scratch) -> None:
    path = scratch.root / CONF[1:]
    os.utime(path, ns=(10**18, 10**18))
    scratch.begin(files_only(scratch))
    assert path.stat().st_mtime_ns > 10**18
    scratch.call("rollback", ID)
    assert path.stat().st_mtime_ns == 10**18


def test_a_symlink_is_refused_before_anything_is_armed(scratch: Scratch) -> None:
    path = scratch.root / CONF[1:]
    path.unlink()
    path.symlink_to("/etc/hostname")
    answer = scratch.begin(files_only(scratch))
    assert (answer["state"], answer["reason"]) == ("refused", "not-regular")
    assert path.is_symlink()
    assert not scratch.armed()


def test_folders_that_were_made_for_a_file_go_with_it(scratch: Scratch) -> None:
    before = scratch.state()
    scratch.begin(files_only(scratch))
    assert (scratch.root / ADDED[1:]).stat().st_mode & 0o777 == 0o644
    scratch.call("rollback", ID)
    assert scratch.state() == before


def test_a_folder_that_someone_uses_meanwhile_stays(scratch: Scratch) -> None:
    scratch.begin(files_only(scratch))
    (scratch.root / ADDED[1:]).with_name("theirs").write_text("x")
    assert scratch.call("rollback", ID)["state"] == "rolled_back"
    assert (scratch.root / ADDED[1:]).with_name("theirs").exists()
    assert not (scratch.root / ADDED[1:]).exists()


@pytest.mark.parametrize("point", ["staged", "checked", "proven", "step-0-before", "step-1-before"])
def test_an_edit_between_the_snapshot_and_the_step_stops_the_apply_and_stays(scratch: Scratch, point: str) -> None:
    before = scratch.state()["files"]
    begin = scratch.start("begin", give=files_only(scratch), environment=scratch.stop_at(point))
    pid = scratch.stopped(None if point.startswith("step") else begin)
    (scratch.root / CONF[1:]).write_bytes(b"operator=1\n")
    os.kill(pid, 18)
    assert begin.wait(grown_s(30)) == 0
    journal = scratch.journal()
    assert (journal["state"], journal["cause"]) == ("rolled_back", "changed meanwhile")
    assert "changed by someone else" in journal["error"]
    assert (scratch.root / CONF[1:]).read_bytes() == b"operator=1\n"
    assert {**scratch.state()["files"], CONF[1:]: before[CONF[1:]]} == before


def test_an_edit_while_the_change_is_on_trial_is_kept_beside_the_journal(scratch: Scratch) -> None:
    before = scratch.state()
    scratch.begin(files_only(scratch))
    (scratch.root / CONF[1:]).write_bytes(b"operator=1\n")
    assert scratch.call("rollback", ID)["state"] == "rolled_back"
    assert scratch.state() == before
    (kept,) = scratch.journal()["foreign"][f"file:{CONF}"]
    assert kept == fact_of(b"operator=1\n", "0640")
    bytes_kept = scratch.root / "var/lib/passerelle/txn" / ID / "foreign" / kept["sha256"]
    assert bytes_kept.read_bytes() == b"operator=1\n"


def test_a_mode_that_someone_set_while_the_change_is_on_trial_is_told(scratch: Scratch) -> None:
    scratch.begin(files_only(scratch))
    (scratch.root / CONF[1:]).chmod(0o600)
    assert scratch.call("rollback", ID)["state"] == "rolled_back"
    assert scratch.journal()["foreign"] == {f"file:{CONF}": [fact_of(NEW_CONF, "0600")]}


def test_a_file_that_someone_deleted_while_the_change_is_on_trial_is_told(scratch: Scratch) -> None:
    before = scratch.state()
    scratch.begin(files_only(scratch))
    (scratch.root / CONF[1:]).unlink()
    assert scratch.call("rollback", ID)["state"] == "rolled_back"
    assert scratch.journal()["foreign"] == {f"file:{CONF}": [None]}
    assert scratch.state() == before


def test_an_edit_in_the_last_moment_before_a_restore_is_kept(tmp_path: Path) -> None:
    path, kept = tmp_path / "conf", []
    path.write_bytes(b"new")

    def contents(_sha256: str) -> bytes:
        (tmp_path / "edit").write_bytes(b"operator")
        (tmp_path / "edit").rename(path)
        return b"old"

    setter = Setter(Host(str(tmp_path)), contents, "T", {})
    setter.files.taken = lambda fact, where: kept.append((fact, Path(where).read_bytes()))
    setter.files.set("/conf", fact_of(b"old"))
    assert path.read_bytes() == b"old"
    assert kept == [("file:/conf", b"operator")]
    assert [entry.name for entry in tmp_path.iterdir()] == ["conf"]


def test_an_edit_that_a_killed_step_held_in_its_hand_is_kept(scratch: Scratch) -> None:
    before = scratch.state()
    (scratch.root / "run/passerelle-test").write_text("step-1-before")
    begin = scratch.start("begin", give=files_only(scratch))
    pid = scratch.stopped()
    for each in (begin.pid, pid):
        kill(each)
    begin.wait()
    held = (scratch.root / CONF[1:]).with_name(f".{Path(CONF).name}.passerelle-{ID}")
    held.write_bytes(b"operator=1\n")  # as the exchange leaves it for a moment
    assert scratch.expire()["state"] == "rolled_back"
    assert scratch.state() == before
    assert scratch.journal()["foreign"][f"file:{CONF}"][0]["sha256"] == fact_of(b"operator=1\n")["sha256"]


def test_a_file_that_is_swapped_in_the_last_moment_is_put_back(tmp_path: Path) -> None:
    """The exchange takes away whatever is there; what is not the expected file goes back."""
    path = tmp_path / "conf"
    path.write_bytes(b"old")
    expected, _ = read_file(str(path))

    def contents(_sha256: str) -> bytes:
        (tmp_path / "edit").write_bytes(b"operator")
        (tmp_path / "edit").rename(path)  # between the look and the exchange
        return b"new"

    setter = Setter(Host(str(tmp_path)), contents, "T", {})
    with pytest.raises(Trouble, match="changed by someone else"):
        setter.files.set("/conf", fact_of(b"new"), expected=expected)
    assert path.read_bytes() == b"operator"
    assert [entry.name for entry in tmp_path.iterdir()] == ["conf"]


def test_a_file_that_appears_in_the_last_moment_is_not_replaced(tmp_path: Path) -> None:
    def contents(_sha256: str) -> bytes:
        (tmp_path / "conf").write_bytes(b"operator")
        return b"new"

    setter = Setter(Host(str(tmp_path)), contents, "T", {})
    with pytest.raises(Trouble, match="made by someone else"):
        setter.files.set("/conf", fact_of(b"new"), expected=None)
    assert (tmp_path / "conf").read_bytes() == b"operator"
    assert [entry.name for entry in tmp_path.iterdir()] == ["conf"]


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[Scratch]:
    """A scratch host whose state is on a file system of 1 MiB and 64 inodes."""
    scratch = Scratch(tmp_path)
    (scratch.root / "var/lib/passerelle").mkdir(parents=True, mode=0o700)
    target = str(scratch.root / "var/lib/passerelle")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m,nr_inodes=64", "tmpfs", target], check=True)
    yield scratch
    subprocess.run(["umount", target], check=True)


@pytest.mark.parametrize("full", ["space", "inodes", "read-only"])
def test_a_full_disk_refuses_before_anything_is_changed_and_leaves_no_part(tiny: Scratch, full: str) -> None:
    before = tiny.state()
    state = tiny.root / "var/lib/passerelle"
    (state / "lock").touch()
    if full == "space":
        (state / "ballast").write_bytes(b"x" * (1800 << 10))
    elif full == "inodes":
        for number in range(45):
            (state / str(number)).touch()
    else:
        subprocess.run(["mount", "-o", "remount,ro", str(state)], check=True)
    answer = tiny.begin()
    assert (answer["state"], answer["reason"]) == ("refused", "read-only" if full == "read-only" else "space")
    assert tiny.state() == before
    assert not (state / "txn" / ID).exists()


def test_a_rollback_works_on_a_disk_that_filled_up_after_arming(tiny: Scratch) -> None:
    before = tiny.state()
    assert tiny.begin()["state"] == "applied"
    ballast = os.open(tiny.root / "var/lib/passerelle/ballast", os.O_WRONLY | os.O_CREAT)
    with pytest.raises(OSError, match="No space"):
        while True:
            os.write(ballast, b"x" * 512)
    os.close(ballast)
    assert tiny.call("rollback", ID)["state"] == "rolled_back"
    assert tiny.state() == before
    assert not tiny.armed()
