"""pebble, an ACME server for tests, and pebble-challtestsrv, its DNS server, from Debian's archive.

This version has renewal windows (RFC 9773) and profiles; those of Debian 12 and 13 lack one or both. It is in testing
and in unstable and needs nothing but libc 2.34, so it runs on both. It is taken from the machine's own package sources,
pinned by version and hash, and unpacked into the lab's cache once. Nothing is installed.
"""

import hashlib
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from service.errors import LabError
from service.lab import apt, archive, image
from service.lab.progress import Progress, Say

VERSION = "2.10.0+ds1-2"
SHA256 = {"amd64": "b9a3a3920143f1a6fc568dfa88247be22cafa96c845fe62938c08982a15df315"}
"""Of the package, for each architecture that was tried."""
SUITES = ("forky", "sid")
"""Where the version is looked for: a release keeps it longer than unstable does."""


@dataclass(frozen=True)
class Pebble:
    """Both programs, by their paths."""

    folder: Path

    @property
    def server(self) -> Path:
        """The ACME server: `pebble -config FILE -dnsserver ADDRESS:PORT -strict`."""
        return self.folder / "usr/bin/pebble"

    @property
    def dns(self) -> Path:
        """The DNS server, set over HTTP on its `-management` address."""
        return self.folder / "usr/bin/pebble-challtestsrv"


def ensure() -> Pebble:
    """Both programs, from the cache or fetched now (seconds). LabError when the archive has this version no more."""
    cache = image.cache_folder()
    wanted = cache / f"pebble-{VERSION}"
    if not wanted.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        with Progress("pebble") as say, image.exclusive(cache / "pebble.lock", say):
            if not wanted.is_dir():
                _fetch(wanted, cache, say)
    os.utime(wanted)
    return Pebble(wanted)


def _fetch(wanted: Path, cache: Path, say: Say) -> None:
    why = ""
    for suite in SUITES:
        partial = Path(tempfile.mkdtemp(prefix="pebble-", dir=cache))
        try:
            found = archive.of(suite, cache, say)
            say(f"fetching pebble {VERSION} of {suite}")
            apt.download(f"pebble={VERSION}", partial, found.options)
            check(partial)
        except LabError as failure:
            why = str(failure)
            shutil.rmtree(partial)
            continue
        partial.chmod(0o755)
        partial.rename(wanted)
        return
    hint = f"unpack this version of the package into {wanted}, or try a newer one and set it in service/lab/pebble.py"
    raise LabError(
        f"pebble {VERSION} is not in the suites {', '.join(SUITES)} of the machine's sources: {why}", hint=hint
    )


def check(folder: Path) -> None:
    """The package in the folder is the pinned one, where the architecture has a pin; LabError when it is not."""
    (package,) = folder.glob("*.deb")
    pinned = SHA256.get(package.stem.rpartition("_")[2])
    found = hashlib.sha256(package.read_bytes()).hexdigest()
    if pinned not in (None, found):
        raise LabError(f"the package pebble {VERSION} has the hash {found}, expected {pinned}")
