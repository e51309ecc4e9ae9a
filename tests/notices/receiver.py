"""A receiver of notices on loopback: strict about what the Standard Webhooks specification says."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from service.hooks.signature import Call, Standard
from tests.threaded import in_thread

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


class Receiver(ThreadingHTTPServer):
    """`got` are the notices that were taken, with their ids. `answers` are the next statuses, then 204."""

    def __init__(self, at: datetime | None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.at = at
        self.got: list[tuple[str, dict[str, Any]]] = []
        self.asked: list[str] = []
        self.answers: list[int] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/hook?of=passerelle"


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        call = Call(tuple((name.lower().encode(), value.encode()) for name, value in self.headers.items()), body)
        now = self.server.at or datetime.now(UTC)
        self.server.asked.append(self.path)
        status = self.server.answers.pop(0) if self.server.answers else 204
        if not Standard().verify(SECRET.encode(), call, now) or self.headers["content-type"] != "application/json":
            status = 401
        if status < 300:
            found = json.loads(body)
            assert found.keys() == {"type", "timestamp", "data"}
            self.server.got.append((self.headers["webhook-id"], found))
        self.send_response(status)
        if 300 <= status < 400:
            self.send_header("location", "/elsewhere")
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (its name there)
        """Nothing."""


@contextmanager
def receiver(at: datetime | None = None) -> Iterator[Receiver]:
    """One that runs; `at` is its time, the machine's own where none is given."""
    with Receiver(at) as server, in_thread(server):
        yield server
