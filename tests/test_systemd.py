"""The units, and what systemd learns of a process: by a real socket, as a service manager listens on one."""

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from service.lab.waiting import grown_s, wait_for
from service.reconcile.pulse import LOOK_S, ROUND_S, Pulse
from service.systemd import Supervisor, supervised
from tests.documents import TOP
from tests.git.forge import Forge
from tests.jobs.answering import free_port
from tests.reconcile.clocks import StoppedClock

UNITS = sorted((TOP / "deploy" / "systemd").glob("*.service"))


@contextmanager
def manager(address: str) -> Iterator[socket.socket]:
    """A socket at this address, as a service manager has one."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.settimeout(grown_s(60))
        listening.bind(f"\0{address[1:]}" if address.startswith("@") else address)
        yield listening


def heard(listening: socket.socket) -> dict[str, str]:
    """The next message."""
    lines = listening.recv(4096).decode().splitlines()
    return dict(line.split("=", 1) for line in lines)


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_a_unit_exposes_little_and_is_watched(unit: Path) -> None:
    words = ["systemd-analyze", "security", "--offline=true", "--threshold=15", "--no-pager", str(unit)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=grown_s(60), check=False)
    assert done.returncode == 0, done.stdout[-600:]
    (level,) = re.findall(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)
    assert float(level) <= 1.5
    lines = unit.read_text().splitlines()
    assert {"Type=notify", "NotifyAccess=main", "WatchdogSec=2min", "Restart=on-failure"} <= set(lines)


def test_a_worker_has_settings_of_its_own() -> None:
    """Two workers of one machine cannot have the same port."""
    unit = next(unit for unit in UNITS if "@" in unit.name)
    read = [line for line in unit.read_text().splitlines() if "File=" in line]
    assert read == ["EnvironmentFile=/etc/passerelle/service.env", "EnvironmentFile=-/etc/passerelle/worker-%i.env"]


@pytest.mark.parametrize("where", ["a file", "an abstract name"])
async def test_the_manager_hears_that_it_is_ready_lives_and_stops(where: str, tmp_path: Path) -> None:
    address = str(tmp_path / "notify") if where == "a file" else f"@passerelle-{os.getpid()}"
    clock = StoppedClock()
    variables = {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "120000000", "WATCHDOG_PID": str(os.getpid()), "A": "b"}
    with manager(address) as listening:
        supervisor = Supervisor.of_environment(clock, variables)
        assert variables == {"A": "b"}, "no child inherits them"
        async with supervised(supervisor, status=lambda: "3 hosts\nREADY=0"):
            assert heard(listening) == {"READY": "1", "STATUS": "3 hosts READY=0"}
            await clock.napped.wait()
            assert heard(listening) == {"WATCHDOG": "1", "STATUS": "3 hosts READY=0"}
            assert clock.due_s() == [clock.at_s + 40], "three signs of life in the time of one"
        assert heard(listening) == {"STOPPING": "1", "STATUS": "stopping"}


async def test_who_is_stuck_gives_no_sign_of_life(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    address, clock, why = str(tmp_path / "notify"), StoppedClock(), ["nothing ends"]
    with manager(address) as listening:
        supervisor = Supervisor(address, 30.0, clock)
        async with supervised(supervisor, stuck=lambda: why[0]):
            assert heard(listening)["READY"] == "1"
            await clock.napped.wait()
            assert heard(listening) == {"STATUS": "nothing ends"}
            why[0] = ""
            clock.napped.clear()
            clock.move(10)
            await clock.napped.wait()
            assert heard(listening)["WATCHDOG"] == "1"
    assert [record.getMessage() for record in caplog.records if "stuck" in record.getMessage()] == [
        "nothing ends. systemd restarts a service that is stuck"
    ]


@pytest.mark.parametrize(
    ("variables", "watchdog_s"),
    [
        ({}, None),
        ({"NOTIFY_SOCKET": "vsock:2:1234"}, None),
        ({"NOTIFY_SOCKET": "/run/x"}, 0.0),
        ({"NOTIFY_SOCKET": "/run/x", "WATCHDOG_USEC": "30000000"}, 30.0),
        ({"NOTIFY_SOCKET": "/run/x", "WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, 0.0),
        ({"NOTIFY_SOCKET": "/run/x", "WATCHDOG_USEC": "soon"}, 0.0),
    ],
)
def test_what_the_environment_says_of_the_manager(variables: dict[str, str], watchdog_s: float | None) -> None:
    found = Supervisor.of_environment(StoppedClock(), variables)
    assert (found.watchdog_s if found else None) == watchdog_s


async def test_a_manager_that_is_away_hinders_nobody(tmp_path: Path) -> None:
    clock = StoppedClock()
    async with supervised(Supervisor(str(tmp_path / "nobody"), 30.0, clock)):
        await clock.napped.wait()
    async with supervised(None):
        pass


def test_a_look_that_never_ends_is_stuck() -> None:
    clock = StoppedClock()
    pulse = Pulse(clock, 2)
    pulse.looks()
    clock.move(LOOK_S)
    assert pulse.stuck == ""
    clock.move(1)
    assert pulse.stuck == "the look at the repository has not ended for 30 minutes"
    pulse.rests()
    clock.move(LOOK_S * 99)
    assert pulse.stuck == ""


def test_rounds_are_stuck_only_if_none_can_begin() -> None:
    clock = StoppedClock()
    pulse = Pulse(clock, 2)
    pulse.works("pve1")
    clock.move(ROUND_S * 2)
    assert pulse.stuck == "", "the other worker is free"
    pulse.works("pve2")
    clock.move(ROUND_S)
    assert pulse.stuck == ""
    clock.move(1)
    assert pulse.stuck == "no round of a host has ended for 120 minutes, and none can begin"
    pulse.ended("pve1")
    assert pulse.stuck == ""


@pytest.mark.long
@pytest.mark.timeout(300)
def test_a_running_service_tells_its_manager_what_it_does(tmp_path: Path) -> None:
    """Until it ends. Its repository has no host, which is refused."""
    Forge(tmp_path / "fleet.git").push({"fleet.yaml": "passerelle: 1\n"})
    address = str(tmp_path / "notify")
    environment = {
        "PATH": os.environ["PATH"], "HOME": str(tmp_path), "NOTIFY_SOCKET": address, "WATCHDOG_USEC": "300000",
        "PASSERELLE_STATE_DIR": str(tmp_path / "state"), "PASSERELLE_SOURCE": str(tmp_path / "fleet.git"),
        "PASSERELLE_PORT": str(free_port()),
    }  # fmt: skip
    words = [sys.executable, "-m", "service", "serve"]
    with manager(address) as listening, (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(words, env=environment, cwd=TOP, stdout=log, stderr=log)
        try:
            assert heard(listening)["READY"] == "1"
            wait_for(lambda: "; the source is refused" in heard(listening)["STATUS"], "the status", 60)
            process.terminate()
            wait_for(lambda: "STOPPING" in heard(listening), "the end", 60)
            assert process.wait(grown_s(60)) == 0, (tmp_path / "log").read_text()
        finally:
            process.kill()
            process.wait(grown_s(60))
