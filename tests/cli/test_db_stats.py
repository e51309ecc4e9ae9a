"""`passerelle db stats`, and that room of deleted rows goes back to the disk."""

import json
from pathlib import Path

import pytest
from sqlalchemy import delete, insert

from service.cli import run
from service.history import open_history
from service.history.sqlite.statements import KEPT_FREE, KEPT_PART
from service.history.tables import events
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
    assert tables["events"]["oldest"] == NOW.isoformat()
    assert tables["hosts"]["rows"] == 1
    assert sum(one["bytes"] for one in found["tables"]) <= found["file_bytes"]
    (shown,) = run_by("test_each_table_is_shown_with_its_size")
    assert run([*shown.words, "--state-dir", str(path.parent)]) == 0
    assert "are free for new records" in capsys.readouterr().err


def test_free_pages_go_back_to_the_disk(path: Path) -> None:
    large = path.stat().st_size
    with open_history(path, serve=True) as history:
        with history.store._database.write() as connection:
            connection.execute(delete(events))
        assert history.sizes().free_bytes > large * 0.8
        while history.store.give_back():
            pass
        found = history.sizes()
        assert found.free_bytes <= max(KEPT_FREE * 4096, found.file_bytes // KEPT_PART) + 4096
        assert path.stat().st_size == found.file_bytes < large / 4
