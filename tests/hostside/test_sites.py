"""Sites as a host sees them, over real sockets on loopback; and the permit that goes into a guest."""

import base64
import http.server
import io
import json
import socketserver
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from service.hostside.errors import BadInput, Refused, Trouble
from service.hostside.host import Host
from service.hostside.sites import verb_answers, verb_handover, verb_permit
from tests.internet.servers import certificate

MAC = "bc:24:11:00:00:02"
WWW = {"name": "www.example.org", "address": "127.0.0.1", "port": 1, "tls": True}


class Web(http.server.BaseHTTPRequestHandler):
    """502 for one name."""

    def do_GET(self) -> None:
        self.send_response(502 if self.headers["Host"] == "off.example.org" else 200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing on stderr."""


class Mute(socketserver.BaseRequestHandler):
    """Closes at once."""


@contextmanager
def serving(server: socketserver.TCPServer, tls: ssl.SSLContext | None = None) -> Iterator[int]:
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield int(server.server_address[1])
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def answers(*sites: dict[str, Any]) -> list[Any]:
    found = verb_answers(json.dumps(sites))["answers"]
    assert isinstance(found, list)
    return found


def test_each_site_answers_with_its_status_and_its_certificate(tmp_path: Path) -> None:
    tls = certificate(tmp_path, "www.example.org", serial=0xBEEF)
    with serving(http.server.ThreadingHTTPServer(("127.0.0.1", 0), Web), tls) as port:
        well, off = answers(WWW | {"port": port}, WWW | {"port": port, "name": "off.example.org"})
    assert (well["name"], well["status"], well["error"]) == ("www.example.org", 200, "")
    assert (off["name"], off["status"], off["error"]) == ("off.example.org", 502, "")
    assert x509.load_der_x509_certificate(base64.b64decode(well["certificate"])).serial_number == 0xBEEF


def test_plain_http_and_nobody_and_no_tls_and_nothing() -> None:
    with (
        serving(http.server.ThreadingHTTPServer(("127.0.0.1", 0), Web)) as web,
        serving(socketserver.ThreadingTCPServer(("127.0.0.1", 0), Mute)) as mute,
    ):
        plain, no_tls, silent = answers(
            WWW | {"port": web, "tls": False}, WWW | {"port": web}, WWW | {"port": mute, "tls": False}
        )
    assert (plain["status"], plain["certificate"]) == (200, "")
    assert no_tls["status"] == silent["status"] == 0
    assert no_tls["error"].startswith("TLS failed: ")
    assert silent["error"]
    assert answers(WWW | {"port": mute, "tls": False})[0]["error"] == "connection refused"


@pytest.mark.parametrize(
    "order",
    [
        "", "{}", "[" * 5000, json.dumps([WWW] * 65), json.dumps([{**WWW, "more": 1}]),
        json.dumps([WWW | {"address": "localhost"}]), json.dumps([WWW | {"port": 0}]), json.dumps([WWW | {"tls": 1}]),
        json.dumps([WWW | {"name": "a\r\nX: y"}]), json.dumps([WWW | {"name": ""}]),
    ],
)  # fmt: skip
def test_another_order_is_bad_input(order: str) -> None:
    with pytest.raises(BadInput):
        verb_answers(order)


GIVEN = {"www.example.org": {"ok": True}, "wiki.example.org": {"ok": False, "why": "it resolves elsewhere."}}


class Guest:
    """A host with one container, whose lxc-attach runs the script of `program`."""

    def __init__(self, folder: Path) -> None:
        self.host = Host(str(folder), str(folder / "bin"))
        self.said = folder / "said"
        (folder / "bin").mkdir()
        (folder / "var/lib/lxc/box").mkdir(parents=True)
        (folder / "var/lib/lxc/box/config").write_text(f"lxc.net.0.hwaddr = {MAC}\n")
        self.set("lxc-info", "echo RUNNING")
        self.program(f"printf '%s\\n' \"$*\" >{self.said}; /bin/cat >>{self.said}")

    def set(self, name: str, script: str) -> None:
        program = Path(str(self.host.bin_dir)) / name
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)

    def program(self, script: str) -> None:
        self.set("lxc-attach", script)


@pytest.fixture
def guest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Guest:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(json.dumps(GIVEN).encode())))
    return Guest(tmp_path)


def test_a_permit_goes_to_the_program_in_the_guest(guest: Guest) -> None:
    assert verb_permit(guest.host, f"proxy@{MAC}") == {"state": "permitted"}
    words, given = guest.said.read_text().split("\n", 1)
    assert words.endswith("/usr/bin/python3 /etc/passerelle/certs.py permit")
    assert json.loads(given) == GIVEN


def test_a_guest_that_is_down_or_not_there_gets_none(guest: Guest) -> None:
    guest.set("lxc-info", "echo STOPPED")
    with pytest.raises(Refused) as refused:
        verb_permit(guest.host, f"proxy@{MAC}")
    assert refused.value.answer["reason"] == "guest-down"
    assert not guest.said.exists()


def test_what_the_program_says_is_in_one_line(guest: Guest) -> None:
    guest.program("printf 'no\\n\\033[31mroom' >&2; exit 1")
    with pytest.raises(Trouble, match=r"guest proxy: \?\[31mroom"):
        verb_permit(guest.host, f"proxy@{MAC}")


def test_certificates_on_their_way_go_through_the_program(guest: Guest) -> None:
    guest.program(f'printf \'%s\\n\' "$*" >{guest.said}; /bin/cat >>{guest.said}; printf \'{{"sealed": "x"}}\'')
    assert verb_handover(guest.host, f"proxy@{MAC}", "pack") == {"state": "handed", "said": {"sealed": "x"}}
    words, given = guest.said.read_text().split("\n", 1)
    assert words.endswith("/usr/bin/python3 /etc/passerelle/certs.py pack")
    assert json.loads(given) == GIVEN


def test_a_guest_that_has_nothing_to_give_is_refused_in_its_words(guest: Guest) -> None:
    guest.program("echo 'certs.py pack: nothing' >&2; exit 1")
    with pytest.raises(Refused) as refused:
        verb_handover(guest.host, f"proxy@{MAC}", "pack")
    assert refused.value.answer["reason"] == "no-certificates"
    assert refused.value.answer["error"] == "guest proxy: certs.py pack: nothing"


def test_only_the_three_parts_are_parts(guest: Guest) -> None:
    with pytest.raises(BadInput):
        verb_handover(guest.host, f"proxy@{MAC}", "run")
