"""`passerelle history verify` and `export`."""

import io
import json
import sqlite3
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import pytest

from service.cli import run
from service.cli.audit import line_of
from service.model.audit import TRIM, Act, Entry, hash_of


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Path:
    """A state folder in which commands did four things."""
    monkeypatch.setenv("PASSERELLE_STATE_DIR", str(tmp_path / "state"))
    assert run(["token", "create", "ann", "--admin"]) == 0
    token = capsys.readouterr().out.strip()
    assert run(["token", "revoke", token[4:16]]) == 0
    assert run(["receiver", "add", "forge", "--type", "github"]) == 0
    assert run(["receiver", "suspend", "forge", "--reason", "it moves"]) == 0
    capsys.readouterr()
    return tmp_path / "state"


def test_commands_record_what_they_did(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["history", "export"]) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [one["action"] for one in found] == ["create_token", "revoke_token", "add_receiver", "suspend_receiver"]
    assert {(one["how"], one["outcome"], one["by"][:6]) for one in found} == {("cli", "done", "local:")}
    assert found[0]["detail"]["scopes"] == ["admin"]
    assert found[3]["detail"] == {"receiver": "forge", "reason": "it moves"}


def test_the_chain_is_verified_with_what_an_earlier_check_said(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["history", "verify"]) == 0
    kept = capsys.readouterr().out.strip()
    assert kept.startswith("4:")
    assert run(["receiver", "resume", "forge"]) == 0
    assert run(["history", "verify", "--expect", kept]) == 0
    assert run(["history", "verify", "--expect", kept.replace("4:", "3:")]) == 1
    assert "the chain is not the one of then" in capsys.readouterr().err
    assert run(["history", "verify", "--expect", kept.replace("4:", "9:")]) == 1
    assert "entry 9 is expected, and the last one is 5" in capsys.readouterr().err
    assert run(["history", "verify", "--expect", "4"]) == 1
    assert "is not NUMBER:HASH" in capsys.readouterr().err


def test_a_new_chain_that_begins_after_what_is_expected_is_found(
    state: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """It says that all before it was deleted by its age, with hashes of its own."""
    assert run(["history", "verify"]) == 0
    kept = capsys.readouterr().out.strip()
    at = datetime(2026, 1, 1, tzinfo=UTC)
    for gone in (4, 9):
        made, previous = list[str](), "a" * 64
        trim = Act(by="passerelle", how="service", action=TRIM, detail={"through": gone, "hash": previous})
        for number, one in enumerate((Act(by="bob", how="cli", action="create_token"), trim), gone + 1):
            digest = hash_of(previous, number, at, one)
            made.append(line_of(Entry(**asdict(one), id=number, at=at, previous=previous, hash=digest)))
            previous = digest
        file = tmp_path / "audit.jsonl"
        file.write_text("\n".join(made))
        assert run(["history", "verify", "--file", str(file)]) == 0
        capsys.readouterr()
        assert run(["history", "verify", "--file", str(file), "--expect", kept]) == 1
        said = capsys.readouterr().err
        assert ("the chain is not the one of then" if gone == 4 else "it is not known whether by its age only") in said
        assert run(["history", "verify", "--file", str(file), "--expect", f"{gone}:{'a' * 64}"]) == 0


def test_the_first_broken_entry_is_named(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with sqlite3.connect(state / "passerelle.sqlite") as connection:
        connection.execute("UPDATE audit SET by = 'bob' WHERE id = 2")
    connection.close()
    assert run(["history", "verify"]) == 1
    assert "entry 2 was changed after it was recorded" in capsys.readouterr().err
    assert run(["history", "verify", "-o", "json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["broken"], found["entries"]) == (2, 1)


def test_an_export_is_verified_without_a_database(
    state: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(["history", "export"]) == 0
    lines = capsys.readouterr().out
    file = tmp_path / "audit.jsonl"
    file.write_text(lines)
    assert run(["history", "verify", "--file", str(file)]) == 0
    assert capsys.readouterr().out.startswith("4:")
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(lines.replace("it moves", "it stays").encode())))
    assert run(["history", "verify", "--file", "-"]) == 1
    assert "entry 4 was changed" in capsys.readouterr().err
    first = lines.splitlines()[0]
    for odd in ("x", "[]", "{}", first.replace("+00:00", ""), first.replace('"id": 1', '"id": "1"')):
        file.write_text(odd)
        assert run(["history", "verify", "--file", str(file)]) == 1, odd
        assert "line 1 of" in capsys.readouterr().err
    assert run(["history", "verify", "--file", str(tmp_path / "none")]) == 1
    assert "cannot be read" in capsys.readouterr().err
