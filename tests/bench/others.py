#!/usr/bin/env -S sh -c 'p=$(dirname "$0")/../..; [ -x "$p/.venv/bin/python" ] || "$p/deploy/setup" --dev --lab >&2; exec "$p/.venv/bin/python" "$0" "$@"'
"""What a quiet round costs the controller, compared with Ansible and pyinfra on the same hosts.

    tests/bench/others.py [--hosts 20] [--rounds 3]

Needs root. The hosts are those of quiet.py: sshd processes in a network namespace. The bench installs both programs at
fixed versions, each in an environment of its own below build/. In turn with a round of the service it runs `ansible -m raw`
with the service's own script, and `ansible -m setup`, both over connections that are kept. Then it runs pyinfra's cheapest
fact, the hostname, over connections of its own. CPU is that of a program, of all that it starts, and of Ansible's masters of ssh. Neither
compares or stores anything. Medians of the rounds. Prints one JSON object, with how many times the service's CPU each needs;
exit 1 below a goal: 40, 80, 10.
"""

import argparse
import asyncio
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

TOP = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP))

from service.app import build, outside
from tests.bench.quiet import PORT, Fleet, Measured, standing

GOALS = {"vs_ansible_raw": 40, "vs_ansible_setup": 80, "vs_pyinfra": 10}
PINNED = {"ansible": "ansible-core==2.19.14", "pyinfra": "pyinfra==3.10"}
CONFIG = """
[defaults]
forks = {hosts}
host_key_checking = False
retry_files_enabled = False
interpreter_python = /usr/bin/python3
[ssh_connection]
pipelining = True
control_path_dir = {folder}/cp
ssh_args = -F none -o ControlMaster=auto -o ControlPersist=600 -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR
"""


def installed(name: str) -> Path:
    """The folder of a program's commands, in an environment of its own."""
    venv = TOP / "build" / name
    if not (venv / "bin" / name).exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", venv], check=True)
        subprocess.run([venv / "bin" / "pip", "-q", "install", PINNED[name]], check=True, stdout=sys.stderr)
    return venv / "bin"


class Others:
    """Their commands, for the hosts of a fleet."""

    def __init__(self, fleet: Fleet, script: Path) -> None:
        self.fleet, folder = fleet, fleet.folder
        (folder / "ansible.cfg").write_text(CONFIG.format(hosts=len(fleet.names), folder=folder))
        each = [f"{name} ansible_host={address}" for name, address in fleet.names.items()]
        common = f"[all:vars]\nansible_port={PORT}\nansible_user=root\nansible_ssh_private_key_file={folder}/peer\n"
        (folder / "hosts.ini").write_text("\n".join([*each, common]))
        ssh = {
            "ssh_port": PORT, "ssh_user": "root", "ssh_key": f"{folder}/peer", "ssh_strict_host_key_checking": "no",
            "ssh_known_hosts_file": f"{folder}/known", "ssh_config_file": "/dev/null",
        }  # fmt: skip
        (folder / "inventory.py").write_text(f"hosts = ({list(fleet.names.values())!r}, {ssh!r})\n")
        ansible = [f"{installed('ansible')}/ansible", "all", "-i", f"{folder}/hosts.ini"]
        text = ":\n{% raw %}" + script.read_text() + "{% endraw %}"  # what begins with a brace would be JSON
        pyinfra = [f"{installed('pyinfra')}/pyinfra", "--parallel", str(len(fleet.names)), f"{folder}/inventory.py"]
        self.commands = {
            "ansible_raw": [*ansible, "-m", "raw", "-a", text],
            "ansible_setup": [*ansible, "-m", "setup"],
            "pyinfra": [*pyinfra, "fact", "server.Hostname"],
        }

    def run(self, name: str) -> float:
        """CPU seconds of one run over all hosts. It ends the bench where a host did not answer."""
        folder, began_s = self.fleet.folder, self._spent_s()
        env = os.environ | {
            "ANSIBLE_CONFIG": f"{folder}/ansible.cfg", "ANSIBLE_HOME": f"{folder}/ansible", "HOME": f"{folder}",
            "ANSIBLE_NOCOLOR": "1", "LC_ALL": "C.UTF-8", "PATH": f"/usr/sbin:/usr/bin:{os.environ['PATH']}",
        }  # fmt: skip
        done = subprocess.run(self.commands[name], env=env, capture_output=True, text=True, check=False, cwd=folder)
        spent_s = self._spent_s() - began_s
        said = done.stdout + done.stderr
        answered = sum(f"{one}" in said for pair in self.fleet.names.items() for one in pair[name == "pyinfra" :][:1])
        if done.returncode or answered < len(self.fleet.names):
            raise SystemExit(f"{name} failed ({done.returncode}):\n{said[-3000:]}")
        return spent_s

    def _spent_s(self) -> float:
        """Of all that ended and was waited for, and of the masters, which stay."""
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime + sum(map(_cpu_s, self._masters()))

    def _masters(self) -> list[int]:
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                words = (folder / "cmdline").read_bytes()
            except OSError:
                continue
            if words.startswith(b"ssh: ") and str(self.fleet.folder).encode() in words:
                found.append(int(folder.name))
        return found

    def close(self) -> None:
        """End the masters of ssh."""
        for path in (self.fleet.folder / "cp").glob("*"):
            command = ["ssh", "-F", "none", "-o", f"ControlPath={path}", "-O", "exit", "host"]
            subprocess.run(command, check=False, capture_output=True)


def _cpu_s(pid: int) -> float:
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9
    except OSError:
        return 0.0


async def measure(measured: Measured, rounds: int) -> dict[str, list[float]]:
    """CPU seconds of each round; the first one opens connections and does not count."""
    await measured.begin()
    others = Others(measured.fleet, measured.script())
    spent: dict[str, list[float]] = defaultdict(list)
    try:
        for number in range(rounds + 1):
            for name in ("quiet", *others.commands):
                spent_s = await measured.quiet() if name == "quiet" else others.run(name)
                if number:
                    spent[name].append(spent_s)
    finally:
        others.close()
    return spent


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--hosts", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    for name in PINNED:
        installed(name)
    assert shutil.which("sshd", path="/usr/sbin:/usr/bin")
    with standing(given.hosts) as (fleet, settings, history):
        world = outside(settings)

        async def run() -> dict[str, list[float]]:
            try:
                measured = Measured(fleet, build(settings, history, world), history, Path(sys.executable))
                return await measure(measured, given.rounds)
            finally:
                await world.close()

        spent = asyncio.run(run())
    each = {name: statistics.median(values) * 1000 / given.hosts for name, values in spent.items()}
    shown: dict[str, Any] = {
        "hosts": given.hosts, "load": round(os.getloadavg()[0], 1), "versions": PINNED,
        "cpu_ms_a_host": {name: round(ms, 2) for name, ms in each.items()},
    }  # fmt: skip
    shown |= {f"vs_{name}": round(each[name] / each["quiet"], 1) for name in each if name != "quiet"}
    print(json.dumps(shown))
    return int(any(shown[name] < goal for name, goal in GOALS.items()))


if __name__ == "__main__":
    sys.exit(main())
