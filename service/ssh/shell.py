"""The long-lived shell of a connection: a question costs no new process of sshd's and no rc file.

    Shell.open(connection, target) -> Shell
    Shell.exchange(script) -> bytes

Every question has its own secret marks around its answer. What a login shell's rc files print is before them and
is left out.
"""

import contextlib
import secrets

import asyncssh

from service.errors import Garbled, Unreachable
from service.model.trees import shown
from service.observe.connection import OUTPUT_BYTES, Target
from service.ssh.command import CHUNK_BYTES, as_root, check_packets
from service.ssh.words import where

TOGETHER = b"{ dd bs=128k iflag=fullblock 2>/dev/null || cat; }"
"""A dd that does not know this (busybox may) reads nothing, and ends in an error."""


class Shell:
    """A `sh` on the host that reads scripts from its standard input."""

    def __init__(self, process: "asyncssh.SSHClientProcess[bytes]", target: Target) -> None:
        self._process = process
        self._target = target

    @classmethod
    async def open(cls, connection: asyncssh.SSHClientConnection, target: Target) -> "Shell":
        """Start one. `exec` puts sh in the place of whatever login shell the user has."""
        process = await connection.create_process(
            f"exec {as_root(target, '/bin/sh')}", encoding=None, stderr=asyncssh.DEVNULL
        )
        try:
            check_packets(process, target)
        except BaseException:
            process.channel.abort()
            raise
        return cls(process, target)

    @property
    def is_over(self) -> bool:
        """The shell ended, or is about to."""
        return self._process.is_closing() or self._process.stdout.at_eof()

    def abort(self) -> None:
        """End it without ceremony."""
        self._process.channel.abort()

    async def exchange(self, script: bytes) -> bytes:
        """Run a script in a subshell and take what it prints, once it has ended. dd(1) sends it in few packets:
        each small one would cost as much as a large one here. Raises Garbled when it is too much, Unreachable when
        the shell ends first; the caller sets the deadline and gives the shell up after any error."""
        secret = secrets.token_hex(16).encode()
        opened, shut = b"\n@@%b open\n" % secret, b"\n@@%b shut\n" % secret
        with contextlib.suppress(OSError):  # a shell that has ended says more by what it printed
            await self._write(secret, script)
        answer = await self._until(shut, OUTPUT_BYTES + (64 << 10))
        start = answer.find(opened)
        if start < 0:
            raise Garbled(f"{where(self._target)}: the shell's answer does not begin where it should")
        return bytes(answer[start + len(opened) :])

    async def _write(self, secret: bytes, script: bytes) -> None:
        self._process.stdin.write(
            b"printf '\\n@@%b open\\n'\n(\n%b\n) </dev/null 2>/dev/null | %b\nprintf '\\n@@%b shut\\n'\n"
            % (secret, script, TOGETHER, secret)
        )
        await self._process.stdin.drain()

    async def _until(self, mark: bytes, limit: int) -> bytearray:
        """Everything before the mark."""
        answer = bytearray()
        while True:
            chunk = await self._process.stdout.read(CHUNK_BYTES)
            if not chunk:
                said = shown(bytes(answer[-400:]).decode("utf-8", "replace"), 160) or "nothing"
                raise Unreachable(
                    f"{where(self._target)}: its shell ended in the middle of an answer. Its last words were: {said}",
                    hint=f"is {self._target.user}'s login shell nologin, or is there a forced command?",
                )
            looked = max(0, len(answer) - len(mark))
            answer += chunk
            found = answer.find(mark, looked)
            if found >= 0:
                return answer[:found]
            if len(answer) > limit:
                raise Garbled(
                    f"{where(self._target)}: more than {limit >> 20} MiB of answer", hint="nothing of it was used"
                )
