"""A simple index of Python packages for the lab's guests (PEP 503), filled by the machine's own pip.

Only what a file of locked requirements names, verified by its hashes, for the Pythons of the lab's Debian releases.
"""

import hashlib
import html
import os
import re
import sys
import tempfile
from pathlib import Path

from service.lab import enter, image
from service.lab.progress import Progress

PYTHONS = ("3.11", "3.13")  # of Debian 12 and 13
HOST = "pip.lab.example"
PIP_CONF = f"[global]\nindex-url = http://{HOST}/python/simple/\ntrusted-host = {HOST}\n"
"""What a guest needs as /etc/pip.conf."""


def ensure(requirements: Path) -> Path:
    """The folder that is served as `/python/`, from the cache or filled now. LabError when pip cannot."""
    cache = image.cache_folder()
    key = hashlib.sha256(requirements.read_bytes() + repr(PYTHONS).encode()).hexdigest()[:16]
    wanted = cache / f"python-{key}"
    if not wanted.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        with Progress("python packages") as say, image.exclusive(cache / "python.lock", say):
            if not wanted.is_dir():
                partial = Path(tempfile.mkdtemp(prefix="python-", dir=cache))
                partial.chmod(0o755)
                say("downloading")
                for version in PYTHONS:
                    _download(requirements, partial / "files", version)
                _write_index(partial)
                partial.rename(wanted)
    os.utime(wanted)
    return wanted


def _download(requirements: Path, folder: Path, version: str) -> None:
    argv = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--disable-pip-version-check",
        "--no-input",
        "--no-deps",
    ]
    argv += ["--only-binary", ":all:", "--implementation", "cp", "--python-version", version, "--require-hashes"]
    argv += ["--dest", str(folder), "--requirement", str(requirements)]
    enter.run(argv, stdin=None, timeout_s=180, check=True, what="pip download")


def _write_index(folder: Path) -> None:
    """A page for each package, with a link to each of its files and its hash."""
    pages: dict[str, list[str]] = {}
    for file in sorted((folder / "files").iterdir()):
        name = re.sub(r"[-_.]+", "-", file.name.split("-")[0]).lower()
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        shown = html.escape(file.name)
        pages.setdefault(name, []).append(f'<a href="../../files/{shown}#sha256={digest}">{shown}</a><br>')
    for name, links in pages.items():
        page = folder / "simple" / name / "index.html"
        page.parent.mkdir(parents=True)
        page.write_text("<!DOCTYPE html>\n" + "\n".join(links) + "\n")
