"""Servers that hang, drip, redirect or are not who they say: a fetch ends, and says why."""

import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from forge import Forge

from service.git.child import GitLimits
from service.git.commands import Credentials
from service.git.mirror import Mirror
from service.git.source import parse_source
from service.lab.waiting import grown_s
from service.model.secret import Secret
from service.model.sources import Advanced, Failed, Fetched

ONE = {"fleet.yaml": "passerelle: 1\n", "hosts/pve1.yaml": "host: pve1\n"}


def failed(found: Fetched, cause: str) -> str:
    assert isinstance(found, Failed), found
    assert found.cause == cause, found
    return found.reason


class Listener:
    """A TCP server of one answer function a connection; counts who came."""

    def __init__(self, answer: Callable[[socket.socket], None]) -> None:
        self.came = 0
        self._answer = answer
        self._stopped = threading.Event()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._threads = [threading.Thread(target=self._serve)]
        self._threads[0].start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            if self._stopped.is_set():
                connection.close()
                return
            self.came += 1
            self._threads.append(threading.Thread(target=self._one, args=(connection,)))
            self._threads[-1].start()

    def _one(self, connection: socket.socket) -> None:
        with connection:
            try:
                self._answer(connection)
                while not self._stopped.is_set() and connection.recv(4096):
                    pass
            except OSError:
                return

    def stop(self) -> None:
        self._stopped.set()
        with socket.create_connection(("127.0.0.1", self.port)):
            pass
        for thread in self._threads:
            thread.join(10)
        self._socket.close()


@pytest.fixture
def listen() -> Iterator[Callable[[Callable[[socket.socket], None]], Listener]]:
    started: list[Listener] = []

    def start(answer: Callable[[socket.socket], None]) -> Listener:
        started.append(Listener(answer))
        return started[-1]

    yield start
    for listener in started:
        listener.stop()


def running_git(room: Path) -> list[str]:
    found = []
    for command in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            told = command.read_bytes()
        except OSError:
            continue
        if str(room).encode() in told:
            found.append(told.decode("utf-8", "replace"))
    return found


def hang(_connection: socket.socket) -> None:
    return


def drip(connection: socket.socket) -> None:
    connection.settimeout(0.05)
    while True:
        connection.sendall(b"\x16")
        try:
            if not connection.recv(4096):
                return
        except TimeoutError:
            continue


@pytest.mark.long
@pytest.mark.parametrize("answer", [hang, drip])
def test_a_server_that_hangs_or_drips_ends_at_the_deadline_with_all_its_processes(
    answer: Callable[[socket.socket], None], listen: Callable[..., Listener], room: Path
) -> None:
    listener = listen(answer)
    source = parse_source(f"https://127.0.0.1:{listener.port}/fleet.git", "main")
    mirror = Mirror(room, source, allow_loopback=True, limits=GitLimits(timeout_s=0.7))
    started_s = time.monotonic()
    found = mirror.fetch(None)
    assert time.monotonic() - started_s < 10
    if answer is hang:
        assert "no end after 0.7 s" in failed(found, "timeout")
    else:
        assert isinstance(found, Failed)
    assert listener.came >= 1
    assert running_git(room) == []


@pytest.mark.long
def test_an_ssh_server_that_hangs_ends_at_the_deadline(
    listen: Callable[..., Listener], room: Path, tmp_path: Path
) -> None:
    (tmp_path / "known").write_text("")
    (tmp_path / "key").write_text("")
    listener = listen(hang)
    mirror = Mirror(
        room,
        parse_source(f"ssh://git@127.0.0.1:{listener.port}/fleet.git", "main"),
        credentials=Credentials(ssh_key=tmp_path / "key", known_hosts=tmp_path / "known"),
        allow_loopback=True,
        limits=GitLimits(timeout_s=0.7),
    )
    started_s = time.monotonic()
    failed(mirror.fetch(None), "timeout")
    assert time.monotonic() - started_s < 10
    assert listener.came == 1


def test_a_loopback_source_is_not_asked_unless_it_is_allowed(listen: Callable[..., Listener], room: Path) -> None:
    listener = listen(hang)
    reason = failed(
        Mirror(room, parse_source(f"https://localhost:{listener.port}/fleet.git", "main")).fetch(None), "address"
    )
    assert "this machine" in reason
    assert listener.came == 0


