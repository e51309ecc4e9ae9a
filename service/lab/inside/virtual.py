"""A host with a kernel of its own: the same image and the same cables, booted by QEMU instead of systemd-nspawn."""

import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from service.errors import LabError
from service.lab import cgroups
from service.lab.console_agent import PORT_NAME
from service.lab.inside.console import Console, Monitor, connected
from service.lab.inside.guest import Guest
from service.lab.inside.machine import JOIN_AND_RUN, REBOOT_EXIT_CODE, Machine
from service.lab.inside.topology import run

MEMORY_MIB = 512
MOST_CARDS = 4
# On a busy machine an emulated timer comes late: the kernel must not take that for broken hardware.
COMMAND_LINE = "console=ttyS0 quiet systemd.show_status=0 random.trust_cpu=on net.ifnames=0 no_timer_check nosoftlockup"


@dataclass(frozen=True)
class KernelFiles:
    """A built kernel (service/lab/second_kernel.py) as the lab was given it."""

    folder: Path
    accelerator: str


@dataclass
class VirtualMachine(Machine):
    """A host under QEMU. Its disk is a file in memory. At a power cut it keeps what the host's kernel had written."""

    kernels: dict[str, KernelFiles] = field(default_factory=dict)
    cards: int = 1
    kernel = "debian"

    def __post_init__(self) -> None:
        super().__post_init__()
        self._line: Console | None = None
        self._monitor: Monitor | None = None

    @property
    def disk(self) -> Path:
        return self.place.scratch / "disks" / f"{self.identity.name}.ext4"

    def card(self, number: int) -> str:
        """The end of the cable of a card, on the provider's switch; the first card is 1."""
        return f"vb-{self.identity.name}" if number == 1 else f"vb{number}-{self.identity.name}"

    def run(self, argv: list[str], stdin: str, timeout_s: float) -> dict[str, Any]:
        """Run a command at the console; LabError while the host is off."""
        if self._line is None:
            raise LabError(f"{self.identity.name} is not running", hint="passerelle lab status")
        return self._line.run(argv, stdin, timeout_s)

    def plug(self, card: int, *, plugged: bool) -> None:
        """Put the cable of a card in, or pull it out: the host sees its carrier come or go."""
        if self._monitor is None:
            raise LabError(f"{self.identity.name} is not running", hint="passerelle lab status")
        if not 1 <= card <= self.cards:
            raise LabError(f"{self.identity.name} has no card {card}", hint=f"it has {self.cards}")
        self._monitor.ask("set_link", name=f"card{card}", up=plugged)

    def keep_disk(self, name: str) -> None:
        """Copy the disk in the form of hosts in containers, so that either sort of host can begin as it."""
        if cgroups.populated(self.cgroup):
            raise LabError(f"{self.identity.name} runs: its disk is copied only while it is off")
        mounted = self.folder / "kept"
        mounted.mkdir(exist_ok=True)
        run("mount", "-o", "loop", str(self.disk), str(mounted))
        try:
            self._keep(mounted / "upper", name)
        finally:
            run("umount", str(mounted))

    def guest_add(self, guest: Guest) -> None:
        raise LabError(
            f"{self.identity.name} has a kernel of its own, and the lab's guests live in the machine's",
            hint="make a network namespace on the host: ip netns add",
        )

    def leader(self) -> int:
        raise LabError(f"{self.identity.name} has a kernel of its own: the machine sees no process of it")

    def _new_disk(self) -> None:
        self.disk.unlink(missing_ok=True)
        super()._new_disk()
        run("umount", str(self.folder / "root"))
        files = self.folder / "files"
        (files / "work").mkdir(parents=True)
        (self.folder / "upper").rename(files / "upper")
        self.disk.parent.mkdir(exist_ok=True)
        run("mke2fs", "-q", "-t", "ext4", "-m", "0", "-d", str(files), str(self.disk), f"{self.disk_mib}M")
        shutil.rmtree(files)

    def _mount(self) -> None:
        """The image is under the disk's files while they are written; later the host mounts both on its own."""
        if not self.disk.exists():
            super()._mount()

    def _plug_in(self) -> None:
        for number in range(1, self.cards + 1):
            tap = self.card(number)
            run("ip", "link", "del", tap, check=False)
            run("ip", "tuntap", "add", "dev", tap, "mode", "tap")
            run("ip", "link", "set", tap, "master", "prov0", "up")

    def _start(self, log: Any) -> "subprocess.Popen[bytes]":
        (self.folder / "console.sock").unlink(missing_ok=True)
        return subprocess.Popen(
            ["sh", "-c", JOIN_AND_RUN, "sh", str(self.cgroup), *self._qemu()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
        )

    def _lived(self, process: "subprocess.Popen[bytes]") -> int:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            self._monitor = monitor = Monitor(process.stdout, process.stdin)
            self._line = connected(self.folder / "console.sock")
            process.wait()
            monitor.join()
        finally:
            process.kill()
            process.wait()
            line, self._line, self._monitor = self._line, None, None
            if line is not None:
                line.close()
            process.stdin.close()
        ended = {"guest-reset": REBOOT_EXIT_CODE, "guest-shutdown": 0}
        return ended.get(monitor.end, process.returncode or 1)

    def _qemu(self) -> list[str]:
        built = self.kernels[self.base.suite]
        argv = ["qemu-system-x86_64", "-machine", "q35", "-accel", built.accelerator, "-m", str(MEMORY_MIB)]
        argv += ["-cpu", "host" if built.accelerator == "kvm" else "max", "-smp", "1", "-nodefaults", "-no-user-config"]
        argv += ["-display", "none", "-no-reboot", "-qmp", "stdio"]
        argv += ["-chardev", f"file,id=log,append=on,path={self.console}", "-serial", "chardev:log"]
        argv += ["-kernel", str(built.folder / "kernel"), "-initrd", str(built.folder / "initrd")]
        argv += ["-append", COMMAND_LINE]
        argv += ["-drive", f"if=virtio,format=raw,readonly=on,file={built.folder / 'root.ext4'}"]
        argv += ["-drive", f"if=virtio,format=raw,file={self.disk}"]
        argv += ["-chardev", f"socket,id=console,server=on,wait=off,path={self.folder / 'console.sock'}"]
        argv += ["-device", "virtio-serial-pci", "-device", f"virtserialport,chardev=console,name={PORT_NAME}"]
        for number in range(1, self.cards + 1):
            argv += ["-netdev", f"tap,id=cable{number},ifname={self.card(number)},script=no,downscript=no"]
            mac = self.mac(number)
            argv += [
                "-device",
                f"virtio-net-pci,id=card{number},netdev=cable{number},mac={mac},addr=0x{0x10 + number:x}",
            ]
        return argv

    def mac(self, card: int) -> str:
        """The address of a card, always the same for it: of QEMU's own range."""
        last = self.identity.address.rpartition(".")[2]
        return f"52:54:00:70:{card:02x}:{int(last):02x}"
