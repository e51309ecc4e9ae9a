"""A question to systemd is repeated while systemd executes itself again, and given up in the end."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from service.hostside import commands
from service.hostside.commands import BUS_PAUSES_S, run_command
from service.hostside.host import Host

REFUSED = "Failed to connect to system scope bus via local transport: Connection refused"
OLD_TRIES = 8
"""Used up within 12 s while systemd executed itself again every second on a host with 20 runnable processes."""


def a_host(folder: Path, *, refusals: int, said: str = REFUSED) -> Host:
    """A host whose systemctl refuses so often before it answers."""
    program = folder / "systemctl"
    program.write_text(
        f"#!/bin/sh\necho x >>{folder}/tries\n"
        f'if test "$(/usr/bin/wc -l <{folder}/tries)" -gt {refusals}; then echo active; exit 0; fi\n'
        f"echo '{said}' >&2\nexit 1\n"
    )
    program.chmod(0o755)
    return Host(bin_dir=str(folder))


def tries(folder: Path) -> int:
    return len((folder / "tries").read_text().splitlines()) if (folder / "tries").exists() else 0


def each_takes_s(monkeypatch: pytest.MonkeyPatch, folder: Path, seconds: float) -> None:
    """A clock by which each try takes so long, and a pause nothing."""
    clock = SimpleNamespace(monotonic=lambda: seconds * tries(folder), sleep=lambda _: None)
    monkeypatch.setattr(commands, "time", clock)


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "BUS_PAUSES_S", (0.001,) * len(BUS_PAUSES_S))


def test_systemd_may_refuse_more_often_than_a_storm_of_reexecutions_takes(tmp_path: Path) -> None:
    ran = run_command(a_host(tmp_path, refusals=2 * OLD_TRIES), ["systemctl", "is-active", "named"])
    assert (ran.code, ran.out) == (0, "active\n")


def test_what_is_refused_for_good_is_told_after_seconds(tmp_path: Path) -> None:
    ran = run_command(a_host(tmp_path, refusals=1000), ["systemctl", "is-active", "named"])
    assert (ran.code, ran.err) == (1, REFUSED + "\n")
    assert tries(tmp_path) == len(BUS_PAUSES_S) + 1
    assert sum(BUS_PAUSES_S) < 6, "a rollback may ask dozens of times, and nobody reaches the host meanwhile"


def test_systemd_that_hangs_is_not_questioned_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    each_takes_s(monkeypatch, tmp_path, 25)
    host = a_host(tmp_path, refusals=1000, said="Failed to start named.service: Connection timed out")
    assert run_command(host, ["systemctl", "start", "named"], timeout_s=90).code == 1
    assert tries(tmp_path) == 1


def test_a_question_that_times_out_soon_is_repeated_for_6_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    each_takes_s(monkeypatch, tmp_path, 2)
    host = a_host(tmp_path, refusals=1000, said="Failed to start named.service: Connection timed out")
    assert run_command(host, ["systemctl", "start", "named"]).code == 1
    assert tries(tmp_path) == 4


def test_a_busy_host_has_the_time_for_all_tries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    each_takes_s(monkeypatch, tmp_path, 1.2)
    ran = run_command(a_host(tmp_path, refusals=2 * OLD_TRIES), ["systemctl", "is-active", "named"])
    assert (ran.code, ran.out) == (0, "active\n")


@pytest.mark.parametrize(("seconds", "most"), [(5, 7), (30, 2)])
def test_refusals_that_come_late_are_bounded_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: float, most: int
) -> None:
    each_takes_s(monkeypatch, tmp_path, seconds)
    host = a_host(tmp_path, refusals=1000, said="Failed to start named.service: Connection reset by peer")
    assert run_command(host, ["systemctl", "start", "named"], timeout_s=90).code == 1
    assert tries(tmp_path) == most


def test_another_failure_is_not_repeated(tmp_path: Path) -> None:
    ran = run_command(
        a_host(tmp_path, refusals=1000, said="Unit named.service not found."), ["systemctl", "stop", "named"]
    )
    assert ran.code == 1
    assert tries(tmp_path) == 1
