"""Asking around from a host: real sockets, and the kernel's own neighbour table in a namespace."""

import http.server
import os
import socketserver
import ssl
import struct
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from service.hostside.host import Host
from service.hostside.probes import ask_all
from service.lab.waiting import grown_s
from tests.hostside.scratch import FILE, PYTHON, Answer, Scratch
from tests.internet.servers import certificate
from tests.ssh.sshd import free_port

pytestmark = pytest.mark.host

USUAL: Answer = {"port": 0, "path": "", "status": 0, "asked": "", "timeout_s": 2}


def probe(kind: str, address: str = "127.0.0.1", **more: Any) -> Answer:
    return {**USUAL, "kind": kind, "name": f"{kind} {address}", "address": address, **more}


def told(*probes: Answer) -> list[str]:
    """What each said; `ok` where it was."""
    answers = ask_all(list(probes), Host())
    assert [answer["name"] for answer in answers] == [given["name"] for given in probes]
    return ["ok" if answer["ok"] else answer["told"] for answer in answers]


@contextmanager
def serving(server: socketserver.BaseServer) -> Iterator[int]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield int(server.server_address[1])  # type: ignore[index]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Web(http.server.BaseHTTPRequestHandler):
    """Says in its status what the path asks for; `/host` is fine for one name only, `/away` leads elsewhere."""

    def do_GET(self) -> None:
        status = {"/": 200, "/away": 302, "/broken": 500}.get(self.path, 404)
        if self.path == "/host":
            status = 200 if self.headers["Host"] == "www.example.org" else 421
        self.send_response(status)
        self.send_header("Location", "http://127.0.0.1:1/")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing on stderr."""


def test_a_web_server_is_asked_for_a_status_and_not_followed() -> None:
    with serving(http.server.ThreadingHTTPServer(("127.0.0.1", 0), Web)) as port:
        asked = [
            probe("http", port=port),
            probe("http", port=port, path="/away"),
            probe("http", port=port, path="/broken"),
            probe("http", port=port, path="/broken", status=500),
            probe("http", port=port, path="/nothing"),
            probe("http", port=port, path="/host", asked="www.example.org"),
            probe("http", port=port, path="/host"),
        ]
        assert told(*asked) == ["ok", "ok", "status 500", "ok", "status 404", "ok", "status 421"]


class Rude(socketserver.BaseRequestHandler):
    """A server that answers with whatever is in `say`, or says nothing and hangs."""

    def handle(self) -> None:
        self.request.recv(4096)
        say = self.server.say  # type: ignore[attr-defined]
        if say is None:
            self.request.recv(1)
        else:
            self.request.sendall(say)


@pytest.mark.parametrize("say", [b"", b"SSH-2.0-x\r\n", b"HTTP/1.1 20\r\n", b"HTTP/2 200\r\n", b"\n", b"x" * 5000])
def test_an_answer_that_is_not_http_is_none(say: bytes) -> None:
    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Rude)
    server.say = say  # type: ignore[attr-defined]
    with serving(server) as port:
        assert told(probe("http", port=port)) == ["the answer is not HTTP"]


def test_a_port_is_open_shut_or_silent() -> None:
    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Rude)
    server.say = None  # type: ignore[attr-defined]
    server.daemon_threads = True
    with serving(server) as port:
        asked = [
            probe("tcp", port=port),
            probe("tcp", port=free_port()),
            probe("http", port=port, timeout_s=0.3),
        ]
        assert told(*asked) == ["ok", "connection refused", "no answer"]


def only_www(_socket: object, name: str | None, _context: object) -> int | None:
    return None if name == "www.example.org" else ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME


def test_tls_comes_up_for_a_name_with_any_certificate_or_says_why_not(tmp_path: Path) -> None:
    context = certificate(tmp_path, "other.example.org")
    context.sni_callback = only_www
    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Rude)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.say = b""  # type: ignore[attr-defined]
    plain = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Rude)
    plain.say = b"HTTP/1.1 400 Bad Request\r\n"  # type: ignore[attr-defined]
    silent = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Rude)
    silent.say, silent.daemon_threads = None, True  # type: ignore[attr-defined]
    server.handle_error = silent.handle_error = lambda *_: None  # type: ignore[method-assign]
    with serving(server) as port, serving(plain) as without, serving(silent) as mute:
        asked = [
            probe("tls", port=port, asked="www.example.org"),
            probe("tls", port=port, asked="wiki.example.org"),
            probe("tls", port=without, asked="www.example.org"),
            probe("tls", port=free_port(), asked="www.example.org"),
            probe("tls", port=mute, asked="www.example.org", timeout_s=0.3),
        ]
        said = told(*asked)
    assert said[0] == "ok"
    assert said[1] == "no TLS for this name: TLSV1_UNRECOGNIZED_NAME"
    assert said[2] == "no TLS for this name: WRONG_VERSION_NUMBER"
    assert said[3:] == ["connection refused", "no answer"]


def test_an_echo_comes_back_over_both_families() -> None:
    assert told(probe("icmp"), probe("icmp", "::1")) == ["ok", "ok"]


class Names(socketserver.BaseRequestHandler):
    """Knows an IPv4 address for `four`, an IPv6 one for `six`, fails for `broken`, keeps silent for `mute`."""

    def handle(self) -> None:
        query, sock = self.request
        name = query[13 : 13 + query[12]].decode()
        (kind,) = struct.unpack_from("!H", query, len(query) - 4)
        if name == "mute":
            return
        code = {"four": 0, "six": 0, "": 0, "broken": 2}.get(name, 3)
        found = (name, kind) in (("four", 1), ("six", 28))
        sock.sendto(b"\0" * 12, self.client_address)  # somebody else's answer first
        head = query[:2] + struct.pack("!HHHHH", 0x8180 | code, 1, int(found), 0, 0)
        sock.sendto(head + query[12:], self.client_address)


def test_a_resolver_knows_a_name_or_says_why_not() -> None:
    with serving(socketserver.ThreadingUDPServer(("127.0.0.1", 0), Names)) as port:
        asked = [probe("dns", port=port, asked=name, timeout_s=1) for name in ("four", "six", "none", "broken", "mute")]
        assert told(*asked) == ["ok", "ok", "NXDOMAIN", "SERVFAIL", "no answer"]


class Version(socketserver.BaseRequestHandler):
    """Answers `version.bind` in class CHAOS with the record in `record`, whatever it is; None keeps silent."""

    def handle(self) -> None:
        query, sock = self.request
        assert query[12:].startswith(b"\x07version\x04bind\0" + struct.pack("!HH", 16, 3))
        code, count, record = self.server.record  # type: ignore[attr-defined]
        sock.sendto(
            query[:2] + struct.pack("!HHHHH", 0x8580 | code, 1, count, 0, 0) + query[12:] + record, self.client_address
        )


def txt(text: bytes, name: bytes = b"\xc0\x0c") -> bytes:
    return name + struct.pack("!HHIHB", 16, 3, 0, len(text) + 1, len(text)) + text


@pytest.mark.parametrize(
    ("record", "said"),
    [
        ((0, 1, txt(b"dnsmasq-2.90")), "ok"),
        ((0, 1, txt(b"dnsmasq-2.90", b"\x07version\x04bind\0")), "ok"),
        ((0, 1, txt(b"9.18.49-1~deb12u3-Debian")), "another name server answers: 9.18.49-1~deb12u3-Debian"),
        ((0, 1, txt(b"\x1b[31m dnsmasq")), "another name server answers: ?[31m dnsmasq"),
        ((5, 0, b""), "another name server answers"),
        ((0, 0, b""), "another name server answers"),
        ((0, 1, b""), "another name server answers"),
        ((0, 1, b"\xc0"), "another name server answers"),
        ((0, 1, b"\x3fxx"), "another name server answers"),
        ((0, 1, txt(b"")), "another name server answers"),
        ((0, 1, b"\xc0\x0c" + b"\0" * 9), "another name server answers"),
    ],
)
def test_a_name_server_says_which_program_it_is(record: tuple[int, int, bytes], said: str) -> None:
    server = socketserver.ThreadingUDPServer(("127.0.0.1", 0), Version)
    server.record = record  # type: ignore[attr-defined]
    with serving(server) as port:
        assert told(probe("server", port=port, asked="dnsmasq", timeout_s=1)) == [said]


def test_an_address_that_the_host_does_not_have_yet_is_not_waited_for() -> None:
    """A change that brings an address is not held up by the question before it, which nobody can answer."""
    asked = probe("server", "203.0.113.9", asked="dnsmasq", timeout_s=9)
    began_s = time.monotonic()
    assert told(asked) == ["the host does not have this address"]
    assert time.monotonic() - began_s < grown_s(4), "it was asked all the same"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"kind": "gateway"}, "kind"),
        ({"address": "www.example.org"}, "address"),
        ({"port": 65536}, "out of bounds"),
        ({"port": True}, "port"),
        ({"timeout_s": 11}, "timeout_s"),
        ({"path": "x"}, "path"),
        ({"path": "/a\r\nHost: x"}, "path"),
        ({"asked": "a b"}, "asked"),
        ({"name": "\x1b"}, "name"),
        ({"extra": 1}, "keys"),
    ],
)
def test_a_probe_that_is_none_is_refused_with_the_place(scratch: Scratch, change: Answer, said: str) -> None:
    answer = scratch.call("probe", give=[{**probe("tcp", port=1), **change}], code=2)
    assert answer["state"] == "invalid"
    assert said in answer["error"]


def test_there_is_an_end_to_how_much_is_asked(scratch: Scratch) -> None:
    assert "at most 64" in scratch.call("probe", give=[probe("tcp", port=1)] * 65, code=2)["error"]
    assert scratch.call("probe", give={}, code=2)["state"] == "invalid"


def test_every_host_is_asked_for_its_gateways_and_first_three_resolvers(scratch: Scratch) -> None:
    lines = ["nameserver 127.81.0.1", "nameserver 127.81.0.1", "nameserver ../etc", "options x", "nameserver"]
    lines += [f"nameserver 127.81.0.{n}" for n in (2, 3, 4)]
    (scratch.root / "etc/resolv.conf").write_text("\n".join(lines))
    kernel = scratch.get("kernel.json")
    kernel["routes"] += [[6, "2001:db8::1", "enp1s0"]]
    scratch.put("kernel.json", {**kernel, "mute": ["2001:db8::1"]})
    answers = scratch.call("probe", give=[])["probes"]
    assert [(answer["name"], answer["ok"]) for answer in answers] == [
        ("gateway IPv4", True),
        ("gateway IPv6", False),
        ("dns 127.81.0.1", False),
        ("dns 127.81.0.2", False),
    ]
    assert answers[1]["told"] == "2001:db8::1 on enp1s0 does not answer"
    assert answers[2]["told"] == "connection refused"


@pytest.fixture
def two_spaces() -> Iterator[tuple[str, str]]:
    """Two network namespaces with a wire between them: a host at 192.0.2.2, its gateway at 192.0.2.1."""
    names = (f"psr-host-{os.getpid()}", f"psr-gate-{os.getpid()}")

    def ip(*words: str) -> None:
        subprocess.run(["ip", *words], check=True, timeout=grown_s(20))

    for name in names:
        subprocess.run(["ip", "netns", "del", name], check=False, timeout=grown_s(20), stderr=subprocess.DEVNULL)
        ip("netns", "add", name)
    try:
        ip("-n", names[0], "link", "add", "up0", "type", "veth", "peer", "name", "down0", "netns", names[1])
        for name, dev, address in ((names[0], "up0", "192.0.2.2/24"), (names[1], "down0", "192.0.2.1/24")):
            ip("-n", name, "addr", "add", address, "dev", dev)
            ip("-n", name, "link", "set", dev, "up")
        ip("-n", names[0], "route", "add", "default", "via", "192.0.2.1", "dev", "up0")
        yield names
    finally:
        for name in names:
            ip("netns", "del", name)


def test_a_gateway_that_went_away_is_found_out_though_the_kernel_still_knows_it(two_spaces: tuple[str, str]) -> None:
    host, gate = two_spaces
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from service.hostside import host, probes as p; h = host.Host();"
        "asked = [a for a in p.usual_probes(h) if a['kind'] == 'gateway']; print(p.ask_all(asked, h))"
    )

    def ask() -> str:
        argv = ["ip", "netns", "exec", host, *PYTHON, "-c", code, str(FILE)]
        return subprocess.run(argv, check=True, capture_output=True, text=True, timeout=grown_s(30)).stdout

    assert "'ok': True" in ask()  # nothing was known of it
    assert "'ok': True" in ask()  # and now it is
    subprocess.run(["ip", "-n", gate, "addr", "del", "192.0.2.1/24", "dev", "down0"], check=True, timeout=grown_s(20))
    assert "192.0.2.1 on up0 does not answer" in ask()
    subprocess.run(["ip", "-n", gate, "addr", "add", "192.0.2.1/24", "dev", "down0"], check=True, timeout=grown_s(20))
    assert "'ok': True" in ask()
