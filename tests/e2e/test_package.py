"""The Debian package on a real host: installed with apt, its service under systemd, upgraded, removed, purged.

The host is shared: each test brings the package into the state that it needs.
"""

import json
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from service import __version__
from service.errors import LabError
from service.lab import Host, Lab
from service.lab.enter import inside_root
from service.lab.waiting import grown_s, wait_for
from tests.git.forge import Forge
from tests.jobs.answering import free_port
from tests.laws.specs import head

pytestmark = pytest.mark.lab(minutes=2)

TOP = Path(__file__).parents[2]
STATE = "/var/lib/passerelle-service"
UNITS = ("passerelle.service", "passerelle-api.service", "passerelle-worker@1.service")
INSTALL = "DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends /root/passerelle.deb 2>&1"
REPOSITORY = "/srv/network.git"
SPEC = """\
host: pve2
sync: auto
connection:
  address: {address}
  host_keys: [{host_key}]
  confirm_timeout: 30s
interfaces:
  enp1s0: {{addresses: [{address}/24], gateway: 198.51.100.1}}
bridges:
  vmbr0: {{addresses: [{bridge}/24]}}
"""


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from this checkout."""
    folder = tmp_path_factory.mktemp("package")
    done = subprocess.run([TOP / "deploy" / "package" / "deb", folder], check=True, capture_output=True, text=True)
    return Path(done.stdout.strip())


@pytest.fixture(scope="module")
def with_file(lab: Lab, suite: str, package: Path) -> Host:
    """A bare host that has the package as a file, and knows where apt finds what it depends on."""
    host = lab.host("pve1")
    host.fresh(suite=suite)
    host.write("/root/passerelle.deb", package.read_bytes())
    host.sh("apt-get update", timeout_s=60)
    return host


@pytest.fixture
def installed(with_file: Host) -> Host:
    """The host with the package on it."""
    if with_file.sh("dpkg-query -W -f '${db:Status-Status}' passerelle", check=False) != "installed":
        with_file.sh(INSTALL, timeout_s=120)
    return with_file


@pytest.fixture
def applying(lab: Lab, installed: Host, tmp_path: Path) -> Iterator["Running"]:
    """The service of the package as systemd has started it, with another host to look after."""
    try:
        other = lab.host("pve2")
    except LabError:
        other = lab.add_host("pve2", suite=installed.suite)
    else:
        other.fresh(suite=installed.suite)
    running = Running(installed, other, tmp_path)
    running.push("10.10.10.1")
    installed.write("/etc/passerelle/git_key", lab.key.read_bytes())
    installed.write("/etc/passerelle/git_known_hosts", f"{installed.address} {installed.host_key}\n")
    settings = {
        "SOURCE": f"ssh://root@{installed.address}{REPOSITORY}", "GIT_KEY": "/etc/passerelle/git_key",
        "GIT_KNOWN_HOSTS": "/etc/passerelle/git_known_hosts", "POLL_S": "1", "OBSERVE_S": "2", "STOP_HOSTS": "100%",
    }  # fmt: skip
    lines = "".join(f"PASSERELLE_{name}={value}\n" for name, value in settings.items())
    installed.write("/etc/passerelle/service.env", lines)
    installed.sh("chown passerelle: /etc/passerelle/git_key && chmod 600 /etc/passerelle/git_key")
    installed.sh(f"install -d -m 700 -o passerelle {STATE}")
    key = running.as_service("passerelle key")
    other.sh(f"printf '%s' '{key}' >>/root/.ssh/authorized_keys")
    running.token = running.as_service("passerelle token create test --scope read").split()[-1]
    installed.sh("systemctl start passerelle", timeout_s=60)
    yield running
    installed.sh(f"systemctl stop passerelle; rm -rf {STATE} {REPOSITORY}", timeout_s=60)


class Running:
    """The service on `host`, which looks after `other`."""

    def __init__(self, host: Host, other: Host, room: Path) -> None:
        self.host = host
        self.other = other
        self.token = ""
        self._forge = Forge(room / "network.git")

    def push(self, bridge: str) -> None:
        """Have Git want this address on the bridge of the other host."""
        spec = SPEC.format(address=self.other.address, host_key=self.other.host_key, bridge=bridge)
        self._forge.push({"fleet.yaml": "passerelle: 1\n", "hosts/pve2.yaml": spec})
        packed = subprocess.run(["tar", "-C", self._forge.path, "-c", "."], check=True, capture_output=True).stdout
        unpack = f"mkdir -p {REPOSITORY} && tar -x -C {REPOSITORY} --no-same-owner"
        self.host.exec(["sh", "-c", unpack], input=packed, check=True)

    def as_service(self, command: str) -> str:
        """What a command prints that the user of the service runs, next to the unit."""
        return self.host.sh(f"runuser -u passerelle -- env PASSERELLE_STATE_DIR={STATE} {command}")

    def get(self, path: str) -> dict[str, Any]:
        """An answer of the API; empty while there is none."""
        header = f"Authorization: Bearer {self.token}"
        text = self.host.sh(f"curl -sS -m 5 -H '{header}' http://127.0.0.1:8765/{path}", check=False)
        with suppress(ValueError):
            return dict(json.loads(text))
        return {}

    def shown(self, name: str) -> str:
        """A property of the unit."""
        return self.host.sh(f"systemctl show --value --property={name} passerelle.service").strip()

    def bridge_is(self, address: str) -> bool:
        """Whether the other host has this address, and the service knows."""
        has = f" {address}/24 " in self.other.sh("ip -4 address show dev vmbr0", check=False)
        return has and self.get("api/v1/hosts/pve2").get("sync") == "Synced"

    def states(self) -> dict[str, str]:
        """How far each transaction is by the other host's own journal."""
        found = {}
        for journal in inside_root(self.other.console_pid, "/var/lib/passerelle/txn").glob("*/journal.json"):
            with suppress(OSError, ValueError):
                found[journal.parent.name] = str(json.loads(journal.read_bytes())["state"])
        return found


