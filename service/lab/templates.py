"""Templates of guests: made once on a host of an image, then lent to other hosts of the same image.

To make one takes a host half a minute. It is kept next to the image, so it goes when the image goes.
"""

import os
import shutil
from pathlib import Path

from service.lab import enter, image
from service.lab.host import Host

FOLDER = "/var/cache/passerelle/templates"
PATTERN = "debian-*.tar*"


def lend(host: Host) -> list[str]:
    """Put the kept templates on a host that runs, as new ones; their names, empty where none is kept yet."""
    there, lent = _on(host), []
    for kept in sorted(_kept(host).glob(PATTERN)):
        there.mkdir(parents=True, exist_ok=True)
        shutil.copy(kept, there / kept.name)
        lent.append(kept.name)
    return lent


def keep(host: Host) -> list[str]:
    """Keep what a host has made; the names of what is kept now."""
    folder = _kept(host)
    folder.mkdir(exist_ok=True)
    for made in sorted(_on(host).glob(PATTERN)):
        kept = folder / made.name
        if not kept.exists():
            partial = kept.with_name(f".{kept.name}.{os.getpid()}")
            shutil.copy(made, partial)
            partial.rename(kept)
    return sorted(path.name for path in folder.glob(PATTERN))


def _kept(host: Host) -> Path:
    return image.ensure(host.suite).folder / "templates"


def _on(host: Host) -> Path:
    return enter.inside_root(host.console_pid, FOLDER)
