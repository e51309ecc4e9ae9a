"""A stand-in for the rate limits of an authority, in front of the lab's real one: it refuses new orders.

`python -m service.lab.inside.stand_in FOLDER PORT RETRY_AFTER_S DETAIL` inside the namespace `inet`. FOLDER has the
certificate of the real one. Every answer that is the stand-in's own says so (`Server`), all else comes from pebble.
"""

import http.client
import http.server
import json
import ssl
import sys
from functools import partial
from http import HTTPStatus
from pathlib import Path

from service.lab import addresses

NEW_ORDER = "/order-plz"
NEW_NONCE = "/nonce-plz"
UPSTREAM_TIMEOUT_S = 30.0
ITSELF = "passerelle lab stand-in"
RATE_LIMITED = "urn:ietf:params:acme:error:rateLimited"
OF_A_CONNECTION = ("connection", "content-length", "date", "server", "transfer-encoding")


class StandIn(http.server.BaseHTTPRequestHandler):
    """Refuses POSTs of new orders (RFC 8555 6.6), hands on everything else."""

    protocol_version = "HTTP/1.1"

    def __init__(self, *arguments: object, folder: Path, retry_after_s: int, detail: str) -> None:
        self._trusted = ssl.create_default_context(cafile=folder / "ca.pem")
        self._retry_after_s = retry_after_s
        self._detail = detail
        super().__init__(*arguments)  # type: ignore[arg-type]  # socketserver calls it with its own three

    def do_GET(self) -> None:
        self._hand_on()

    def do_HEAD(self) -> None:
        self._hand_on()

    def do_POST(self) -> None:
        if self.path == NEW_ORDER:
            self._refuse()
        else:
            self._hand_on()

    def version_string(self) -> str:
        return ITSELF

    def _refuse(self) -> None:
        self.rfile.read(self._size())
        nonce = self._upstream("HEAD", NEW_NONCE, b"")[0].getheader("Replay-Nonce", "")
        problem = {"type": RATE_LIMITED, "detail": self._detail, "status": HTTPStatus.TOO_MANY_REQUESTS}
        body = json.dumps(problem).encode()
        self.send_response(HTTPStatus.TOO_MANY_REQUESTS)
        self.send_header("Content-Type", "application/problem+json")
        self.send_header("Replay-Nonce", nonce)
        self.send_header("Retry-After", str(self._retry_after_s))
        self._finish(body)

    def _hand_on(self) -> None:
        answer, body = self._upstream(self.command, self.path, self.rfile.read(self._size()))
        self.send_response_only(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in OF_A_CONNECTION:
                self.send_header(name, value)
        self._finish(body)

    def _upstream(self, method: str, path: str, body: bytes) -> tuple[http.client.HTTPResponse, bytes]:
        port, limit_s = http.client.HTTPS_PORT, UPSTREAM_TIMEOUT_S
        connection = http.client.HTTPSConnection(addresses.INTERNET, port, timeout=limit_s, context=self._trusted)
        kept = {name: value for name, value in self.headers.items() if name.lower() not in OF_A_CONNECTION}
        try:
            connection.request(method, path, body or None, kept)
            answer = connection.getresponse()
            return answer, answer.read()
        finally:
            connection.close()

    def _finish(self, body: bytes) -> None:
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _size(self) -> int:
        return int(self.headers.get("Content-Length") or 0)


def main() -> None:
    folder, port = Path(sys.argv[1]), int(sys.argv[2])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem", folder / "server.key")
    handler = partial(StandIn, folder=folder, retry_after_s=int(sys.argv[3]), detail=sys.argv[4])
    server = http.server.ThreadingHTTPServer((addresses.INTERNET, port), handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    sys.stderr.write(f"{ITSELF}: new orders are refused with {RATE_LIMITED}; pebble has no rate limits\n")
    server.serve_forever()


if __name__ == "__main__":
    main()
