"""The Debian package on a real host: installed with dpkg, removed, and its service run without a checkout."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest

from service import __version__
from service.lab import Host
from service.lab.waiting import wait_for
from tests.git.forge import Forge
from tests.jobs.answering import free_port
from tests.lab_fixtures import FreshHost
from tests.laws.specs import head

pytestmark = pytest.mark.lab(minutes=1)

TOP = Path(__file__).parents[2]
NOT_THERE = "git,openssh-client,ca-certificates"
"""What the package needs and a lab host may lack: nothing of it runs there."""
STATE = "/var/lib/passerelle-service"


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from this checkout."""
    folder = tmp_path_factory.mktemp("package")
    done = subprocess.run([TOP / "deploy" / "package" / "deb", folder], check=True, capture_output=True, text=True)
    return Path(done.stdout.strip())


@pytest.fixture
def installed(fresh_host: FreshHost, package: Path) -> Iterator[Host]:
    """A host with the package on it."""
    host = fresh_host("pve1")
    host.write("/root/passerelle.deb", package.read_bytes())
    host.sh(f"dpkg --install --ignore-depends={NOT_THERE} /root/passerelle.deb", timeout_s=120)
    yield host


def test_the_package_is_installed_and_removed(installed: Host) -> None:
    assert installed.sh("passerelle --version").strip() == __version__
    assert installed.sh("stat -c '%U %G %a' /etc/passerelle").strip() == "root passerelle 750"
    units = "passerelle.service passerelle-api.service passerelle-worker@1.service"
    assert installed.sh(f"cd /usr/lib/systemd/system; systemd-analyze verify --man=no {units} 2>&1").strip() == ""
    assert STATE in installed.sh("getent passwd passerelle")

    installed.sh("dpkg --remove passerelle", timeout_s=120)
    assert installed.sh("ls -d /usr/lib/passerelle /usr/bin/passerelle", check=False).strip() == ""
    assert installed.sh("stat -c '%U %G %a' /etc/passerelle").strip() == "root passerelle 750"


def test_several_processes_get_the_new_version_together_and_end_with_the_package(installed: Host) -> None:
    """Programs that only wait stand for them."""
    units = ["passerelle-api.service", "passerelle-worker@1.service", "passerelle-worker@2.service"]
    for unit in ("passerelle-api", "passerelle-worker@"):
        stands_in = (
            "[Service]\nType=simple\nWatchdogSec=0\nEnvironmentFile=\nExecStart=\nExecStart=/bin/sleep infinity\n"
        )
        installed.sh(f"mkdir -p /etc/systemd/system/{unit}.service.d")
        installed.write(f"/etc/systemd/system/{unit}.service.d/stand-in.conf", stands_in.encode())
    installed.sh(f"systemctl daemon-reload; systemctl enable --now {' '.join(units)}")

    def running() -> list[str]:
        return [installed.sh(f"systemctl show --value --property=MainPID {unit}").strip() for unit in units]

    before = running()
    assert "0" not in before
    installed.sh(f"dpkg --install --ignore-depends={NOT_THERE} /root/passerelle.deb", timeout_s=120)
    after = running()
    assert "0" not in after
    assert not {*before} & {*after}
    installed.sh("dpkg --remove passerelle", timeout_s=120)
    assert running() == ["0"] * len(units)
    assert installed.sh("find /etc/systemd/system -name 'passerelle*' -type l").strip() == ""


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
