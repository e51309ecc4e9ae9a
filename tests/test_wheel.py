"""What is installed is the package `service` and the command, and nothing that could be in the way of others."""

import subprocess
import zipfile
from pathlib import Path
from urllib.request import urlopen

import pytest
from hatchling.builders.wheel import WheelBuilder

from service import __version__
from service.lab.waiting import grown_s, wait_for
from tests.git.forge import Forge
from tests.installed import installed_wheel
from tests.jobs.answering import free_port
from tests.laws.specs import head

TOP = Path(__file__).parent.parent


def test_the_wheel_holds_the_package_and_the_command_only(tmp_path: Path) -> None:
    (made,) = WheelBuilder(str(TOP)).build(directory=str(tmp_path), versions=["standard"])
    with zipfile.ZipFile(made) as wheel:
        names = wheel.namelist()
        (entries,) = [name for name in names if name.endswith(".dist-info/entry_points.txt")]
        commands = wheel.read(entries).decode().split()
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"service"}
    assert {name.split("/")[0] for name in names if ".dist-info/" in name} == {entries.split("/")[0]}
    assert commands == ["[console_scripts]", "passerelle", "=", "service.__main__:main"]
    packed = {name for name in names if name.startswith("service/")}
    forms = ("*.py", "*.html", "*.css", "*.js")
    files = {str(file.relative_to(TOP)) for form in forms for file in (TOP / "service").rglob(form)}
    assert files <= packed
    assert [name for name in packed if name.endswith(".pyc") or "/tests/" in name] == []
    assert "service/_migrations/env.py" in packed


MAKES_THE_HOSTS_FILE = """
import service, sys
from pathlib import Path
from service.apply.host_file import host_file
Path(sys.argv[1]).write_bytes(host_file().content)
print(service.__file__)
"""


@pytest.mark.long
@pytest.mark.timeout(900)
def test_it_works_by_itself_where_pipx_installs_it(tmp_path: Path) -> None:
    """Without this checkout: the command, the tables' migrations, and the file that runs on hosts."""
    (home := tmp_path / "home").mkdir()
    installed = installed_wheel(home)
    assert installed.run(installed.program, "--version").stdout.strip() == __version__
    forge = Forge(tmp_path / "network.git")
    forge.push({"fleet.yaml": "passerelle: 1\n", "hosts/pve1.yaml": head("observe")})
    subprocess.run(["git", "clone", "--quiet", forge.path, home / "clone"], check=True, timeout=grown_s(60))
    found = installed.run(installed.program, "lint", home / "clone")
    assert found.returncode == 0, found.stderr
    assert "1 host, 0 errors" in found.stderr

    made = installed.run(installed.python, "-c", MAKES_THE_HOSTS_FILE, home / "hostside.py")
    assert made.stdout.startswith(str(home)), made.stderr
    asked = installed.run("/usr/bin/python3", "-I", "-S", home / "hostside.py")
    assert "no verb" in asked.stdout

    port, state = str(free_port()), home / "state"
    environment = installed.environment(
        PASSERELLE_SOURCE=str(forge.path), PASSERELLE_STATE_DIR=str(state), PASSERELLE_PORT=port
    )
    words = [str(installed.program), "serve"]
    log = (tmp_path / "log").open("wb")
    with log, subprocess.Popen(words, env=environment, cwd=home, stdout=log, stderr=log) as service:
        try:
            wait_for(lambda: is_ready(port), "the service is ready", 60)
        finally:
            service.terminate()
    assert service.returncode == 0, (tmp_path / "log").read_text()


def is_ready(port: str) -> bool:
    """Whether it answers, and has read its repository."""
    try:
        with urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5):
            return True
    except OSError:
        return False
