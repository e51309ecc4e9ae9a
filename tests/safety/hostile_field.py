"""The hostile host's surroundings: a service, two good hosts that get a change at every turn, and what is measured."""

import contextlib
import http.client
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import urlsplit

import asyncssh

from service.errors import LabError
from service.lab import Lab, enter
from service.lab.field import Field
from tests.safety.hostile_files import FILES
from tests.safety.hostile_server import APPLYING, NAMES, PORT

GOOD = ("good1", "good2")
BAD = "bad"
MET_S = 60.0
APPLIED_S = 120.0
LOOK_S = 0.05
VIEWS = (
    "hosts/bad", "hosts/bad/observed", "hosts/bad/desired", "hosts/bad/drift", "hosts/bad/plan", "hosts/bad/guests",
    "applies?host=bad", "events", "findings", "hosts",
)  # fmt: skip
SHORT = (
    "nat rules: 140,000", "begin: steps to and fro", "connection lost in a frame", "links: half a character for a name",
    "greeting: a storm of banners",
)  # fmt: skip
REDIRECT = f"""\
table ip hostile {{
  chain pre {{
    type nat hook prerouting priority -110; policy accept;
    iifname "enp1s0" tcp dport 22 redirect to :{PORT}
  }}
}}
"""
CONTROL = "no limits"
CONTROL_MEETS = "nat rules: 140,000"
GOOD_SPEC = """\
host: {name}
platform: debian
sync: auto
connection:
  address: {address}
  host_keys: [{key}]
  confirm_timeout: 60s
interfaces:
  enp1s0: {{addresses: [{address}/24], gateway: 198.51.100.1}}
nat:
  - {{source: 10.{turn}.0.0/24, out: enp1s0}}
"""
BAD_SPEC = (
    GOOD_SPEC.replace("sync: auto", "sync: {sync}").replace("60s", "10s")
    + """\
bridges:
  vmbr0: {{addresses: [10.10.10.1/24], ports: [], stp: false, forward_delay: 0}}
dnsmasq:
  domain: lan.test
  dhcp:
    - {{interface: vmbr0, start: 10.10.10.100, end: 10.10.10.200, lease_time: 12h}}
guests:
  dev: {{mac: "BC:24:11:00:00:01"}}
fail2ban: {{jails: [sshd]}}
"""
)


@dataclass
class Met:
    """What became of one meeting."""

    name: str
    times: int = 0
    livez_s: float = 0.0
    memory_mb: float = 0.0
    seconds: float = 0.0
    good_failed: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    said: str = ""

    def __str__(self) -> str:
        return (
            f"met {self.times} times in {self.seconds:.1f} s, /livez {self.livez_s:.3f} s at most, "
            f"+{self.memory_mb:.0f} MB, {self.said}"
        )

    def troubles(self, livez_s: float, memory_mb: float) -> list[str]:
        """What must not be."""
        found = [f"{host}" for host in self.good_failed] + self.broken
        if self.livez_s > livez_s:
            found.append(f"/livez took {self.livez_s:.2f} s")
        if self.memory_mb > memory_mb:
            found.append(f"+{self.memory_mb:.0f} MB")
        return found if self.times else [*found, "it never met the service"]


class Pulse:
    """Asks /livez without a pause, and measures the service's memory, until it is stopped."""

    def __init__(self, url: str, pid: int) -> None:
        self._where = urlsplit(url).netloc
        self._pid = pid
        self._over = threading.Event()
        self.longest_s = 0.0
        self.most_mb = 0.0
        self._threads = [threading.Thread(target=work) for work in (self._live, self._memory)]

    def __enter__(self) -> "Pulse":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _live(self) -> None:
        while not self._over.wait(LOOK_S):
            began_s = time.monotonic()
            try:
                connection = http.client.HTTPConnection(self._where, timeout=60)
                connection.request("GET", "/livez")
                good = connection.getresponse().status == 200
                connection.close()
            except (OSError, http.client.HTTPException):
                good = False
            took_s = time.monotonic() - began_s
            self.longest_s = max(self.longest_s, took_s if good else 60.0)

    def _memory(self) -> None:
        """Two looks in a row count: for the moment of vfork(2) a child shows all of its parent's memory as its own."""
        before_mb = 0.0
        while not self._over.wait(2 * LOOK_S):
            now_mb = memory_mb(self._pid)
            self.most_mb, before_mb = max(self.most_mb, min(before_mb, now_mb)), now_mb


