"""Copy the service and its locked libraries into a folder, as `deploy/setup` has installed them here.

    .venv/bin/python deploy/package/libraries.py FOLDER

A library whose version is not the locked one is an error. What only builds the package is left out.
"""

import re
import shutil
import sys
import zipfile
from importlib.metadata import distribution
from pathlib import Path
from tempfile import TemporaryDirectory

from hatchling.builders.wheel import WheelBuilder

TOP = Path(__file__).parents[2]
LOCKED = re.compile(r"^([A-Za-z0-9_.-]+)(?:\[[^]]*\])?==([^\s;\\]+)", re.MULTILINE)
ONLY_BUILDS = {"hatchling", "editables", "pathspec", "pluggy", "trove-classifiers", "pip", "setuptools", "wheel"}


def copy_library(name: str, version: str, folder: Path) -> None:
    """Its files, but for commands and compiled ones."""
    found = distribution(name)
    if found.version != version:
        raise SystemExit(f"{name} {found.version} is installed and {version} is locked. Fix: run deploy/setup")
    for file in found.files or ():
        if ".." in file.parts or "__pycache__" in file.parts:
            continue
        into = folder / file
        into.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(str(file.locate()), into)


def main() -> None:
    """Copy all of them."""
    folder = Path(sys.argv[1])
    for name, version in LOCKED.findall((TOP / "deploy" / "requirements" / "runtime.txt").read_text()):
        if name.lower() not in ONLY_BUILDS:
            copy_library(name, version, folder)
    with TemporaryDirectory() as made:
        (wheel,) = WheelBuilder(str(TOP)).build(directory=made, versions=["standard"])
        with zipfile.ZipFile(wheel) as opened:
            opened.extractall(folder)


if __name__ == "__main__":
    main()
