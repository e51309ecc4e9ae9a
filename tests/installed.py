"""The wheel of this checkout as a person installs it, with Debian's pipx and the locked versions of its libraries."""

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from hatchling.builders.wheel import WheelBuilder

from service.lab.waiting import grown_s
from tests.documents import TOP

LOCKED = re.compile(r"^[A-Za-z0-9_.-]+==[^\s;\\]+", re.MULTILINE)


@dataclass(frozen=True)
class Installed:
    """`home` is the folder of the person who installed it: nothing of it is in this checkout."""

    home: Path

    @property
    def program(self) -> Path:
        return self.home / "bin" / "passerelle"

    @property
    def python(self) -> Path:
        return self.home / "venvs" / "passerelle" / "bin" / "python"

    def environment(self, **settings: str) -> dict[str, str]:
        return {"PATH": "/usr/bin:/bin", "HOME": str(self.home), "LC_ALL": "C.UTF-8", **settings}

    def run(self, *words: str | Path, **settings: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            words, env=self.environment(**settings), cwd=self.home, capture_output=True, text=True,
            timeout=grown_s(120), check=False,
        )  # fmt: skip


def installed_wheel(home: Path) -> Installed:
    """Build it and install it, from the package index that pip uses on this machine."""
    (wheel,) = WheelBuilder(str(TOP)).build(directory=str(home), versions=["standard"])
    locked = home / "locked.txt"
    requirements = (TOP / "deploy" / "requirements" / "runtime.txt").read_text()
    locked.write_text("\n".join(LOCKED.findall(requirements)))
    places = {"PIPX_HOME": str(home), "PIPX_BIN_DIR": str(home / "bin"), "HOME": str(home)}
    subprocess.run(
        ["/usr/bin/pipx", "install", f"--pip-args=--constraint {locked}", wheel],
        env={**os.environ, **places}, cwd=home, check=True, capture_output=True, timeout=grown_s(600),
    )  # fmt: skip
    return Installed(home)
