"""Run with DATABASE FOLDER EVERY FIRST: migrates copies of DATABASE, killed at one point after the other.

The points are all steps, and of the statements each EVERY-th from the FIRST on. Prints a JSON list of all points, and
after each death one JSON line with what is left: {`point`, `version`, `rows`, `again`, `version_after`}. The last line
is about a migration that nobody killed. One process forks for each death, so that everything is imported once only.
"""

import itertools
import json
import os
import shutil
import signal
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from service.history.migrate import migrate
from service.history.sqlite.file import schema_version


def rows(path: Path) -> int:
    if not path.exists():
        return -1
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        return int(connection.execute("SELECT count(*) FROM revisions").fetchone()[0])


def migrate_apart(path: Path, folder: Path, witness: Callable[[str], None]) -> int:
    """Migrate in a process of its own; its wait status."""
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1]
    migrate(path, folder=folder, witness=witness)
    os._exit(0)


def die_at(number: int) -> Callable[[str], None]:
    """A witness that dies just before point `number`."""
    seen = itertools.count()

    def witness(_point: str) -> None:
        if next(seen) == number:
            os.kill(os.getpid(), signal.SIGKILL)

    return witness


class Copies:
    """Fresh copies of a database, one after the other in one place."""

    def __init__(self, original: Path) -> None:
        self.original = original
        self.work = original.parent / "work"

    def fresh(self) -> Path:
        shutil.rmtree(self.work, ignore_errors=True)
        self.work.mkdir()
        path = self.work / "passerelle.sqlite"
        if self.original.exists():
            shutil.copy(self.original, path)
        return path


def left_over(path: Path, folder: Path, point: str) -> dict[str, object]:
    """What a death left, and what the next start makes of it."""
    return {
        "point": point,
        "version": schema_version(path),
        "rows": rows(path),
        "again": migrate(path, folder=folder),
        "version_after": schema_version(path),
        "rows_after": rows(path),
        "left_over": sorted(p.name for p in path.parent.iterdir() if "migrating" in p.name),
    }


def main() -> None:
    copies, folder = Copies(Path(sys.argv[1])), Path(sys.argv[2])
    every, first = int(sys.argv[3]), int(sys.argv[4])
    points: list[str] = []
    migrate(copies.fresh(), folder=folder, witness=points.append)
    print(json.dumps(points), flush=True)
    for number, point in enumerate(points):
        if " " in point and number % every != first:  # a statement has words, a step is one
            continue
        path = copies.fresh()
        assert os.WIFSIGNALED(migrate_apart(path, folder, die_at(number)))
        print(json.dumps(left_over(path, folder, point)), flush=True)
    path = copies.fresh()
    assert migrate_apart(path, folder, die_at(-1)) == 0
    print(json.dumps(left_over(path, folder, "end")), flush=True)


main()
