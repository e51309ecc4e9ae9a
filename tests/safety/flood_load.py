"""What floods a service: silent and slow connections, readers, bodies. A process of its own; ends with one JSON line.

python -m tests.safety.flood_load PORT TOKEN SECONDS
"""

import asyncio
import contextlib
import json
import sys
from collections import Counter
from collections.abc import Awaitable, Callable

PATHS = ("hosts", "hosts/pve1", "hosts/pve1/observed", "drift", "applies", "events", "leases", "revisions", "source")
KEYS = json.dumps({f"k{number}": 0 for number in range(80_000)}).encode()
SIGNED = "X-Signature: sha256=" + "0" * 64


class Load:
    """Everything continues until it is cancelled; `told` counts the answers, by client."""

    def __init__(self, port: int, token: str) -> None:
        self.port = port
        self.token = token
        self.told: Counter[str] = Counter()

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def silent(self) -> None:
        reader, _ = await self.open()
        await reader.read(1)
        self.told["silent: closed"] += 1

    async def slow_header(self) -> None:
        reader, writer = await self.open()
        writer.write(b"GET /livez HTTP/1.1\r\nHost: x\r\nX: ")
        await self.drip(reader, writer)
        self.told["slow header: closed"] += 1

    async def slow_body(self) -> None:
        reader, writer = await self.open()
        writer.write(f"POST /hooks/forge HTTP/1.1\r\nHost: x\r\n{SIGNED}\r\nContent-Length: 900000\r\n\r\n".encode())
        await self.drip(reader, writer)
        self.told["slow body: closed"] += 1

    async def drip(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ended = asyncio.ensure_future(reader.read(1))
        try:
            while not ended.done() and not writer.is_closing():
                writer.write(b"x")
                await asyncio.wait([ended], timeout=0.5)
        finally:
            ended.cancel()
            await asyncio.gather(ended, return_exceptions=True)

    async def reads(self) -> None:
        reader, writer = await self.open()
        for path in PATHS:
            writer.write(
                f"GET /api/v1/{path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {self.token}\r\n\r\n".encode()
            )
            status, body = await answer(reader)
            self.told[f"reader: {status}"] += 1
            if b"storage-unavailable" in body:
                self.told["reader: storage-unavailable"] += 1
            if status != 200:
                await asyncio.sleep(0.2)

    async def keys(self) -> None:
        """A body of unknown keys from somebody who may send one."""
        head = f"POST /api/v1/applies HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {self.token}\r\n"
        await self.body("keys", head + "Content-Type: application/json\r\n", KEYS)

    async def deliveries(self) -> None:
        """A mebibyte with a wrong signature."""
        await self.body("delivery", f"POST /hooks/forge HTTP/1.1\r\nHost: x\r\n{SIGNED}\r\n", b"x" * (1 << 20))

    async def body(self, name: str, head: str, body: bytes) -> None:
        reader, writer = await self.open()
        writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        status, _ = await answer(reader)
        self.told[f"{name}: {status}"] += 1
        writer.close()

    async def again(self, once: Callable[[], Awaitable[None]], pause_s: float) -> None:
        while True:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                await once()
            await asyncio.sleep(pause_s)


async def answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    length = next((line.split(":")[1] for line in head.split("\r\n") if line.startswith("content-length:")), "0")
    return int(head.split()[1]), await reader.readexactly(int(length))


async def main() -> None:
    load = Load(int(sys.argv[1]), sys.argv[2])
    sorts = [(300, load.silent, 1.0), (50, load.slow_header, 1.0), (50, load.slow_body, 1.0), (200, load.reads, 0.1)]
    sorts += [(8, load.keys, 0.1), (8, load.deliveries, 0.1)]
    tasks = [asyncio.ensure_future(load.again(once, pause_s)) for count, once, pause_s in sorts for _ in range(count)]
    await asyncio.wait(tasks, timeout=float(sys.argv[3]))
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    print(json.dumps(dict(sorted(load.told.items()))))


if __name__ == "__main__":
    asyncio.run(main())
