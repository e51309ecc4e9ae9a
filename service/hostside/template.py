"""The system that new guests are made of: built once with mmdebstrap(1) from the host's own package sources.

It lies in /var/cache/passerelle/templates, named by Debian's release and a digest of all that decides its content. A
file there is whole: it gets its name last. One that is older than a month is built again.
"""

from __future__ import annotations

import contextlib
import glob
import hashlib
import json
import os
import re
import shutil
import time
from typing import Callable, NamedTuple

from service.hostside.commands import run_command, safe_line
from service.hostside.durable import make_folders, sync_folder
from service.hostside.errors import Refused, Trouble
from service.hostside.host import Host, read_text
from service.hostside.sources import own_sources

FOLDER = "/var/cache/passerelle/templates"
ROOM_BYTES = 600 << 20
KEPT_S = 30 * 86_400
PIP = "/etc/pip.conf"
MOST_PIP_CHARS = 1 << 16
"""Where the host's Python packages come from, if that is not the usual index: a guest needs the same."""
INSTALLED = ("apt", "ca-certificates", "dbus", "iproute2", "netbase", "systemd-resolved", "systemd-sysv")
NETWORK = """\
# Written by passerelle: the address comes from the host's DHCP server, by the MAC address.
[Match]
Name=eth0

[Network]
DHCP=ipv4

[DHCPv4]
ClientIdentifier=mac
UseDomains=yes
"""
RESOLVER = """\
# Written by passerelle: names come from the host's DNS server alone.
[Resolve]
LLMNR=no
MulticastDNS=no
"""
FILES = {
    "/etc/systemd/network/10-passerelle.network": NETWORK,
    "/etc/systemd/resolved.conf.d/passerelle.conf": RESOLVER,
}
MASKED = ("sys-kernel-debug.mount", "sys-kernel-tracing.mount", "systemd-modules-load.service")
"""Units that fail in a guest that is not the kernel's own."""
HOOKS = (
    'chroot "$1" systemctl --quiet enable systemd-networkd.service systemd-resolved.service',
    f'chroot "$1" systemctl --quiet mask {" ".join(MASKED)}',
)


class Recipe(NamedTuple):
    """What a template is made of. `sources` is the text of a file as in sources.list(5)."""

    release: str
    packages: tuple[str, ...]
    sources: str
    options: tuple[str, ...]
    pip: str = ""

    def digest(self) -> str:
        """Of all that decides the content."""
        made = [1, self.release, sorted(self.packages), self.sources, list(self.options), FILES, list(HOOKS)]
        made += [self.pip] if self.pip else []
        return hashlib.sha256(json.dumps(made).encode()).hexdigest()[:16]


def recipe_of(host: Host, packages: list[str]) -> Recipe:
    """This host's release and sources. Refused where it is not Debian, or has no source of its release."""
    release = re.search(r'(?m)^VERSION_CODENAME="?([a-z]{3,20})"?$', read_text(host.path("/etc/os-release")))
    if release is None:
        raise Refused("guests", "/etc/os-release names no release of Debian, so no guest can be made of it")
    sources = own_sources(host, release[1])
    if not sources:
        raise Refused("guests", f"no package source of the host has {release[1]}. Fix: add one in /etc/apt")
    wanted = tuple(sorted({*INSTALLED, *packages}))
    return Recipe(release[1], wanted, sources, carried_options(host), read_text(host.path(PIP), MOST_PIP_CHARS))


def carried_options(host: Host) -> tuple[str, ...]:
    """The proxy that the host's apt uses, if it has one: a guest needs the same."""
    found = []
    for name in ("Acquire::http::Proxy", "Acquire::https::Proxy"):
        said = run_command(host, ["apt-config", "shell", "VALUE", name]).out.strip()
        value = re.fullmatch(r"VALUE='([A-Za-z0-9_.:/@\[\]-]{1,200})'", said)
        found += [f'{name} "{value[1]}"'] if value else []
    return tuple(found)


def template(host: Host, recipe: Recipe, ending: str, timeout_s: float, say: Callable[[str], None]) -> str:
    """The path of the template, which is built if it is not there. `ending` is .tar, or .tar.zst for a compressed one.
    Trouble where mmdebstrap fails; Refused where there is no room."""
    path = f"{FOLDER}/debian-{recipe.release}-{recipe.digest()}{ending}"
    here = host.path(path)
    if os.path.exists(here) and time.time() - os.stat(here).st_mtime < KEPT_S:
        return path
    make_folders(host.path(FOLDER))
    for left in glob.glob(glob.escape(host.path(FOLDER)) + "/.work-*"):
        shutil.rmtree(left, ignore_errors=True)
    room = os.statvfs(host.path(FOLDER))
    if room.f_bavail * room.f_frsize < ROOM_BYTES:
        raise Refused("space", f"the template needs {ROOM_BYTES >> 20} MiB below {FOLDER}, and less is free")
    say(f"making the template of Debian {recipe.release}")
    work = f"{FOLDER}/.work-{os.getpid()}"
    try:
        built = build(host, recipe, work, ending, timeout_s)
        os.rename(host.path(built), here)
        sync_folder(host.path(FOLDER))
    finally:
        shutil.rmtree(host.path(work), ignore_errors=True)
    forget_older(host, path)
    return path


def build(host: Host, recipe: Recipe, work: str, ending: str, timeout_s: float) -> str:
    """Run mmdebstrap in a folder of its own; the path of what it made, on disk."""
    files, made = f"{work}/files", f"{work}/made{ending}"
    for path, text in FILES.items():
        make_folders(os.path.dirname(host.path(files + path)))
        with open(host.path(files + path), "w", encoding="utf-8") as file:
            file.write(text)
    with open(host.path(f"{work}/own.sources"), "w", encoding="utf-8") as file:
        file.write(recipe.sources)
    copied = set(re.findall(r"(?m)^Signed-By: (/etc/[A-Za-z0-9._/-]{1,200})$", recipe.sources))
    for path in sorted(copied | ({PIP} if recipe.pip else set())):
        make_folders(os.path.dirname(host.path(files + path)))
        shutil.copy(host.path(path), host.path(files + path))
    options = ['Acquire::Languages "none"', *recipe.options]
    argv = ["env", f"TMPDIR={host.path(work)}", "mmdebstrap", "--quiet", "--mode=root", "--variant=minbase"]
    argv += [f"--include={','.join(recipe.packages)}", *(f"--aptopt={option}" for option in options)]
    argv += [f"--customize-hook=sync-in {host.path(files)} /", *(f"--customize-hook={hook}" for hook in HOOKS)]
    argv += [recipe.release, host.path(made), host.path(f"{work}/own.sources")]
    ran = run_command(host, argv, timeout_s, group=True)
    if ran.code != 0:
        lines = [line for line in ran.err.splitlines() if line.startswith("E:")]
        raise Trouble(f"mmdebstrap cannot make the template: {safe_line(lines[0] if lines else ran.err)}")
    with open(host.path(made), "rb") as whole:
        os.fsync(whole.fileno())
    return made


def forget_older(host: Host, path: str) -> None:
    """Only the newest few templates stay."""
    kept = sorted(glob.glob(glob.escape(host.path(FOLDER)) + "/debian-*"), key=os.path.getmtime)[:-3]
    for old in kept:
        if old != host.path(path):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(old)
