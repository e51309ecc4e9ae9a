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
    """Fill `target` with a flat repository: exactly what the image at `root` lacks for the installable packages."""
    cache = target.with_name("download")
    (cache / "archives" / "partial").mkdir(parents=True)
    common = [
        "apt-get",
        *source.options,
        "--yes",
        "--download-only",
        "--no-install-recommends",
        "-o",
        f"Dir::State::status={root}/var/lib/dpkg/status",
        "-o",
        "Dir::State::extended_states=/dev/null",
        "-o",
        f"Dir::Cache={cache}",
        "-o",
        "APT::Sandbox::User=root",
        "-o",
        "Debug::NoLocking=1",
    ]
    what = "downloading the hosts' packages"
    apt.run([*common, "install", *recipe.INSTALLABLE], what=what, timeout_s=300, say=say)
    again = [*common, "--reinstall", "install", *recipe.INSTALLABLE_AGAIN]
    apt.run(again, what=what, timeout_s=300, say=say)
    target.mkdir()
    stanzas = [publish(deb, target) for deb in sorted((cache / "archives").glob("*.deb"))]
    write_index(target, "\n".join(stanzas))
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


def write_index(target: Path, packages: str) -> None:
    """Packages, Packages.gz and an unsigned Release; apt takes them with [trusted=yes]."""
    files = {"Packages": packages.encode()}
    files["Packages.gz"] = gzip.compress(files["Packages"], mtime=0)
    sums = "".join(f" {hashlib.sha256(c).hexdigest()} {len(c)} {n}\n" for n, c in files.items())
    for name, content in files.items():
        (target / name).write_bytes(content)
    (target / "Release").write_text(
        f"Origin: passerelle lab\nSuite: lab\nDate: {RELEASE_DATE}\nArchitectures: amd64 arm64 all\nSHA256:\n{sums}"
    )