def test_systemd_runs_the_hardened_service(applying: Running) -> None:
    """`systemctl start` of `Type=notify` has returned, so READY=1 came. Git, ssh and SQLite work within the unit. One
    that is stopped ends its change first, and one that hangs is started again."""
    wait_for(lambda: applying.bridge_is("10.10.10.1"), "the change is applied and seen", 90)
    may_do_little(applying)
    ends_its_change(applying, "10.10.20.1")
    is_started_again(applying, "10.10.20.1")


def may_do_little(applying: Running) -> None:
    host = applying.host
    assert (applying.shown("Type"), applying.shown("ActiveState")) == ("notify", "active")
    assert json.loads(host.sh("curl -sS -m 5 http://127.0.0.1:8765/livez")) == {"status": "ok"}
    process = applying.shown("MainPID")
    assert host.sh(f"stat -c %U /proc/{process}").strip() == "passerelle"
    told = dict(re.findall(r"^(\w+):\s+(\S+)", host.sh(f"cat /proc/{process}/status"), re.MULTILINE))
    assert (told["NoNewPrivs"], told["Seccomp"], int(told["CapBnd"], 16), int(told["CapEff"], 16)) == ("1", "2", 0, 0)
    assert host.sh(f"stat -c '%U %a' {STATE} {STATE}/ssh_key").split() == ["passerelle", "700", "passerelle", "600"]
    wait_for(lambda: "1 host" in applying.shown("StatusText"), "systemd shows what it does", 60)
    for unit in UNITS:
        (level,) = re.findall(r"exposure level for \S+: ([\d.]+)", host.sh(f"systemd-analyze security {unit}"))
        assert float(level) <= 1.5, unit


def ends_its_change(applying: Running, bridge: str) -> None:
    before = applying.states()
    applying.push(bridge)
    wait_for(lambda: {*applying.states()} - {*before}, "the host is armed", 60)
    began_s = time.monotonic()
    applying.host.sh("systemctl stop passerelle", timeout_s=60)
    assert time.monotonic() - began_s < grown_s(25)
    assert (applying.shown("ActiveState"), applying.shown("Result")) == ("inactive", "success")
    (state,) = {state for name, state in applying.states().items() if name not in before}
    assert state in ("confirmed", "released")
    assert f" {bridge}/24 " in applying.other.sh("ip -4 address show dev vmbr0")


def is_started_again(applying: Running, bridge: str) -> None:
    host, drop_in = applying.host, "/etc/systemd/system/passerelle.service.d"
    host.sh(f"mkdir -p {drop_in}")
    host.write(f"{drop_in}/soon.conf", "[Service]\nWatchdogSec=4\nRestartSec=1\n")
    host.sh("systemctl daemon-reload && systemctl start passerelle", timeout_s=60)
    hangs = applying.shown("MainPID")
    host.sh(f"kill -STOP {hangs}")
    wait_for(lambda: applying.shown("MainPID") not in ("0", hangs), "another process", 60)
    wait_for(lambda: applying.bridge_is(bridge), "it works again", 60)
    assert "Watchdog timeout" in host.sh("journalctl --unit=passerelle --no-pager")
    host.sh(f"rm -r {drop_in} && systemctl daemon-reload")


