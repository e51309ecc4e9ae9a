"""The package repository that the lab's internet serves: what hosts may install, downloaded once with the image."""

import gzip
import hashlib
import re
import shutil
import subprocess
from pathlib import Path

from service.lab import apt, recipe
from service.lab.archive import Archive
from service.lab.progress import Say
from service.lab.waiting import grown_s

RELEASE_DATE = "Thu, 01 Jan 2026 00:00:00 UTC"  # fixed, so that one archive state gives one image


def build(root: Path, target: Path, source: Archive, say: Say) -> None:
    """Fill `target` with a flat repository.

    It has what the image at `root` lacks for the installable packages, and all of a container's packages.
    """
    cache = target.with_name("download")
    (cache / "archives" / "partial").mkdir(parents=True)
    own = ["apt-get", *source.options, "--yes", "--download-only", "--no-install-recommends"]
    settings = {"Dir::Cache": cache, "Dir::State::extended_states": "/dev/null", "APT::Sandbox::User": "root"}
    settings["Debug::NoLocking"] = "1"

    def fetch(what: str, installed: Path, *words: str) -> None:
        chosen = settings | {"Dir::State::status": installed}
        options = [f"--option={name}={value}" for name, value in chosen.items()]
        apt.run([*own, *options, *words], what=what, timeout_s=300, say=say)

    hosts, nothing = root / "var/lib/dpkg/status", Path("/dev/null")
    fetch("downloading the hosts' packages", hosts, "install", *recipe.INSTALLABLE)
    fetch("downloading the hosts' packages", hosts, "--reinstall", "install", *recipe.INSTALLABLE_AGAIN)
    guests = (*recipe.GUEST_BASE, *recipe.GUEST_PACKAGES)
    fetch("downloading the guests' packages", nothing, "install", *guests)
    fetch("downloading the guests' packages", nothing, "install", *guests, *recipe.GUEST_OTHER_WAY)
    target.mkdir()
    stanzas = [publish(deb, target) for deb in sorted((cache / "archives").glob("*.deb"))]
    write_index(target, source.suite, "\n".join(stanzas))
    shutil.rmtree(cache)


def publish(deb: Path, target: Path) -> str:
    """Move one package into the repository under a name that is safe in a URL; its stanza of the index."""
    control = subprocess.run(
        ["dpkg-deb", "--field", str(deb)], capture_output=True, text=True, check=True, timeout=grown_s(30)
    ).stdout
    name = re.sub(r"%3a", ".", deb.name, flags=re.IGNORECASE)
    content = deb.read_bytes()
    shutil.move(deb, target / name)
    sums = f"Size: {len(content)}\nSHA256: {hashlib.sha256(content).hexdigest()}\n"
    return f"{control.rstrip()}\nFilename: ./{name}\n{sums}"


def write_index(target: Path, suite: str, packages: str) -> None:
    """Packages, Packages.gz and an unsigned Release; apt takes them with [trusted=yes].

    mmdebstrap chooses its packages by the suite's name in Release.
    """
    files = {"Packages": packages.encode()}
    files["Packages.gz"] = gzip.compress(files["Packages"], mtime=0)
    sums = "".join(f" {hashlib.sha256(c).hexdigest()} {len(c)} {n}\n" for n, c in files.items())
    for name, content in files.items():
        (target / name).write_bytes(content)
    named = f"Origin: passerelle lab\nSuite: {suite}\nCodename: {suite}\n"
    (target / "Release").write_text(f"{named}Date: {RELEASE_DATE}\nArchitectures: amd64 arm64 all\nSHA256:\n{sums}")
