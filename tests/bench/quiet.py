#!/usr/bin/env -S sh -c 'p=$(dirname "$0")/../..; [ -x "$p/.venv/bin/python" ] || "$p/deploy/setup" --dev --lab >&2; exec "$p/.venv/bin/python" "$0" "$@"'
"""What a round costs in which nothing changed: CPU of the service for each host, compared with other SSH programs.

    tests/bench/quiet.py [--hosts 50] [--rounds 7] [--venv build/parallel-ssh]

Needs root. The hosts are sshd processes in a network namespace of their own, one address each. The service observes,
compares and persists over real SSH. Two others run the same script on the same hosts in turn with it: `ssh` with
ControlMaster, and parallel-ssh with kept sessions. The bench installs the latter into an environment of its own.
Neither compares or stores anything. CPU of `ssh` is that of its clients and masters, without what starts them. Medians of the
rounds. Prints one JSON object; exit 1 above a goal: 0.25 of ControlMaster, 1.2 of parallel-ssh, 0.85 on the hosts.
"""

import argparse
import asyncio
import ctypes
import json
import os
import resource
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

TOP = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP))

from service.app import Service, build, outside
from service.history import History, open_history
from service.observe.script import collect_script
from service.settings import Settings
from service.ssh.own_key import own_key

GOALS = {"quiet_vs_controlmaster": 0.25, "quiet_vs_parallel_ssh": 1.2, "quiet_host_cpu": 0.85}
PORT = 2222
AT_ONCE = 50
SSH_AT_ONCE = 10
ACCOUNT = Path("/sys/fs/cgroup/cpuacct")
NEW_NETWORK, NEW_MOUNTS = 0x40000000, 0x00020000
INTERFACES = "auto lo\niface lo inet loopback\n\nauto vmbr0\niface vmbr0 inet static\n\taddress 10.10.10.1/24\n"
INTERFACES += "\tbridge-ports none\n\tbridge-stp off\n\tbridge-fd 0\n\tbridge-ports-condone-regex ^(tap|veth|fwpr)\n"
SYSTEMCTL = """#!/bin/sh
# no systemd runs here: one unit is there, as on a host with ifupdown2
while [ "$1" != -- ]; do shift; done
shift
for unit in "$@"; do
  load=not-found active=inactive file=
  [ "$unit" = networking.service ] && load=loaded active=active file=enabled
  printf 'Id=%s\\nLoadState=%s\\nActiveState=%s\\nSubState=exited\\nUnitFileState=%s\\n' $unit $load $active "$file"
  printf 'ActiveEnterTimestampMonotonic=0\\nJob=\\n\\n'
done
"""
SSHD = """ListenAddress {address}:{port}
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/authorized
PidFile none
PermitRootLogin yes
StrictModes no
UsePAM no
UseDNS no
MaxStartups 500:30:1000
"""
PEER = """
import sys, time
from pssh.clients import ParallelSSHClient
key, port, script, *hosts = sys.argv[1:]
client = ParallelSSHClient(hosts, user="root", port=int(port), pkey=key, pool_size=len(hosts), allow_agent=False)
for _ in sys.stdin:
    began = time.process_time()
    for output in client.run_command(script):
        assert any("done" in line for line in list(output.stdout)[-1:]), output.host
        list(output.stderr)
    print(time.process_time() - began, flush=True)
"""


def shell(command: str) -> None:
    subprocess.run(["sh", "-ec", command], check=True, stdout=subprocess.DEVNULL)


