"""Which key a host shows to somebody who does not know it yet: to be compared by a person, never trusted on its own.

shown_key(address, port, dial=None) -> ShownKey         raises Unreachable
"""

import asyncio
from dataclasses import dataclass

import asyncssh

from service.errors import Unreachable
from service.observe.connection import Target
from service.ssh.connection import KEY_EXCHANGES, Dial
from service.ssh.greeting import TurnedAway, not_turned_away, reach
from service.ssh.keys import HOST_KEY_ALGORITHMS
from service.ssh.words import turned_away

CONNECT_S = 10.0


@dataclass(frozen=True, slots=True)
class ShownKey:
    """`line` as it is pinned (`ssh-ed25519 AAAA…`), and its SHA-256 fingerprint as `ssh-keygen -l` prints it."""

    line: str
    fingerprint: str


async def shown_key(address: str, port: int = 22, dial: Dial | None = None) -> ShownKey:
    """Connect as far as the host's key, log in nowhere."""
    try:
        async with asyncio.timeout(CONNECT_S):
            sock = await (dial or reach)(Target(address, address, (), port))
            try:
                await not_turned_away(sock)
            except BaseException:
                sock.close()
                raise
            key = await asyncssh.get_server_host_key(
                address, port, sock=sock, config=None, kex_algs=KEY_EXCHANGES, server_host_key_algs=HOST_KEY_ALGORITHMS
            )
    except TurnedAway as error:
        raise turned_away(f"{address} port {port}", error) from None
    except Exception as error:
        # Of every type: what a hostile peer sends surfaces from the library as ValueError and similar ones, too.
        raise Unreachable(
            f"{address} port {port} shows no SSH host key: {str(error)[:120] or type(error).__name__}",
            hint="is it up, is the address right, is sshd running there?",
        ) from error
    if key is None:
        raise Unreachable(f"{address} port {port} shows no SSH host key that can be pinned")
    words = key.export_public_key().decode().split()
    return ShownKey(" ".join(words[:2]), key.get_fingerprint())
