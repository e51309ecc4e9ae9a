"""A field trial next to a lab: a config repository to push to, and the real service in the controller's network.

    with Lab.up("trial", hosts=["pve1"]) as lab, Field.open(lab) as field:
        field.push({"fleet.yaml": "passerelle: 1\\n", "hosts/pve1.yaml": …}, "say pve1")     # → commit id
        field.wait_for(lambda: field.get("hosts/pve1")["sync"] == "Synced", "pve1 is in sync")
        field.api, field.url, field.token, field.repository

The service is started as a user would: `passerelle serve` with its settings in the environment, in a process of its
own. It ends with the field.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from service.errors import LabError
from service.lab.lab import Lab
from service.lab.waiting import Patience, grown_s, pauses

SERVICE_PORT = 8765
UNDONE = ("RolledBack", "RollbackFailed")
TRIED_AGAIN = ("controller away", "throttled")
"""Causes that say nothing about the change."""
_NEW_STATE: dict[str, bytes] = {}
"""Of `_make_state`: the files by name, and `token`."""


class RolledBack(LabError):  # noqa: N818 (the word users see)
    """What somebody waits for does not come: the host undid the change."""


class Field:
    """A repository and a service for one lab."""

    def __init__(self, lab: Lab, room: Path, settings: Mapping[str, str]) -> None:
        self.lab = lab
        self.room = room
        self.repository = room / "config.git"
        self.state_dir = room / "state"
        self.log = room / "service.log"
        self._work = room / "work"
        self._settings = dict(settings)
        self._process: subprocess.Popen[bytes] | None = None
        self.url = ""
        self.token = ""

    @classmethod
    def open(cls, lab: Lab, *, room: Path | None = None, **settings: str) -> Self:
        """Make the repository and start the service. `settings` are PASSERELLE_* by their lower-case names."""
        made = Path(tempfile.mkdtemp(prefix="passerelle-")) if room is None else room
        field = cls(lab, made, settings)
        try:
            field._make_repository()
            field._make_state()
            field.start()
            port = lab.forward(0, "ctl", SERVICE_PORT)
            field.url = f"http://127.0.0.1:{port}"
            field.wait_for(field.is_up, "the service answers")
        except BaseException:
            field.close()
            raise
        return field

    def close(self) -> None:
        """Stop the service and remove the folder."""
        self.stop()
        shutil.rmtree(self.room, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()

    # the service

    @property
    def names(self) -> Path:
        """The file of names that the service has in place of /etc/hosts, if it is there when the service starts."""
        return self.room / "names"

    def start(self) -> None:
        """Start `passerelle serve` in the controller's network."""
        # It ends with this process, however that ends: the lab does, too.
        within = ["setpriv", "--pdeathsig", "TERM", "nsenter", f"--net={self.lab.netns('ctl')}", "--"]
        if self.names.exists():
            bind = 'mount --bind "$0" /etc/hosts && exec "$@"'
            within += ["unshare", "--mount", "--propagation", "private", "sh", "-c", bind, str(self.names)]
        command = [*within, *self._program("serve")]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command, env=self._environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def stop(self, *, kill: bool = False) -> int | None:
        """End the service, as systemd does; `kill`: as a power cut does. Its exit code, None where it did not run."""
        if self._process is None:
            return None
        if kill:
            self._process.kill()
        else:
            self._process.terminate()
        try:
            self._process.wait(timeout=grown_s(40))
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        code = self._process.returncode
        self._process = None
        return code

    @property
    def process_id(self) -> int:
        """The running service's process. LabError where it does not run."""
        if self._process is None:
            raise LabError("the service does not run")
        return self._process.pid

    def run(self, *arguments: str, check: bool = True) -> "subprocess.CompletedProcess[bytes]":
        """Run one `passerelle` command as its user would, next to the service."""
        done = subprocess.run(
            self._program(*arguments), env=self._environment(), stdin=subprocess.DEVNULL, capture_output=True,
            timeout=grown_s(180), check=False,
        )  # fmt: skip
        if check and done.returncode != 0:
            raise LabError(
                f"passerelle {' '.join(arguments)} ended with {done.returncode}: {done.stderr.decode()[-600:]}"
            )
        return done

    def _program(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "service", *arguments]

    def _environment(self) -> dict[str, str]:
        settings = {
            "source": str(self.repository),
            "state_dir": str(self.state_dir),
            "ssh_key": str(self.lab.key),
            "port": str(SERVICE_PORT),
            "poll_s": "1",
            "observe_s": "2",
            "sweep_s": "0.2",  # as often as others are looked at
            "stop_hosts": "100%",  # what is pushed here is meant, and nobody is there to approve it
            "stop_rules": "100%",
            **self._settings,
        }
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "VIRTUAL_ENV") if name in os.environ}
        kept["PYTHONPATH"] = str(Path(__file__).parents[2])
        if self.url:
            kept |= {"PASSERELLE_URL": self.url, "PASSERELLE_TOKEN": self.token}
        return kept | {f"PASSERELLE_{name.upper()}": value for name, value in settings.items()}

    def is_up(self) -> bool:
        """Whether the service answers. LabError when it ended."""
        if self._process is not None and self._process.poll() is not None:
            raise LabError(f"the service ended with {self._process.returncode}: {self.service_log()[-1500:]}")
        try:
            with urlopen(f"{self.url}/livez", timeout=grown_s(5)):
                return True
        except (URLError, OSError):
            return False

    def service_log(self) -> str:
        """What the service said so far."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    # the API

    def get(self, path: str) -> Any:
        """One document of the API. LabError for every problem."""
        return self.ask("GET", path)[1]

    def items(self, path: str) -> list[dict[str, Any]]:
        """The first page of a list."""
        found: list[dict[str, Any]] = self.get(path)["items"]
        return found

    def post(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Start something."""
        status, answer = self.ask("POST", path, body or {})
        if status >= 400:
            raise LabError(f"POST {path}: {status} {answer}")
        return answer

    def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> tuple[int, Any]:
        """One request with the field's token: (status, document)."""
        request = Request(f"{self.url}/api/v1/{path}", method=method)
        request.add_header("Authorization", f"Bearer {self.token}")
        data = None
        if body is not None:
            data = json.dumps(body).encode()
            request.add_header("Content-Type", "application/json")
        try:
            with urlopen(request, data, timeout=grown_s(30)) as answer:
                return answer.status, json.loads(answer.read() or b"null")
        except HTTPError as error:
            with error:
                text = error.read()
            if method == "GET":
                raise LabError(f"GET {path}: {error.code} {text[:600]!r}") from None
            return error.code, json.loads(text or b"null")

    def wait_for(self, condition: Callable[[], Any], what: str, *, timeout_s: float = 120.0) -> Any:
        """Wait until a condition gives something true, and return it. LabError says what did not come, and the log."""
        patience, pause = Patience(timeout_s), pauses()
        while True:
            found = condition()
            if found:
                return found
            if patience.is_over():
                told = self.service_log()[-3000:]
                raise LabError(f"not within {timeout_s:.0f} s of an idle machine: {what}\nthe service said:\n{told}")
            next(pause)

    def wait_in_force(self, host: str, commit: str, *, timeout_s: float = 120.0) -> dict[str, Any]:
        """Wait until a host is as a commit says and return its status. RolledBack at once, with the status' own
        sentence, when that commit was rolled back; LabError after the limit, with the status as it is then."""
        status: dict[str, Any] = {}

        def there() -> bool:
            code, found = self.ask("GET", "hosts?limit=200")
            rows = found["items"] if code == 200 else []
            status.clear()
            status.update(next((row for row in rows if row["host"] == host), {}))
            if commit == status.get("attempted_commit") and status.get("phase") in UNDONE:
                raise RolledBack(f"{host}: {commit[:10]} was rolled back: {status.get('message')}")
            return status.get("sync") == "Synced" and (
                status.get("observed_commit") == status.get("applied_commit") == commit
            )

        try:
            self.wait_for(there, f"{commit[:10]} in force on {host}", timeout_s=timeout_s)
        except RolledBack:
            raise
        except LabError as error:
            raise LabError(f"{error}\nits status: {json.dumps(status, indent=1)}") from None
        return status

    def undone(self, host: str) -> dict[str, str]:
        """The newest applies of a host that were rolled back: each id with its sentence. Not those that the service
        automatically tries once more.
        """
        newest = self.items(f"applies?host={host}&limit=20")
        return {
            one["id"]: f"{host}: {one['commit'][:10]} was rolled back: {one['error']}"
            for one in newest
            if one["phase"] in UNDONE and one["cause"] not in TRIED_AGAIN
        }

    # the state and the repository

    def _make_state(self) -> None:
        """A new state folder with one token, made once in each process: a command takes as long as a start to serve."""
        if not _NEW_STATE:
            token = self.run("token", "create", "field", "--admin").stdout.strip()
            _NEW_STATE.update({path.name: path.read_bytes() for path in self.state_dir.iterdir()}, token=token)
        self.state_dir.mkdir(mode=0o700, exist_ok=True)
        for name, content in _NEW_STATE.items():
            if name != "token":
                (self.state_dir / name).touch(mode=0o600)
                (self.state_dir / name).write_bytes(content)
        self.token = _NEW_STATE["token"].decode()

    def _make_repository(self) -> None:
        self.room.mkdir(parents=True, exist_ok=True)
        self.git("init", "--quiet", "--bare", "--initial-branch=main", str(self.repository))
        self.git("init", "--quiet", "--initial-branch=main", str(self._work))
        self.git("remote", "add", "origin", str(self.repository), at=self._work)

    def push(self, files: Mapping[str, str | None], subject: str, *, force: bool = False) -> str:
        """Write files (None removes one), commit and push; returns the commit."""
        for path, text in files.items():
            file = self._work / path
            if text is None:
                file.unlink()
                continue
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        self.git("add", "--all", at=self._work)
        self.git("commit", "--quiet", "--allow-empty", "--message", subject, at=self._work)
        self.git("push", "--quiet", *(["--force"] if force else []), "origin", "HEAD:main", at=self._work)
        return self.git("rev-parse", "HEAD", at=self._work).strip()

    def git(self, *arguments: str, at: Path | None = None) -> str:
        """Git as the person who writes the specs uses it."""
        person = {"GIT_AUTHOR_NAME": "Yax", "GIT_AUTHOR_EMAIL": "yax@example.org"}
        person |= {name.replace("AUTHOR", "COMMITTER"): value for name, value in person.items()}
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.room), "GIT_CONFIG_NOSYSTEM": "1", **person}
        done = subprocess.run(
            ["git", *arguments],
            cwd=at,
            env=environment,
            capture_output=True,
            text=True,
            timeout=grown_s(60),
            check=False,
        )
        if done.returncode != 0:
            raise LabError(f"git {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout
