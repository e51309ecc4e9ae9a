import json
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from service.lab.waiting import grown_s

pytestmark = pytest.mark.lab

NAME = f"cli-{os.getpid()}"


def passerelle(*words: str, given: str = "") -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "service", "lab", *words]
    return subprocess.run(argv, input=given, capture_output=True, text=True, timeout=grown_s(100))


@pytest.fixture(scope="module")
def started() -> Iterator[subprocess.CompletedProcess[str]]:
    """A lab started by one command line, found by the others, ended by the last."""
    yield passerelle("up", "--name", NAME, "--guests", "pve1/box=static:10.10.10.50/24", "-o", "json")
    passerelle("down", "--name", NAME)


def test_up_prints_the_lab_and_leaves_it_running(started: subprocess.CompletedProcess[str]) -> None:
    (shown,) = json.loads(started.stdout)
    (host,) = shown["hosts"]
    assert (shown["name"], host["name"], host["address"], host["state"]) == (NAME, "pve1", "198.51.100.11", "running")
    (found,) = json.loads(passerelle("status", "-n", NAME, "-o", "json").stdout)
    assert found["hosts"][0]["host_key"] == host["host_key"]


@pytest.mark.usefixtures("started")
def test_exec_hands_on_input_output_and_exit_code() -> None:
    done = passerelle("exec", "-n", NAME, "pve1", "--", "sh", "-c", "hostname; cat; exit 3", given="-x\n")
    assert (done.stdout, done.returncode) == ("pve1\n-x\n", 3)
    assert "198.18.0.10" in passerelle("exec", "-n", NAME, "--netns", "ctl", "--", "ip", "-br", "addr").stdout


@pytest.mark.usefixtures("started")
def test_status_shows_a_guest_with_its_address_once_it_has_one() -> None:
    assert "box (waiting for its bridge)" in passerelle("status").stdout
    passerelle("exec", "-n", NAME, "pve1", "--", "ip", "link", "add", "vmbr0", "type", "bridge")
    asked = "until ip -4 addr show dev eth0 | grep -q inet; do :; done; hostname"
    wait = "until [ -e /sys/class/net/veth-box ]; do :; done"
    assert passerelle("exec", "-n", NAME, "pve1", "--", "timeout", "20", "sh", "-c", wait).returncode == 0
    seen = passerelle("exec", "-n", NAME, "--guest", "box", "pve1", "--", "timeout", "20", "sh", "-c", asked)
    assert seen.stdout == "box\n"
    assert "box 10.10.10.50" in passerelle("status", "-n", NAME).stdout


def test_down_ends_the_lab_and_says_so_and_the_next_one_is_an_error() -> None:
    name = f"{NAME}-short"
    assert passerelle("up", "-n", name).returncode == 0
    assert f"lab {name} is gone" in passerelle("down", "-n", name).stderr
    again = passerelle("down", "-n", name)
    assert again.returncode == 1
    assert f"no lab named {name} runs" in again.stderr


def test_wrong_words_are_told_and_start_nothing() -> None:
    assert passerelle("exec").returncode == 64
    refused = passerelle("up", "-n", NAME + "-no", "--guests", "dev")
    assert (refused.returncode, "is not a guest of a host of this lab" in refused.stderr) == (1, True)
    assert NAME + "-no" not in passerelle("status").stdout
