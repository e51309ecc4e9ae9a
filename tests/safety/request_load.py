"""So many requests to a service, mixed: reads, good and forged deliveries, bad tokens. Ends with one JSON line.

python -m tests.safety.request_load PORT TOKEN SECRET REQUESTS
"""

import asyncio
import contextlib
import json
import sys
from collections import Counter
from collections.abc import Iterator

from tests.api.world import signature
from tests.hooks.forge_calls import push_body
from tests.safety.flood_load import PATHS, answer

CONNECTIONS = 12
TURN = ("read", "good", "read", "forged", "bad token", "read", "forged", "bad token", "good", "health")
"""What comes one after the other; of ten requests two are good deliveries, and two are forged."""
BODY = push_body("github")


class Requests:
    """`left` are requests that nobody took yet; `told` counts the answers."""

    def __init__(self, port: int, token: str, secret: str, count: int) -> None:
        self.port = port
        self.told: Counter[str] = Counter()
        self._numbers: Iterator[int] = iter(range(count))
        self._token = token
        self._proof = signature(secret, BODY)

    async def send(self) -> None:
        """Requests on connections of its own, one after the other, until none is left."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        for number in self._numbers:
            kind, text = self.request(number)
            try:
                writer.write(text)
                status, _ = await answer(reader)
            except (OSError, asyncio.IncompleteReadError):
                self.told[f"{kind}: closed"] += 1
                status = 0
            else:
                self.told[f"{kind}: {status}"] += 1
            if status in (0, 401, 413, 429, 503):  # the service may have closed it
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()
                reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.close()

    def request(self, number: int) -> tuple[str, bytes]:
        """Its kind, and all of its bytes."""
        kind = TURN[number % len(TURN)]
        if kind in ("good", "forged"):
            proof = self._proof if kind == "good" else "sha256=" + f"{number:064x}"
            head = f"X-GitHub-Event: push\r\nX-GitHub-Delivery: d-{number}\r\nX-Hub-Signature-256: {proof}\r\n"
            head += f"Content-Type: application/json\r\nContent-Length: {len(BODY)}\r\n"
            return kind, f"POST /hooks/forge HTTP/1.1\r\nHost: x\r\n{head}\r\n".encode() + BODY
        path = "/livez" if kind == "health" else f"/api/v1/{PATHS[number % len(PATHS)]}"
        token = f"psr_{number:012d}.{'A' * 43}" if kind == "bad token" else self._token
        return kind, f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n".encode()


async def main() -> None:
    load = Requests(int(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4]))
    await asyncio.gather(*(load.send() for _ in range(CONNECTIONS)))
    print(json.dumps(dict(sorted(load.told.items()))))


if __name__ == "__main__":
    asyncio.run(main())