def test_several_processes_get_the_new_version_together_and_end_with_the_package(installed: Host) -> None:
    """Programs that only wait stand for them. A policy of the administrator is obeyed, and one that does not start
    fails no installation."""
    units = ["passerelle-api.service", "passerelle-worker@1.service", "passerelle-worker@2.service"]
    stands_in = "[Service]\nType=simple\nWatchdogSec=0\nEnvironmentFile=\nExecStart=\nExecStart=/bin/sleep infinity\n"
    for unit in ("passerelle-api", "passerelle-worker@"):
        installed.sh(f"mkdir -p /etc/systemd/system/{unit}.service.d")
        installed.write(f"/etc/systemd/system/{unit}.service.d/stand-in.conf", stands_in)
    installed.sh(f"systemctl daemon-reload; systemctl enable --now {' '.join(units)}")

    def running() -> list[str]:
        return [installed.sh(f"systemctl show --value --property=MainPID {unit}").strip() for unit in units]

    before = running()
    assert "0" not in before
    installed.write("/usr/sbin/policy-rc.d", "#!/bin/sh\nexit 101\n", 0o755)
    installed.sh(f"/var/lib/dpkg/info/passerelle.postinst configure {__version__}", timeout_s=120)
    assert running() == before
    installed.sh("rm /usr/sbin/policy-rc.d")
    installed.write("/etc/systemd/system/passerelle-api.service.d/fails.conf", "[Service]\nExecStartPre=/bin/false\n")
    told = installed.sh("dpkg --install /root/passerelle.deb 2>&1", timeout_s=120)
    after = running()
    assert after[0] == "0"
    assert not {*before} & {*after}
    assert "not all of passerelle-api.service" in told
    assert "0" not in after[1:]

    installed.sh("rm /etc/systemd/system/passerelle-api.service.d/fails.conf; systemctl daemon-reload")
    installed.sh("dpkg --remove passerelle", timeout_s=120)
    assert running() == ["0"] * len(units)
    assert len(installed.sh("find /etc/systemd/system -name 'passerelle*' -type l").split()) == len(units)
    installed.sh("dpkg --purge passerelle", timeout_s=120)
    assert installed.sh("find /etc/systemd/system -name 'passerelle*' -type l").strip() == ""
    installed.sh("rm -r /etc/systemd/system/passerelle*.d; systemctl daemon-reload")


def test_the_package_is_installed_removed_and_purged(installed: Host) -> None:
    """It keeps what the service knows and who set it up until it is purged."""
    assert installed.sh("passerelle --version").strip() == __version__
    assert installed.sh("stat -c '%U %G %a' /etc/passerelle").strip() == "root passerelle 750"
    verify = f"cd /usr/lib/systemd/system; systemd-analyze verify --man=no {' '.join(UNITS)} 2>&1"
    assert installed.sh(verify).strip() == ""
    assert STATE in installed.sh("getent passwd passerelle")
    states = [installed.sh(f"systemctl is-enabled {unit}", check=False).strip() for unit in UNITS]
    assert states == ["disabled"] * len(UNITS)

    kept = f"/etc/passerelle/service.env {STATE}/history.sqlite /var/lib/passerelle-worker-1/ssh_key"
    installed.sh(f"mkdir -p {STATE} /var/lib/passerelle-worker-1; touch {kept}")
    installed.sh("dpkg --remove passerelle", timeout_s=120)
    assert installed.sh("ls -d /usr/lib/passerelle /usr/bin/passerelle", check=False).strip() == ""
    installed.sh(f"ls {kept}")
    assert installed.sh("stat -c '%U %G %a' /etc/passerelle").strip() == "root passerelle 750"
    installed.sh("dpkg --purge passerelle", timeout_s=120)
    assert installed.sh("ls -d /etc/passerelle /var/lib/passerelle-*", check=False).strip() == ""
    assert installed.exec(["dpkg-query", "--status", "passerelle"]).returncode != 0


def test_the_service_of_the_package_runs_by_itself(package: Path, tmp_path: Path) -> None:
    """With Debian's Python, and nothing of this checkout."""
    subprocess.run(["dpkg-deb", "--extract", package, tmp_path / "root"], check=True)
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    forge = Forge(tmp_path / "network.git")
    forge.push({"fleet.yaml": "passerelle: 1\n", "hosts/pve1.yaml": head("observe")})
    port = free_port()
    environment = {
        "PATH": "/usr/bin:/bin", "PASSERELLE_SOURCE": str(forge.path), "PASSERELLE_STATE_DIR": str(state),
        "PASSERELLE_PORT": str(port),
    }  # fmt: skip
    log = (tmp_path / "log").open("wb")
    command = [str(tmp_path / "root" / "usr" / "bin" / "passerelle"), "serve"]
    with log, subprocess.Popen(command, env=environment, cwd=tmp_path, stdout=log, stderr=log) as service:
        try:
            wait_for(lambda: is_ready(port), "the service is ready", 60)
        finally:
            service.terminate()
    assert service.returncode == 0, (tmp_path / "log").read_text()


def is_ready(port: int) -> bool:
    """Whether it answers, and has read its repository."""
    try:
        with urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5):
            return True
    except OSError:
        return False
