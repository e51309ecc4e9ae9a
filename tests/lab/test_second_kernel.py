"""`passerelle lab up --kernel debian`, from its start to its end, and what is refused before anything starts."""

import os
import subprocess
import sys

import pytest

from service.errors import LabError
from service.lab import Lab, VirtualHost, cgroups, second_kernel
from service.lab.waiting import grown_s
from tests.documents import run_by

pytestmark = [pytest.mark.lab(minutes=3), pytest.mark.timeout(1500)]

NAME = f"kernel-{os.getpid()}"


def passerelle(*words: str, given: str = "") -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "service", *words]
    return subprocess.run(argv, input=given, capture_output=True, text=True, timeout=grown_s(300))


def test_a_host_with_debians_kernel_from_up_to_down() -> None:
    up, link, down = (
        [NAME if word == "virtual" else word for word in command.words]
        for command in run_by("test_a_host_with_debians_kernel_from_up_to_down")
    )
    try:
        started = passerelle(*up)
        assert started.returncode == 0, started.stderr
        assert passerelle(*link).returncode == 0
        lab = Lab.attach(NAME)
        at_console = passerelle("lab", "exec", "-n", NAME, "pve1", "--", "sh", "-c", "uname -r; cat; exit 3", given="x")
        assert (at_console.stdout.endswith("-amd64\nx"), at_console.returncode) == (True, 3)
        host = lab.host("pve1")
        assert isinstance(host, VirtualHost)
        assert host.wait_until_up() == "running", host.failed_units()
        host.write("/root/bytes", b"\x00\xff\n")
        assert host.read("/root/bytes") == b"\x00\xff\n"
        with pytest.raises(LabError, match="the lab's guests live in the machine's"):
            host.guest_add("dev")
    finally:
        ended = passerelle(*down)
    assert ended.returncode == 0, ended.stderr
    assert not cgroups.populated(lab.cgroup)


def test_a_kernel_that_nobody_knows_and_guests_under_qemu_are_refused_at_once() -> None:
    with pytest.raises(LabError, match="the lab has no kernel 'bsd'"):
        second_kernel.known("bsd")
    refused = passerelle("lab", "up", "-n", NAME, "--kernel", "debian", "--guests", "pve1/dev")
    assert (refused.returncode, "leave out --guests or --kernel" in refused.stderr) == (1, True)
