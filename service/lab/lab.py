"""A running lab as its user holds it: started, found again, queried, ended."""

import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import service
from service.errors import LabError
from service.lab import apt, cgroups, control, enter, image, preflight, python_index, second_kernel, state
from service.lab.files import Content, given, packed
from service.lab.host import Host
from service.lab.preflight import cgroup2_mount
from service.lab.progress import Progress
from service.lab.virtual_host import VirtualHost
from service.lab.waiting import grown_s, wait_for

START_TIMEOUT_S = 60.0
BOOT_TIMEOUT_S = 120.0
NETWORKS = ("ctl", "inet", "provider")


class Lab:
    """One lab. `Lab.up` starts one, `Lab.attach` finds one that runs; as a context manager it ends with the block."""

    def __init__(self, folder: state.LabFolder) -> None:
        self._folder = folder
        self.name = folder.name
        self.folder = folder.path
        self.control = folder.control
        self.identity = folder.facts().get("id", "")
        self.cgroup = cgroups.folder(cgroup2_mount(), self.identity)
        self._lifeline = -1
        self._suites: set[str] = set()
        self._hosts: dict[str, Host] = {}

    @classmethod
    def up(
        cls,
        name: str = "lab",
        *,
        hosts: Iterable[str] = ("pve1",),
        suite: str = "",
        suites: Mapping[str, str] | None = None,
        kernel: str = "",
        files: Mapping[str, Content] | None = None,
        disk_mib: int = 512,
        outlive: bool = False,
        wait: bool = True,
    ) -> "Lab":
        """Start a lab and boot its hosts; returns when SSH answers on all of them and they are done booting.

        `suite` is the hosts' Debian release (the machine's own unless said), `suites` that of single ones by name.
        `kernel` is the machine's or, under QEMU, Debian's own: second_kernel.KERNELS. `files` are put on every host
        before its first boot. The lab ends with this process, however that
        ends, unless it is to `outlive` it. LabError says what the machine lacks, or why a host did not boot.
        """
        names = list(hosts)
        preflight.require(len(names))
        second_kernel.known(kernel)
        by_host = {host: apt.suite_of((suites or {}).get(host, suite)) for host in names}
        images = [image.ensure(each) for each in sorted(set(by_host.values()))]
        lab = _launch(state.LabFolder(name), apt.suite_of(suite), outlive=outlive)
        try:
            for built in images:
                lab._take(built)
            with Progress(f"lab {name}") as say:
                for host in names:
                    lab.add_host(host, suite=by_host[host], kernel=kernel, files=files, disk_mib=disk_mib, wait=False)
                for host in names if wait else ():
                    say(f"booting {host}")
                    lab.host(host).wait_until_up(BOOT_TIMEOUT_S)
        except BaseException:
            lab.down()
            raise
        return lab

    @classmethod
    def attach(cls, name: str = "lab") -> "Lab":
        """The lab of this name that runs already; LabError when none does."""
        folder = state.LabFolder(name)
        if not state.is_running(folder):
            known = ", ".join(state.running()) or "none"
            raise LabError(f"no lab named {name} runs (running: {known})", hint=f"passerelle lab up --name {name}")
        return cls(folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.down()

    def down(self) -> None:
        """End the lab: one SIGKILL, the kernel takes everything of it away. Does nothing when it is gone already."""
        with contextlib.suppress(LabError, ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        if self._lifeline >= 0:
            os.close(self._lifeline)
            self._lifeline = -1
        wait_for(lambda: not state.is_running(self._folder), f"the end of lab {self.name}", timeout_s=30)
        wait_for(lambda: not cgroups.populated(self.cgroup), f"the last process of lab {self.name}", timeout_s=30)
        state.sweep()

    @property
    def pid(self) -> int:
        """The lab's PID 1, as the machine numbers it."""
        return control.lab_pid(self.control)

    @property
    def key(self) -> Path:
        """The private key (OpenSSH, ed25519) that every host of the lab accepts for root."""
        return self._folder.key

    def ask(self, op: str, *, timeout_s: float = 30, fds: Sequence[int] = (), **arguments: Any) -> control.Message:
        """Ask the lab's PID 1; for this package's own use."""
        return control.ask(self.control, op, timeout_s, fds, **arguments)

    def status(self) -> list[dict[str, Any]]:
        """Every host: name, address, host_key, state, boots, guests."""
        return list(self.ask("status").body["hosts"])

    def described(self) -> dict[str, Any]:
        """All of it as `passerelle lab status -o json` shows it: name, key, pid, hosts, guests with their addresses."""
        hosts = self.status()
        for host in hosts:
            for guest in host["guests"]:
                running = guest["state"] == "running"
                guest["address"] = self.host(host["name"]).guest(guest["name"]).address() if running else ""
        return {"name": self.name, "key": str(self.key), "pid": self.pid, "hosts": hosts}

    def use_suite(self, suite: str) -> None:
        """Give the lab the image of a Debian release, built if it is not there, for hosts to come; empty: nothing."""
        if suite and suite not in self._suites:
            self._suites |= set(self.ask("suites").body["suites"])
        if suite and suite not in self._suites:
            self._take(image.ensure(suite))

    def _take(self, built: image.Image) -> None:
        held = built.hold()
        try:
            root, packages = str(built.root), str(built.packages)
            self.ask("image_add", fds=[held], suite=built.suite, root=root, packages=packages)
        finally:
            os.close(held)
        self._suites.add(built.suite)

    def add_host(
        self,
        name: str,
        *,
        suite: str = "",
        kernel: str = "",
        cards: int = 1,
        files: Mapping[str, Content] | None = None,
        disk_mib: int = 512,
        disk: str = "",
        wait: bool = True,
    ) -> Host:
        """Boot one more host; it gets the next address. Its disk is the image's, or a copy of the kept `disk`.

        `suite` is its Debian release, the lab's unless said. With the `kernel` "debian" it is a VirtualHost, which
        may have more network `cards`: enp1s0, enp2s0, …, all at the provider's switch.
        """
        kernel = second_kernel.known(kernel)
        suite = suite or str(self.ask("suites").body["default"])
        self.use_suite(suite)
        if kernel == "debian":
            self._use_kernel(suite)
        contents = packed(given(files or {}))
        body = self.ask(
            "host_add", name=name, suite=suite, disk_mib=disk_mib, given=contents, disk=disk, kernel=kernel, cards=cards
        ).body
        host = self._hosts[name] = self._host(body)
        if wait:
            host.wait_until_up(BOOT_TIMEOUT_S)
        return host

    def host(self, name: str) -> Host:
        """The host of this name; LabError when the lab has none."""
        if name not in self._hosts:
            self._hosts |= {h.name: h for h in self.hosts() if h.name not in self._hosts}
        if name not in self._hosts:
            raise LabError(f"the lab has no host {name}", hint=f"it has {', '.join(self._hosts) or 'none'}")
        return self._hosts[name]

    def hosts(self) -> list[Host]:
        """All hosts, in the order of their addresses."""
        return [self._host(described) for described in self.status()]

    def _host(self, described: Mapping[str, Any]) -> Host:
        sort = VirtualHost if described.get("kernel") == "debian" else Host  # an older lab says none
        return sort(self, str(described["name"]), str(described["address"]), str(described["host_key"]))

    def _use_kernel(self, suite: str) -> None:
        built = second_kernel.ensure(image.ensure(suite))
        self.ask("kernel_add", suite=suite, folder=str(built.folder), accelerator=built.accelerator)

    def netns(self, name: str) -> Path:
        """A path that setns(2) and `nsenter --net=` take: `ctl` the controller, `inet` outside, `provider` between."""
        if name not in NETWORKS:
            raise LabError(f"the lab has no namespace {name!r}", hint=f"it has {', '.join(NETWORKS)}")
        process = Path("/proc", str(self.pid))
        return process / "ns/net" if name == "provider" else process / "root/run/netns" / name

    def run_in(
        self,
        netns: str,
        argv: Sequence[str],
        *,
        input: str | bytes | None = None,  # noqa: A002 (subprocess.run's word)
        timeout_s: float = 30,
        check: bool = False,
    ) -> enter.Completed:
        """Run a program of this machine in a network of the lab; it sees the machine's files and processes."""
        what = f"`{' '.join(argv)}` in {netns}"
        wrapped = enter.network(self.netns(netns), argv)
        return enter.run(wrapped, stdin=input, timeout_s=timeout_s, check=check, what=what)

    def socket_in(self, netns: str = "ctl", kind: int = socket.SOCK_STREAM) -> socket.socket:
        """A fresh IPv4 socket that lives in that network, for use by this process."""
        answer = self.ask("socket", netns=netns, kind=kind)
        return socket.socket(fileno=answer.files[0])

    def dial(self, address: str, port: int = 22, *, netns: str = "ctl", timeout_s: float = 10) -> socket.socket:
        """A TCP connection made from that network; OSError as from connect(2). The socket is blocking afterwards."""
        connection = self.socket_in(netns)
        try:
            connection.settimeout(grown_s(timeout_s))
            connection.connect((address, port))
        except BaseException:
            connection.close()
            raise
        connection.settimeout(None)
        return connection

    def offer_python(self, requirements: Path) -> None:
        """Have the internet offer the Python packages of a file of locked requirements: python_index.PIP_CONF."""
        self.ask("python_index", folder=str(python_index.ensure(requirements)))

    def forward(self, port: int, netns: str, target_port: int) -> int:
        """Let 127.0.0.1:port of the machine lead to 127.0.0.1:target_port in that network, for the lab's life.

        Port 0 takes a free one; the port taken is returned.
        """
        with socket.create_server(("127.0.0.1", port)) as listener:
            self.ask("forward", fds=[listener.fileno()], netns=netns, port=target_port)
            return int(listener.getsockname()[1])


def _launch(folder: state.LabFolder, suite: str, *, outlive: bool) -> Lab:
    """Start the lab's outer process and wait until its PID 1 answers."""
    identity = f"{folder.name}-{secrets.token_hex(4)}"
    lock = state.claim(folder, {"id": identity})
    reading, writing = os.pipe()
    try:
        make_key(folder.key)
        config = {
            "id": identity,
            "folder": str(folder.path),
            "suite": suite,
            "held": [lock, reading],
            "lifeline": -1 if outlive else reading,
        }
        unshare = ["unshare", "--mount", "--propagation", "private", "--net", "--pid", "--fork", "--kill-child"]
        inside = [sys.executable, "-m", "service.lab.inside", json.dumps(config)]
        environment = {
            "PATH": preflight.search_path(),
            "PYTHONPATH": str(Path(service.__file__).parent.parent),
            "PYTHONDONTWRITEBYTECODE": "1",
            "LC_ALL": "C.UTF-8",
        }
        with folder.log.open("wb") as log:
            subprocess.run(
                ["setsid", "--fork", *unshare, "--mount-proc", *inside],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(lock, reading),
                cwd="/",
                env=environment,
                check=True,
                timeout=grown_s(20),
            )
    except BaseException:
        os.close(writing)
        raise
    finally:
        for fd in (lock, reading):
            os.close(fd)
    lab = Lab(folder)
    if outlive:
        os.close(writing)
    else:
        lab._lifeline = writing
    wait_for(lambda: folder.control.exists() or not state.is_running(folder), "the lab to answer", START_TIMEOUT_S)
    if not folder.control.exists():
        raise LabError(f"the lab did not start: {folder.log.read_text(errors='replace').strip()[-2000:]}")
    return lab


def make_key(path: Path) -> None:
    """An ed25519 key pair without a passphrase, for the lab's life."""
    argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "passerelle-lab", "-f", str(path)]
    subprocess.run(argv, check=True, stdin=subprocess.DEVNULL, capture_output=True, timeout=grown_s(20))
