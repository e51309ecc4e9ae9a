"""The operations of the lab: one method per operation of the control socket."""

import os
import re
import socket
from pathlib import Path
from typing import Any

from service.errors import LabError
from service.lab import addresses, files
from service.lab.control import Message
from service.lab.inside import forward, topology
from service.lab.inside.guest import Guest
from service.lab.inside.internet import Internet
from service.lab.inside.machine import Machine, Place, StartingDisk, new_identity
from service.lab.inside.virtual import MOST_CARDS, KernelFiles, VirtualMachine

HOST_NAME = re.compile(r"[a-z][a-z0-9-]{0,10}")  # vb-NAME must fit into 15 characters
GUEST_NAME = re.compile(r"[a-z][a-z0-9-]{0,9}")  # veth-NAME too
DISK_NAME = re.compile(r"[a-z][a-z0-9-]{0,30}")
SERVER_NAME = re.compile(r"[a-z][a-z-]{0,20}")
SORTS = ("named", "silent", "static")


class Supervisor:
    """The lab's hosts and guests by name, and the operations on them."""

    def __init__(self, config: dict[str, Any], cgroup: Path) -> None:
        runtime = Path(config["folder"])
        self.place = Place(runtime / "inside", runtime, cgroup)
        self.place.repository.mkdir()
        self.authorized_key = (runtime / "id_ed25519.pub").read_text().strip()
        self.machines: dict[str, Machine] = {}
        self.roots: dict[str, Path] = {}
        self.kernels: dict[str, KernelFiles] = {}
        self.default_suite = str(config["suite"])
        self.internet = Internet(runtime)

    def answer(self, op: str, request: Message) -> Message:
        """Do one operation; raises LabError for what cannot be done."""
        operation = getattr(self, f"op_{op}", None)
        if operation is None:
            raise LabError(f"the lab knows no operation {op!r}")
        answered: Message = operation(fds=request.files, **request.body)
        return answered

    def op_status(self, *, fds: list[int]) -> Message:
        """Every host with its guests."""
        return Message({"hosts": [machine.described() for machine in self.machines.values()]})

    def op_suites(self, *, fds: list[int]) -> Message:
        """The Debian releases whose images the lab has, and the one of a host of which nothing is reported."""
        return Message({"suites": sorted(self.roots), "default": self.default_suite})

    def op_image_add(self, *, fds: list[int], suite: str, root: str, packages: str) -> Message:
        """Take an image into use; the open file that comes along keeps it from being removed for the lab's life."""
        if suite in self.roots:
            for fd in fds:
                os.close(fd)
            return Message({})
        (self.place.repository / suite).symlink_to(packages)
        self.roots[suite] = Path(root)
        return Message({})

    def op_kernel_add(self, *, fds: list[int], suite: str, folder: str, accelerator: str) -> Message:
        """Take Debian's kernel into use for hosts of this release, whose image the lab has already."""
        self.kernels[suite] = KernelFiles(Path(folder), accelerator)
        return Message({})

    def op_host_add(
        self, *, fds: list[int], name: str, disk_mib: int, given: dict[str, Any], disk: str, suite: str,
        kernel: str = "machine", cards: int = 1,
    ) -> Message:  # fmt: skip
        """Add a host and boot it; answers at once, with its address and key."""
        base = self._base(suite or self.default_suite, disk)
        if HOST_NAME.fullmatch(name) is None:
            raise LabError(f"{name!r} is not a name for a host: a letter, then letters, digits and dashes, 11 at most")
        if name in self.machines:
            raise LabError(f"the lab has a host {name} already")
        if not 1 <= cards <= (MOST_CARDS if kernel == "debian" else 1):
            raise LabError(f"a host with the kernel `{kernel}` has no {cards} cards")
        if len(self.machines) >= addresses.MAX_HOSTS:
            raise LabError(f"the lab has {addresses.MAX_HOSTS} hosts, more addresses are not planned")
        address = addresses.host_address(len(self.machines))
        identity = new_identity(name, address, self.place.scratch, self.authorized_key)
        starting = (identity, self.place, disk_mib, files.unpacked(given), base)
        if kernel == "debian":
            machine: Machine = VirtualMachine(*starting, kernels=self.kernels, cards=cards)
        else:
            machine = Machine(*starting)
        self.machines[name] = machine
        machine.start()
        return Message(machine.described())

    def op_host_power(
        self, *, fds: list[int], host: str, to: str, given: dict[str, Any], disk: str, suite: str
    ) -> Message:
        """Power of a host: on, off, cut (off and on again) or fresh (cut, with a new disk)."""
        machine = self._machine(host)
        if to not in ("on", "off", "cut", "fresh"):
            raise LabError(f"no power state {to!r}")
        base = self._base(suite or machine.next_base.suite, disk)
        if isinstance(machine, VirtualMachine) and base.suite not in self.kernels:
            raise LabError(f"the lab has no kernel of {base.suite}")
        machine.power(to, files.unpacked(given), base)
        return Message(machine.described())

    def op_host_exec(self, *, fds: list[int], host: str, argv: list[str], stdin: str, patience_s: float) -> Message:
        """Run a command at the console of a host with a kernel of its own; input and output are base64."""
        return Message(self._virtual(host).run(argv, stdin, patience_s))

    def op_host_plug(self, *, fds: list[int], host: str, card: int, plugged: bool) -> Message:
        """Put the cable of a card of such a host in, or pull it out."""
        self._virtual(host).plug(card, plugged=plugged)
        return Message({})

    def op_host_keep(self, *, fds: list[int], host: str, disk: str) -> Message:
        """Keep a copy of a host's disk under a name."""
        if DISK_NAME.fullmatch(disk) is None:
            raise LabError(f"{disk!r} is not a name for a disk: a letter, then letters, digits and dashes, 31 at most")
        self._machine(host).keep_disk(disk)
        return Message({})

    def op_guest_add(self, *, fds: list[int], host: str, name: str, sort: str, **plan: Any) -> Message:
        """Declare a guest of a host."""
        machine = self._machine(host)
        if GUEST_NAME.fullmatch(name) is None:
            raise LabError(f"{name!r} is not a name for a guest: a letter, then letters, digits and dashes, 10 at most")
        if sort not in SORTS:
            raise LabError(f"no sort of guest {sort!r}: {', '.join(SORTS)}")
        guest = Guest(
            name=name,
            host=host,
            sort=sort,
            scratch=self.place.scratch / "guests" / f"{host}+{name}",
            image_root=machine.next_base.root,
            cgroup=self.place.cgroup / f"{host}+{name}",
            **plan,
        )
        machine.guest_add(guest)
        return Message(guest.described())

    def op_guest_do(self, *, fds: list[int], host: str, name: str, what: str) -> Message:
        """Do one thing with a guest: plug, unplug, start, stop, remove."""
        machine = self._machine(host)
        guest = machine.guests.get(name)
        if guest is None:
            raise LabError(f"{host} has no guest {name}")
        match what:
            case "plug" | "unplug":
                guest.plug(machine.leader(), into_bridge=what == "plug")
            case "start":
                guest.start(machine.leader())
            case "stop":
                guest.kill()
                guest.state = "stopped"
            case "remove":
                guest.kill(for_good=True)
                del machine.guests[name]
            case _:
                raise LabError(f"a guest cannot {what!r}")
        return Message(guest.described())

    def op_socket(self, *, fds: list[int], netns: str, kind: int) -> Message:
        """A fresh IPv4 socket that lives in the namespace, as an open file."""
        return Message({}, [topology.socket_in(netns, socket.AF_INET, kind).detach()])

    def op_forward(self, *, fds: list[int], netns: str, port: int) -> Message:
        """Carry what arrives at the given listening socket to the namespace's loopback."""
        if len(fds) != 1:
            raise LabError("a forward needs one listening socket")
        forward.start(socket.socket(fileno=fds[0]), netns, port)
        return Message({})

    def op_python_index(self, *, fds: list[int], folder: str) -> Message:
        """Serve this folder of the machine as `/python/`."""
        served = self.place.repository / "python"
        served.unlink(missing_ok=True)
        served.symlink_to(folder)
        return Message({})

    def op_serve(self, *, fds: list[int], name: str, argv: list[str]) -> Message:
        """Run a server in the internet, in place of the one of this name; no `argv`: none. It logs to NAME.log."""
        if SERVER_NAME.fullmatch(name) is None:
            raise LabError(f"{name!r} is not a name for a server: small letters and dashes")
        self.internet.serve(name, argv)
        return Message({})

    def _base(self, suite: str, disk: str) -> StartingDisk:
        if (root := self.roots.get(suite)) is None:
            raise LabError(f"the lab has no image of {suite!r}", hint=f"it has {', '.join(self.roots) or 'none'}")
        if disk and (DISK_NAME.fullmatch(disk) is None or not self.place.kept(disk, suite).is_dir()):
            raise LabError(f"the lab keeps no disk {disk!r} of {suite}")
        return StartingDisk(suite, root, disk)

    def _virtual(self, name: str) -> VirtualMachine:
        machine = self._machine(name)
        if not isinstance(machine, VirtualMachine):
            raise LabError(f"{name} has the machine's kernel: its console is nsenter(1)")
        return machine

    def _machine(self, name: str) -> Machine:
        if (machine := self.machines.get(name)) is None:
            raise LabError(f"the lab has no host {name}", hint=f"it has {', '.join(self.machines) or 'none'}")
        return machine
