"""A real OpenSSH server on loopback, with a configuration, keys and a port of its own."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncssh

from service.lab.waiting import grown_s
from service.observe.connection import Target

CONFIG = """\
ListenAddress {address}
Port {port}
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/authorized_keys
PidFile none
UsePAM no
StrictModes no
PermitRootLogin prohibit-password
PasswordAuthentication no
"""


@dataclass(frozen=True)
class Sshd:
    """A running server: its address, and the key that it accepts."""

    port: int
    host_key: asyncssh.SSHKey
    client_key: asyncssh.SSHKey
    pid: int
    folder: Path

    def target(self, name: str = "pve1") -> Target:
        line = self.host_key.export_public_key().decode().strip()
        return Target(name=name, address="127.0.0.1", port=self.port, user="root", host_keys=(line,))


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


@contextmanager
def real_sshd(
    folder: Path, client_key: asyncssh.SSHKey | None = None, *, address: str = "127.0.0.1", more: str = ""
) -> Iterator[Sshd]:
    """Start one, wait until it greets, and end it by its process id."""
    program = shutil.which("sshd", path="/usr/sbin:/usr/bin")
    assert program, "these tests need OpenSSH's server: apt-get install openssh-server"
    folder.mkdir(parents=True, exist_ok=True)
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # where sshd separates its privileges
    host_key = asyncssh.generate_private_key("ssh-ed25519")
    client_key = client_key or asyncssh.generate_private_key("ssh-ed25519")
    secret = os.open(folder / "host_key", os.O_WRONLY | os.O_CREAT, 0o600)
    os.write(secret, host_key.export_private_key())
    os.close(secret)
    (folder / "authorized_keys").write_bytes(client_key.export_public_key())
    port = free_port()
    (folder / "sshd_config").write_text(CONFIG.format(port=port, folder=folder, address=address) + more)
    log = (folder / "log").open("wb")
    process = subprocess.Popen(
        [program, "-D", "-e", "-f", str(folder / "sshd_config")], stdin=subprocess.DEVNULL, stderr=log
    )
    try:
        _wait_for_greeting(address, port, process, folder / "log")
        yield Sshd(port, host_key, client_key, process.pid, folder)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(grown_s(10))
        log.close()


def _wait_for_greeting(address: str, port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with socket.create_connection((address, port), timeout=5) as sock:
                if sock.recv(4) == b"SSH-":
                    return
        except OSError:
            continue
    raise AssertionError(f"sshd did not start: {log.read_text(errors='replace')[-2000:]}")
