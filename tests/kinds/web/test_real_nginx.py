"""The files of sites in real nginx, of Debian 12 and 13: it accepts them, and does with requests what the spec says."""

import http.client
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from service.kinds.web.nginx import Target, main_file, site_file
from service.kinds.web.section import WebSection
from tests.kinds.web.payloads import PAYLOADS
from tests.kinds.web.real_nginx import Placed, free_port, program_of
from tests.kinds.web.test_injection import KEY_OF, PLACES, SITE, accepted

pytestmark = [pytest.mark.host, pytest.mark.timeout(300)]
SUITES = ("bookworm", "trixie")
OWN_PREFIX = "nginx: [warn]"
LONG = f"{'a' * 60}.{'b' * 60}.example.org"
SITES: dict[str, Any] = {
    "www.example.org": {"to": "dev", "aliases": ("example.org", "*.example.net", LONG, f"*.{LONG}")},
    "wiki.example.org": {
        "to": "dev", "redirect_https": True, "headers": {"X-Said": 'say "{it}"; \\ #', "X-Upstream": "ours"},
        "max_body_size": "1k",
    },
    "far.example.org": {"to": "dev", "allow": ("192.0.2.0/24", "2001:db8::/32")},
    "near.example.org": {"to": "dev", "allow": ("127.0.0.0/8",), "deny": ("127.0.0.8/30",)},
    "slow.example.org": {"to": "dev", "limits": {"requests": "1/m", "burst": 1, "connections": 5}},
    "plain.lan": {"to": "dev", "https": False, "websocket": False},
    "off.example.org": {"to": "dev"},
    "gone.example.org": {"to": "dev"},
}  # fmt: skip


