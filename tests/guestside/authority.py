"""A certificate authority on loopback: pebble and its DNS server, behind a TLS proxy that can refuse.

pebble has no rate limits and does not look at CAA records. The proxy answers in its place where a test wants such a
refusal, and keeps what was ordered; everything else passes unchanged.
"""

import base64
import http.client
import http.server
import json
import os
import re
import socket
import ssl
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from service.lab import pebble

HOP_BY_HOP = ("connection", "transfer-encoding", "content-length")


@dataclass
class Refusal:
    """An answer in pebble's place, for POSTs to paths that match, `times` times."""

    path: str
    status: int
    problem: dict[str, Any]
    headers: dict[str, str] = field(default_factory=dict)
    times: int = 1000


@dataclass
class Authority:
    """`directory` is the proxy's; `orders` are the payloads of newOrder in their order; `meanwhile` is called at each,
    before its answer."""

    folder: Path
    ports: dict[str, int]
    webroots: list[Path]
    orders: list[dict[str, Any]] = field(default_factory=list)
    finalized: int = 0
    refusals: list[Refusal] = field(default_factory=list)
    down: bool = False
    has_windows: bool = True
    meanwhile: Callable[[], None] = lambda: None

    @property
    def directory(self) -> str:
        return f"https://localhost:{self.ports['proxy']}/dir"

    @property
    def staging(self) -> str:
        """The same authority by another name; `orders` have the name that was used as `host`."""
        return f"https://127.0.0.1:{self.ports['proxy']}/dir"

    @property
    def ca_file(self) -> Path:
        """The root of the directory's own TLS certificate."""
        return self.folder / "tls.pem"

    def forget(self) -> None:
        """As it was before a test."""
        self.orders.clear()
        self.refusals.clear()
        self.finalized = 0
        self.down = False
        self.has_windows = True
        self.meanwhile = lambda: None
        self.webroots = []

    def serve(self, *webroots: Path) -> None:
        """What answers on port 80 from now on; where the folder does not exist, the port is closed."""
        self.webroots = list(webroots)

    def dns(self, verb: str, **value: Any) -> None:
        """Set a name in pebble's DNS server, as in `dns("add-a", host="www.example.org", addresses=[…])`."""
        body = json.dumps(value).encode()
        url = f"http://127.0.0.1:{self.ports['management']}/{verb}"
        with urllib.request.urlopen(urllib.request.Request(url, body, method="POST"), timeout=10):
            pass

    def ask(self, path: str, body: bytes | None = None) -> bytes:
        """pebble's own management interface, as in `ask("/roots/0")`."""
        context = ssl.create_default_context(cafile=str(self.ca_file))
        url = f"https://localhost:{self.ports['pebble-management']}{path}"
        with urllib.request.urlopen(urllib.request.Request(url, body), timeout=10, context=context) as answer:
            return bytes(answer.read())

    def set_window(self, chain: str, start: float, end: float) -> None:
        """Let pebble name this renewal window for a certificate."""
        leaf = chain.partition("-----END CERTIFICATE-----")[0] + "-----END CERTIFICATE-----\n"
        window = {"suggestedWindow": {"start": utc(start), "end": utc(end)}}
        self.ask("/set-renewal-info/", json.dumps({"certificate": leaf, "ariResponse": json.dumps(window)}).encode())


def utc(at: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))


def free_ports(*names: str) -> dict[str, int]:
    """A free port of loopback for each name."""
    held = [socket.create_server(("127.0.0.1", 0)) for _ in names]
    ports = {name: each.getsockname()[1] for name, each in zip(names, held, strict=True)}
    for each in held:
        each.close()
    return ports


