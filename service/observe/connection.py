"""What a connection to a host must offer: the two protocols that observing and applying are written against.

Target(name, address, port, user, host_keys, jump)      where a host is, by which keys it is known
Answer(exit_status, stdout, stderr)               what one command said
Host.run(argv, stdin=, timeout_s=, on_line=)      one command in a process of its own
Host.ask(script, timeout_s)                       one round trip on the long-lived shell
Host.listen(command, order, heard)                a program that runs next to these and is heard
Host.close()
Dialer.connect(target) -> Host                    a new connection: new TCP, new authentication
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

OUTPUT_BYTES = 8 << 20
ERROR_BYTES = 256 << 10


@dataclass(frozen=True, slots=True)
class Target:
    """Where a host is reached and what proves that it is the one meant.

    `address` is an IP address or a name, `host_keys` are pinned public keys as in known_hosts (`ssh-ed25519 AAAA…`).
    `jump` is the host that forwards the connection; it resolves `address`, and its `is_jump` is set. Commands run as
    root: where `user` is another one, through sudo(8).
    """

    name: str
    address: str
    host_keys: tuple[str, ...]
    port: int = 22
    user: str = "root"
    jump: "Target | None" = None
    is_jump: bool = False

    @property
    def needs_sudo(self) -> bool:
        """Whether the login is not root's own."""
        return self.user != "root"

    @property
    def login(self) -> str:
        """Who logs in where: `ops@192.0.2.1:22`."""
        return f"{self.user}@{self.address}:{self.port}"

    @property
    def way(self) -> "tuple[Target, ...]":
        """The hosts that are logged in to, one after the other; this one is the last."""
        return (*(self.jump.way if self.jump is not None else ()), self)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command said. `exit_status` is None where the host reported none: killed by a signal, or cut off."""

    exit_status: int | None
    stdout: bytes
    stderr: bytes


class Host(Protocol):
    """An open, authenticated connection to one host."""

    async def run(
        self,
        argv: Sequence[str],
        *,
        stdin: bytes = b"",
        timeout_s: float,
        on_line: Callable[[str], None] | None = None,
    ) -> Answer:
        """Run one command to its end; `on_line` gets every line of its output as it comes.

        Raises Unreachable (no end within `timeout_s`, connection lost) and Garbled (more than `OUTPUT_BYTES` of output
        or `ERROR_BYTES` of errors). After either the connection is closed.
        """
        ...

    async def ask(self, script: bytes, timeout_s: float) -> bytes:
        """Give a POSIX sh script to the host's long-lived shell and take what it prints: one round trip.

        Nothing the script sets outlives it. Raises as `run` does.
        """
        ...

    async def listen(self, command: str, order: bytes, heard: Callable[[bytes], None]) -> None:
        """Run a shell command until it or the connection ends; `order` is the beginning of its input, which stays open
        so long. `heard` gets its output as it comes.

        Raises HostError, also what `heard` raises. The connection stays open. A cancellation ends the command.
        """
        ...

    async def close(self) -> None:
        """Close the connection. Never raises."""
        ...


class Dialer(Protocol):
    """Makes connections."""

    async def connect(self, target: Target) -> Host:
        """A new connection: new TCP connection, new authentication, never a shared one, also to each jump host.

        Raises Unreachable, HostKeyChanged, AuthFailed, InputError (no usable pinned key).
        """
        ...
