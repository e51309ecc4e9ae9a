"""Guests of plain LXC: made unprivileged, with settings of their own in /var/lib/lxc (lxc.container.conf(5))."""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import shutil
import stat

from service.hostside.commands import run_command, safe_line
from service.hostside.durable import make_folders, sync_folder, write_atomic
from service.hostside.errors import Refused, Trouble
from service.hostside.guest_order import MOUNTS, Wanted
from service.hostside.host import Host, read_text
from service.hostside.inside import CONTAINERS

IDS = 65_536
FIRST_ID = 100_000
RESOLVER = "../run/systemd/resolve/stub-resolv.conf"


def id_base(host: Host) -> int:
    """The first of the host's user and group numbers that guests have. Taken from root's range in subuid(5) and
    subgid(5), which is added behind all others if there is none."""
    files = [host.path("/etc/subuid"), host.path("/etc/subgid")]
    texts = [read_text(path, 1 << 20) for path in files]
    rows = [re.findall(r"(?m)^([^:\n]{1,64}):([0-9]{1,10}):([0-9]{1,10})$", text) for text in texts]
    own = [{int(start) for who, start, count in each if who in ("root", "0") and int(count) >= IDS} for each in rows]
    if both := own[0] & own[1]:
        return min(both)
    ends = [int(start) + int(count) for each in rows for _, start, count in each]
    base = -(-max([FIRST_ID, *ends]) // IDS) * IDS if ends else FIRST_ID
    for path, text in zip(files, texts):
        write_atomic(path, f"{text}\nroot:{base}:{IDS}\n".lstrip("\n").encode(), 0o644)
    return base


def has_apparmor(host: Host) -> bool:
    """Whether a profile can be loaded: the kernel has AppArmor switched on, and its parser is installed."""
    enabled = read_text(host.path("/sys/module/apparmor/parameters/enabled"))
    return enabled == "Y" and shutil.which("apparmor_parser", path=host.bin_dir or "/usr/sbin:/sbin") is not None


def settings(wanted: Wanted, base: int, apparmor: bool) -> str:
    """The settings of a new container. /sys is read-only: otherwise networkd waits for udev, which a guest lacks."""
    lines = [
        "# Made by passerelle. It changes only lxc.start.auto and its own two lxc.mount.entry lines.",
        "lxc.include = /usr/share/lxc/config/common.conf",
        "lxc.include = /usr/share/lxc/config/userns.conf",
        "lxc.mount.auto =",
        "lxc.mount.auto = cgroup:mixed proc:mixed sys:ro",
        f"lxc.idmap = u 0 {base} {IDS}",
        f"lxc.idmap = g 0 {base} {IDS}",
        f"lxc.apparmor.profile = {'generated' if apparmor else 'unconfined'}",
        *(["lxc.apparmor.allow_nesting = 1"] if apparmor else []),
        f"lxc.rootfs.path = dir:{CONTAINERS}/{wanted.name}/rootfs",
        f"lxc.uts.name = {wanted.name}",
        "lxc.net.0.type = veth",
        f"lxc.net.0.link = {wanted.bridge}",
        "lxc.net.0.flags = up",
        "lxc.net.0.name = eth0",
        f"lxc.net.0.hwaddr = {wanted.mac}",
        *([f"lxc.net.0.veth.pair = {wanted.port}"] if wanted.port else []),
    ]
    return with_ours("\n".join(lines) + "\n", wanted.name, wanted.autostart)


def with_ours(text: str, name: str, autostart: bool) -> str:
    """Settings with our two mounts and whether the guest starts at boot; every other line stays as it is."""
    places = "|".join(re.escape(place) for place, _, _ in MOUNTS)
    ours = re.compile(
        rf"[ \t]*(?:lxc\.start\.auto[ \t]*=.*|lxc\.mount\.entry[ \t]*=[ \t]*\S+[ \t]+/?(?:{places})[ \t].*)"
    )
    kept = [line for line in text.splitlines() if not ours.fullmatch(line)]
    kept += [f"lxc.start.auto = {int(autostart)}"]
    kept += [f"lxc.mount.entry = {folder}/{name} {place} none {options} 0 0" for place, folder, options in MOUNTS]
    return "\n".join(kept) + "\n"


def make(host: Host, wanted: Wanted, archive: str, timeout_s: float) -> None:
    """A container from a template. It is made next to its place and gets its name when all of it is on disk, so that a
    part of one is never taken for a container."""
    place, staging = f"{CONTAINERS}/{wanted.name}", f"{CONTAINERS}/.passerelle-{wanted.name}"
    if os.path.lexists(host.path(place)):
        raise Refused(
            "guests",
            f"{place} exists and is a container with another MAC address than {wanted.mac}. "
            f"Fix: write its MAC address in `guests.{wanted.name}.mac`, or rename one of the two",
        )
    base = id_base(host)
    shutil.rmtree(host.path(staging), ignore_errors=True)
    make_folders(host.path(staging))
    root = host.path(f"{staging}/rootfs")
    os.mkdir(root, 0o755)
    os.chown(root, base, base)
    unpack(host, archive, root, base, timeout_s)
    furnish(root, wanted.name, base)
    write_atomic(host.path(f"{staging}/config"), settings(wanted, base, has_apparmor(host)).encode(), 0o644)
    sync_whole(host.path(staging))
    os.rename(host.path(staging), host.path(place))
    sync_folder(host.path(CONTAINERS))


def sync_whole(folder: str) -> None:
    """All of the file system that a folder is on, to the disk (syncfs(2))."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if ctypes.CDLL(None, use_errno=True).syncfs(fd) != 0:
            raise OSError(ctypes.get_errno(), "syncfs failed", folder)
    finally:
        os.close(fd)


def unpack(host: Host, archive: str, root: str, base: int, timeout_s: float) -> None:
    """tar(1) in a user namespace: the owners in the archive become those of the guest. Device files cannot be made
    there, and are not needed: LXC makes them at each start."""
    ids = ["-m", f"u:0:{base}:{IDS}", "-m", f"g:0:{base}:{IDS}"]
    tar = ["tar", "--extract", f"--file={host.path(archive)}", f"--directory={root}", "--numeric-owner", "--same-owner"]
    tar += ["--preserve-permissions", "--xattrs", "--xattrs-include=*", "--exclude=./dev/*"]
    ran = run_command(host, ["lxc-usernsexec", *ids, "--", *tar], timeout_s, group=True)
    if ran.code != 0:
        raise Trouble(f"the template cannot be unpacked: {safe_line(ran.err)}")


def furnish(root: str, name: str, base: int) -> None:
    """What differs between guests. The root is new and nobody has run in it: no link of it leads elsewhere yet, and
    none is followed."""
    texts = {
        "etc/hostname": f"{name}\n",
        "etc/hosts": f"127.0.0.1\tlocalhost\n127.0.1.1\t{name}\n::1\tlocalhost ip6-localhost ip6-loopback\n",
        "etc/machine-id": "",
    }
    for path, text in texts.items():
        here = os.path.join(root, path)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(here)
        fd = os.open(here, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644)
        try:
            os.write(fd, text.encode())
            os.fchown(fd, base, base)
        finally:
            os.close(fd)
    resolver = os.path.join(root, "etc/resolv.conf")
    with contextlib.suppress(FileNotFoundError):
        os.unlink(resolver)
    os.symlink(RESOLVER, resolver)
    os.lchown(resolver, base, base)


def set_up(host: Host, own: str, wanted: Wanted) -> None:
    """Our lines of a container that exists."""
    path = host.path(f"{CONTAINERS}/{own}/config")
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        text = file.read(1 << 20)
        mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
    changed = with_ours(text, wanted.name, wanted.autostart)
    if changed != text:
        write_atomic(path, changed.encode("utf-8", "surrogateescape"), mode)


def mapped_root(text: str) -> int:
    """Which user of the host is root of a container with these settings: 0 where it is privileged."""
    found = re.search(r"(?m)^[ \t]*lxc\.idmap[ \t]*[=:][ \t]*u 0 ([0-9]{1,10}) ", text)
    return int(found[1]) if found else 0


def start(host: Host, own: str) -> None:
    """Trouble with what LXC says where it does not start."""
    ran = run_command(host, ["lxc-start", "-n", own], 60.0)
    if ran.code != 0:
        lines = [line for line in ran.err.splitlines() if line.strip()]
        said = re.sub(r"^lxc-start: \S+: (?:\S+: [a-z_]+: [0-9]+ )?", "", safe_line(lines[0] if lines else ""))
        raise Trouble(f"lxc-start failed: {said}")