class Echo(BaseHTTPRequestHandler):
    """Answers with the headers that it got; upgrades a connection and sends back what comes."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.headers.get("Upgrade") == "websocket":
            self.send_response(101)
            self.send_header("Upgrade", "websocket")
            self.send_header("Connection", "Upgrade")
            self.end_headers()
            self.wfile.write(self.rfile.read(4))
            self.close_connection = True
            return
        said = f"{self.path}\n{self.headers}".encode()
        self.send_response(200)
        self.send_header("X-Upstream", "its own")
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()

    def log_message(self, *_: object) -> None:
        """Nothing."""


@contextmanager
def upstream() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield int(server.server_address[1])
        finally:
            server.shutdown()
            thread.join()


def section(sites: dict[str, Any]) -> WebSection:
    acme = {"directory": "letsencrypt", "terms_agreed": True}
    return WebSection.model_validate({"proxy": "proxy", "acme": acme, "sites": sites})


def files(port: int) -> dict[str, bytes]:
    """Of all sites: one has nobody behind it, one a name that no server knows."""
    targets = {
        "off.example.org": Target("127.0.0.1", free_port()),
        "gone.example.org": Target("gone.lan", 80, "127.0.0.1"),
    }
    made = {
        f"sites/{name}.conf": site_file(
            name, site, targets.get(name, Target("127.0.0.1", port)), "passerelle proxy", ipv6=True
        )
        for name, site in section(SITES).sites.items()
    }
    return {"nginx.conf": main_file(ipv6=True), **made}


@pytest.fixture(scope="module", params=SUITES)
def placed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Placed]:
    with upstream() as port:
        folder = tmp_path_factory.mktemp(request.param)
        placed = Placed.of(folder, program_of(request.param), files(port))
        for name in SITES:
            placed.certificate(name)
        (folder / "state/webroot/.well-known/acme-challenge/token").write_text("proof")
        with placed.serving():
            yield placed


def ask(
    placed: Placed, host: str, path: str = "/", *, tls: str = "", method: str = "GET", body: str | None = None,
    source: str = "127.0.0.1", **headers: str,
) -> tuple[int, dict[str, str], str]:  # fmt: skip
    """(status, headers, body). `tls`: the name in the handshake, "" for plain HTTP."""
    port = placed.https if tls else placed.http
    connection = http.client.HTTPConnection(
        "::1" if ":" in source else "127.0.0.1", port, timeout=30, source_address=(source, 0)
    )
    try:
        connection.connect()
        if tls:
            context = ssl._create_unverified_context()  # the certificate is self-signed
            connection.sock = context.wrap_socket(connection.sock, server_hostname=tls)
        sent = {"Host": host, **{name.replace("_", "-"): value for name, value in headers.items()}}
        connection.request(method, path, body=body, headers=sent)
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read().decode()
    finally:
        connection.close()


def test_it_accepts_the_files_and_warns_of_http2_alone(placed: Placed) -> None:
    said = placed.run("-t")
    assert said.returncode == 0, said.stderr
    warnings = [line for line in said.stderr.splitlines() if "[warn]" in line]
    assert all('"listen ... http2" directive is deprecated' in line for line in warnings)
    assert len(warnings) == 2 * ("trixie" in str(placed.folder))  # one for each family


@pytest.mark.parametrize("tls", ["", "www.example.org"])
def test_it_answers_over_ipv6_as_over_ipv4(placed: Placed, tls: str) -> None:
    four, six = (ask(placed, "www.example.org", tls=tls, source=source) for source in ("127.0.0.1", "::1"))
    assert (six[0], six[2].replace("::1", "127.0.0.1")) == (four[0], four[2])


@pytest.mark.parametrize("name", ["www.example.org", "example.org", "a.example.net", LONG, f"x.{LONG}", "plain.lan"])
def test_every_name_leads_to_its_site(placed: Placed, name: str) -> None:
    status, _, body = ask(placed, name, "/a%2Fb?c=%20d")
    assert (status, body.splitlines()[0]) == (200, "/a%2Fb?c=%20d")
    assert f"Host: {name}" in body


def test_names_that_nobody_has_get_no_answer(placed: Placed) -> None:
    with pytest.raises((http.client.RemoteDisconnected, ConnectionError)):
        ask(placed, "other.example.org")
    with pytest.raises(ssl.SSLError):
        ask(placed, "other.example.org", tls="other.example.org")
    assert ask(placed, "other.example.org", tls="www.example.org")[0] == 421


def test_a_client_cannot_forge_who_it_is(placed: Placed) -> None:
    forged = {"X_Forwarded_For": "192.0.2.66", "X_Real_IP": "192.0.2.66", "Forwarded": "for=192.0.2.66"}
    _, _, body = ask(placed, "www.example.org", tls="www.example.org", **forged, X_Forwarded_Proto="http")
    told = dict(line.split(": ", 1) for line in body.splitlines()[1:] if ": " in line)
    assert "192.0.2.66" not in body
    assert (told["X-Forwarded-For"], told["X-Real-IP"], told["X-Forwarded-Proto"]) == (
        "127.0.0.1",
        "127.0.0.1",
        "https",
    )
    assert (told["Host"], told["X-Forwarded-Host"]) == ("www.example.org", "www.example.org")


def test_http_redirects_but_not_where_proof_is_looked_for(placed: Placed) -> None:
    status, headers, _ = ask(placed, "wiki.example.org", "/a?b=c")
    assert (status, headers["Location"]) == (301, "https://wiki.example.org/a?b=c")
    for name in ("wiki.example.org", "far.example.org", "www.example.org", "plain.lan"):
        assert ask(placed, name, "/.well-known/acme-challenge/token")[::2] == (200, "proof")
    assert ask(placed, "wiki.example.org", "/.well-known/acme-challenge/other")[0] == 404


def test_headers_of_a_site_take_the_place_of_those_of_the_upstream(placed: Placed) -> None:
    _, headers, _ = ask(placed, "wiki.example.org", tls="wiki.example.org")
    assert (headers["X-Said"], headers["X-Upstream"]) == ('say "{it}"; \\ #', "ours")


def test_clients_are_allowed_and_denied(placed: Placed) -> None:
    assert ask(placed, "far.example.org")[0] == 403
    assert ask(placed, "near.example.org")[0] == 200
    assert ask(placed, "near.example.org", source="127.0.0.9")[0] == 403


def test_bodies_and_rates_have_limits(placed: Placed) -> None:
    assert ask(placed, "wiki.example.org", tls="wiki.example.org", method="POST", body="x" * 1024)[0] == 200
    assert ask(placed, "wiki.example.org", tls="wiki.example.org", method="POST", body="x" * 1025)[0] == 413
    assert [ask(placed, "slow.example.org")[0] for _ in range(3)] == [200, 200, 429]


def test_an_upstream_that_is_off_or_has_no_name_answers_502_and_the_others_work(placed: Placed) -> None:
    assert ask(placed, "off.example.org")[0] == 502
    assert ask(placed, "gone.example.org")[0] == 502
    assert ask(placed, "www.example.org")[0] == 200


def test_websockets_pass(placed: Placed) -> None:
    asked = "GET / HTTP/1.1\r\nHost: www.example.org\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nping"
    with socket.create_connection(("127.0.0.1", placed.http), timeout=30) as client:
        client.sendall(asked.encode())
        got = client.makefile("rb").read(1 << 20)
    assert got.startswith(b"HTTP/1.1 101 ") and got.endswith(b"\r\n\r\nping")


def test_without_websockets_the_upstream_hears_of_no_upgrade(placed: Placed) -> None:
    _, _, body = ask(placed, "plain.lan", Upgrade="websocket", Connection="Upgrade")
    assert "Upgrade:" not in body
    assert "Connection: close" in body


@pytest.mark.parametrize("name", ["www.example.org", "wiki.example.org"])
def test_http2_and_modern_tls(placed: Placed, name: str) -> None:
    argv = ["curl", "-sk", "--http2", "-o", "/dev/null", "-w", "%{http_version} %{http_code}"]
    at = ["--resolve", f"{name}:{placed.https}:127.0.0.1", f"https://{name}:{placed.https}/"]
    assert subprocess.run([*argv, *at], capture_output=True, text=True, check=True).stdout == "2 200"
    old = subprocess.run(
        [*argv, "--tls-max", "1.1", "--ciphers", "DEFAULT:@SECLEVEL=0", *at], capture_output=True, check=False
    )
    assert old.returncode == 35


@pytest.mark.parametrize("suite", SUITES)
def test_real_nginx_reads_every_accepted_text_as_one_word(suite: str, tmp_path: Path) -> None:
    """All texts of the test of injection that the spec accepts, in all places, as nginx itself prints them (`-T`)."""
    taken = [
        found.sites for path in PLACES if path[0] == "sites" and path[1] is not KEY_OF
        for payload in PAYLOADS if (found := accepted(path, payload)) is not None
    ]  # fmt: skip
    assert len(taken) > 60
    made = {"nginx.conf": main_file()}
    for number, sites in enumerate(taken):
        name = f"n{number}.example.org"
        made[f"sites/{name}.conf"] = site_file(name, sites[SITE], Target("127.0.0.1", 8080), "passerelle")
    placed = Placed.of(tmp_path, program_of(suite), made)
    placed.certificate("one")
    for number in range(len(taken)):
        (tmp_path / f"state/live/n{number}.example.org").symlink_to("one")
    said = placed.run("-T")
    assert said.returncode == 0, said.stderr
    assert "owned" not in "".join(line for line in said.stdout.splitlines() if line.strip().startswith("return"))
    assert said.stdout.count("add_header") == len(taken)


def test_a_file_with_a_text_that_leaves_its_directive_would_be_found(tmp_path: Path) -> None:
    """The negative control of the test above: a directive more is one that nginx prints."""
    placed = Placed.of(tmp_path, program_of("bookworm"), {"nginx.conf": main_file()})
    (tmp_path / "sites/x.conf").write_text(f"server {{ listen 127.0.0.1:{placed.http}; return 200 owned; }}\n")
    said = placed.run("-T")
    assert any(line.strip().startswith("server {") and "owned" in line for line in said.stdout.splitlines())
