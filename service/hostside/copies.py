"""Packages that go, and the copies that they come back from."""

from __future__ import annotations

import os
import re
import shutil
import stat

from service.hostside.commands import must
from service.hostside.durable import remove, write_new
from service.hostside.errors import Json, Refused, Trouble
from service.hostside.facts import FACTS
from service.hostside.host import Host
from service.hostside.policy import begin_packages, finish_packages

PACKAGE_LIMIT_BYTES = 512 << 20
DPKG_TIMEOUT_S = 60.0


def packages_of(document: dict[str, Json]) -> list[str]:
    """The packages that a transaction removes, in its order."""
    return [step["fact"][8:] for step in document["steps"] if step["fact"].startswith("package:")]


def package_units(host: Host, names: list[str]) -> list[str]:
    """The unit facts that go with packages: they come back as they were."""
    if not names:
        return []
    listed = must(host, ["dpkg-query", "-L", *names]).splitlines()
    found = [re.fullmatch(r"(?:/usr)?/lib/systemd/system/([^/@]+)", line) for line in listed]
    units = ["unit:" + match[1] for match in found if match and re.fullmatch(FACTS["unit"].names, match[1])]
    return [fact for fact in dict.fromkeys(units) if fact.endswith((".service", ".socket", ".timer", ".path"))]


def kept_file(folder: str, name: str) -> str:
    return os.path.join(folder, f"package-{name}.deb")


def forget_copies(folder: str) -> None:
    """Nothing comes back from them any more."""
    old = os.path.join(folder, "old")
    for name in os.listdir(old) if os.path.isdir(old) else []:
        if name.endswith(".deb"):
            remove(os.path.join(old, name))


def keep_package(host: Host, name: str, folder: str) -> int:
    """Pack an installed package as it is, so that it can come back without a network; the bytes of the copy.

    apt's own archive is mostly empty, and a mirror may be out of reach when the package is missed. Refused where it
    cannot be packed: then it is not removed either.
    """
    size = 1024 * int(must(host, ["dpkg-query", "-W", "-f", "${Installed-Size}", name]) or 0)
    room = os.statvfs(folder)
    if size > PACKAGE_LIMIT_BYTES or room.f_bavail * room.f_frsize < 3 * size + (64 << 20):
        raise Refused(
            "space", f"the disk has no space for a copy of {name} ({size >> 20} MiB), which a rollback would need"
        )
    tree, copy = os.path.join(folder, "packing"), kept_file(folder, name)
    shutil.rmtree(tree, ignore_errors=True)
    try:
        listed = must(host, ["dpkg-query", "-L", name]).splitlines()
        if not all(line.startswith("/") and (line == "/." or os.path.normpath(line) == line) for line in listed):
            raise Trouble(f"{name} has files that another package put aside")
        parents = {parent for line in listed for parent in (os.path.dirname(line), line if line == "/." else "")}
        os.makedirs(tree, 0o755)
        for line in listed:
            _pack(host.path(line), tree + line, line in parents)
        os.mkdir(os.path.join(tree, "DEBIAN"), 0o755)
        for item in must(host, ["dpkg-query", "--control-list", name]).split():
            source = must(host, ["dpkg-query", "--control-path", name, item]).strip()
            target = os.path.join(tree, "DEBIAN", os.path.basename(item))
            shutil.copyfile(source, target)
            os.chmod(target, 0o755 if item in ("preinst", "postinst", "prerm", "postrm", "config") else 0o644)
        status = re.sub(
            r"^(Status|Conffiles|Config-Version|Triggers-[A-Za-z]+):.*\n(?:[ \t].*\n)*",
            "",
            must(host, ["dpkg-query", "-s", name]).rstrip("\n") + "\n",
            flags=re.MULTILINE,
        )
        write_new(os.path.join(tree, "DEBIAN", "control"), status.encode(), 0o644)
        must(host, ["dpkg-deb", "-Znone", "--nocheck", "--build", tree, copy], timeout_s=120.0)
    except OSError as error:
        raise Trouble(f"{name} cannot be packed: {error}") from None
    finally:
        shutil.rmtree(tree, ignore_errors=True)
    with open(copy, "rb") as made:
        os.fsync(made.fileno())
    return os.path.getsize(copy)


def _pack(source: str, target: str, is_parent: bool) -> None:
    """One path of a package into its tree. What was deleted by hand stays deleted."""
    if not os.path.lexists(source):
        return
    found = os.stat(source) if is_parent else os.lstat(source)
    if stat.S_ISDIR(found.st_mode):
        os.makedirs(target, exist_ok=True)
    elif stat.S_ISREG(found.st_mode):
        shutil.copyfile(source, target)
    elif stat.S_ISLNK(found.st_mode):
        os.symlink(os.readlink(source), target)
    else:
        raise Trouble(f"{source} is not a file")
    os.chown(target, found.st_uid, found.st_gid, follow_symlinks=False)
    if not stat.S_ISLNK(found.st_mode):
        os.chmod(target, stat.S_IMODE(found.st_mode))
        os.utime(target, ns=(found.st_atime_ns, found.st_mtime_ns))


def remove_package(host: Host, name: str) -> None:
    """dpkg takes what it is informed, by its exact name, and nothing else; apt would look for a way."""
    must(host, ["dpkg", "--remove", "--", name], timeout_s=DPKG_TIMEOUT_S, group=True)


def bring_back(host: Host, copies: list[str]) -> None:
    """Install packages from copies: no network, no question, no service that starts on its own."""
    begin_packages(host)
    try:
        argv = ["dpkg", "--force-confdef", "--force-confold", "--install", *copies]
        must(host, argv, timeout_s=DPKG_TIMEOUT_S, group=True)
    finally:
        finish_packages(host, ours=True)
