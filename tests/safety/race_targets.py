"""The raced hosts: a scratch root with real processes, or a host of the lab over SSH."""

import hashlib
import itertools
import json
import shlex
import subprocess
import threading
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Self

from tests.hostside.scratch import FILE
from tests.safety import race_host
from tests.safety.race_actors import content_of, parsed
from tests.safety.race_history import Answer, Version
from tests.safety.scratch_host import ScratchHost

PATHS = [f"/etc/race/{name}" for name in ("one", "two", "three", "four", "five", "six", "seven")]
PYTHON = ["/usr/bin/python3", "-I", "-S"]
WITNESS = Path(race_host.__file__)
PATIENCE_S = 90.0


def start_versions() -> dict[str, Version]:
    """What is there when the race begins."""
    return {path: (hashlib.sha256(content_of("start", n)).hexdigest(), "0644") for n, path in enumerate(PATHS)}


class ScratchTarget(AbstractContextManager["ScratchTarget"]):
    """A scratch root on this machine; the commands are recorded fakes."""

    slowness = 1

    def __init__(self, folder: Path, file: Path) -> None:
        self.host = ScratchHost(folder, file)
        self.peers = itertools.count(1)
        for number, path in enumerate(PATHS):
            real = self.host.root / path[1:]
            real.parent.mkdir(exist_ok=True)
            real.write_bytes(content_of("start", number))
            real.chmod(0o644)

    def __enter__(self) -> Self:
        words = [str(self.host.root), "watch", str(self.host.folder / "stop"), *PATHS]
        self.watch = subprocess.Popen([*PYTHON, str(WITNESS), *words], stdout=subprocess.PIPE)
        return self

    def __exit__(self, *_: object) -> None:
        (self.host.folder / "stop").touch()
        if self.watch.poll() is None and self.watch.stdout and not self.watch.stdout.closed:
            self.watch.communicate(timeout=PATIENCE_S)

    def seen(self) -> Answer:
        """What the witness saw, to the end."""
        (self.host.folder / "stop").touch()
        said, _ = self.watch.communicate(timeout=PATIENCE_S)
        return dict(json.loads(said))

    def verb(self, *words: str, give: Any = None) -> tuple[int, list[Answer], str]:
        ran = subprocess.run(
            self.host.command(*words),
            input=json.dumps(give).encode() if give is not None else b"",
            capture_output=True,
            env={"SSH_CONNECTION": f"192.0.2.1 {next(self.peers)} 198.51.100.11 22"},
            timeout=PATIENCE_S,
        )
        return ran.returncode, parsed(ran.stdout), ran.stderr.decode(errors="replace")

    def edit(self, kind: str, path: str, content: str, mode: str) -> Answer:
        command = [*PYTHON, str(WITNESS), str(self.host.root), kind, path, content, mode]
        ran = subprocess.run(command, capture_output=True, check=True, timeout=PATIENCE_S)
        return dict(json.loads(ran.stdout))


class LabTarget(AbstractContextManager["LabTarget"]):
    """A Debian host of the lab: verbs over SSH, each on a connection of its own; the operator at the console."""

    slowness = 5

    def __init__(self, folder: Path) -> None:
        from service.lab import Lab

        self.folder = folder
        self.lab = Lab.up("races")
        self.host = self.lab.host("pve1")

    def __enter__(self) -> Self:
        self.host.write("/root/passerelle_host.py", FILE.read_bytes(), mode=0o700)
        self.host.write("/root/race_host.py", WITNESS.read_bytes(), mode=0o700)
        self.host.sh("mkdir /etc/race")
        for number, path in enumerate(PATHS):
            self.host.write(path, content_of("start", number), mode=0o644)
        (self.folder / "known_hosts").write_text(f"{self.host.address} {self.host.host_key}\n")
        self.answer: Answer = {}
        self.watch = threading.Thread(target=self._watch)
        self.watch.start()
        return self

    def _watch(self) -> None:
        words = [*PYTHON, "/root/race_host.py", "/", "watch", "/run/race-stop", *PATHS]
        self.answer = json.loads(self.host.exec(words, timeout_s=3600, check=True).stdout)

    def __exit__(self, *_: object) -> None:
        self.host.sh("touch /run/race-stop", check=False)
        self.watch.join(PATIENCE_S)
        self.lab.down()

    def seen(self) -> Answer:
        self.host.sh("touch /run/race-stop")
        self.watch.join(PATIENCE_S)
        return self.answer

    def verb(self, *words: str, give: Any = None) -> tuple[int, list[Answer], str]:
        remote = shlex.join([*PYTHON, "/root/passerelle_host.py", *words])
        options = ["BatchMode=yes", f"UserKnownHostsFile={self.folder / 'known_hosts'}", "IdentitiesOnly=yes"]
        ssh = ["ssh", "-F", "none", "-q", "-i", str(self.lab.key), *(f"-o{option}" for option in options)]
        ran = self.lab.run_in(
            "ctl",
            [*ssh, f"root@{self.host.address}", remote],
            input=json.dumps(give) if give is not None else "",
            timeout_s=PATIENCE_S,
        )
        return ran.returncode, parsed(ran.stdout.encode()), ran.stderr

    def edit(self, kind: str, path: str, content: str, mode: str) -> Answer:
        words = [*PYTHON, "/root/race_host.py", "/", kind, path, content, mode]
        return dict(json.loads(self.host.exec(words, timeout_s=PATIENCE_S, check=True).stdout))
