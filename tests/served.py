"""A real `passerelle serve` in a process of its own, over a repository.

own_network()                       a network namespace with 198.51.100.11 on its loopback; root
prepare(folder, files)              the repository
with service(folder) as served:     served.get("hosts"), served.push(…), served.log_lines()
"""

import ctypes
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

TOP = Path(__file__).parents[1]
HOST_ADDRESS = "198.51.100.11"
PORT = 8765
_GIT = {
    "GIT_AUTHOR_NAME": "Ada", "GIT_AUTHOR_EMAIL": "ada@example.org", "GIT_COMMITTER_NAME": "Ada",
    "GIT_COMMITTER_EMAIL": "ada@example.org", "GIT_CONFIG_GLOBAL": "/dev/null", "HOME": "/nonexistent",
}  # fmt: skip
CLONE_NEWNET = 0x40000000


def own_network() -> None:
    """Move this process, and those that it starts, into a network namespace of its own. Nothing leads out of it."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "unshare")
    for words in (["link", "set", "lo", "up"], ["addr", "add", f"{HOST_ADDRESS}/32", "dev", "lo"]):
        subprocess.run(["ip", *words], check=True)


@dataclass
class Served:
    """A running service."""

    folder: Path
    process: "subprocess.Popen[bytes]"
    token: str = ""
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def log(self) -> Path:
        return self.folder / "log"

    def log_lines(self) -> list[str]:
        return self.log.read_text(errors="replace").splitlines()

    def ask(self, path: str, *, timeout_s: float = 10.0, method: str = "GET") -> tuple[int, Any]:
        """Status and body of one request on a connection of its own; status 0 where none came."""
        headers = {"Authorization": f"Bearer {self.token}", "Connection": "close"}
        request = urllib.request.Request(f"http://127.0.0.1:{PORT}{path}", headers=headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=timeout_s) as answer:
                return answer.status, _read(answer.read())
        except urllib.error.HTTPError as error:
            return error.code, _read(error.read())
        except OSError as error:
            return 0, str(error)

    def get(self, path: str) -> Any:
        """A resource of the API, requested again while the service is busy."""
        deadline_s = time.monotonic() + 60
        while True:
            status, body = self.ask(f"/api/v1/{path}")
            if status == 200 or time.monotonic() > deadline_s:
                assert status == 200, (path, status, body)
                return body

    def wait(self, check: Any, what: str, timeout_s: float = 60.0) -> Any:
        """What `check` gives as soon as it is true."""
        deadline_s = time.monotonic() + timeout_s
        while not (found := check()):
            assert self.process.poll() is None, f"the service ended: {self.log_lines()[-20:]}"
            assert time.monotonic() < deadline_s, f"{what}: {self.log_lines()[-20:]}"
            time.sleep(0.1)
        return found

    def push(self, files: Mapping[str, str], subject: str) -> str:
        """A commit in the repository that the service follows."""
        work = self.folder / "repo"
        for name, text in files.items():
            (work / name).parent.mkdir(parents=True, exist_ok=True)
            (work / name).write_text(text)
        git(work, "add", "-A")
        git(work, "commit", "-q", "-m", subject)
        return git(work, "rev-parse", "HEAD")

    def resident_mb(self) -> float:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) / 1024

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(40)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(10)
            raise


def git(work: Path, *words: str) -> str:
    done = subprocess.run(["git", *words], cwd=work, env=os.environ | _GIT, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def spec(host_key: str, port: int) -> str:
    """This machine as a host that is only looked at."""
    where = f"{{address: {HOST_ADDRESS}, port: {port}, host_keys: ['{host_key}']}}"
    return f"host: pve1\nplatform: debian\nsync: observe\nconnection: {where}\n"


def prepare(folder: Path, files: Mapping[str, str]) -> None:
    """A repository with these files, and a state folder."""
    work = folder / "repo"
    work.mkdir(parents=True)
    git(work, "init", "-q", "--initial-branch=main")
    for name, text in {"fleet.yaml": "passerelle: 1\n", **files}.items():
        (work / name).parent.mkdir(parents=True, exist_ok=True)
        (work / name).write_text(text)
    git(work, "add", "-A")
    git(work, "commit", "-q", "-m", "first")


def passerelle(environment: Mapping[str, str], *words: str) -> "subprocess.CompletedProcess[str]":
    """One command next to the service."""
    return subprocess.run(
        [sys.executable, "-m", "service", *words], env=dict(environment), cwd=TOP, capture_output=True, text=True,
        timeout=120,
    )  # fmt: skip


@contextmanager
def service(
    folder: Path, *, limits: Sequence[str] = (), wrap: Sequence[str] = (), ready: bool = True, **settings: object
) -> Iterator[Served]:
    """The service over `folder`, as `prepare` made it; ended in the end. `limits` are prlimit(1)'s options."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    environment |= {"PASSERELLE_STATE_DIR": str(folder / "state"), "PASSERELLE_SOURCE": str(folder / "repo")}
    environment |= {"PASSERELLE_POLL_S": "1", "PASSERELLE_OBSERVE_S": "2", "PASSERELLE_SWEEP_S": "2"}
    environment |= {f"PASSERELLE_{name.upper()}": str(value) for name, value in settings.items()}
    made = passerelle(environment, "token", "create", "tester", "--scope", "admin")
    token = next((word for word in made.stdout.split() if word.startswith("psr_")), "")
    bounded = ["prlimit", *limits, "--"] if limits else []
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(
            [*bounded, *wrap, sys.executable, "-m", "service", "serve"], env=environment, cwd=TOP,
            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip
    served = Served(folder, process, token, environment)
    try:
        if ready:
            served.wait(lambda: served.ask("/readyz")[0] == 200, "the service is ready")
        yield served
    finally:
        if process.poll() is None:
            served.stop()


def _read(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return body.decode("utf-8", "replace")
