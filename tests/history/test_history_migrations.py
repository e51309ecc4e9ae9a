import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlmodel import SQLModel

from service.cli import run
from service.errors import StoreError
from service.history import History, open_history
from service.history.migrate import migrate
from service.history.sqlite.engine import make_engine
from service.history.sqlite.file import schema_version
from service.history.versions import head, migrations_folder
from service.lab.waiting import grown_s
from service.model.listings import LeaseHistoryListing, LeaseListing
from service.model.observed import Watch
from service.model.sightings import Sighting
from service.model.trees import Commit

NOW, NEXT = head(), f"{int(head()) + 1:04d}"
NEWER = f'''
"""A newer schema, for the tests only."""

import sqlalchemy as sa
from alembic import op

revision = "{NEXT}"
down_revision = "{NOW}"


def upgrade() -> None:
    op.create_table("extras", sa.Column("id", sa.Integer(), primary_key=True), sa.Column("text", sa.String()))
    op.create_index("ix_extras_text", "extras", ["text"])
    op.execute("UPDATE revisions SET subject = subject || '!'")
    with op.batch_alter_table("revisions") as batch:
        batch.add_column(sa.Column("note", sa.String(), nullable=False, server_default=""))
        batch.alter_column("author_email", new_column_name="author_mail")
'''


@pytest.fixture
def two(tmp_path: Path) -> Path:
    """Migrations with one more than the program's own."""
    folder = tmp_path / "migrations"
    shutil.copytree(migrations_folder(), folder, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "versions" / f"{NEXT}_extras.py").write_text(NEWER)
    return folder


@pytest.fixture
def old(tmp_path: Path, now: datetime) -> Path:
    """A database of the program's own schema with some history."""
    path = tmp_path / "old" / "passerelle.sqlite"
    with open_history(path) as history:
        for number in range(30):
            history.store.record_revision(Commit(f"{number:040x}", "a", "b", now, "c"), at=now)
    return path


EVERY = 1 if os.environ.get("TESTS_FULL") else 4


def left_after_deaths(database: Path, folder: Path) -> tuple[list[str], list[dict[str, object]]]:
    """All points of a migration, and what was left by each death: at every step, and at one in `EVERY` statements.

    Which ones is chosen again in each run; with TESTS_FULL in the environment it is at all of them.
    """
    chosen = [str(EVERY), str(random.randrange(EVERY))]
    done = subprocess.run(
        [sys.executable, "-m", "tests.history.kill_each_statement", str(database), str(folder), *chosen],
        capture_output=True,
        text=True,
        timeout=grown_s(110),
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert done.returncode == 0, done.stderr
    points, *left = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(left) >= len(points) // EVERY
    return points, left


@pytest.mark.long
def test_a_migration_killed_at_any_statement_leaves_the_old_file_or_the_new(old: Path, two: Path) -> None:
    points, left = left_after_deaths(old, two)
    assert sum(point.lstrip().startswith(("CREATE", "ALTER", "DROP", "INSERT", "UPDATE")) for point in points) >= 8
    assert [found["point"] for found in left if " " not in str(found["point"])] == [
        *("copy", "check", "sync", "keep", "swap", "folder", "end")
    ]
    assert [found["version"] for found in left] == [int(NOW)] * (len(left) - 2) + [int(NEXT)] * 2
    assert {(found["rows"], found["rows_after"], found["version_after"]) for found in left} == {(30, 30, int(NEXT))}
    assert all(found["left_over"] == [] for found in left)


@pytest.mark.long
def test_a_first_start_killed_at_any_statement_leaves_no_file_or_the_whole(tmp_path: Path) -> None:
    points, left = left_after_deaths(tmp_path / "none.sqlite", migrations_folder())
    assert len(points) > 40
    assert [found["version"] for found in left] == [0] * (len(left) - 2) + [int(NOW)] * 2
    assert [found["rows"] for found in left] == [-1] * (len(left) - 2) + [0, 0]
    assert {(found["rows_after"], found["version_after"]) for found in left} == {(0, int(NOW))}


def test_the_migrations_make_the_tables_that_the_program_uses(history: History, path: Path) -> None:
    engine = make_engine(path)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, SQLModel.metadata) == []
    engine.dispose()


def test_the_newest_revision_is_the_end_of_the_line_of_migrations() -> None:
    assert ScriptDirectory(str(migrations_folder())).get_heads() == [head()]


