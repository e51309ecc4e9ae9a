"""Many light hosts on this machine: each is an sshd in a network namespace and mounts of its own, and has one bridge.

    enter_network()                     this process goes into a network of its own; nothing outside can be reached
    with LightHosts(folder, 100, public_key) as hosts:
        hosts.names                     {name: address}
        hosts.repository()              the path of a repository that describes them; `sync: observe`
        hosts.sh(name, command)         run there by hand, as an admin would
        hosts.count(word)               how many processes there have this in their command lines

A change on one is not seen on another: addresses, routes, nft rules and /etc/network/interfaces are its own. No systemd
runs there. `systemctl` answers for one unit, and the folder is there in which systemd keeps the units that run. Needs
root. All of it ends with this process.
"""

import ctypes
import shutil
import subprocess
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

PORT = 2222
UPLINK = "198.18.0.1/16"
NEW_NETWORK, NEW_MOUNTS = 0x40000000, 0x00020000
INTERFACES = """\
auto lo
iface lo inet loopback

auto vmbr0
iface vmbr0 inet static
\taddress 10.10.10.1/24
\tbridge-ports none
\tbridge-stp off
\tbridge-fd 0
\tbridge-ports-condone-regex ^(tap|veth|fwpr)
"""
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
SSHD = """\
ListenAddress {address}:{port}
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/authorized
PidFile none
PermitRootLogin yes
StrictModes no
UsePAM no
UseDNS no
MaxStartups 500:30:1000
"""
BEGIN = """\
mount --make-rprivate /
mount -t sysfs sysfs /sys
mount --bind {folder}/{name}.interfaces /etc/network/interfaces
mount --bind {folder}/systemctl /usr/bin/systemctl
mkdir -p /run/systemd
mount -t tmpfs tmpfs /run/systemd
mkdir /run/systemd/units
[ ! -e /root/.bashrc ] || mount --bind {folder}/empty /root/.bashrc
ip link set lo up
ip link add vmbr0 type bridge forward_delay 0 stp_state 0
ip link set vmbr0 up
ip address add 10.10.10.1/24 dev vmbr0
echo ready
read go
ip address add {address}/16 dev up0
ip link set up0 up
exec {sshd} -D -f {folder}/{name}.sshd
"""


def enter_network() -> None:
    """Put this process into a network and mounts of its own, with a bridge for the hosts' uplinks."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(NEW_NETWORK | NEW_MOUNTS):
        raise OSError(ctypes.get_errno(), "unshare (root is needed)")
    _shell(
        "mount --make-rprivate /; mkdir -p /run/sshd /etc/network; touch /etc/network/interfaces\n"
        f"ip link set lo up; ip link add uplinks type bridge; ip address add {UPLINK} dev uplinks; "
        "ip link set uplinks up"
    )


def _shell(command: str) -> None:
    subprocess.run(["sh", "-ec", command], check=True, stdout=subprocess.DEVNULL)


class LightHosts:
    """The hosts, from `with` to its end. `public_key` may log in as root."""

    def __init__(self, folder: Path, count: int, public_key: str) -> None:
        self.folder = folder
        self.names = {f"pve{n}": f"198.18.{1 + n // 250}.{1 + n % 250}" for n in range(1, count + 1)}
        self._public_key = public_key
        self._pids: dict[str, int] = {}
        self._open = ExitStack()

    def __enter__(self) -> Self:
        folder = self.folder
        _shell(f"ssh-keygen -q -t ed25519 -N '' -f {folder}/host_key")
        (folder / "authorized").write_text(self._public_key + "\n")
        (folder / "systemctl").write_text(SYSTEMCTL)
        (folder / "systemctl").chmod(0o755)
        (folder / "empty").touch()
        with self._open:
            for name, address in self.names.items():
                self._start(name, address)
            self._open = self._open.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def _start(self, name: str, address: str) -> None:
        folder = self.folder
        (folder / f"{name}.interfaces").write_text(INTERFACES)
        (folder / f"{name}.sshd").write_text(SSHD.format(address=address, port=PORT, folder=folder))
        sshd = shutil.which("sshd") or "/usr/sbin/sshd"
        begin = BEGIN.format(folder=folder, name=name, address=address, sshd=sshd)
        host = subprocess.Popen(
            ["unshare", "--net", "--mount", "sh", "-ec", begin],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self._open.callback(host.wait)
        self._open.callback(host.terminate)
        assert host.stdin is not None
        assert host.stdout is not None
        if host.stdout.readline() != b"ready\n":
            raise RuntimeError(f"{name} did not start")
        _shell(f"ip link add to-{name} type veth peer name up0 netns {host.pid}")
        _shell(f"ip link set to-{name} master uplinks up")
        host.stdin.write(b"go\n")
        host.stdin.close()
        self._pids[name] = host.pid

    def repository(self) -> Path:
        """A repository with a spec for each host, as it is now."""
        key = " ".join((self.folder / "host_key.pub").read_text().split()[:2])
        top = self.folder / "fleet"
        (top / "hosts").mkdir(parents=True)
        (top / "fleet.yaml").write_text("passerelle: 1\n")
        for name, address in self.names.items():
            (top / "hosts" / f"{name}.yaml").write_text(
                f"host: {name}\nsync: observe\n"
                f"connection: {{address: {address}, port: {PORT}, host_keys: [{key}]}}\n"
                "bridges: {vmbr0: {addresses: [10.10.10.1/24], ports: [], stp: false, forward_delay: 0}}\n"
            )
        git = "git -c user.name=hosts -c user.email=hosts@example.net -c init.defaultBranch=main"
        _shell(f"cd {top}; {git} init -q; {git} add .; {git} commit -qm hosts")
        return top

    def sh(self, name: str, command: str) -> None:
        """Run a command on a host, not over SSH."""
        subprocess.run(
            ["nsenter", f"--target={self._pids[name]}", "--net", "--mount", "sh", "-ec", command], check=True
        )

    def count(self, word: bytes) -> int:
        """How many processes in the hosts' networks have `word` in their command lines."""
        networks = {Path(f"/proc/{pid}/ns/net").stat().st_ino for pid in self._pids.values()}
        found = 0
        for entry in Path("/proc").iterdir():
            with suppress(OSError):
                if entry.name.isdigit() and word in (entry / "cmdline").read_bytes():
                    found += (entry / "ns" / "net").stat().st_ino in networks
        return found
