"""Run with DATABASE FOLDER: migrates copies of DATABASE, killed at the first, second… point, until one comes through.

After each death, prints one JSON line of what is left: {"point", "version", "rows", "again", "version_after"}.
One process forks for each death, so that everything is imported once only.
"""

import json
import os
import shutil
import signal
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

from service.history.migrate import migrate, schema_version


def rows(path: Path) -> int:
    if not path.exists():
        return -1
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        return int(connection.execute("SELECT count(*) FROM revisions").fetchone()[0])


def die_at(path: Path, folder: Path, number: int, told: Path) -> int:
    """Fork, migrate, and die just before point `number`. Returns the child's wait status."""
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1]
    seen = 0

    def witness(point: str) -> None:
        nonlocal seen
        seen += 1
        if seen == number:
            told.write_text(point)
            os.kill(os.getpid(), signal.SIGKILL)

    migrate(path, folder=folder, witness=witness)
    os._exit(0)


def main() -> None:
    original, folder = Path(sys.argv[1]), Path(sys.argv[2])
    work = original.parent / "work"
    for number in range(1, 500):
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()
        path = work / "passerelle.sqlite"
        if original.exists():
            shutil.copy(original, path)
        status = die_at(path, folder, number, work / "told")
        left = {"point": "end", "version": schema_version(path), "rows": rows(path)}
        if os.WIFSIGNALED(status):
            left["point"] = (work / "told").read_text()
        left["again"] = migrate(path, folder=folder)
        left["version_after"] = schema_version(path)
        left["rows_after"] = rows(path)
        left["left_over"] = sorted(p.name for p in work.iterdir() if "migrating" in p.name)
        print(json.dumps(left), flush=True)
        if not os.WIFSIGNALED(status):
            assert status == 0
            return


main()