@contextmanager
def running(folder: Path) -> Iterator[Authority]:
    """All of it, until the block ends."""
    ports = free_ports("pebble", "pebble-management", "dns", "management")
    new_tls(folder)
    authority = Authority(folder, ports, [])
    with web_server(authority) as http_port, proxy(authority) as proxy_port:
        ports |= {"http": http_port, "proxy": proxy_port}
        (folder / "pebble.json").write_text(json.dumps({"pebble": configuration(folder, ports)}))
        programs, log = pebble.ensure(), (folder / "log").open("wb")
        quick = {"PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "0", "PEBBLE_AUTHZREUSE": "0"}
        dns = f"127.0.0.1:{ports['dns']}"
        argv = [str(programs.dns), "-dnsserver", dns, "-management", f"127.0.0.1:{ports['management']}"]
        argv += ["-defaultIPv6", "", "-http01", "", "-https01", "", "-tlsalpn01", "", "-doh", ""]
        server = [str(programs.server), "-config", "pebble.json", "-dnsserver", dns, "-strict"]
        start: Callable[..., Any] = partial(subprocess.Popen, stdout=log, stderr=log, cwd=folder)
        with_us = ["setpriv", "--pdeathsig", "KILL"]  # a run that is killed leaves nothing behind
        with start([*with_us, *argv]) as one, start([*with_us, *server], env={**os.environ, **quick}) as other:
            try:
                for port in ("management", "pebble", "pebble-management", "dns"):
                    wait_for_port(ports[port])
                yield authority
            finally:
                other.terminate()
                one.terminate()
        log.close()


def configuration(folder: Path, ports: dict[str, int]) -> dict[str, Any]:
    return {
        "listenAddress": f"127.0.0.1:{ports['pebble']}",
        "managementListenAddress": f"127.0.0.1:{ports['pebble-management']}",
        "certificate": str(folder / "tls.pem"),
        "privateKey": str(folder / "tls.key"),
        "httpPort": ports["http"],
        "tlsPort": 1,
        "domainBlocklist": ["blocked.example"],
        "retryAfter": {"authz": 1, "order": 1},
        "keyAlgorithm": "ecdsa",
        "profiles": {
            "classic": {"description": "64 days", "validityPeriod": 64 * 86400},
            "shortlived": {"description": "160 hours", "validityPeriod": 160 * 3600},
        },
    }


def new_tls(folder: Path) -> None:
    """The directory's own certificate, which is its own root."""
    argv = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "3",
        "-subj",
        "/CN=localhost",
    ]
    argv += ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    subprocess.run(
        [*argv, "-keyout", folder / "tls.key", "-out", folder / "tls.pem"], check=True, capture_output=True, timeout=60
    )


def wait_for_port(port: int) -> None:
    until = time.monotonic() + 30
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            assert time.monotonic() < until, f"nothing listens on {port}"
            threading.Event().wait(0.02)


class Quiet(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass

    def answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


@contextmanager
def serving(handler: type[Quiet], context: ssl.SSLContext | None = None) -> Iterator[int]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def web_server(authority: Authority) -> Any:
    """Port 80 of the guest: the challenges' folder, as nginx has it."""

    class Web(Quiet):
        def do_GET(self) -> None:
            tops = [each for each in authority.webroots if each.is_dir()]
            paths = [each / self.path.lstrip("/") for each in tops if ".." not in self.path]
            if not tops:
                self.close_connection = True  # as a closed port: no answer
                return
            there = [each.read_bytes() for each in paths if each.is_file()]
            self.answer(*(200, there[0], {}) if there else (404, b"not found", {}))

    return serving(Web)


def proxy(authority: Authority) -> Any:
    """The way to pebble, which sees the proxy's address as its own."""

    class Proxy(Quiet):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.passed(b"")

        def do_HEAD(self) -> None:
            self.passed(b"")

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            for each in authority.refusals:
                if each.times > 0 and re.search(each.path, self.path):
                    each.times -= 1
                    headers = {"Content-Type": "application/problem+json", "Replay-Nonce": "bm9uY2U", **each.headers}
                    self.answer(each.status, json.dumps(each.problem).encode(), headers)
                    return
            if self.path.startswith("/order-plz"):
                authority.orders.append({**payload(body), "host": self.headers["Host"].partition(":")[0]})
                authority.meanwhile()
            authority.finalized += self.path.startswith("/finalize-order")
            self.passed(body)

        def passed(self, body: bytes) -> None:
            if authority.down:
                self.close_connection = True
                return
            context = ssl.create_default_context(cafile=str(authority.ca_file))
            there = http.client.HTTPSConnection("localhost", authority.ports["pebble"], timeout=30, context=context)
            try:
                there.request(self.command, self.path, body or None, dict(self.headers))
                answer = there.getresponse()
                headers = {name: value for name, value in answer.getheaders() if name.lower() not in HOP_BY_HOP}
                said = answer.read()
                if self.path == "/dir" and not authority.has_windows:
                    known = json.loads(said)
                    del known["renewalInfo"]
                    said = json.dumps(known).encode()
                self.answer(answer.status, said, headers)
            finally:
                there.close()

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.ca_file, authority.folder / "tls.key")
    return serving(Proxy, context)


def payload(body: bytes) -> dict[str, Any]:
    """What a JWS says."""
    text = json.loads(body)["payload"]
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    return found
