"""The index of Python packages for guests, as pip in an environment of its own sees it."""

import sys
from pathlib import Path

import pytest

from service.lab import Lab, addresses

pytestmark = pytest.mark.lab

REQUIREMENTS = Path(__file__).parents[2] / "service/guestside/requirements.txt"


def test_pip_gets_the_locked_packages_for_both_releases(tmp_path: Path) -> None:
    with Lab.up("python", hosts=[]) as lab:
        lab.offer_python(REQUIREMENTS)
        index = ["--index-url", f"http://{addresses.INTERNET}/python/simple/", "--trusted-host", addresses.INTERNET]
        alone = ["env", "-i", "PIP_CONFIG_FILE=/dev/null", sys.executable, "-m", "pip", "download", "--quiet"]
        for version in ("3.11", "3.13"):
            chosen = ["--python-version", version, "--only-binary", ":all:", "--no-deps", "--require-hashes"]
            where = ["--dest", str(tmp_path / version), "--requirement", str(REQUIREMENTS)]
            lab.run_in("ctl", [*alone, *index, *chosen, *where], timeout_s=90, check=True)
            assert list((tmp_path / version).glob("cryptography-*.whl"))
