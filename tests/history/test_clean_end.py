"""The whole file is read at a start only where nobody knows that it is whole: it grows with the history."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from service.errors import StoreError
from service.history import open_history
from service.history.locks import is_served
from service.history.sqlite import file
from service.history.sqlite.file import CleanEnd
from service.model.runs import HostStatus
from tests.api.world import NOW
from tests.state_folders import made


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return made(tmp_path / "state" / "passerelle.sqlite")


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The statements that read a whole file."""
    found: list[str] = []

    def connect(*args: object, **named: object) -> sqlite3.Connection:
        opened: sqlite3.Connection = sqlite3.connect(*args, **named)  # type: ignore[call-overload]
        opened.set_trace_callback(lambda text: found.append(text) if "_check" in text else None)
        return opened

    class Traced:
        DatabaseError, Error, sqlite_version = sqlite3.DatabaseError, sqlite3.Error, sqlite3.sqlite_version

    Traced.connect = connect  # type: ignore[attr-defined]
    monkeypatch.setattr(file, "sqlite3", Traced)
    yield found


def test_after_a_clean_end_nothing_is_read_as_a_whole(path: Path, checks: list[str]) -> None:
    open_history(path, serve=True).close()
    assert checks
    checks.clear()
    for _ in range(2):
        with open_history(path, serve=True) as history:
            history.store.set_host_status(HostStatus("pve1"), at=NOW)
        open_history(path).close()
    assert checks == []


def test_after_an_unclean_end_the_whole_file_is_read(path: Path, checks: list[str]) -> None:
    open_history(path, serve=True).close()
    checks.clear()
    served = open_history(path, serve=True)
    served._database.close()
    for lock in served._locks[1:]:
        lock.release()  # as after a kill: what comes first is the note of the end
    open_history(path, serve=True).close()
    assert len(checks) == 1


def test_a_file_that_somebody_wrote_to_is_read_as_a_whole(path: Path, checks: list[str]) -> None:
    open_history(path, serve=True).close()
    checks.clear()
    with closing(sqlite3.connect(path)) as other, other:
        other.execute("UPDATE hosts SET message = 'x'")
        other.execute("CREATE TABLE more (x)")
    checks.clear()
    open_history(path, serve=True).close()
    assert len(checks) == 1


def test_a_command_next_to_a_service_reads_nothing_as_a_whole(path: Path, checks: list[str]) -> None:
    with open_history(path, serve=True):
        assert is_served(path)
        checks.clear()
        open_history(path).close()
        assert checks == []
    assert not is_served(path)


def test_a_damaged_file_that_nobody_closed_is_refused(path: Path) -> None:
    open_history(path, serve=True).close()
    whole = path.read_bytes()
    path.write_bytes(whole[:4096] + bytes(range(256)) * 64 + whole[4096 + 256 * 64 :])
    for serve in (True, False):
        with pytest.raises(StoreError, match="damaged"):
            open_history(path, serve=serve)
    assert not CleanEnd(path).holds()
