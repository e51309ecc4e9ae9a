"""Hostile and friendly SSH servers on loopback, each on a port of its own."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import asyncssh

from service.observe.connection import Target

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
Serve = Callable[["asyncssh.SSHServerProcess[bytes]"], Awaitable[None]]

HOST_KEY = asyncssh.generate_private_key("ssh-ed25519")
OTHER_HOST_KEY = asyncssh.generate_private_key("ssh-ed25519")
CLIENT_KEY = asyncssh.generate_private_key("ssh-ed25519")
STRANGER_KEY = asyncssh.generate_private_key("ssh-ed25519")


def public_line(key: asyncssh.SSHKey) -> str:
    return key.export_public_key().decode().strip()


def target(port: int, *keys: asyncssh.SSHKey, name: str = "pve1") -> Target:
    pinned = tuple(public_line(key) for key in keys or (HOST_KEY,))
    return Target(name=name, address="127.0.0.1", port=port, user="root", host_keys=pinned)


@asynccontextmanager
async def raw_server(talk: Talk) -> AsyncIterator[int]:
    """A TCP server that says what `talk` says; no SSH of its own."""
    talking: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        talking.add(task)
        try:
            await talk(reader, writer)
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            talking.discard(task)
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in list(talking):
            task.cancel()
        await asyncio.gather(*talking, return_exceptions=True)
        await server.wait_closed()


class _Server(asyncssh.SSHServer):
    def __init__(self, key: asyncssh.SSHKey, made: list[asyncssh.SSHServerConnection]) -> None:
        self._key = key
        self._made = made

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._made.append(conn)

    def begin_auth(self, username: str) -> bool:
        return True

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        return key == self._key.convert_to_public()


@asynccontextmanager
async def ssh_server(serve: Serve, *, host_key: asyncssh.SSHKey = HOST_KEY, **options: Any) -> AsyncIterator[int]:
    """An SSH server whose every command is `serve`; gives its port."""
    made: list[asyncssh.SSHServerConnection] = []
    working: set[asyncio.Task[None]] = set()

    async def work(process: "asyncssh.SSHServerProcess[bytes]") -> None:
        task = asyncio.current_task()
        assert task
        working.add(task)
        try:
            await serve(process)
        except (OSError, asyncssh.Error, asyncio.CancelledError):
            pass
        finally:
            working.discard(task)

    server = await asyncssh.create_server(
        lambda: _Server(CLIENT_KEY, made),
        "127.0.0.1",
        0,
        process_factory=work,
        encoding=None,
        config=None,
        server_host_keys=[host_key],
        **options,
    )
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in list(working):
            task.cancel()
        for connection in made:
            connection.abort()
        for connection in made:
            await connection.wait_closed()
        await asyncio.gather(*working, return_exceptions=True)
        await server.wait_closed()


async def say_nothing(process: "asyncssh.SSHServerProcess[bytes]") -> None:
    """A command that ends well."""
    process.exit(0)