def test_the_revisions_are_one_line_of_numbers() -> None:
    revisions = list(ScriptDirectory(str(migrations_folder())).walk_revisions())
    assert [revision.revision for revision in revisions] == [f"{n:04d}" for n in range(len(revisions), 0, -1)]
    assert all(not revision.is_branch_point for revision in revisions)


def test_the_file_from_before_is_kept(old: Path, two: Path) -> None:
    before = old.read_bytes()
    assert migrate(old, folder=two)
    assert not migrate(old, folder=two)
    kept = old.with_name(f"passerelle.sqlite.pre-{NEXT}")
    assert kept.read_bytes() == before
    assert schema_version(old) == int(NEXT)
    with closing(sqlite3.connect(old)) as connection:
        assert connection.execute("SELECT DISTINCT subject, note FROM revisions").fetchall() == [("c!", "")]


FORMER = {
    "0005": (
        'INSERT INTO applies (id, host, plan_id, "commit", plan_digest, desired_digest, trigger, requested_by, phase,'
        " generation, requested_at, cause, error)"
        " VALUES ('01A', 'pve1', 'P', 'c', 'p', 'd', 'request', 'ann', 'Pending', 0, 0, '', '')",
        "INSERT INTO drills (id, host, requested_by, state, generation, requested_at, error, proofs)"
        " VALUES ('01D', 'pve1', 'ann', 'Pending', 0, 0, '', '[]')",
    ),
    "0006": (
        "INSERT INTO releases (host, apply_id, requested_by, reason, requested_at)"
        " VALUES ('pve1', '01A', 'ann', 'w', 0)",
    ),
}
"""Rows that a former version wrote, by the version."""


def of_former_version(tmp_path: Path, version: str) -> Path:
    """A database of a former version with rows in it."""
    folder, path = tmp_path / "former", tmp_path / "state" / "passerelle.sqlite"
    shutil.copytree(migrations_folder(), folder, ignore=shutil.ignore_patterns("__pycache__"))
    for file in (folder / "versions").glob("[0-9]*.py"):
        if file.name[:4] > version:
            file.unlink()
    path.parent.mkdir()
    assert migrate(path, folder=folder)
    assert schema_version(path) == int(version)
    with closing(sqlite3.connect(path)) as connection:
        for statement in FORMER.get(version, ()):
            connection.execute(statement)
        connection.commit()
    return path


def test_a_backup_of_a_former_version_leaves_it_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = of_former_version(tmp_path, "0020")
    with pytest.raises(StoreError, match="is of an earlier version, and was left as it is"):
        open_history(path, migrates=False)
    for name in ("token.pepper", "ssh_key"):
        (path.parent / name).write_bytes(b"x" * 32)
        (path.parent / name).chmod(0o600)
    assert run(["backup", str(tmp_path / "backup.tar"), "--state-dir", str(path.parent)]) == 0
    assert "the audit log has no entry of it" in capsys.readouterr().err
    assert schema_version(path) == 20


def test_what_was_asked_of_a_former_version_waits_in_this_one(tmp_path: Path) -> None:
    path = of_former_version(tmp_path, "0005")
    with open_history(path) as history:
        apply, drill = history.queries.waiting_apply("pve1"), history.queries.waiting_drill("pve1")
        assert apply is not None
        assert drill is not None
        assert (apply.id, apply.may_raise, drill.id, drill.reboot) == ("01A", False, "01D", False)
        assert history.queries.release_asked("pve1") is None
    assert path.with_name(f"{path.name}.pre-{head()}").exists()


def test_plans_lose_the_whole_texts_of_files_and_nothing_else(tmp_path: Path) -> None:
    path = of_former_version(tmp_path, "0006")
    bodies: list[dict[str, Any]] = [
        {"steps": [{"why": "é"}], "files": {"aa": "wpa-psk secret"}},
        {"files": {}, "notes": []},
        {"files": [{"path": "/x"}]},
        {"notes": ["no files"]},
    ]
    names = "id, host, [commit], digest, desired_digest, state, created_at, body"
    row = f"INSERT INTO plans ({names}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
    with closing(sqlite3.connect(path)) as connection, connection:
        for number, body in enumerate(bodies):
            connection.execute(row, (f"p{number}", "pve1", "c", "d", "w", "superseded", number, json.dumps(body)))
    assert migrate(path)
    with closing(sqlite3.connect(path)) as connection:
        found = [json.loads(body) for (body,) in connection.execute("SELECT body FROM plans ORDER BY id")]
    assert found == [bodies[0] | {"files": []}, bodies[1] | {"files": []}, *bodies[2:]]


