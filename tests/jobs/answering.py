"""A process that answers for a fleet whose hosts others work on, and calls of it."""

import json
import os
import shutil
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from service.history import open_history
from service.lab.waiting import wait_for
from service.model.access import SCOPES
from service.model.secret import Secret
from tests.safety.worker_runs import Fleet

LONG_S = 3600.0


class Api:
    """Calls of a process that answers."""

    def __init__(self, port: int, token: str, process: "subprocess.Popen[bytes]") -> None:
        self.url, self.token, self.process = f"http://127.0.0.1:{port}", token, process

    def ask(self, method: str, path: str, body: object = None, *, key: str = "") -> tuple[int, Any]:
        """Status and body, also of a refusal."""
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        request = urllib.request.Request(
            f"{self.url}{path}", method=method, data=None if body is None else json.dumps(body).encode(),
            headers=headers | ({"Idempotency-Key": key} if key else {}),
        )  # fmt: skip
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)

    def call(self, method: str, path: str, body: object = None) -> Any:
        status, found = self.ask(method, f"/api/v1{path}", body)
        assert status < 300, (method, path, status, found)
        return found

    def items(self, path: str) -> Any:
        return self.call("GET", path)["items"]

    def lives(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/livez", timeout=5):
                return True
        except OSError:
            return False


def token_of(fleet: Fleet, folder: Path) -> str:
    """A token that may do everything, with the pepper of this state folder."""
    with open_history(folder / "passerelle.sqlite", url=Secret(fleet.url.encode())) as history:
        return str(
            history.store.create_token(
                "ann", scopes=SCOPES, hosts=["*"], lifetime=timedelta(days=1), by="ann", at=datetime.now(UTC)
            )
        )


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@contextmanager
def answering(fleet: Fleet, name: str = "api") -> Iterator[Api]:
    """A process that answers. All of a fleet have one pepper."""
    folder = fleet.folder / name
    folder.mkdir(mode=0o700, exist_ok=True)
    pepper = fleet.folder / "token.pepper"
    if pepper.exists():
        shutil.copy2(pepper, folder)
    token = token_of(fleet, folder)
    shutil.copy2(folder / "token.pepper", pepper)
    port = free_port()
    environment = {**os.environ, "FIELD_SOURCE": str(fleet.forge.path), "FIELD_POLL_S": str(LONG_S)}
    command: list[str | Path] = [
        sys.executable, "-m", "tests.safety.worker_process", folder, fleet.url, fleet.folder / "field", "api", str(port)
    ]  # fmt: skip
    with (fleet.folder / "log").open("ab") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=Path(__file__).parents[2])
    try:
        api = Api(port, token, process)
        wait_for(api.lives, "the API", 60)
        yield api
    finally:
        if process.returncode is None:  # a test may have killed it
            process.terminate()
            assert process.wait(60) == 0
