"""The sshd of the hostile host: runs the commands on the real host, and lies about the results.

    python -m tests.safety.hostile_server FOLDER        in the network of the host

FOLDER holds `behaviour` (its present name, read again for each connection and question), `client.pub`, `host_key`,
`leader` (the host's PID 1). It writes `met`: a line for each time that a behaviour met the service.
"""

import asyncio
import contextlib
import re
import shlex
import signal
import socket
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import asyncssh

from service.lab import enter
from tests.safety.hostile_answers import ANSWERS
from tests.safety.hostile_journals import JOURNALS

PORT = 2222
CHUNK_BYTES = 32 << 10
SHUT = re.compile(rb"printf '\\n@@(\w+) shut\\n'\n")
NONCE = re.compile(rb"@@([0-9a-f]+) done")
Process = asyncssh.SSHServerProcess[bytes]
Raw = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Server:
    """All connections to the hostile host."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.leader = int((folder / "leader").read_text())
        self.client = asyncssh.import_public_key((folder / "client.pub").read_text())
        self.key = asyncssh.read_private_key(folder / "host_key")
        self.other_key = asyncssh.generate_private_key("ssh-ed25519")
        self.turn = 0
        self.known = ""

    def behaviour(self) -> str:
        """What it does now."""
        now = (self.folder / "behaviour").read_text()
        if now != self.known:
            self.known, self.turn = now, 0
        return now

    def met(self, name: str) -> None:
        """The service came across it."""
        self.turn += 1
        with (self.folder / "met").open("a") as file:
            file.write(f"{name}\n")

    async def serve(self) -> None:
        """Accept until it is killed."""
        listener = socket.create_server(("0.0.0.0", PORT), backlog=100)
        listener.setblocking(False)
        loop = asyncio.get_running_loop()
        working: set[asyncio.Task[None]] = set()
        while True:
            connection, _ = await loop.sock_accept(listener)
            task = asyncio.ensure_future(self.talk(connection))
            working.add(task)
            task.add_done_callback(working.discard)

    async def talk(self, connection: socket.socket) -> None:
        name = self.behaviour()
        with contextlib.suppress(OSError, asyncssh.Error, asyncio.CancelledError, EOFError):
            if name in RAW:
                self.met(name)
                reader, writer = await asyncio.open_connection(sock=connection)
                await RAW[name](reader, writer)
                writer.close()
                return
            options = dict(OPTIONS.get(name, {}))
            if name in OPTIONS or name in KEYS:
                self.met(name)
            made = await asyncssh.run_server(
                connection,
                server_factory=lambda: _Auth(self),
                process_factory=self.process,
                encoding=None,
                config=None,
                server_host_keys=[self.other_key if name == "login: another host key" else self.key],
                **options,
            )
            if name in AFTER_LOGIN:
                self.met(name)
                await AFTER_LOGIN[name](made)
            await made.wait_closed()

    async def process(self, process: Process) -> None:
        """One command, or the long-lived shell."""
        try:
            command = process.command or ""
            if command == "exec /bin/sh":
                await self.shell(process)
            else:
                await self.command(process, command)
        except (OSError, asyncssh.Error, asyncio.CancelledError, EOFError):
            pass
        finally:
            with contextlib.suppress(OSError, asyncssh.Error):
                process.exit(0)

    async def shell(self, process: Process) -> None:
        asked = b""
        while chunk := await process.stdin.read(CHUNK_BYTES):
            asked += chunk
            if (end := SHUT.search(asked)) is None:
                continue
            script, asked, secret = asked[: end.start()], asked[end.end() :], end[1]
            said, _, _ = await self.run(process, ["sh"], script)
            opened = b"\n@@%b open\n" % secret
            answer = said.partition(opened)[2]
            name, nonce = self.behaviour(), NONCE.search(script)
            if name in ANSWERS and nonce:
                self.met(name)
                answer = await asyncio.to_thread(ANSWERS[name], answer, nonce[1], self.turn)
            if name in STREAMS:
                self.met(name)
                await STREAMS[name](process, opened + answer)
                return
            await self.write(process.stdout, opened + answer + b"\n@@%b shut\n" % secret)

    async def command(self, process: Process, command: str) -> None:
        argv, name = shlex.split(command), self.behaviour()
        verb = argv[6] if len(argv) > 6 else ""
        given = await process.stdin.read()
        stdout, stderr, status = await self.run(process, argv, given)
        if name in JOURNALS and verb:
            lied = await asyncio.to_thread(JOURNALS[name], verb, stdout)
            if lied != stdout:
                self.met(name)
            stdout = lied
        if name in COMMANDS and verb:
            self.met(name)
            stdout, stderr, status = await COMMANDS[name](verb, stdout, stderr, status)
        await self.write(process.stdout, stdout)
        await self.write(process.stderr, stderr)
        process.exit(status)

    async def write(self, writer: "asyncssh.SSHWriter[bytes]", data: bytes) -> None:
        for start in range(0, len(data), CHUNK_BYTES):
            writer.write(data[start : start + CHUNK_BYTES])
            await writer.drain()

    async def run(self, process: Process, argv: list[str], given: bytes) -> tuple[bytes, bytes, int]:
        """Really, at the host's console."""
        peer, port = process.get_extra_info("peername")[:2]
        here = process.get_extra_info("sockname")[0]
        told = ["env", f"SSH_CONNECTION={peer} {port} {here} 22", *argv]
        child = await asyncio.create_subprocess_exec(
            *enter.whole(self.leader, told),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        stdout, stderr = await child.communicate(given)
        return stdout, stderr, child.returncode or 0


class _Auth(asyncssh.SSHServer):
    def __init__(self, server: Server) -> None:
        self.server = server

    def begin_auth(self, username: str) -> bool:
        return True

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        return self.server.behaviour() != "login: refused" and key == self.server.client


# before SSH


async def mute(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    while await reader.read(CHUNK_BYTES):
        pass


async def banners(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"welcome to a very friendly machine\r\n" * 400)
        await writer.drain()


async def no_line_end(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"x" * CHUNK_BYTES)
        await writer.drain()


async def dripping_greeting(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    for byte in b"SSH-2.0-" + b"x" * 600:
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0.1)


async def noise(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"SSH-2.0-OpenSSH_9.2\r\n" + bytes(range(256)) * 4000)
    await writer.drain()
    await asyncio.sleep(5)


async def reset(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


RAW: dict[str, Raw] = {
    "tcp: accepted and mute": mute, "greeting: a storm of banners": banners, "greeting: no line end": no_line_end,
    "greeting: a byte at a time": dripping_greeting, "greeting: noise after it": noise, "tcp: reset at once": reset,
}  # fmt: skip

# the login

OPTIONS: dict[str, dict[str, Any]] = {
    "keys anew after every few bytes": {"rekey_bytes": 512},
    "window of 1 byte": {"window": 1},
    "packets of 1 byte": {"max_pktsize": 1},
}
KEYS = ("login: another host key", "login: refused")


async def reset_after_login(made: asyncssh.SSHServerConnection) -> None:
    await asyncio.sleep(0.3)
    made.abort()


async def debug_storm(made: asyncssh.SSHServerConnection) -> None:
    while not made.is_closed():
        for _ in range(200):
            made.send_debug("x" * 200)
        await asyncio.sleep(0)


AFTER_LOGIN = {"login: reset after it": reset_after_login, "a storm of debug messages": debug_storm}

# the shell's stream


async def endless(process: Process, answer: bytes) -> None:
    while True:
        process.stdout.write(answer[:1000] + b"x" * CHUNK_BYTES)
        await process.stdout.drain()


async def dripping(process: Process, answer: bytes) -> None:
    for start in range(len(answer)):
        process.stdout.write(answer[start : start + 1])
        await asyncio.sleep(0.02)


async def silent(process: Process, answer: bytes) -> None:
    process.stdout.write(answer[:100])
    await asyncio.sleep(600)


async def closed_in_a_frame(process: Process, answer: bytes) -> None:
    process.stdout.write(answer[: len(answer) // 3])
    await process.stdout.drain()
    process.channel.abort()


async def lost_in_a_frame(process: Process, answer: bytes) -> None:
    process.stdout.write(answer[: len(answer) // 3])
    await process.stdout.drain()
    process.get_extra_info("connection").abort()


async def complaints(process: Process, _answer: bytes) -> None:
    while True:
        process.stderr.write(b"x" * CHUNK_BYTES)
        await process.stderr.drain()


STREAMS = {
    "answer: endless": endless, "answer: a byte at a time": dripping, "answer: silent in the middle": silent,
    "channel closed in a frame": closed_in_a_frame, "connection lost in a frame": lost_in_a_frame,
    "stderr without end": complaints,
}  # fmt: skip

# the host-side file


async def loud(_verb: str, stdout: bytes, _stderr: bytes, status: int) -> tuple[bytes, bytes, int]:
    return stdout, b"x" * (4 << 20), status


async def never_there(_verb: str, _stdout: bytes, _stderr: bytes, _status: int) -> tuple[bytes, bytes, int]:
    return b"", b"", 97


async def ended_badly(_verb: str, stdout: bytes, stderr: bytes, _status: int) -> tuple[bytes, bytes, int]:
    return stdout, stderr, 1


async def hangs_at_confirm(verb: str, stdout: bytes, stderr: bytes, status: int) -> tuple[bytes, bytes, int]:
    if verb == "confirm":
        await asyncio.sleep(600)
    return stdout, stderr, status


COMMANDS = {
    "commands: 4 MB of complaints": loud, "commands: the file is never there": never_there,
    "commands: exit codes that lie": ended_badly, "confirm: no answer": hangs_at_confirm,
}  # fmt: skip

APPLYING = (*JOURNALS, *COMMANDS)
"""These meet the service only where something is to be applied."""
NAMES = (*ANSWERS, *RAW, *OPTIONS, *KEYS, *AFTER_LOGIN, *STREAMS, *APPLYING)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    asyncio.run(Server(Path(sys.argv[1])).serve())
