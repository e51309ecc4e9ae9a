"""`passerelle db stats`, and that room of deleted rows goes back to the disk."""

import json
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import delete, event, insert

from service.cli import run
from service.history import open_history
from service.history.sqlite.statements import KEPT_FREE, KEPT_PART
from service.history.tables import events
from service.model.retention import Keep
from service.model.runs import HostStatus
from tests.api.world import NOW
from tests.documents import run_by
from tests.state_folders import made

ROWS = 20_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = made(tmp_path / "state" / "passerelle.sqlite")
    with open_history(path, serve=True) as history, history.store._database.write() as connection:
        row = {"at": NOW, "type": "host.state", "host": "pve1", "text": "x" * 200, "detail": {}}
        connection.execute(insert(events), [row] * ROWS)
    return path


def test_each_table_is_shown_with_its_size(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with open_history(path, serve=True) as history:
        history.store.set_host_status(HostStatus("pve1"), at=NOW)
        assert run(["db", "stats", "--state-dir", str(path.parent), "-o", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    tables = {one["table"]: one for one in found["tables"]}
    assert found["kind"] == "sqlite"
    assert found["file_bytes"] == path.stat().st_size
    assert found["tables"][0]["table"] == "events"
    assert tables["events"]["rows"] >= ROWS
    assert tables["events"]["bytes"] > ROWS * 200
    assert tables["events"]["oldest"] == NOW.replace(hour=0).isoformat()
    assert tables["events"]["kept_until"] == (NOW.replace(hour=0) + timedelta(days=90)).isoformat()
    assert tables["hosts"]["kept_until"] is None
    assert found["limit_bytes"] == 2 << 30
    assert tables["hosts"]["rows"] == 1
    assert sum(one["bytes"] for one in found["tables"]) <= found["file_bytes"]
    (shown,) = run_by("test_each_table_is_shown_with_its_size")
    assert run([*shown.words, "--state-dir", str(path.parent)]) == 0
    told = capsys.readouterr().err
    assert "are free for new records" in told
    assert "it does not grow; the limit is 2048.0 MiB (PASSERELLE_KEEP_MB)" in told


def test_it_says_how_fast_it_grows_and_when_the_limit_acts(path: Path) -> None:
    with open_history(path, serve=True) as history:
        tomorrow, later = (history.sizes(NOW + timedelta(days=days)) for days in (1, 9))
    [events_then, events_later] = [next(t for t in one.tables if t.table == "events") for one in (tomorrow, later)]
    assert events_then.rows_a_day == ROWS / 7
    assert events_later.rows_a_day == 0
    assert events_then.bytes is not None
    assert tomorrow.bytes_a_day == pytest.approx(events_then.bytes / 7)
    used = tomorrow.used_bytes
    assert Keep(size_bytes=used * 2).full_in_days(used, used / 10) == pytest.approx(10)
    assert Keep(size_bytes=used).full_in_days(used, 1) == 0
    assert Keep().full_in_days(used, later.bytes_a_day) is None


def test_no_row_is_counted(path: Path) -> None:
    """Of tables that grow: the numbers are there already."""
    said: list[str] = []
    with open_history(path, serve=True) as history:
        event.listen(history._database._engine, "before_cursor_execute", lambda *words: said.append(words[2]))
        history.sizes(NOW)
    assert said
    assert [one for one in said if "count(*)" in one and "FROM events" in one] == []


def test_free_pages_go_back_to_the_disk(path: Path) -> None:
    large = path.stat().st_size
    with open_history(path, serve=True) as history:
        with history.store._database.write() as connection:
            connection.execute(delete(events))
        assert history.sizes(NOW).free_bytes > large * 0.8
        while history.store.give_back():
            pass
        found = history.sizes(NOW)
        assert found.free_bytes <= max(KEPT_FREE * 4096, found.file_bytes // KEPT_PART) + 4096
        assert path.stat().st_size == found.file_bytes < large / 4
