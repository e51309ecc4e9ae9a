"""What hosts, guests and faults ask of the lab and of the host they are in: none of them imports what holds it."""

import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from service.lab import control, enter


class RunningLab(Protocol):
    """The lab as its hosts see it; `service.lab.lab.Lab` is one."""

    name: str
    folder: Path
    cgroup: Path

    @property
    def pid(self) -> int:
        """The lab's PID 1, as the machine numbers it."""

    @property
    def key(self) -> Path:
        """The private key (OpenSSH, ed25519) that every host of the lab accepts for root."""

    def ask(self, op: str, *, timeout_s: float = 30, fds: Sequence[int] = (), **arguments: Any) -> control.Message:
        """Ask the lab's PID 1. Raises LabError."""

    def status(self) -> list[dict[str, Any]]:
        """Every host: name, address, host_key, state, boots, guests."""

    def use_suite(self, suite: str) -> None:
        """Give the lab the image of a Debian release; empty: nothing."""

    def netns(self, name: str) -> Path:
        """A path that setns(2) takes: `ctl`, `inet` or `provider`. Raises LabError."""

    def run_in(
        self,
        netns: str,
        argv: Sequence[str],
        *,
        input: str | bytes | None = None,  # noqa: A002 (subprocess.run's word)
        timeout_s: float = 30,
        check: bool = False,
    ) -> enter.Completed:
        """Run a program of this machine in a network of the lab. `check` raises LabError on a non-zero exit."""

    def dial(self, address: str, port: int = 22, *, netns: str = "ctl", timeout_s: float = 10) -> socket.socket:
        """A TCP connection made from that network; OSError as from connect(2)."""


class RunningHost(Protocol):
    """The host as its guests and its faults see it; `service.lab.host.Host` is one."""

    lab: RunningLab
    name: str
    address: str

    @property
    def console_pid(self) -> int:
        """The host's systemd as the machine numbers it. Raises LabError while the host is off."""

    def exec(
        self,
        argv: Sequence[str],
        *,
        input: str | bytes | None = None,  # noqa: A002 (subprocess.run's word)
        timeout_s: float = 30,
        check: bool = False,
    ) -> enter.Completed:
        """Run a command at the console. `check` raises LabError on a non-zero exit."""

    def sh(self, script: str, *, timeout_s: float = 30, check: bool = True) -> str:
        """What a shell script prints at the console. Raises LabError when it fails, unless reported not to check."""

    def freeze(self) -> None:
        """Hang the host: its processes stand still."""

    def thaw(self) -> None:
        """End the hang."""
