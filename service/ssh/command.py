"""One command on an open connection: fed, drained within bounds, and brought to an end.

run_command(connection, target, argv, stdin, on_line) -> Answer
"""

import asyncio
import shlex
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import asyncssh

from service.errors import Garbled
from service.observe.connection import ERROR_BYTES, OUTPUT_BYTES, Answer, Target
from service.ssh.words import where

CHUNK_BYTES = 64 << 10
LINE_BYTES = 64 << 10
LINES = 20_000
"""Of a command whose lines are followed as they come: each costs something, however short it is."""
PACKET_BYTES = 1024


async def run_command(
    connection: asyncssh.SSHClientConnection,
    target: Target,
    argv: Sequence[str],
    stdin: bytes,
    on_line: Callable[[str], None] | None,
) -> Answer:
    """Run `argv` to its end. Raises Garbled when the host says too much; the caller sets the deadline."""
    process = await connection.create_process(as_root(target, shlex.join(argv)), encoding=None)
    try:
        check_packets(process, target)
        lines = Lines(on_line) if on_line else None
        what = f"{where(target)}: `{argv[0]}`"
        stdout, stderr, _ = await _together(
            _drain(process.stdout, OUTPUT_BYTES, what, lines),
            _drain(process.stderr, ERROR_BYTES, what, None),
            _feed(process.stdin, stdin),
        )
        await process.wait_closed()
    except BaseException:
        process.channel.abort()
        raise
    if lines:
        lines.end()
    told = process.exit_status if process.exit_signal is None else None
    return Answer(told, stdout, stderr)


def as_root(target: Target, command: str) -> str:
    """A shell command as root runs it. sudo(8) never asks for a password (-n). It clears the environment, and the host
    has to know the connection by which it is managed."""
    if not target.needs_sudo:
        return command
    return f'sudo -n -- /usr/bin/env "SSH_CONNECTION=$SSH_CONNECTION" {command}'


def check_packets(process: "asyncssh.SSHClientProcess[bytes]", target: Target) -> None:
    """Garbled if the host accepts only tiny packets. Otherwise one write would become one packet for each byte, and the
    encryption of all of them would delay the rest of the service. RFC 4253, 6.1: 32,768 bytes must be taken.
    """
    size = getattr(process.channel, "_send_pktsize", PACKET_BYTES)  # asyncssh has no other name for it
    if size < PACKET_BYTES:
        raise Garbled(f"{where(target)}: its sshd takes packets of {size} bytes; at least {PACKET_BYTES} are needed")


async def _together(*works: Coroutine[Any, Any, bytes]) -> list[bytes]:
    """All of them, or the first trouble of any; none continues behind our back."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _drain(reader: asyncssh.SSHReader[bytes], limit: int, what: str, lines: "Lines | None") -> bytes:
    chunks: list[bytes] = []
    size = 0
    while chunk := await reader.read(CHUNK_BYTES):
        size += len(chunk)
        if size > limit:
            raise Garbled(f"{what} printed more than {limit >> 10} KiB", hint="nothing of it was used")
        chunks.append(chunk)
        if lines:
            lines.add(chunk)
            if lines.count > LINES:
                raise Garbled(f"{what} printed more than {LINES} lines", hint="nothing of it was used")
    return b"".join(chunks)


async def _feed(writer: asyncssh.SSHWriter[bytes], stdin: bytes) -> bytes:
    try:
        for start in range(0, len(stdin), CHUNK_BYTES):
            writer.write(stdin[start : start + CHUNK_BYTES])
            await writer.drain()
        writer.write_eof()
    except (BrokenPipeError, ConnectionResetError):
        pass  # the command ended without reading it all: its exit status says what that means
    return b""


class Lines:
    """Cuts a stream into lines of text. Bytes that are not UTF-8 become U+FFFD; an endless line is cut."""

    def __init__(self, on_line: Callable[[str], None]) -> None:
        self._on_line = on_line
        self._rest = b""
        self.count = 0

    def add(self, chunk: bytes) -> None:
        """Take the next bytes and give every line that is whole now."""
        *whole, self._rest = (self._rest + chunk).split(b"\n")
        self.count += len(whole)
        for line in whole[:LINES]:
            self._on_line(line[:LINE_BYTES].decode("utf-8", "replace"))
        self._rest = self._rest[:LINE_BYTES]

    def end(self) -> None:
        """Give the last line if it has no newline."""
        if self._rest:
            self._on_line(self._rest.decode("utf-8", "replace"))
