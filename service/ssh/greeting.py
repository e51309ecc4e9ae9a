"""A TCP connection to a host's sshd, and its first line, read without consuming it.

    sock = await reach(target)             raises OSError
    await not_turned_away(sock)            raises TurnedAway where the first words are a refusal

sshd speaks first (RFC 4253, 4.2: the identification string, or lines before it). Where OpenSSH from 9.8 on refuses an
address for failed logins from there (PerSourcePenalties), it sends `Not allowed at this time` and closes; above
MaxStartups it sends `Exceeded MaxStartups` (seen with 10.0p2 of Debian 13). Whoever answers at once, as an SSH library
does, gets a reset connection instead of these words.
"""

import asyncio
import socket

from service.observe.connection import Target

PENALTY = b"Not allowed at this time"
TOO_MANY = b"Exceeded MaxStartups"
FIRST_WORDS_S = 3.0
"""A server that waits for the client to speak is given what it wants after that."""
LONGEST = 64


class TurnedAway(Exception):  # noqa: N818 (what happened)
    """sshd takes no login from here now: for failed ones before (`is_penalty`), or because too many are under way.
    `own` is the address that the connection came from."""

    def __init__(self, own: str, *, is_penalty: bool) -> None:
        super().__init__("sshd takes no connection now")
        self.own = own
        self.is_penalty = is_penalty


async def reach(target: Target) -> socket.socket:
    """Connect to the first of the name's addresses that takes a connection. OSError of the last one."""
    loop = asyncio.get_running_loop()
    infos = await loop.getaddrinfo(target.address, target.port, type=socket.SOCK_STREAM)
    trouble: OSError = OSError("no address")
    for family, kind, protocol, _, address in infos:
        sock = socket.socket(family, kind, protocol)
        try:
            sock.setblocking(False)
            await loop.sock_connect(sock, address)
        except OSError as error:
            sock.close()
            trouble = error
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    raise trouble


async def not_turned_away(sock: socket.socket) -> None:
    """Wait for the server's first words and leave them there. Raises TurnedAway, ConnectionError."""
    said = await _first_words(sock)
    for words in (PENALTY, TOO_MANY):
        if said.startswith(words):
            raise TurnedAway(str(sock.getsockname()[0]), is_penalty=words == PENALTY)


async def _first_words(sock: socket.socket) -> bytes:
    loop = asyncio.get_running_loop()
    readable = loop.create_future()

    def speaks() -> None:
        if not readable.done():
            readable.set_result(None)

    loop.add_reader(sock, speaks)
    try:
        async with asyncio.timeout(FIRST_WORDS_S):
            await readable
    except TimeoutError:
        return b""
    finally:
        loop.remove_reader(sock)
    try:
        return sock.recv(LONGEST, socket.MSG_PEEK)
    except BlockingIOError:
        return b""
