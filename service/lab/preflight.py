"""What the lab needs of the machine, checked before anything is made, so that a lack is one clear sentence.

Nothing here changes the machine: kernel features are tried in a scratch network namespace that dies with the command.
"""

import ctypes
import os
import shutil
import subprocess
from pathlib import Path

from service.errors import LabError
from service.lab.waiting import grown_s

PROGRAMS = {  # program → the Debian package that has it
    "apt-get": "apt",
    "dpkg-deb": "dpkg",
    "ip": "iproute2",
    "mount": "mount",
    "nft": "nftables",
    "nsenter": "util-linux",
    "perl": "perl-base",
    "setpriv": "util-linux",
    "ssh-keygen": "openssh-client",
    "systemd-nspawn": "systemd-container",
    "unshare": "util-linux",
}
QEMU_PROGRAMS = {"mke2fs": "e2fsprogs", "qemu-system-x86_64": "qemu-system-x86"}
"""Needed for hosts with a kernel of their own only."""
INOTIFY_PER_HOST = 6  # systemd 3, dbus 1, logind 1, hints 1; a host without them stops with "Too many open files"
INOTIFY_SPARE = 20  # for a guest or two, and for what else starts
LINK_TYPES = ("bridge", "veth")


def search_path() -> str:
    """PATH with the sbin folders in it: a login shell of Debian's `su` has them missing."""
    parts = os.environ.get("PATH", "/usr/bin:/bin").split(":")
    return ":".join(parts + [d for d in ("/usr/local/sbin", "/usr/sbin", "/sbin") if d not in parts])


def cgroup2_mount() -> Path:
    """The folder where the machine mounts its unified cgroup tree; raises LabError when it has none."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        fields = line.split()
        if len(fields) > 2 and fields[2] == "cgroup2":
            return Path(fields[1])
    raise LabError("no cgroup2 tree is mounted", hint="mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified")


def missing_link_types(types: tuple[str, ...]) -> list[str]:
    """Which of these `ip link add type X` the kernel refuses; tried in a network namespace of their own."""
    script = "; ".join(
        f'ip link add probe{n} type {kind} >/dev/null 2>&1 || echo "{kind}"' for n, kind in enumerate(types)
    )
    tried = subprocess.run(
        ["unshare", "--net", "sh", "-c", script],
        env={"PATH": search_path()},
        capture_output=True,
        text=True,
        timeout=grown_s(20),
        check=False,
    )
    return tried.stdout.split()


def lacks(host_count: int) -> list[str]:
    """Everything that is in the way, one sentence each; empty = a lab with so many hosts can be started."""
    if os.geteuid() != 0:
        return ["the lab makes network namespaces and mounts: run it as root"]
    path = search_path()
    found = [
        f"{program} is missing: apt-get install {package}"
        for program, package in PROGRAMS.items()
        if shutil.which(program, path=path) is None
    ]
    filesystems = Path("/proc/filesystems").read_text().split()
    found += [f"the kernel lacks {fs}" for fs in ("overlay", "tmpfs", "cgroup2") if fs not in filesystems]
    found += [
        f"the kernel lacks {kind} namespaces"
        for kind in ("net", "mnt", "pid", "uts", "cgroup")
        if not Path("/proc/self/ns", kind).exists()
    ]
    if not found:
        found += [f"the kernel lacks network links of type {kind}" for kind in missing_link_types(LINK_TYPES)]
        cgroup2_mount()
    needed = host_count * INOTIFY_PER_HOST + INOTIFY_SPARE
    free = free_inotify_instances(needed)
    if free < needed:
        found.append(
            f"{host_count} {'host needs' if host_count == 1 else 'hosts need'} {needed} inotify instances, and root "
            f"has {free} left: sysctl fs.inotify.max_user_instances={max(1024, host_count * 16)}"
        )
    return found


def lacks_for_qemu() -> list[str]:
    """What is in the way of a host with a kernel of its own, one sentence each; empty = nothing."""
    if os.uname().machine != "x86_64":
        return ["the lab has Debian's kernel for amd64 only"]
    return [
        f"{program} is missing: apt-get install {package}"
        for program, package in QEMU_PROGRAMS.items()
        if shutil.which(program, path=search_path()) is None
    ] + ([] if Path("/dev/net/tun").exists() else ["there is no /dev/net/tun"])


def free_inotify_instances(most: int) -> int:
    """How many inotify instances this user can still make, up to `most`: they are made, and closed at once.

    The limit is one for all processes of a user, those of other labs and of their guests too: inotify(7)."""
    libc = ctypes.CDLL(None, use_errno=True)
    made: list[int] = []
    try:
        while len(made) < most and (fd := libc.inotify_init1(os.O_CLOEXEC)) >= 0:
            made.append(fd)
        return len(made)
    finally:
        for fd in made:
            os.close(fd)


def require(host_count: int = 1) -> None:
    """Raise LabError naming everything that is missing."""
    if found := lacks(host_count):
        raise LabError("this machine cannot run the lab: " + "; ".join(found))
