"""The service next to a lab lives no longer than the process that started it."""

import subprocess
import sys
from pathlib import Path

import pytest

from service.lab import Lab
from service.lab.waiting import wait_for

pytestmark = pytest.mark.lab

OPENS = """
import sys, time
from pathlib import Path
from service.lab import Lab
from service.lab.field import Field

with Field.open(Lab.attach(sys.argv[1]), room=Path(sys.argv[2])) as field:
    print(field._process.pid, flush=True)
    time.sleep(600)
"""


def test_a_killed_owner_leaves_no_service_behind(lab: Lab, tmp_path: Path) -> None:
    command = [sys.executable, "-c", OPENS, lab.name, str(tmp_path / "room")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        service = Path("/proc", owner.stdout.readline().strip())
        assert b"serve" in (service / "cmdline").read_bytes()
        owner.kill()
    wait_for(lambda: not service.exists(), "the end of the service", timeout_s=30)