def own_network(folder: Path, addresses: Iterable[str]) -> None:
    """A network and mounts that end with this process. It looks like a host with one bridge and some rules."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(NEW_NETWORK | NEW_MOUNTS):
        raise OSError(ctypes.get_errno(), "unshare (root is needed)")
    (folder / "interfaces").write_text(INTERFACES)
    (folder / "systemctl").write_text(SYSTEMCTL)
    (folder / "systemctl").chmod(0o755)
    shell(
        "mount --make-rprivate /; mkdir -p /run/sshd /etc/network; touch /etc/network/interfaces\n"
        f"mount --bind {folder}/interfaces /etc/network/interfaces\n"
        f"touch {folder}/bashrc; [ ! -e /root/.bashrc ] || mount --bind {folder}/bashrc /root/.bashrc\n"
        f"mount --bind {folder}/systemctl /usr/bin/systemctl\n"
        "mount -t sysfs sysfs /sys; mkdir -p /tmp\n"
        "ip link set lo up; ip link add vmbr0 type bridge forward_delay 0 stp_state 0; ip link set vmbr0 up\n"
        "ip address add 10.10.10.1/24 dev vmbr0\n"
        + "".join(f"ip address add {address}/32 dev lo\n" for address in addresses)
    )
    rules = "".join(f"add rule inet other input tcp dport {port} accept\n" for port in range(1000, 1100))
    nft = f"add table inet other\nadd chain inet other input\n{rules}"
    subprocess.run(["nft", "-f", "-"], input=nft.encode(), check=True)


@dataclass
class Fleet:
    """The hosts; `names` with the address of each."""

    folder: Path
    names: dict[str, str]
    account: Path
    open: ExitStack
    masters: list[int] = field(default_factory=list)

    def start(self, public: str) -> None:
        """Start the daemons, in an account for CPU of their own."""
        folder = self.folder
        shell(f"ssh-keygen -q -t ed25519 -N '' -f {folder}/host_key; ssh-keygen -q -t ed25519 -N '' -f {folder}/peer")
        (folder / "authorized").write_text(public + "\n" + (folder / "peer.pub").read_text())
        for name, address in self.names.items():
            (folder / f"{name}.sshd").write_text(SSHD.format(address=address, port=PORT, folder=folder))

            def into_account() -> None:
                (self.account / "cgroup.procs").write_text("0")

            command = [shutil.which("sshd") or "/usr/sbin/sshd", "-D", "-f", f"{folder}/{name}.sshd"]
            daemon = subprocess.Popen(command, preexec_fn=into_account)  # noqa: PLW1509 (no thread runs yet)
            self.open.callback(daemon.wait)
            self.open.callback(daemon.terminate)

    def specs(self) -> Path:
        """The repository that describes them."""
        key = " ".join((self.folder / "host_key.pub").read_text().split()[:2])
        repository = self.folder / "fleet"
        (repository / "hosts").mkdir(parents=True)
        (repository / "fleet.yaml").write_text("passerelle: 1\n")
        for name, address in self.names.items():
            (repository / "hosts" / f"{name}.yaml").write_text(
                f"host: {name}\nsync: observe\n"
                f"connection: {{address: {address}, port: {PORT}, host_keys: [{key}]}}\n"
                "bridges: {vmbr0: {addresses: [10.10.10.1/24], ports: [], stp: false, forward_delay: 0}}\n"
            )
        git = "git -c user.name=bench -c user.email=bench@example.net -c init.defaultBranch=main"
        shell(f"cd {repository}; {git} init -q; {git} add .; {git} commit -qm hosts")
        return repository

    def hosts_s(self) -> float:
        """CPU seconds of the hosts."""
        return int((self.account / "cpuacct.usage").read_text()) / 1e9

    def ssh(self, name: str) -> list[str]:
        """The command line of `ssh` to a host, over its master."""
        options = ["BatchMode=yes", "StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR"]
        given = [part for option in options for part in ("-o", option)]
        where = ["-i", f"{self.folder}/peer", "-p", str(PORT), "-S", f"{self.folder}/{name}.ctl"]
        return ["ssh", "-F", "none", *given, *where, f"root@{self.names[name]}"]

    def begin_masters(self) -> None:
        for name in self.names:
            master = subprocess.Popen([*self.ssh(name), "-M", "-N"], stdin=subprocess.DEVNULL)
            self.masters.append(master.pid)
            self.open.callback(master.wait)
            self.open.callback(master.terminate)
        for name in self.names:
            while not (self.folder / f"{name}.ctl").exists():
                time.sleep(0.05)

    def masters_s(self) -> float:
        """CPU seconds of the masters."""
        return sum(int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) for pid in self.masters) / 1e9


class Measured:
    """The service as it is wired, and its peers."""

    def __init__(self, fleet: Fleet, service: Service, history: History, python: Path) -> None:
        self.fleet, self.service, self.history, self.python = fleet, service, history, python
        self.spent: dict[str, list[float]] = defaultdict(list)
        self.hosts_spent: dict[str, list[float]] = defaultdict(list)

    async def quiet(self) -> float:
        """One round of each host. CPU seconds of this process."""
        turn = asyncio.Semaphore(AT_ONCE)

        async def one(name: str) -> None:
            async with turn:
                await self.service.rounds.reconcile(name, self.service.watcher.wanted)

        began_s = time.process_time()
        await asyncio.gather(*map(one, self.fleet.names))
        return time.process_time() - began_s

    def controlmaster(self, script: Path) -> float:
        """The script on each host. CPU seconds of clients and masters."""
        began_s, waiting = self._ssh_s(), list(self.fleet.names)
        running: list[subprocess.Popen[bytes]] = []
        with (self.fleet.folder / "answers").open("wb") as answers:
            while waiting or running:
                while waiting and len(running) < SSH_AT_ONCE:
                    with script.open("rb") as asked:
                        command = [*self.fleet.ssh(waiting.pop()), "exec /bin/sh"]
                        running.append(subprocess.Popen(command, stdin=asked, stdout=answers))
                ended = running.pop(0)
                if ended.wait():
                    raise SystemExit("ssh failed")
        return self._ssh_s() - began_s

    def _ssh_s(self) -> float:
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime + self.fleet.masters_s()

    async def begin(self) -> None:
        """The first rounds: every host is as wanted then."""
        await self.service.watcher.look()
        if found := [str(one) for one in self.service.watcher.findings if one.severity == "error"]:
            raise SystemExit("\n".join([*found, self.service.watcher.trouble]))
        await self.service.rounds.follow(self.service.watcher.wanted)
        for _ in range(2):
            await self.quiet()
        for name in self.fleet.names:
            status = self.history.queries.host(name)
            if status is None or status.sync != "Synced":
                raise SystemExit(f"{name} is not as wanted: {status}; {self.service.rounds.standing(name).plan}")

    def script(self) -> Path:
        """What the service runs on the hosts."""
        script = self.fleet.folder / "script"
        sighting = self.history.queries.sighting(next(iter(self.fleet.names)))
        assert sighting is not None
        script.write_bytes(collect_script(sighting.watch, sighting.nonce))
        return script

    async def run(self, rounds: int) -> None:
        await self.begin()
        script = self.script()
        self.fleet.begin_masters()
        whole = f"exec /bin/sh -c {shlex.quote(script.read_text())}"
        peer = subprocess.Popen(  # noqa: ASYNC220 (nothing else runs meanwhile)
            [self.python, "-c", PEER, f"{self.fleet.folder}/peer", str(PORT), whole, *self.fleet.names.values()],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1,
        )  # fmt: skip
        assert peer.stdin is not None
        assert peer.stdout is not None
        for number in range(rounds + 1):
            for name in ("quiet", "controlmaster", "parallel_ssh"):
                hosts_s = self.fleet.hosts_s()
                if name == "quiet":
                    spent_s = await self.quiet()
                elif name == "controlmaster":
                    spent_s = self.controlmaster(script)
                else:
                    peer.stdin.write("go\n")
                    spent_s = float(peer.stdout.readline())
                if number:  # the first one opens sessions
                    self.spent[name].append(spent_s)
                    self.hosts_spent[name].append(self.fleet.hosts_s() - hosts_s)
        peer.stdin.close()
        peer.wait()


def result(measured: Measured, hosts: int) -> dict[str, Any]:
    each = {name: statistics.median(spent) * 1000 / hosts for name, spent in measured.spent.items()}
    at_hosts = {name: statistics.median(spent) * 1000 / hosts for name, spent in measured.hosts_spent.items()}
    return {
        "hosts": hosts,
        "load": round(os.getloadavg()[0], 1),
        "cpu_ms_a_host": {name: round(ms, 3) for name, ms in each.items()},
        "host_cpu_ms": {name: round(ms, 2) for name, ms in at_hosts.items()},
        "quiet_vs_controlmaster": round(each["quiet"] / each["controlmaster"], 3),
        "quiet_vs_parallel_ssh": round(each["quiet"] / each["parallel_ssh"], 3),
        "quiet_host_cpu": round(at_hosts["quiet"] / at_hosts["controlmaster"], 3),
    }


def peer_python(venv: Path) -> Path:
    """Python with parallel-ssh in it."""
    python = venv / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", venv], check=True)
        subprocess.run([python, "-m", "pip", "-q", "install", "parallel-ssh"], check=True, stdout=sys.stderr)
    return python


@contextmanager
def standing(hosts: int) -> Iterator[tuple[Fleet, Settings, History]]:
    """So many hosts that run, the service's settings for them, and an open history. Ends the network of this process."""
    account = ACCOUNT / f"passerelle-quiet-{os.getpid()}"
    account.mkdir()
    above, usage = os.open(ACCOUNT, os.O_RDONLY), os.open(account, os.O_RDONLY)  # they stay when /sys is another one
    with ExitStack() as open_ones:
        open_ones.callback(os.rmdir, account.name, dir_fd=above)
        folder = Path(open_ones.enter_context(tempfile.TemporaryDirectory(prefix="quiet-")))
        names = {f"pve{number}": f"198.18.1.{number}" for number in range(1, hosts + 1)}
        own_network(folder, names.values())
        fleet = Fleet(folder, names, Path(f"/proc/self/fd/{usage}"), open_ones)
        settings = Settings(state_dir=folder / "state", source="")
        settings.state_dir.mkdir(mode=0o700)
        fleet.start(" ".join(own_key(settings.host_key_path).export_public_key().decode().split()[:2]))
        settings = Settings(state_dir=folder / "state", source=str(fleet.specs()))
        yield fleet, settings, open_ones.enter_context(open_history(settings.database_path, serve=True))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--hosts", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--venv", type=Path, default=TOP / "build" / "parallel-ssh")
    asked = parser.parse_args()
    python = peer_python(asked.venv)
    with standing(asked.hosts) as (fleet, settings, history):
        world = outside(settings)

        async def run() -> Measured:
            measured = Measured(fleet, build(settings, history, world), history, python)
            try:
                await measured.run(asked.rounds)
            finally:
                await world.close()
            return measured

        found = result(asyncio.run(run()), asked.hosts)
    print(json.dumps(found))
    sys.exit(any(found[name] > goal for name, goal in GOALS.items()))


if __name__ == "__main__":
    main()
