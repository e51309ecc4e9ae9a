"""A program that runs next to everything else on a connection, and is heard until one of both ends.

listen(connection, target, command, order, heard)
"""

import asyncio
from collections.abc import Callable

import asyncssh

from service.observe.connection import Target
from service.ssh.command import as_root, check_packets

WINDOW_BYTES = 8 << 10
"""What the host may send before it is read: hints are some bytes."""
BEAT_S = 100.0
"""How often the program hears that somebody still listens."""


async def listen(
    connection: asyncssh.SSHClientConnection,
    target: Target,
    command: str,
    order: bytes,
    heard: Callable[[bytes], None],
    beat_s: float = BEAT_S,
) -> None:
    """Returns when the program ends, raises what `heard` raises. The program's end is the end of its input: also when
    this is cancelled."""
    process = await connection.create_process(
        f"exec {as_root(target, command)}", encoding=None, stderr=asyncssh.DEVNULL, window=WINDOW_BYTES
    )
    try:
        check_packets(process, target)
        process.stdin.write(order)
        while True:
            try:
                async with asyncio.timeout(beat_s):
                    chunk = await process.stdout.read(WINDOW_BYTES)
            except TimeoutError:
                process.stdin.write(b"\n")
                continue
            if not chunk:
                return
            heard(chunk)
    finally:
        process.channel.abort()