def test_what_a_former_version_knew_stays_and_what_it_did_not_keep_is_not_there(tmp_path: Path, now: datetime) -> None:
    with open_history(of_former_version(tmp_path, "0006")) as history:
        release = history.queries.release_asked("pve1")
        assert release is not None
        assert (release.apply_id, release.reason) == ("01A", "w")
        assert history.queries.sighting("pve1") is None
        sighting = Sighting("pve1", now, "f", "ab", Watch(), b"sent")
        history.store.keep_sighting(sighting)
        assert history.queries.sighting("pve1") == sighting


def test_hosts_that_left_git_before_hold_nothing_any_more(tmp_path: Path, now: datetime) -> None:
    path = of_former_version(tmp_path, "0008")
    later = int(now.timestamp()) * 1_000_000
    with closing(sqlite3.connect(path)) as connection, connection:
        for host, reason in (("gone", "Orphaned"), ("pve1", "")):
            states = ("approve", "Synced", reason, "", "Healthy", "Reachable", "Idle", "p")
            texts = ("address", "console", "observed_commit", "attempted_commit", "applied_commit", "desired_digest",
                     "applied_digest", "apply_id")  # fmt: skip
            names = "host, sync_mode, sync, reason, message, health, reachability, phase, plan_id"
            connection.execute(
                f"INSERT INTO hosts ({names}, {', '.join(texts)}, drift_items, generation, changed_at)"
                f" VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, {', '.join(['?'] * len(texts))}, 1, 3, ?)",
                (host, *states, *["x"] * len(texts), later),
            )
            connection.execute("INSERT INTO bases VALUES (?, '[]', 'd', 'c', '', 0)", (host,))
            connection.execute("INSERT INTO leases VALUES (?, 'aa', '10.0.0.1', 'x', '', 0, 0, NULL, 1)", (host,))
            interval = "host, mac, ip, ip_order, name, from_at, until_at, expires_at"
            connection.execute(
                f"INSERT INTO lease_intervals ({interval}) VALUES (?, 'aa', '10.0.0.1', 'x', '', 0, NULL, NULL)",
                (host,),
            )
    with open_history(path) as history:
        queries = history.queries
        gone, here = queries.host("gone"), queries.host("pve1")
        assert gone is not None
        assert here is not None
        assert (gone.health, gone.reachability, gone.plan_id, gone.drift_items) == ("Unknown", "Unknown", "", 0)
        assert (here.health, here.plan_id, here.drift_items) == ("Healthy", "p", 1)
        assert (queries.base("gone"), queries.base("pve1") is None) == (None, False)
        assert [one.host for one in queries.leases(LeaseListing(active=True), now=now).items] == ["pve1"]
        ends = {one.host: one.until_at for one in queries.lease_history(LeaseHistoryListing()).items}
        assert ends == {"gone": now.replace(microsecond=0), "pve1": None}


def test_a_newer_file_is_refused_and_left_as_it_is(old: Path, two: Path) -> None:
    migrate(old, folder=two)
    before = old.read_bytes()
    with pytest.raises(StoreError, match=f"schema {NEXT}, this passerelle knows up to {head()}; nothing was changed"):
        open_history(old)
    assert old.read_bytes() == before


def test_a_file_of_another_program_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "passerelle.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE theirs (x)")
        connection.commit()
    before = path.read_bytes()
    with pytest.raises(StoreError, match="not a database of passerelle"):
        open_history(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("damage", ["cut", "noise", "header"])
def test_a_damaged_file_is_refused_and_left_as_it_is(old: Path, damage: str) -> None:
    whole = old.read_bytes()
    broken = {
        "cut": whole[: len(whole) // 2],
        "noise": whole[:4096] + bytes(range(256)) * 64 + whole[4096 + 256 * 64 :],
        "header": b"not SQLite at all" + whole[17:],
    }[damage]
    old.write_bytes(broken)
    with pytest.raises(StoreError, match="damaged"):
        open_history(old)
    assert old.read_bytes() == broken
