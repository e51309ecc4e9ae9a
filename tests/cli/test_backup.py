"""`passerelle backup` and `restore`: while the service runs, elsewhere, and what is not restored."""

import errno
import json
import os
import sqlite3
import stat
import subprocess
import sys
import tarfile
import threading
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from service.cli import run
from service.history import History, open_history
from service.history.archive import DATABASE, KEY, MANIFEST, NAMES, PEPPER
from service.lab.waiting import grown_s, wait_for
from service.model.events import SourceTrouble
from service.ssh.own_key import own_key
from tests.api.world import NOW, World
from tests.documents import TOP, run_by
from tests.git.forge import Forge
from tests.jobs.answering import free_port
from tests.laws.specs import head
from tests.served import own_network
from tests.state_folders import made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A state folder with a bit of everything."""
    folder = tmp_path / "state"
    with open_history(made(folder / DATABASE)) as history:
        World(history).fill()
    own_key(folder / KEY)
    return folder


@pytest.fixture
def archive(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    file = tmp_path / "backup.tar"
    assert run(["backup", str(file), "--state-dir", str(folder)]) == 0
    capsys.readouterr()
    return file


def token_in(history: History, at: datetime) -> str:
    day = timedelta(days=1)
    return str(history.store.create_token("ann", scopes=["read"], hosts=["*"], lifetime=day, by="ann", at=at))


def rows(path: Path) -> dict[str, list[Any]]:
    with sqlite3.connect(path) as connection:
        names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {name: connection.execute(f'SELECT * FROM "{name}" ORDER BY 1').fetchall() for name in names}


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_service_in_use_goes_on_elsewhere(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With the commands of the page. Somebody writes all the time: what was committed before is in the copy."""
    (shown,) = run_by("test_a_service_in_use_goes_on_elsewhere")
    file, elsewhere = tmp_path / "backup.tar", tmp_path / "elsewhere"
    words = [*shown.words[:1], str(file), *shown.words[2:]]
    ended = threading.Event()
    with open_history(folder / DATABASE, serve=True) as history:
        history.store.add_event(SourceTrouble(why="the last one before"), at=NOW)
        token = token_in(history, NOW)

        def write() -> None:
            while not ended.is_set():
                history.store.add_event(SourceTrouble(why="meanwhile"), at=NOW)

        writer = threading.Thread(target=write)
        writer.start()
        try:
            assert run([*words, "--state-dir", str(folder), "-o", "json"]) == 0
        finally:
            ended.set()
            writer.join()
    told = json.loads(capsys.readouterr().out)
    assert mode(file) == 0o600
    assert set(told["files"]) == set(NAMES)
    assert run(["restore", str(file), "--state-dir", str(elsewhere), "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == told
    assert sorted(path.name for path in elsewhere.iterdir()) == sorted(NAMES)
    assert all(mode(elsewhere / name) == 0o600 for name in NAMES)
    assert [(elsewhere / name).read_bytes() for name in (PEPPER, KEY)] == [
        (folder / name).read_bytes() for name in (PEPPER, KEY)
    ]
    with open_history(elsewhere / DATABASE, serve=True) as history:
        assert history.store.authenticate(str(token).encode(), at=NOW) is not None
        history.store.add_event(SourceTrouble(why="it goes on"), at=NOW)
    texts = [str(row) for row in rows(elsewhere / DATABASE)["events"]]
    assert sum("the last one before" in text for text in texts) == 1
    assert len(texts) == told["tables"]["events"] + 1
    assert "it goes on" in texts[-1]


def test_what_is_restored_is_what_was_there(archive: Path, folder: Path, tmp_path: Path) -> None:
    before = rows(folder / DATABASE)
    assert run(["restore", str(archive), "--state-dir", str(tmp_path / "new")]) == 0
    after = rows(tmp_path / "new" / DATABASE)
    for table in ("audit", "audit_head"):
        del before[table], after[table]
    assert after == before
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_the_audit_log_says_who_made_a_backup_and_who_restored_it(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "backup.tar"
    assert run(["backup", str(file), "--state-dir", str(folder)]) == 0
    assert run(["backup", str(file), "--state-dir", str(folder)]) != 0
    assert run(["restore", str(file), "--state-dir", str(tmp_path / "new")]) == 0
    for state, action in ((folder, "backup"), (tmp_path / "new", "restore")):
        with open_history(state / DATABASE) as history:
            entries = [one for one in history.queries.acts_after(0).entries if one.action in ("backup", "restore")]
        ((one),) = entries
        assert (one.action, one.how, one.outcome, one.by[:5]) == (action, "cli", "done", "local")
        assert one.detail["file"] == str(file)
        assert one.detail["files"] == sorted([DATABASE, PEPPER, KEY])
        assert run(["history", "verify", "--state-dir", str(state)]) == 0


def test_root_gives_the_files_to_the_owner_of_the_folder_and_nothing_else(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The owner of a folder can put a link where root made a file: root follows no path to change an owner."""
    new = tmp_path / "new"
    new.mkdir(mode=0o700)
    if os.geteuid() == 0:
        os.chown(new, 12345, 12346)
    owner = new.stat()
    paths: list[Any] = []
    monkeypatch.setattr(os, "chown", lambda path, *_, **__: paths.append(path))
    assert run(["restore", str(archive), "--state-dir", str(new)]) == 0
    assert {(one.stat().st_uid, one.stat().st_gid) for one in new.iterdir()} == {(owner.st_uid, owner.st_gid)}
    assert (paths, sorted(one.name for one in new.iterdir())) == ([], sorted(NAMES))


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_restored_over_what_is_there(
    name: str, archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    new = tmp_path / "new"
    new.mkdir()
    (new / name).write_text("mine")
    assert run(["restore", str(archive), "--state-dir", str(new)]) != 0
    assert f"has {name} already; nothing was changed" in capsys.readouterr().err
    assert [(path.name, path.read_text()) for path in new.iterdir()] == [(name, "mine")]


def test_nothing_is_written_over_what_is_there(archive: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = archive.read_bytes()
    assert run(["backup", str(archive), "--state-dir", str(folder)]) != 0
    assert "exists already; nothing was written" in capsys.readouterr().err
    assert archive.read_bytes() == before


def test_a_backup_is_written_where_no_hard_links_are(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def link(*_: object, **__: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", link)
    file = tmp_path / "backup.tar"
    assert run(["backup", str(file), "--state-dir", str(folder)]) == 0
    monkeypatch.undo()
    assert (mode(file), sorted(one.name for one in tmp_path.iterdir())) == (0o600, ["backup.tar", "state"])
    assert run(["restore", str(file), "--state-dir", str(tmp_path / "new")]) == 0


def test_a_folder_that_takes_no_file_is_named(folder: Path, archive: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No user can make a folder in /proc."""
    assert run(["backup", "/proc/backup.tar", "--state-dir", str(folder)]) == 1
    assert "/proc/backup.tar cannot be written: " in capsys.readouterr().err
    assert run(["restore", str(archive), "--state-dir", "/proc/passerelle"]) == 1
    assert "/proc/passerelle cannot be written to: " in capsys.readouterr().err


def changed(archive: Path, change: Callable[[dict[str, bytes]], object]) -> None:
    """The same with other members."""
    with tarfile.open(archive) as old:
        members = {one.name: (old.extractfile(one) or BytesIO()).read() for one in old}
    change(members)
    with tarfile.open(archive, "w") as new:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            new.addfile(member, BytesIO(data))


def manifest_with(**values: object) -> Callable[[dict[str, bytes]], object]:
    def change(members: dict[str, bytes]) -> None:
        members[MANIFEST] = json.dumps(json.loads(members[MANIFEST]) | values).encode()

    return change


BAD: dict[str, tuple[Callable[[dict[str, bytes]], object], str]] = {
    "a bit of the database": (
        lambda members: members.update({DATABASE: members[DATABASE][:-1] + b"x"}),
        "passerelle.sqlite is not what was backed up",
    ),
    "no key": (lambda members: members.pop(KEY), "ssh_key is missing"),
    "a path that leads out": (lambda members: members.update({"../x": b"x"}), "'../x' is not in its manifest"),
    "a path in the manifest": (manifest_with(files={"../x": "0" * 64}), "its manifest is not one"),
    "no manifest": (lambda members: members.pop(MANIFEST), "it does not begin with a manifest"),
    "a manifest that is none": (lambda members: members.update({MANIFEST: b"[]"}), "its format is not known"),
    "another format": (manifest_with(format=2), "its format is not known"),
    "a newer schema": (manifest_with(schema=9999), "this program knows"),
    "other rows": (manifest_with(tables={"events": 1}), "another database than its manifest says"),
}  # fmt: skip


@pytest.mark.parametrize("what", BAD)
def test_what_is_not_whole_is_not_restored(
    what: str, archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change, said = BAD[what]
    changed(archive, change)
    assert run(["restore", str(archive), "--state-dir", str(tmp_path / "new")]) != 0
    assert said in capsys.readouterr().err
    assert list((tmp_path / "new").iterdir()) == []
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("size", [0, 1, 600, 30_000])
def test_a_file_that_was_cut_off_is_not_restored(size: int, archive: Path, tmp_path: Path) -> None:
    archive.write_bytes(archive.read_bytes()[:size])
    assert run(["restore", str(archive), "--state-dir", str(tmp_path / "new")]) != 0
    assert list((tmp_path / "new").iterdir()) == []


def test_a_damaged_database_is_no_backup(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with sqlite3.connect(folder / DATABASE) as connection:
        connection.execute("PRAGMA foreign_keys=OFF")
        connection.execute("PRAGMA ignore_check_constraints=ON")
        connection.execute("PRAGMA application_id=7")
    assert run(["backup", str(tmp_path / "file"), "--state-dir", str(folder)]) != 0
    assert "is not a database of passerelle" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["state"]


def test_records_on_a_server_are_left_to_its_own_tools(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PASSERELLE_DATABASE_URL", "postgresql://passerelle@/passerelle")
    assert run(["backup", str(tmp_path / "file"), "--state-dir", str(folder)]) == 0
    told = capsys.readouterr().err
    assert "back them up by pg_dump" in told
    assert "the audit log has no entry of it" in told
    with tarfile.open(tmp_path / "file") as archive:
        assert archive.getnames() == [MANIFEST, PEPPER, KEY]
    assert run(["restore", str(tmp_path / "file"), "--state-dir", str(tmp_path / "new")]) == 0
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == [KEY, PEPPER]


@pytest.mark.long
@pytest.mark.timeout(300)
def test_a_running_service_goes_on_in_another_folder(tmp_path: Path) -> None:
    """Real processes. Their host is in a network of their own, where nobody answers for it."""
    with ThreadPoolExecutor(1) as alone:
        alone.submit(own_network).result()
        alone.submit(goes_on_in_another_folder, tmp_path).result()


def goes_on_in_another_folder(room: Path) -> None:
    Forge(room / "fleet.git").push({"fleet.yaml": "passerelle: 1\n", "hosts/pve1.yaml": head("observe")})
    with open_history(made(room / "old" / DATABASE)) as history:
        token = token_in(history, datetime.now(UTC))
    with serving(room, "old") as port:
        wait_for(lambda: hosts(port, token), "the host was tried", 90)
        done = subprocess.run(
            [sys.executable, "-m", "service", "backup", room / "file", "--state-dir", room / "old"],
            cwd=TOP, capture_output=True, text=True, timeout=grown_s(60), check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    assert run(["restore", str(room / "file"), "--state-dir", str(room / "new")]) == 0
    before = rows(room / "new" / DATABASE)
    with serving(room, "new") as port:
        wait_for(lambda: hosts(port, token), "the host was tried", 90)
    after = rows(room / "new" / DATABASE)
    assert after["events"][: len(before["events"])] == before["events"]
    assert [row[1] for row in after["revisions"]] == [row[1] for row in before["revisions"]]
    assert (room / "new" / KEY).read_bytes() == (room / "old" / KEY).read_bytes()


def hosts(port: int, token: str) -> bool:
    """Whether the service has tried the host."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/api/v1/hosts", headers={"Authorization": f"Bearer {token}"}
    )  # fmt: skip
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            items = json.load(answer)["items"]
    except OSError:
        return False
    return [one["status"]["reachability"] if "status" in one else one["reachability"] for one in items] == [
        "Unreachable"
    ]


@contextmanager
def serving(room: Path, state: str) -> Iterator[int]:
    port = free_port()
    environment = {
        "PATH": os.environ["PATH"], "HOME": str(room), "PASSERELLE_STATE_DIR": str(room / state),
        "PASSERELLE_SOURCE": str(room / "fleet.git"), "PASSERELLE_PORT": str(port),
    }  # fmt: skip
    with (room / f"log-{state}").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "service", "serve"], env=environment, cwd=TOP, stdout=log, stderr=log
        )
    try:
        yield port
    finally:
        process.terminate()
        assert process.wait(grown_s(60)) == 0, (room / f"log-{state}").read_text()[-3000:]
