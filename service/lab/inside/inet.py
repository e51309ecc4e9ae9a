"""The lab's internet: a web server that answers with the client's address, the package repository, and a name server.

Run inside the namespace `inet`: `python -m service.lab.inside.inet REPOSITORY_FOLDER`; prints `ready` when all listen.
"""

import http.server
import socket
import socketserver
import struct
import sys
import threading
from functools import partial
from http import HTTPStatus

from service.lab import addresses

REPOSITORY_PATH = "/debian/"
PYTHON_PATH = "/python/"
A, AAAA, CAA, IN = 1, 28, 257, 1
NOERROR, NXDOMAIN = 0, 3
TTL_S = 60
RELAY_S = 2.0
MAX_ANSWER_BYTES = 4096


class Web(http.server.SimpleHTTPRequestHandler):
    """`/debian/SUITE/…` is the packages of a Debian release, `/python/…` an index of Python packages.

    Every other path answers with the asker's address.
    """

    def do_GET(self) -> None:
        if self.path.startswith(PYTHON_PATH):
            super().do_GET()
            return
        if self.path.startswith(REPOSITORY_PATH):
            self.path = "/" + self.path.removeprefix(REPOSITORY_PATH).removeprefix("./")
            super().do_GET()
            return
        body = f"{self.client_address[0]}\n".encode()
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def list_directory(self, path: object) -> None:
        self.send_error(HTTPStatus.NOT_FOUND)


def reply(query: bytes) -> bytes | None:
    """The answer to one DNS query (RFC 1035 §4): A records of the lab's names, NXDOMAIN else; None for garbage.

    Names of nobody here are those of the zone that a test has set, if its name server runs.
    """
    try:
        ident, flags, questions = struct.unpack_from("!HHH", query)
        labels, at = [], 12
        while (size := query[at]) != 0:
            labels.append(query[at + 1 : at + 1 + size].decode("ascii").lower())
            at += 1 + size
        kind, family = struct.unpack_from("!HH", query, at + 1)
    except (struct.error, IndexError, UnicodeDecodeError):
        return None
    if questions != 1 or flags & 0x8000:
        return None
    address = addresses.NAMES.get(".".join(labels))
    if address is None and (answered := from_zone(query, at + 1)):
        return answered
    found = address is not None and kind == A and family == IN
    status = NOERROR if address is not None else NXDOMAIN
    header = struct.pack("!HHHHHH", ident, 0x8480 | (flags & 0x0100) | status, 1, int(found), 0, 0)
    answer = b""
    if found and address is not None:
        answer = struct.pack("!HHHIH", 0xC00C, A, IN, TTL_S, 4) + socket.inet_aton(address)
    return header + query[12 : at + 5] + answer


def from_zone(query: bytes, kind_at: int) -> bytes | None:
    """What the name server on the loopback answers; None if there is none, or if it has no record of the name.

    It says NOERROR of every name that it does not know, where a real one says NXDOMAIN. So a name is known if it has a
    record of one kind that can be set. `kind_at` is where the query's QTYPE is.
    """
    answer = _asked_of_zone(query)
    if answer is None or _has_records(answer):
        return answer
    for kind in (A, AAAA, CAA):
        other = query[:kind_at] + struct.pack("!H", kind) + query[kind_at + 2 :]
        if (known := _asked_of_zone(other)) is not None and _has_records(known):
            return answer
    return None


def _has_records(answer: bytes) -> bool:
    """Whether there is a record in it, or an error that says more than that there is none."""
    (_, flags, _, records) = struct.unpack_from("!HHHH", answer)
    return bool(records or flags & 0x000F)


def _asked_of_zone(query: bytes) -> bytes | None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(RELAY_S)
        try:
            asking.connect(("127.0.0.1", addresses.ZONE_PORT))
            asking.send(query)
            return asking.recv(MAX_ANSWER_BYTES)
        except OSError:
            return None


class NameQuery(socketserver.BaseRequestHandler):
    """One DNS query over UDP."""

    def handle(self) -> None:
        query, transport = self.request
        if answer := reply(query):
            transport.sendto(answer, self.client_address)


def main() -> None:
    web = http.server.ThreadingHTTPServer((addresses.INTERNET, 80), partial(Web, directory=sys.argv[1]))
    names = socketserver.ThreadingUDPServer((addresses.INTERNET, 53), NameQuery)
    threading.Thread(target=names.serve_forever, daemon=True).start()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    web.serve_forever()


if __name__ == "__main__":
    main()
