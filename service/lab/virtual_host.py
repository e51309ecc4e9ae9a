"""A host of the lab with a kernel of its own, as tests hold it: the same as `Host`, by other ways."""

import base64
import contextlib
import subprocess
from collections.abc import Iterator, Sequence

from service.errors import LabError
from service.lab import cgroups, enter
from service.lab.faults import Faults
from service.lab.guest import Guest
from service.lab.host import Host
from service.lab.running import RunningLab

ANSWER_S = 10.0


class VirtualHost(Host):
    """A host that QEMU boots with Debian's kernel. `cable_down` and `unplugged` take the carrier from its cards.

    Guests of the lab and faults that reach into the host's processes need the machine's kernel: LabError says so.
    """

    def __init__(self, lab: RunningLab, name: str, address: str, host_key: str) -> None:
        super().__init__(lab, name, address, host_key)
        self.faults = VirtualFaults(self)

    @property
    def console_pid(self) -> int:
        raise LabError(f"{self.name} has a kernel of its own: the machine sees no process of it", hint="Host.exec")

    def exec(
        self,
        argv: Sequence[str],
        *,
        input: str | bytes | None = None,  # noqa: A002 (subprocess.run's word)
        timeout_s: float = 30,
        check: bool = False,
    ) -> enter.Completed:
        """Run a command at the console, which works when SSH does not; `check` raises LabError on a non-zero exit."""
        raw = self._run(argv, input, timeout_s)
        out, err = raw.stdout.decode(errors="replace"), raw.stderr.decode(errors="replace")
        if check and raw.returncode != 0:
            said = (err or out).strip()[-2000:]
            raise LabError(f"`{' '.join(argv)}` on {self.name} ended with {raw.returncode}: {said}")
        return subprocess.CompletedProcess(raw.args, raw.returncode, out, err)

    def read(self, path: str) -> bytes:
        """The content of a file on the host, byte for byte; FileNotFoundError when it cannot be read."""
        done = self._run(["cat", "--", path], None, 30)
        if done.returncode != 0:
            raise FileNotFoundError(done.stderr.decode(errors="replace").strip())
        return done.stdout

    def freeze(self) -> None:
        """Hang the host: nothing of it answers, not even its kernel."""
        cgroups.freeze(self.cgroup, frozen=True)

    def thaw(self) -> None:
        """End the hang."""
        cgroups.freeze(self.cgroup, frozen=False)

    def guest_add(self, name: str, **_plan: object) -> Guest:
        """Such a host has none of the lab's guests: LabError."""
        raise LabError(
            f"{self.name} has a kernel of its own, and the lab's guests live in the machine's: no guest {name}",
            hint="make a network namespace on the host: ip netns add",
        )

    @contextlib.contextmanager
    def unplugged(self, card: int = 1) -> Iterator[None]:
        """The cable of a card (1: enp1s0, 2: enp2s0, …) is pulled, and put in again at the end."""
        self.plug(card, plugged=False)
        try:
            yield
        finally:
            self.plug(card, plugged=True)

    def plug(self, card: int, *, plugged: bool) -> None:
        """Put the cable of a card in, or pull it out, until it is put in again or the host boots."""
        self.lab.ask("host_plug", host=self.name, card=card, plugged=plugged)

    def _run(
        self, argv: Sequence[str], stdin: str | bytes | None, timeout_s: float
    ) -> "subprocess.CompletedProcess[bytes]":
        given = stdin.encode() if isinstance(stdin, str) else stdin or b""
        plain = ["/usr/bin/env", "-i", *enter.HOST_ENVIRONMENT, enter.HOST_PATH, "TERM=dumb", *argv]
        body = self.lab.ask(
            "host_exec",
            host=self.name,
            argv=plain,
            stdin=base64.b64encode(given).decode(),
            timeout_s=timeout_s + ANSWER_S,
            patience_s=timeout_s,
        ).body
        out, err = base64.b64decode(body["out"]), base64.b64decode(body["err"])
        return subprocess.CompletedProcess(list(argv), int(body["code"]), out, err)

    def _boot(self) -> int | None:
        return next(cgroups.pids(self.cgroup), None)


class VirtualFaults(Faults):
    """The faults of such a host: those of the wire, and the cable."""

    def __init__(self, host: VirtualHost) -> None:
        super().__init__(host)
        self._virtual = host

    @contextlib.contextmanager
    def cable_down(self) -> Iterator[None]:
        """The uplink's cable is pulled and, at the end, plugged in again: the host sees its carrier go and come."""
        with self._virtual.unplugged(1):
            yield
