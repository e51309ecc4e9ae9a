"""`passerelle token` and `passerelle receiver`, on a state directory without a service, or next to a running one."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from service.cli import run
from service.history import open_history
from service.model.secret import Secret


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PASSERELLE_STATE_DIR", str(tmp_path / "state"))
    return tmp_path / "state"


def test_the_first_token_needs_no_token_and_opens_the_service(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["token", "create", "ann", "--admin"]) == 0
    said = capsys.readouterr()
    [token] = said.out.splitlines()
    assert "It is not shown again" in said.err
    with open_history(state / "passerelle.sqlite", serve=True) as history:
        who = history.store.authenticate(token.encode(), at=datetime.now(UTC))
        assert who is not None
        assert (who.name, who.scopes, who.hosts) == ("ann", frozenset({"admin"}), ("*",))
        assert run(["token", "revoke", token[4:16]]) == 0
        assert history.store.authenticate(token.encode(), at=datetime.now(UTC)) is None
        assert run(["token", "revoke", token[4:16]]) == 1


def test_a_token_may_do_what_was_asked_for_it(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["token", "create", "ci", "--scope", "read", "--scope", "plan", "--host", "pve*", "--expires", "12h"]
    assert run([*command, "-o", "json"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert run(["token", "list", "-o", "json"]) == 0
    [listed] = json.loads(capsys.readouterr().out)
    assert (listed["scopes"], listed["hosts"], listed["name"]) == (["plan", "read"], ["pve*"], "ci")
    assert made["token"][4:16] == listed["id"]
    assert made["token"].split(".")[1] not in json.dumps(listed)
    assert run(["token", "list"]) == 0
    assert "good" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["token", "create", "Ann"], "not a token's name"),
        (["token", "create", "ann", "--expires", "2y"], "not a time span"),
        (["token", "create", "ann", "--expires", "400d"], "at most 366 days"),
        (["token", "create", "ann", "--expires", "0d"], "is valid for more than 0"),
        (["token", "create", "ann", "--host", "pve[1]"], "selects no host"),
        (["receiver", "add", "a b", "--type", "github"], "not a receiver's name"),
        (["receiver", "remove", "nobody"], "no receiver nobody"),
    ],
)
def test_what_makes_no_sense_is_said_and_nothing_is_made(
    state: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert run(arguments) == 1
    shown = capsys.readouterr()
    assert said in shown.err
    assert shown.out == ""
    assert run(["token", "list", "-o", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == []


def test_a_receivers_secret_is_shown_once(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["receiver", "add", "gh", "--type", "github"]) == 0
    [secret] = capsys.readouterr().out.splitlines()
    assert run(["receiver", "list", "-o", "json"]) == 0
    listed = capsys.readouterr().out
    assert (json.loads(listed)[0]["name"], json.loads(listed)[0]["type"]) == ("gh", "github")
    assert secret not in listed
    with open_history(state / "passerelle.sqlite") as history:
        known = history.queries.receiver_secret("gh")
        assert known is not None
        assert known.secret == Secret(secret.encode())
    assert run(["receiver", "add", "gh", "--type", "generic"]) == 1
    assert run(["receiver", "remove", "gh"]) == 0
    assert run(["receiver", "list", "-o", "json"]) == 0


def test_a_database_of_a_newer_passerelle_is_said_clearly(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import sqlite3
    from contextlib import closing

    assert run(["token", "list"]) == 0
    with closing(sqlite3.connect(state / "passerelle.sqlite")) as connection:
        connection.execute("PRAGMA user_version=99")
    capsys.readouterr()
    assert run(["token", "list"]) == 1
    assert "has schema 0099" in capsys.readouterr().err
