"""Planted secrets: how they are searched for, and a Git server that takes a token.

Places(folder).search(secrets) -> {name of the secret: places}       in files, texts and arguments of processes
"""

import base64
import os
import ssl
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tests.threaded import in_thread


def forms(secret: bytes) -> tuple[bytes, ...]:
    """A secret as it would be written: itself, in hex, in an address, in base64 wherever it begins there."""
    found = {secret, secret.hex().encode(), quote(secret).encode()}
    for before in range(3):
        text = base64.b64encode(b"\0" * before + secret)
        found.add(text[4 if before else 0 : len(text) // 4 * 4 - 4])
    if secret.startswith(b"whsec_"):
        found |= {secret.removeprefix(b"whsec_"), base64.b64decode(secret.removeprefix(b"whsec_"))}
    return tuple(one for one in found if len(one) >= 12)


def found_in(secrets: Mapping[str, bytes], texts: Mapping[str, bytes]) -> dict[str, list[str]]:
    """The places in which each secret is, of the secrets that are anywhere."""
    told = {
        name: [place for place, text in texts.items() if any(one in text for one in forms(secret))]
        for name, secret in secrets.items()
    }
    return {name: places for name, places in told.items() if places}


def files_of(folder: Path, *, but: frozenset[str] = frozenset()) -> dict[str, bytes]:
    """The files below a folder, without those whose purpose is to hold a secret."""
    found = {}
    for file in sorted(folder.rglob("*")):
        if file.is_file() and file.name not in but:
            found[f"file {file.relative_to(folder)}"] = file.read_bytes()
    return found


class Arguments:
    """Looks at the arguments of every process of this machine, again and again."""

    def __init__(self) -> None:
        self.seen: set[bytes] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.wait(0.005):
            for process in os.listdir("/proc"):
                if process.isdigit():
                    try:
                        self.seen.add(Path(f"/proc/{process}/cmdline").read_bytes())
                    except OSError:  # it has ended
                        continue

    def stop(self) -> dict[str, bytes]:
        """Ends it; what was seen."""
        self._stop.set()
        self._thread.join()
        return {"arguments of a process": b"\n".join(sorted(self.seen))}


class _Git(BaseHTTPRequestHandler):
    """`git http-backend` for whoever has the token."""

    server: "GitServer"

    def _answer(self) -> None:
        if self.headers["authorization"] not in self.server.good:
            self.send_error(401)
            return
        self.server.served += 1
        path, _, query = self.path.partition("?")
        size = int(self.headers.get("content-length", "0"))
        environment = {
            "PATH": os.environ["PATH"], "GIT_PROJECT_ROOT": str(self.server.root), "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": path, "QUERY_STRING": query, "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("content-type", ""), "CONTENT_LENGTH": str(size),
            "HTTP_CONTENT_ENCODING": self.headers.get("content-encoding", ""), "REMOTE_USER": "service",
            "GIT_PROTOCOL": self.headers.get("git-protocol", ""), "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*",
        }  # fmt: skip
        done = subprocess.run(
            ["git", "http-backend"], input=self.rfile.read(size), env=environment, capture_output=True, check=True
        )
        head, _, body = done.stdout.partition(b"\r\n\r\n")
        lines = [line.split(": ", 1) for line in head.decode().split("\r\n")]
        status = next((value for name, value in lines if name == "Status"), "200 OK")
        self.send_response(int(status.split()[0]))
        for name, value in lines:
            if name != "Status":
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = _answer  # noqa: N815 (its names there)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (its name there)
        """Nothing."""


class GitServer(ThreadingHTTPServer):
    """Repositories below a folder over HTTPS, for one token. `served` are the requests that had it."""

    def __init__(self, root: Path, token: str, certificate: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Git)
        self.root = root
        self.served = 0
        names = ("x-access-token", "oauth2", "git", "token", "passerelle")
        self.good = {"Basic " + base64.b64encode(f"{name}:{token}".encode()).decode() for name in names}
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        self.socket = context.wrap_socket(self.socket, server_side=True)


@contextmanager
def git_server(root: Path, token: str, folder: Path) -> Iterator[tuple[GitServer, Path]]:
    """One that runs, and the file of the authority that its certificate is by."""
    both, alone = folder / "git-server.pem", folder / "authority.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-keyout", str(both), "-out", str(alone), "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"],
        check=True, capture_output=True,
    )  # fmt: skip
    both.write_bytes(both.read_bytes() + alone.read_bytes())
    with GitServer(root, token, both) as server, in_thread(server):
        yield server, alone
