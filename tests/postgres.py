"""A PostgreSQL server for the tests: Debian's, one throw-away cluster for each process that asks, on a unix socket.

    with cluster() as server:
        server.url("postgres")         the address of a database
        server.made("name", of="…")    a new database, a copy of another one where it is named
        server.stop(), server.start()  it goes away, and comes back with all that was committed

As root the server runs as the user `postgres`, because it refuses root. It ends with this process. What is written
survives no crash of the machine: nothing waits for a disk. Its setting of `synchronous_commit` is one that loses what
was committed last, unless the service asks for better.
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import pytest

from service.lab.waiting import grown_s, wait_for
from service.model.secret import Secret

USER = "postgres"
QUICK = ("fsync=off", "full_page_writes=off", "synchronous_commit=off", "shared_buffers=32MB", "max_connections=80",
         "autovacuum=off", "listen_addresses=", "logging_collector=off")  # fmt: skip


def programs() -> Path:
    """The folder of the newest server that is installed."""
    found = [one.parent for one in Path("/usr/lib/postgresql").glob("*/bin/postgres")]
    if not found:
        pytest.fail("PostgreSQL is not installed. Fix: deploy/setup --lab")
    return max(found, key=lambda folder: int(folder.parent.name))


@dataclass
class Cluster:
    """A server and its folder."""

    folder: Path
    process: "subprocess.Popen[bytes] | None" = None
    made_ones: int = field(default=0)

    def url(self, database: str) -> Secret:
        """Where a database is."""
        return Secret(f"postgresql://{USER}@/{database}?host={self.folder}".encode())

    def start(self) -> None:
        """Start it, and wait until it takes connections."""
        options = [word for option in QUICK for word in ("-c", option)]
        command: list[str | Path] = [programs() / "postgres", "-D", self.folder / "data", "-k", self.folder, *options]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen([*_as_server(), *command], stdout=log, stderr=log, cwd=self.folder)
        wait_for(self._answers, "PostgreSQL", 30)

    def stop(self) -> None:
        """Stop it as if the machine had lost its power."""
        if self.process is not None:
            subprocess.run(
                [*_as_server(), programs() / "pg_ctl", "-D", self.folder / "data", "stop", "-m", "immediate", "-s"],
                check=True, timeout=grown_s(30), cwd=self.folder,
            )  # fmt: skip
            self.process.wait(grown_s(30))
            self.process = None

    def made(self, name: str = "", *, of: str = "template0") -> Secret:
        """A new database."""
        self.made_ones += 1
        name = name or f"one_{self.made_ones}"
        self.run(f'CREATE DATABASE "{name}" TEMPLATE "{of}"')
        return self.url(name)

    def dropped(self, url: Secret) -> None:
        """Remove one, whoever uses it."""
        if self.process is None:
            return
        name = psycopg.conninfo.conninfo_to_dict(url.reveal().decode())["dbname"]
        self.run(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def run(self, statement: str, database: str = "postgres") -> None:
        """One statement, outside of transactions."""
        with psycopg.connect(self.url(database).reveal().decode(), autocommit=True) as connection:
            connection.execute(statement.encode())

    def _answers(self) -> bool:
        if self.process is not None and self.process.poll() is not None:
            pytest.fail(f"PostgreSQL ended: {(self.folder / 'log').read_text()[-2000:]}")
        try:
            psycopg.connect(self.url("postgres").reveal().decode()).close()
        except psycopg.OperationalError:
            return False
        return True


def _as_server() -> list[str]:
    """What a command of the server begins with: the user it runs as, and that it ends with whoever started it."""
    ends = ["setpriv", "--pdeathsig", "INT"]
    return ends if os.geteuid() else [*ends, "--reuid", USER, "--regid", USER, "--clear-groups"]


@contextmanager
def cluster() -> Iterator[Cluster]:
    """A server in a folder of its own, gone at the end."""
    folder = Path(tempfile.mkdtemp(prefix="psr-pg-", dir="/tmp"))  # the path of a socket has 107 bytes at most
    try:
        if not os.geteuid():
            shutil.chown(folder, USER, USER)
        subprocess.run(
            [*_as_server(), programs() / "initdb", "-D", folder / "data", "-U", USER, "--auth", "trust", "--no-sync",
             "--encoding", "UTF8", "--locale", "C.UTF-8", "--no-instructions"],
            check=True, capture_output=True, timeout=grown_s(60), cwd=folder,
        )  # fmt: skip
        server = Cluster(folder)
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder)
