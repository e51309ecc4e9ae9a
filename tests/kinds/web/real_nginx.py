"""nginx of Debian 12 and 13, unpacked from the machine's own package sources, and sites placed for it.

program_of(suite) -> [argv, …]          the program, with the C library of its own release
Placed.of(folder, files, program)       files as the service writes them, in a folder and on free ports
"""

import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from service.lab import apt, archive, image
from service.lab.progress import Progress

LIBRARIES = {
    "bookworm": ("libc6", "libcrypt1", "libpcre2-8-0", "libssl3", "zlib1g"),
    "trixie": ("libc6", "libcrypt1", "libpcre2-8-0", "libssl3t64", "libzstd1", "zlib1g"),
}
STATE = "/var/lib/passerelle-guest"


def program_of(suite: str) -> list[str]:
    """The command of nginx of a release, fetched once for the state of its package lists."""
    cache = image.cache_folder()
    cache.mkdir(parents=True, exist_ok=True)
    with Progress(f"nginx of {suite}") as say, image.exclusive(cache / "nginx.lock", say):
        source = archive.of(suite, cache, say)
        wanted = cache / f"nginx-{suite}-{apt.digest(source.lists)[:16]}"
        if not wanted.is_dir():
            for older in cache.glob(f"nginx-{suite}-*"):
                shutil.rmtree(older)
            partial = Path(tempfile.mkdtemp(prefix="nginx-", dir=cache))
            for package in ("nginx", *LIBRARIES[suite]):
                below = partial / package
                below.mkdir()
                say(f"fetching {package}")
                apt.download(package, below, source.options)
            partial.rename(wanted)
    found = [str(path.parent) for path in wanted.glob("*/**/*.so*") if path.is_file()]
    (loader,) = (
        wanted.glob("libc6/usr/lib/*/ld-linux-*.so.*") if suite != "bookworm" else wanted.glob("libc6/lib/*/ld-*.so.*")
    )
    (nginx,) = wanted.glob("nginx/usr/sbin/nginx")
    return [str(loader), "--library-path", ":".join(dict.fromkeys(found)), str(nginx)]


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@dataclass(frozen=True)
class Placed:
    """Sites below `folder`, on two ports of 127.0.0.1 and ::1."""

    folder: Path
    program: Sequence[str]
    http: int
    https: int

    @classmethod
    def of(cls, folder: Path, program: Sequence[str], files: Mapping[str, bytes]) -> "Placed":
        placed = cls(folder, program, free_port(), free_port())
        for name in ("sites", "state/webroot/.well-known/acme-challenge", "temporary"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            if name == "nginx.conf" or name.startswith("sites/"):
                placed.write(name, content)
        temporary = "".join(
            f"  {kind}_temp_path {folder}/temporary/{kind};\n"
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        (folder / "main.conf").write_text(
            f"user root;\npid {folder}/pid;\nerror_log {folder}/error.log info;\nworker_processes 1;\n"
            f"events {{ worker_connections 256; }}\n"
            f"http {{\n  access_log off;\n{temporary}  include {folder}/nginx.conf;\n}}\n"
        )
        return placed

    def write(self, name: str, content: bytes) -> None:
        """One file, with this folder and these ports in place of those of a guest."""
        text = (
            content.decode("ascii")
            .replace("/etc/passerelle/", f"{self.folder}/")
            .replace(STATE, f"{self.folder}/state")
        )
        text = re.sub(r"\blisten 80;", f"listen 127.0.0.1:{self.http};", text)
        text = re.sub(r"\blisten 443 ", f"listen 127.0.0.1:{self.https} ", text)
        text = text.replace("listen [::]:80;", f"listen [::1]:{self.http};")
        text = text.replace("listen [::]:443 ", f"listen [::1]:{self.https} ")
        (self.folder / name).write_text(text)

    def certificate(self, name: str) -> None:
        """A self-signed one."""
        live = self.folder / "state/live" / name
        live.mkdir(parents=True, exist_ok=True)
        curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
        out = ["-keyout", str(live / "privkey.pem"), "-out", str(live / "fullchain.pem")]
        subprocess.run(
            ["openssl", "req", "-x509", *curve, "-nodes", *out, "-subj", "/CN=placeholder", "-days", "3"],
            check=True, capture_output=True,
        )  # fmt: skip

    def run(self, *options: str) -> subprocess.CompletedProcess[str]:
        """nginx with these options, to its end."""
        argv = [*self.program, "-p", str(self.folder), "-c", str(self.folder / "main.conf"), *options]
        return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)

    @contextmanager
    def serving(self) -> Iterator[None]:
        """While nginx serves."""
        argv = [*self.program, "-p", str(self.folder), "-c", str(self.folder / "main.conf"), "-g", "daemon off;"]
        with subprocess.Popen(argv, stderr=subprocess.PIPE) as process:
            try:
                self.wait(process)
                yield
            finally:
                process.terminate()
                process.wait(20)

    def wait(self, process: "subprocess.Popen[bytes]") -> None:
        """Until it takes connections on its second port. A busy machine takes seconds."""
        ends_s = time.monotonic() + 60
        while time.monotonic() < ends_s:
            with suppress(subprocess.TimeoutExpired):
                process.wait(0.02)
                raise AssertionError(f"nginx ended: {(process.stderr.read() if process.stderr else b'').decode()}")
            with socket.socket() as one:
                if one.connect_ex(("127.0.0.1", self.https)) == 0:
                    return
        raise AssertionError("nginx does not listen")
