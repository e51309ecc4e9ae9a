"""Certificates and their keys on disk.

    kept/NAME/0003/{fullchain.pem,privkey.pem,facts.json}   written whole, never changed
    live/NAME -> ../kept/NAME/0003                          what nginx reads; swapped by one rename

So nginx never reads the key of one certificate with the chain of another, and a step back is one rename, too.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from dataclasses import dataclass
from typing import Iterator, Optional

from . import openssl
from .durable import Json, make_folder, read_json, sync_folder, write_json, write_new
from .settings import Wanted
from .world import World

KEPT_VERSIONS = 3


@dataclass(frozen=True)
class Version:
    """One certificate on disk. `facts`: kind, names, not_before, not_after, issuer, serial, directory (null: none)."""

    number: int
    folder: str
    facts: Json

    @property
    def chain(self) -> str:
        return os.path.join(self.folder, "fullchain.pem")


def versions(world: World, name: str) -> list[Version]:
    """All certificates of this name that are whole, the oldest first."""
    top = world.kept("kept", name)
    found = []
    with contextlib.suppress(FileNotFoundError):
        for each in sorted(os.listdir(top)):
            if each.isdigit():
                with contextlib.suppress(ValueError):  # a spoiled one is none
                    facts = read_json(os.path.join(top, each, "facts.json"))
                    if facts:
                        found.append(Version(int(each), os.path.join(top, each), facts))
    return found


def live(world: World, name: str) -> Optional[Version]:
    """What nginx reads for this name; None when there is nothing."""
    try:
        target = os.path.basename(os.readlink(world.kept("live", name)))
    except OSError:
        return None
    return next((each for each in versions(world, name) if os.path.basename(each.folder) == target), None)


def keep(world: World, name: str, chain: bytes, key: bytes, facts: Json) -> Version:
    """Write a certificate with its key as the newest of this name. It is not live yet."""
    top = world.kept("kept", name)
    make_folder(top)
    number = max((each.number for each in versions(world, name)), default=0) + 1
    partial, folder = os.path.join(top, "new"), os.path.join(top, f"{number:04d}")
    for left in (partial, folder):
        shutil.rmtree(left, ignore_errors=True)
    os.mkdir(partial, 0o700)
    write_new(os.path.join(partial, "privkey.pem"), key)
    write_new(os.path.join(partial, "fullchain.pem"), chain)
    write_json(os.path.join(partial, "facts.json"), facts)
    os.rename(partial, folder)
    sync_folder(top)
    return Version(number, folder, facts)


def make_live(world: World, name: str, version: Optional[Version]) -> None:
    """Let nginx read this version from its next reload on; None: none."""
    make_folder(world.kept("live"))
    link, partial = world.kept("live", name), world.kept("live", f".{name}.new")
    with contextlib.suppress(FileNotFoundError):
        os.unlink(partial)
    if version is None:
        os.unlink(link)
    else:
        os.symlink(os.path.join("..", "kept", name, os.path.basename(version.folder)), partial)
        os.rename(partial, link)
    sync_folder(world.kept("live"))


def prune(world: World, name: str) -> None:
    """Remove old versions, but never the one that is live."""
    served = live(world, name)
    for each in versions(world, name)[:-KEPT_VERSIONS]:
        if served is None or each.folder != served.folder:
            shutil.rmtree(each.folder)


def placeholder(world: World, wanted: Wanted) -> bool:
    """A self-signed certificate where there is none, or only one for other names; True when one was made.

    A name whose link was lost gets its newest certificate back.
    """
    served, kept = live(world, wanted.name), versions(world, wanted.name)
    issued = [each for each in kept if each.facts["kind"] != "self-signed"]
    if served is None and issued:
        make_live(world, wanted.name, issued[-1])
        return True
    if served and (served.facts["kind"] != "self-signed" or served.facts["names"] == list(wanted.names)):
        return False
    with scratch(world) as folder:
        chain, key, facts = openssl.self_signed(wanted, world.now(), folder)
    version = keep(world, wanted.name, chain, key, facts)
    make_live(world, wanted.name, version)
    prune(world, wanted.name)
    return True


@contextlib.contextmanager
def scratch(world: World) -> Iterator[str]:
    """A folder of our own that is gone afterwards."""
    folder = world.kept(f"scratch-{os.getpid()}")
    shutil.rmtree(folder, ignore_errors=True)
    os.mkdir(folder, 0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