def test_a_port_where_nobody_answers_fails_with_a_reason(room: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        free_port = closed.getsockname()[1]
    mirror = Mirror(room, parse_source(f"https://127.0.0.1:{free_port}/fleet.git", "main"), allow_loopback=True)
    assert "fatal: unable to access" in failed(mirror.fetch(None), "unreachable")


class Website:
    """Files over TLS, with a certificate of its own for `localhost`; redirects what it is informed to."""

    def __init__(self, root: Path, keys: Path) -> None:
        self.asked: list[tuple[str, str | None]] = []
        self.redirect_to = ""
        site = self

        class Answers(SimpleHTTPRequestHandler):
            def do_GET(self) -> None:
                site.asked.append((self.path, self.headers.get("Authorization")))
                if site.redirect_to and not self.path.startswith("/inner"):
                    self.send_response(302)
                    self.send_header("Location", site.redirect_to + self.path)
                    self.end_headers()
                    return
                super().do_GET()

            def log_message(self, *_arguments: object) -> None:
                return

        self.ca = keys / "ca.pem"
        subprocess.run(
            [
                *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
                *("-keyout", str(keys / "key.pem"), "-out", str(self.ca), "-days", "1", "-subj", "/CN=localhost"),
                *("-addext", "subjectAltName=DNS:localhost"),
            ],
            check=True,
            capture_output=True,
            timeout=grown_s(60),
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.ca, keys / "key.pem")
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Answers, directory=str(root)))
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join(10)
        self._server.server_close()


@pytest.fixture
def website(forge: Forge, tmp_path: Path) -> Iterator[Website]:
    (tmp_path / "keys").mkdir()
    site = Website(forge.path.parent, tmp_path / "keys")
    yield site
    site.stop()


def over_https(site: Website, room: Path, https_token: Secret | None = None) -> Mirror:
    return Mirror(
        room,
        parse_source(f"https://localhost:{site.port}/fleet.git", "main"),
        credentials=Credentials(ca_file=site.ca, https_token=https_token),
        allow_loopback=True,
        resolver=lambda _host, _port: ["127.0.0.1"],
    )


def test_a_source_over_https_is_fetched_with_its_token(forge: Forge, website: Website, room: Path) -> None:
    head = forge.push(ONE)
    forge.git("update-server-info")
    mirror = over_https(website, room, https_token=Secret(b"canary"))
    assert mirror.fetch(None) == Advanced(head, None)
    assert sorted(mirror.read_tree(head).files) == sorted(ONE)
    assert {authorization for _, authorization in website.asked} == {"Basic Z2l0OmNhbmFyeQ=="}
    assert all("canary" not in file.read_text("latin-1") for file in room.rglob("*") if file.is_file())


def test_the_name_is_asked_at_the_address_that_was_checked(forge: Forge, website: Website, room: Path) -> None:
    head = forge.push(ONE)
    forge.git("update-server-info")
    source = parse_source(f"https://localhost:{website.port}/fleet.git", "main")
    mirror = Mirror(
        room,
        source,
        credentials=Credentials(ca_file=website.ca),
        allow_loopback=True,
        limits=GitLimits(timeout_s=2),
        resolver=lambda _host, _port: ["127.0.0.2"],
    )
    assert isinstance(mirror.fetch(None), Failed)
    assert website.asked == []
    assert over_https(website, room).fetch(None) == Advanced(head, None)


def test_a_certificate_of_nobody_we_know_is_refused(forge: Forge, website: Website, room: Path) -> None:
    forge.push(ONE)
    mirror = Mirror(room, parse_source(f"https://localhost:{website.port}/fleet.git", "main"), allow_loopback=True)
    assert "certificate" in failed(mirror.fetch(None), "unreachable")
    assert website.asked == []


@pytest.mark.parametrize("target", ["https://localhost:{port}/inner", "http://169.254.169.254", "file:///etc"])
def test_a_redirect_is_not_followed(target: str, forge: Forge, website: Website, room: Path) -> None:
    forge.push(ONE)
    website.redirect_to = target.format(port=website.port)
    reason = failed(over_https(website, room, https_token=Secret(b"canary")).fetch(None), "unreachable")
    assert "canary" not in reason
    assert len(website.asked) == 1