def memory_mb(pid: int) -> float:
    """Proportional set size of a process and all that it started, in MB."""
    total = 0
    for each in family(pid):
        with contextlib.suppress(OSError):
            text = Path(f"/proc/{each}/smaps_rollup").read_text()
            total += next(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:"))
    return total / 1024


def family(pid: int) -> Iterator[int]:
    yield pid
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                yield from family(int(child))


class CodeField(Field):
    """A field whose service is the code in another folder."""

    code = ""

    def _environment(self) -> dict[str, str]:
        return super()._environment() | {"PYTHONPATH": self.code, "PYTHONDONTWRITEBYTECODE": "1"}


class Beside:
    """A field, the good hosts in step with it, and the hostile one."""

    def __init__(self, lab: Lab, served: Field, room: Path) -> None:
        self.lab, self.field, self.room = lab, served, room
        self.turn = 0
        self.before_mb = 0.0
        self.child: subprocess.Popen[bytes] | None = None

    @classmethod
    @contextlib.contextmanager
    def open(cls, lab: Lab, room: Path, code: str) -> Iterator["Beside"]:
        CodeField.code = code
        room.mkdir(parents=True)
        with CodeField.open(lab, room=room / "field", poll_s="1", observe_s="2") as served:
            beside = cls(lab, served, room)
            try:
                beside.prepare()
                yield beside
            finally:
                beside.stop()

    def prepare(self) -> None:
        """The hostile sshd behind the host's own port, and all hosts in step once."""
        bad = self.lab.host(BAD)
        key = asyncssh.generate_private_key("ssh-ed25519")
        key.write_private_key(self.room / "host_key")
        (self.room / "leader").write_text(str(bad.console_pid))
        client = asyncssh.read_private_key(str(self.lab.key))
        (self.room / "client.pub").write_text(client.export_public_key().decode())
        (self.room / "behaviour").write_text("none")
        (self.room / "met").touch()
        self.bad_key = key.export_public_key().decode().strip()
        bad.exec(["nft", "-f", "-"], input=REDIRECT, check=True)
        self.child = subprocess.Popen(
            enter.network(
                Path(f"/proc/{bad.console_pid}/ns/net"),
                ["setpriv", "--pdeathsig", "KILL", sys.executable, "-m", "tests.safety.hostile_server", str(self.room)],
            ),
            env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])},
            cwd="/",
        )
        commit = self.push("observe")
        self.field.wait_for(lambda: self.are_in_step(commit), "the good hosts are in step", timeout_s=APPLIED_S)
        self.field.wait_for(lambda: self.status(BAD).get("reachability") == "Reachable", "the other host is seen")
        time.sleep(2)
        self.before_mb = memory_mb(self.pid)

    def stop(self) -> None:
        if self.child is not None:
            self.child.kill()
            self.child.wait()
        with contextlib.suppress(LabError):
            self.lab.host(BAD).sh("nft delete table ip hostile", check=False)

    @property
    def pid(self) -> int:
        process = self.field._process
        if process is None:
            raise LabError("the service does not run")
        return process.pid

    def push(self, sync: str) -> str:
        """A change for every host."""
        self.turn += 1
        files = {"fleet.yaml": "passerelle: 1\n"}
        for name in GOOD:
            host = self.lab.host(name)
            files[f"hosts/{name}.yaml"] = GOOD_SPEC.format(
                name=name, address=host.address, key=host.host_key, turn=self.turn % 250
            )
        bad = self.lab.host(BAD)
        spec = BAD_SPEC if sync == "observe" else GOOD_SPEC.replace("sync: auto", "sync: {sync}").replace("60s", "10s")
        files[f"hosts/{BAD}.yaml"] = spec.format(
            name=BAD, address=bad.address, key=self.bad_key, turn=self.turn % 250, sync=sync
        )
        return self.field.push(files, f"turn {self.turn}")

    def status(self, host: str) -> dict[str, Any]:
        """Empty before the host was in a commit that is in force."""
        found = [row for row in self.field.items("hosts?limit=200") if row["host"] == host]
        return found[0] if found else {}

    def is_in_step(self, host: str, commit: str) -> bool:
        now = self.status(host)
        return now.get("sync") == "Synced" and now["applied_commit"] == now["observed_commit"] == commit

    def is_looked_at(self, before: object) -> bool:
        """Whether the hostile host was looked at again, or was too much to be."""
        now = self.status(BAD)
        return now.get("observed_at") != before or "took more than" in now.get("message", "")

    def are_in_step(self, commit: str) -> bool:
        return all(self.is_in_step(host, commit) for host in GOOD)

    def times_met(self, name: str) -> int:
        return (self.room / "met").read_text().split("\n").count(name)

    def meet(self, name: str) -> Met:
        """One behaviour, from its beginning until the good hosts are in step and it has met the service."""
        met, began_s = Met(name), time.monotonic()
        log_before = len(self.field.service_log())
        made, gone = FILES.get(name, ("true", "true"))
        self.lab.host(BAD).sh(made, timeout_s=90)
        met_before = self.times_met(name)
        with Pulse(self.field.url, self.pid) as pulse:
            try:
                (self.room / "behaviour").write_text(name)
                if name in NAMES and name not in APPLYING:
                    self.drop_connections()
                looked_before = self.status(BAD).get("observed_at")
                commit = self.push("auto" if name in APPLYING else "observe")
                self.wait_until(lambda: self.are_in_step(commit), APPLIED_S)
                if name in FILES:
                    self.wait_until(lambda: self.is_looked_at(looked_before), MET_S)
                    met.times = int(self.is_looked_at(looked_before))
                else:
                    self.wait_until(lambda: self.times_met(name) > met_before, MET_S, ask=True)
                    met.times = self.times_met(name) - met_before
                met.good_failed = [host for host in GOOD if not self.is_in_step(host, commit)]
                met.broken = self.views()
            except (LabError, URLError, OSError) as error:
                met.broken.append(f"the API: {str(error)[:200]}")
        met.livez_s, met.memory_mb = pulse.longest_s, max(0.0, pulse.most_mb - self.before_mb)
        met.seconds = time.monotonic() - began_s
        log = self.field.service_log()[log_before:]
        if "Traceback" in log:
            met.broken.append(f"a traceback: …{log[-800:]}")
        with contextlib.suppress(LabError):
            now = self.status(BAD)
            met.said = f"{now['reachability']}, {now['sync']}: {now['message'][:120]}"
        self.settle(gone)
        return met

    def settle(self, gone: str) -> None:
        """The host as it was: no answer is a lie, what was applied or is armed there is gone."""
        (self.room / "behaviour").write_text("none")
        bad = self.lab.host(BAD)
        bad.sh(f"{gone} || true", timeout_s=60)

    def drop_connections(self) -> None:
        """Whatever behaves at a login only meets the service at a new one."""
        self.lab.host(BAD).sh(f"ss -K sport = :{PORT} >/dev/null 2>&1 || true", check=False)

    def wait_until(self, true: Any, timeout_s: float, *, ask: bool = False) -> None:
        """No error where it does not come: what is measured says so. `ask`: a host that failed is looked at again."""
        until_s = time.monotonic() + timeout_s
        while not true() and time.monotonic() < until_s:
            if ask:
                with contextlib.suppress(LabError):
                    self.field.post(f"hosts/{BAD}/reconcile")
            time.sleep(0.3)

    def views(self) -> list[str]:
        """Everything that the API says of the host: nothing of it may be an error of the service's."""
        broken = []
        for path in VIEWS:
            try:
                self.field.get(path)
            except LabError as error:
                if ": 5" in str(error):
                    broken.append(str(error)[:200])
        return broken


def lifted(code: Path, into: Path) -> Path:
    """A copy of the service without limits, that reads answers on the event loop."""
    shutil.copytree(code / "service", into / "service", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(code / "migrations", into / "migrations")
    for file, text, instead in (
        ("observe/limits.py", "    if len(body) > limit.size:", "    if len(body) > 1 << 30:"),
        ("observe/limits.py", "    if lines > limit.lines:", "    if lines > 1 << 30:"),
        ("app.py", "from service.work import Work\n", "from service.work import InPlace, Work\n"),
        ("app.py", "SystemClock(), Workers()\n", "SystemClock(), InPlace()\n"),
        ("app.py", "        await workers.close()\n", ""),
    ):
        path = into / "service" / file
        source = path.read_text()
        if source.count(text) != 1:
            raise AssertionError(f"control {CONTROL!r}: {text.strip()!r} is there {source.count(text)} times in {file}")
        path.write_text(source.replace(text, instead))
    return into
