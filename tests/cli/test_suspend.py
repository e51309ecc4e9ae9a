"""`suspend`, `resume`, `suspensions` and the stop file, against a real API on a socket of its own."""

import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from service.cli import run
from service.cli.doctor import stop_check
from service.cli.suspend import ends
from service.errors import InputError
from service.history import open_history
from service.model.windows import Window
from service.settings import Settings
from service.stop_file import NAME, stop_reason
from tests.api.shared_routes import app_of
from tests.api.world import World
from tests.cli.reached import reached
from tests.documents import run_by
from tests.state_folders import made

NEVER = (Window("past", "allow", "Europe/Paris", ("mon",), 60, 120, last=date(2020, 1, 1)),)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with open_history(made(tmp_path / "state" / "passerelle.sqlite")) as history:
        filled = World(history).fill()
        parts = replace(
            filled.parts, stop=partial(stop_reason, tmp_path), labels=lambda _: {"site": "paris"}, windows=lambda: NEVER
        )
        with reached(app_of(parts), filled.token()):
            yield filled


def test_the_pages_commands(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    for command in run_by("test_the_pages_commands"):
        assert run(command.words) == 0, command
    said = capsys.readouterr()
    assert "pve1: no apply begins, until 20" in said.err
    assert "hosts with site=paris: no apply begins, until 2026-11-17T06:00:00Z" in said.err
    assert "the switch is replaced" in said.out
    assert "pve1: applies may begin again" in said.err
    assert "pve1 is still suspended by tester (label): power maintenance" in said.err


def test_status_says_who_suspended_a_host_and_why(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["suspend", "--all", "--reason", "the year ends", "--until", "never"]) == 0
    for words in (["status"], ["status", "pve1"]):
        capsys.readouterr()
        assert run(words) == 0
        said = capsys.readouterr().err
        assert "pve1 is suspended by tester since" in said
        assert "until somebody resumes: the year ends" in said
    assert run(["suspensions", "-o", "json"]) == 0
    assert '"scope": "all"' in capsys.readouterr().out
    assert run(["resume", "--all"]) == 0
    assert run(["resume", "--all"]) == 1
    assert "the fleet is not suspended" in capsys.readouterr().err
    assert run(["suspensions", "--past"]) == 0
    assert "tester" in capsys.readouterr().out


def test_the_windows_of_the_page(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    every, of_one = run_by("test_the_windows_of_the_page")
    assert run(every.words) == 0
    assert "past  allow  no    mon   01:00  02:00  Europe/Paris" in capsys.readouterr().out
    assert run(of_one.words) == 2
    assert "pve1: no apply may begin now: outside of the windows past" in capsys.readouterr().err
    assert run([*every.words, "-o", "json"]) == 0


@pytest.mark.parametrize("words", [[], ["pve1", "--all"], ["--all", "--label", "a=b"]])
def test_one_choice_is_needed(words: list[str], world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["suspend", *words, "--reason", "because"]) == 1
    assert "name a host, or a label, or --all" in capsys.readouterr().err


def test_the_stop_file_is_reported(world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = Settings(state_dir=tmp_path)
    assert stop_check(settings)["ok"]
    lay, remove = run_by("test_the_stop_file_is_reported")
    here = "/var/lib/passerelle-service"
    assert f"{here}/{NAME}" in lay.text
    subprocess.run(lay.text.replace(here, str(tmp_path)).replace("sudo ", ""), shell=True, check=True)
    for words in (["status"], ["suspensions"], ["status", "pve1"]):
        assert run(words) == 0
        assert "STOP is there: the storage is being moved" in capsys.readouterr().err.replace("\n", " ")
    assert not stop_check(settings)["ok"]
    subprocess.run(shlex.split(remove.text.replace(here, str(tmp_path)).replace("sudo ", "")), check=True)
    assert run(["status"]) == 0
    assert "STOP" not in capsys.readouterr().err


def test_the_end_is_a_time_a_duration_or_never() -> None:
    now = datetime.now(UTC)
    assert ends("never") == "never"
    assert ends("2026-11-17T03:00") == "2026-11-17T03:00:00+00:00"
    for text, length in (("30m", timedelta(minutes=30)), ("2h", timedelta(hours=2)), ("3d", timedelta(days=3))):
        assert timedelta(0) <= datetime.fromisoformat(ends(text)) - now - length < timedelta(minutes=5)
    for text in ("soon", "2", "0h", "2 h"):
        with pytest.raises(InputError, match="is not a time"):
            ends(text)
