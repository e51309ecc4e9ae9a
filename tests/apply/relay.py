"""A line between the service and a host that can fall silent: open at both ends, and nothing comes through any more."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass


@dataclass
class Relay:
    """A port of loopback that leads to another one until it is muted."""

    port: int = 0
    is_mute: bool = False

    async def pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Everything from here to there; once muted, to nowhere."""
        while data := await reader.read(65536):
            if not self.is_mute:
                writer.write(data)
                await writer.drain()


@asynccontextmanager
async def relay_to(target_port: int) -> AsyncIterator[Relay]:
    """Relay to a port of loopback; what is still open at the end is cut."""
    relay = Relay()
    pumps: list[asyncio.Task[None]] = []
    writers: list[asyncio.StreamWriter] = []

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", target_port)
        writers.extend((writer, far_writer))
        pumps.append(asyncio.create_task(relay.pump(reader, far_writer)))
        pumps.append(asyncio.create_task(relay.pump(far_reader, writer)))

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    relay.port = server.sockets[0].getsockname()[1]
    try:
        yield relay
    finally:
        server.close()
        for pump in pumps:
            pump.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)
        for writer in writers:
            writer.transport.abort()
        await asyncio.gather(*(writer.wait_closed() for writer in writers), return_exceptions=True)
