"""What can go wrong around a host, done for real: each fault is a context manager that rolls itself back at the end.

Faults of the wire are nftables rules on the provider's router, which every packet between the host and the
controller or the internet passes. Faults of the disk and of processes happen on the host itself.
"""

import contextlib
import os
import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from service.errors import LabError
from service.lab import enter
from service.lab.running import RunningHost

Direction = Literal["both", "to_host", "from_host"]

DISK_FOLDERS = "/etc /home /opt /root /srv /usr /var"
HOLD_APT_LOCK = """
import fcntl, sys
lock = open("/var/lib/dpkg/lock-frontend", "w")
fcntl.lockf(lock, fcntl.LOCK_EX)
print("locked", flush=True)
sys.stdin.read()
"""


class Faults:
    """The faults of one host. They can be nested; each rolls only itself back."""

    def __init__(self, host: RunningHost) -> None:
        self._host = host
        self._lab = host.lab

    @contextlib.contextmanager
    def partition(self, direction: Direction = "both") -> Iterator[None]:
        """Nothing gets through, or in one direction nothing. Neither side is reported."""
        with self._rules(direction, "drop"):
            yield

    @contextlib.contextmanager
    def loss(self, percent: int, direction: Direction = "both") -> Iterator[None]:
        """Every packet is dropped with this probability."""
        with self._rules(direction, f"numgen random mod 100 < {percent:d} drop"):
            yield

    @contextlib.contextmanager
    def mtu_black_hole(self, above_bytes: int = 1200, direction: Direction = "both") -> Iterator[None]:
        """Large packets vanish without an ICMP error: connections open, then hang at the first full segment."""
        with self._rules(direction, f"meta length > {above_bytes:d} drop"):
            yield

    @contextlib.contextmanager
    def slow_line(self, kbytes_per_s: int, direction: Direction = "both") -> Iterator[None]:
        """A policer: what exceeds the rate is dropped."""
        with self._rules(direction, f"limit rate over {kbytes_per_s:d} kbytes/second drop"):
            yield

    @contextlib.contextmanager
    def tcp_reset(self, port: int = 22) -> Iterator[None]:
        """Every packet to this TCP port, of new and of open connections, is answered with a reset."""
        with self._rules("to_host", f"tcp dport {port:d} reject with tcp reset"):
            yield

    @contextlib.contextmanager
    def _rules(self, direction: Direction, verdict: str) -> Iterator[None]:
        table = f"fault_{secrets.token_hex(4)}"
        matches = {"to_host": ("daddr",), "from_host": ("saddr",), "both": ("daddr", "saddr")}[direction]
        rules = "\n".join(f"ip {match} {self._host.address} {verdict}" for match in matches)
        chain = f"chain forward {{ type filter hook forward priority 0;\n{rules}\n}}"
        self._lab.run_in("provider", ["nft", "-f", "-"], input=f"table inet {table} {{\n{chain}\n}}\n", check=True)
        try:
            yield
        finally:
            self._lab.run_in("provider", ["nft", "delete", "table", "inet", table], check=True)

    @contextlib.contextmanager
    def cable_down(self) -> Iterator[None]:
        """The uplink's cable is pulled and, at the end, plugged in again: the host sees its carrier go and come."""
        link = f"vb-{self._host.name}"
        self._lab.run_in("provider", ["ip", "link", "set", link, "down"], check=True)
        try:
            yield
        finally:
            self._lab.run_in("provider", ["ip", "link", "set", link, "up"], check=True)

    def cut_connections(self) -> None:
        """End every open TCP connection between the controller's network and the host at the controller's end."""
        self._lab.run_in("ctl", ["ss", "-K", "dst", self._host.address], check=True)

    @contextlib.contextmanager
    def hang(self) -> Iterator[None]:
        """The host hangs: its kernel accepts connections, no process runs."""
        self._host.freeze()
        try:
            yield
        finally:
            with contextlib.suppress(OSError):  # it may have been cut meanwhile
                self._host.thaw()

    @contextlib.contextmanager
    def sshd_stopped(self) -> Iterator[None]:
        """sshd is stopped with SIGSTOP: connections open, no banner comes. Open sessions live on."""
        self._host.sh("kill -STOP $(systemctl show -P MainPID ssh)")
        try:
            yield
        finally:
            self._undo("kill -CONT $(systemctl show -P MainPID ssh)")

    @contextlib.contextmanager
    def read_only_disk(self) -> Iterator[None]:
        """The file system turns read-only (EROFS), as after an I/O error; files already open for writing stay so.

        Done with a read-only bind mount over each folder of the root, because a remount of the root itself is
        refused while any daemon has a file open for writing. A reboot ends it.
        """
        self._host.sh(f"for d in {DISK_FOLDERS}; do mount --bind $d $d && mount -o remount,bind,ro $d; done")
        try:
            yield
        finally:
            self._undo(f"for d in {DISK_FOLDERS}; do umount --lazy $d; done")

    @contextlib.contextmanager
    def full_disk(self, free_kib: int = 0) -> Iterator[None]:
        """The disk has only this much room left: writes end with ENOSPC. /run and /tmp are memory, not this disk."""
        usage = os.statvfs(self._disk())
        used_kib = (usage.f_blocks - usage.f_bfree) * usage.f_frsize // 1024
        self._resize(f"size={used_kib + free_kib}k")
        try:
            yield
        finally:
            self._resize(f"size={usage.f_blocks * usage.f_frsize // 1024}k")

    @contextlib.contextmanager
    def no_inodes(self) -> Iterator[None]:
        """The disk has room but no file can be made: ENOSPC from creat(2), not from write(2)."""
        usage = os.statvfs(self._disk())
        self._resize(f"nr_inodes={usage.f_files - usage.f_ffree}")
        try:
            yield
        finally:
            self._resize(f"nr_inodes={usage.f_files}")

    @contextlib.contextmanager
    def apt_locked(self) -> Iterator[None]:
        """Another apt holds dpkg's front-end lock."""
        argv = enter.whole(self._host.console_pid, ["python3", "-c", HOLD_APT_LOCK])
        with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
            assert holder.stdin is not None
            assert holder.stdout is not None
            if holder.stdout.readline() != b"locked\n":
                raise LabError(f"apt on {self._host.name} is locked by somebody else")
            try:
                yield
            finally:
                with contextlib.suppress(OSError):
                    holder.stdin.close()

    def _disk(self) -> Path:
        """The tmpfs under the host's root, as the machine can see it."""
        return Path(f"/proc/{self._lab.pid}/root{self._place()}")

    def _place(self) -> Path:
        return self._lab.folder / "inside" / "hosts" / self._host.name

    def _resize(self, option: str) -> None:
        mount = ["mount", "-o", f"remount,{option}", str(self._place())]
        argv = ["nsenter", "-t", str(self._lab.pid), "-m", "--", *mount]
        enter.run(argv, stdin=None, timeout_s=20, check=True, what=f"resizing the disk of {self._host.name}")

    def _undo(self, script: str) -> None:
        """Undo on a host that may have been rebooted or switched off meanwhile, which undid it too."""
        with contextlib.suppress(LabError):
            self._host.sh(script, check=False)
