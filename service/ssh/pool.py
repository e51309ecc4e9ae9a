"""One persistent connection a host, and fresh ones for confirmations.

Connections(dialer, at_once=50)
    .host(target) -> SshHost        the host's connection; made, or made again, when there is none
    .fresh(target) -> SshHost       always new TCP and new authentication; the caller closes it
    .connect = fresh                so that it serves as a Dialer
    .drop(name), .close()
"""

import asyncio

from service.apply.host import Target
from service.ssh.connection import SshDialer, SshHost


class Connections:
    """Keeps connections. At most `at_once` hosts are dialled at the same time, and each by one call only."""

    def __init__(self, dialer: SshDialer, at_once: int = 50) -> None:
        self._dialer = dialer
        self._kept: dict[str, SshHost] = {}
        self._turns: dict[str, asyncio.Lock] = {}
        self._dialling = asyncio.Semaphore(at_once)

    async def host(self, target: Target) -> SshHost:
        """The host's connection. One that died, or was made to another address or for other keys, is replaced."""
        async with self._turns.setdefault(target.name, asyncio.Lock()):
            kept = self._kept.get(target.name)
            if kept and kept.target == target and not kept.is_closed:
                return kept
            if kept:
                del self._kept[target.name]
                await kept.close()
            self._kept[target.name] = made = await self.fresh(target)
            return made

    async def fresh(self, target: Target) -> SshHost:
        """A new connection that is nobody else's: it proves that the host can be reached now."""
        async with self._dialling:
            return await self._dialer.connect(target)

    async def connect(self, target: Target) -> SshHost:
        """The same as `fresh`: this is a `service.apply.host.Dialer`."""
        return await self.fresh(target)

    async def drop(self, name: str) -> None:
        """Close a host's connection, if there is one."""
        kept = self._kept.pop(name, None)
        if kept:
            await kept.close()

    async def close(self) -> None:
        """Close all."""
        await asyncio.gather(*(self.drop(name) for name in list(self._kept)))
