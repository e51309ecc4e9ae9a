"""Unpack a small Debian of this machine's release, what deploy/compose/Containerfile begins with, and print its folder.

    .venv/bin/python deploy/package/base.py

Root runs it. The packages come from the machine's own package sources, which the result does not name. It is kept next
to the images of lab hosts.
"""

import hashlib
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

from service.lab import apt, archive, image
from service.lab.progress import Progress, Say

PACKAGES = ("ca-certificates", "git", "openssh-client", "python3", "python3-venv")
COPYRIGHT = "/usr/share/doc/*/copyright"
OF_THIS_MACHINE = ("etc/apt/apt.conf.d/99mmdebstrap", "etc/apt/sources.list", "etc/hostname", "etc/resolv.conf")


def main() -> None:
    """Make it, or find the one that was made of the same packages before. Older ones are removed."""
    suite, cache = apt.suite_of(""), image.cache_folder()
    cache.mkdir(parents=True, exist_ok=True)
    with Progress(f"base image {suite}") as say, image.exclusive(cache / "base.lock", say):
        source = archive.of(suite, cache, say)
        state = repr((PACKAGES, COPYRIGHT, OF_THIS_MACHINE, suite, apt.digest(source.lists)))
        base = cache / f"base-{suite}-{hashlib.sha256(state.encode()).hexdigest()[:16]}"
        if not base.is_dir():
            for old in cache.glob(f"base-{suite}-*"):
                shutil.rmtree(old)
            make(base.with_suffix(".partial"), source, say)
            base.with_suffix(".partial").rename(base)
    print(base)


def make(root: Path, source: archive.Archive, say: Say) -> None:
    """Unpack it, and have it name Debian's own archive."""
    with TemporaryDirectory() as tool:
        image.bootstrap(root, Path(tool), source, say, PACKAGES, COPYRIGHT)
    sources = root / "etc/apt/sources.list.d"
    for path in (*sources.glob("*"), *(root / name for name in OF_THIS_MACHINE)):
        path.unlink(missing_ok=True)
    (root / "etc/machine-id").write_text("")


if __name__ == "__main__":
    main()
