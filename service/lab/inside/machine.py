"""One host as the lab runs it: its disk (an overlay on the image), its boots (systemd-nspawn), its end."""

import shutil
import subprocess
import threading
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from service.errors import LabError
from service.lab import cgroups, files
from service.lab.inside.guest import Guest
from service.lab.inside.topology import run
from service.lab.waiting import wait_for

REBOOT_EXIT_CODE = 133  # systemd-nspawn --keep-unit ends with it instead of booting again on its own
GUEST_POLL_S = 0.1
JOIN_AND_RUN = 'echo $$ > "$1"/cgroup.procs && shift && exec setsid "$@"'
DEFAULT_DISK_MIB = 512


@dataclass(frozen=True)
class Place:
    """Where the lab keeps things, inside its own mount namespace."""

    scratch: Path  # a tmpfs of the lab's own
    runtime: Path  # the folder that the machine sees too
    cgroup: Path

    @property
    def repository(self) -> Path:
        """What the internet serves: a folder of packages for each Debian release."""
        return self.scratch / "repository"

    def kept(self, disk: str, suite: str) -> Path:
        """Where a kept disk is: what a host had written over the image of this release."""
        return self.scratch / "kept" / suite / disk


@dataclass(frozen=True)
class StartingDisk:
    """What a new disk begins as: the image of a Debian release at `root`, and the kept `disk` over it if named."""

    suite: str
    root: Path
    disk: str = ""


@dataclass
class Machine:
    """A host and the thread that boots it again and again. All methods may be called from any thread."""

    identity: files.Identity
    place: Place
    disk_mib: int
    extra_files: dict[str, tuple[bytes, int]]
    base: StartingDisk
    guests: dict[str, Guest] = field(default_factory=dict)
    state: str = "starting"
    boots: int = 0
    kernel = "machine"

    def __post_init__(self) -> None:
        self.folder = self.place.scratch / "hosts" / self.identity.name
        self.cgroup = self.place.cgroup / self.identity.name
        self.console = self.place.runtime / f"console-{self.identity.name}.log"
        self.next_base = self.base
        self._on = True
        self._cut = False
        self._fresh = True
        self._changed = threading.Condition()

    def start(self) -> None:
        """Begin to run the host; returns at once."""
        threading.Thread(target=self._live, daemon=True).start()

    def power(self, to: str, files_given: dict[str, tuple[bytes, int]], base: StartingDisk) -> None:
        """Pull the plug, restore it, or both; `fresh` also gives it a new disk. No process of the host gets a say."""
        with self._changed:
            if to == "fresh":
                self._fresh = True
                self.extra_files = files_given
                self.next_base = base
                for guest in self.guests.values():
                    guest.kill(for_good=True)
                self.guests.clear()
            if to == "on":
                self._cut |= not self._on
            else:
                self._cut = to != "off"
                cgroups.kill(self.cgroup)
            self._on = to != "off"
            self._changed.notify_all()

    def keep_disk(self, name: str) -> None:
        """Copy the disk, as it is now, for new disks to begin as. LabError unless the host is off."""
        if cgroups.populated(self.cgroup):
            raise LabError(f"{self.identity.name} runs: its disk is copied only while it is off")
        self._keep(self.folder / "upper", name)

    def _keep(self, upper: Path, name: str) -> None:
        kept = self.place.kept(name, self.base.suite)
        shutil.rmtree(kept, ignore_errors=True)
        kept.parent.mkdir(parents=True, exist_ok=True)
        run("cp", "--archive", str(upper), str(kept))

    def described(self) -> dict[str, Any]:
        """What `status` says about this host."""
        return {
            "name": self.identity.name,
            "suite": self.next_base.suite,
            "kernel": self.kernel,
            "address": self.identity.address,
            "host_key": self.identity.public_key,
            "state": self.state,
            "boots": self.boots,
            "guests": [guest.described() for guest in list(self.guests.values())],
        }

    def _live(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._on)
                self._cut = False
            try:
                code = self._boot_once()
            except (LabError, OSError) as error:
                with self.console.open("a") as log:
                    log.write(f"lab: {error}\n")
                code = 1
            with self._changed:
                asked_off = not self._on
                self._on = self._cut or code == REBOOT_EXIT_CODE
                self.state = "rebooting" if self._on else "off" if asked_off or code == 0 else "failed"

    def _boot_once(self) -> int:
        """Run the host until it ends; REBOOT_EXIT_CODE when it wants to boot again, 0 when it switched itself off."""
        wait_for(lambda: not cgroups.populated(self.cgroup), f"the end of {self.identity.name}", timeout_s=20)
        cgroups.remove(self.cgroup)
        with self._changed:
            fresh, self._fresh = self._fresh, False
        if fresh:
            self._new_disk()
        self._mount()
        self._plug_in()
        self.cgroup.mkdir(parents=True, exist_ok=True)
        with self._changed, self.console.open("ab") as log:
            if self._cut or not self._on:
                return 0
            process = self._start(log)
            # From here on a power cut finds the host in its cgroup.
            wait_for(lambda: cgroups.populated(self.cgroup) or process.poll() is not None, "the host to start", 10)
        self.boots += 1
        self.state = "running"
        return self._lived(process)

    def _plug_in(self) -> None:
        """Make room for the host's cable; systemd-nspawn puts it in."""
        run("ip", "link", "del", f"vb-{self.identity.name}", check=False)

    def _start(self, log: Any) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            ["sh", "-c", JOIN_AND_RUN, "sh", str(self.cgroup), *self._nspawn()],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )

    def _lived(self, process: "subprocess.Popen[bytes]") -> int:
        """Wait for the end of this boot; its exit code as systemd-nspawn's."""
        ended = threading.Event()
        minder = threading.Thread(target=self._mind_guests, args=(ended,), daemon=True)
        minder.start()
        code = process.wait()
        ended.set()
        minder.join()
        for guest in list(self.guests.values()):
            guest.kill()
        return code

    def _nspawn(self) -> list[str]:
        name = self.identity.name
        return [
            "systemd-nspawn",
            "--quiet",
            f"--directory={self.folder / 'root'}",
            "--boot",
            "--register=no",
            "--keep-unit",
            "--network-bridge=prov0",
            f"--machine={name}",
            f"--hostname={name}",
            "--console=read-only",
            "--resolv-conf=off",
            "--timezone=off",
            "--link-journal=no",
        ]

    def _new_disk(self) -> None:
        self.base = self.next_base
        run("umount", "--lazy", str(self.folder / "root"), check=False)
        run("umount", "--lazy", str(self.folder), check=False)
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        options = f"size={self.disk_mib}m,mode=0755"
        run("mount", "-t", "tmpfs", "-o", options, "tmpfs", str(self.folder))
        for name in ("upper", "work", "root"):
            (self.folder / name).mkdir(mode=0o755)
        if self.base.disk:
            kept = self.place.kept(self.base.disk, self.base.suite)
            run("cp", "--archive", f"{kept}/.", str(self.folder / "upper"))
        self._mount()
        own = files.of_host(self.identity, self.base.suite)
        for path, (content, mode) in (own | self.extra_files).items():
            target = Path(f"{self.folder}/root{path}")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
            target.chmod(mode)

    def _mount(self) -> None:
        """Mount the disk again: a root that was remounted read-only is writable again after a reboot."""
        run("umount", str(self.folder / "root"), check=False)
        parts = {"lowerdir": self.base.root, "upperdir": self.folder / "upper", "workdir": self.folder / "work"}
        options = ",".join(f"{key}={path}" for key, path in parts.items())
        run("mount", "-t", "overlay", "-o", options, "overlay", str(self.folder / "root"))

    def leader(self) -> int:
        """The pid of the host's systemd; LabError while it is off."""
        if (pid := cgroups.leader(self.cgroup)) is None:
            raise LabError(f"{self.identity.name} is not running")
        return pid

    def guest_add(self, guest: Guest) -> None:
        """Declare a guest: it starts when its bridge is there, and again after every boot if it starts on its own."""
        if guest.name in self.guests:
            raise LabError(f"{self.identity.name} has a guest {guest.name} already")
        self.guests[guest.name] = guest

    def _mind_guests(self, ended: threading.Event) -> None:
        """Start the declared guests of this boot once their bridge appears, as an autostart would."""
        started: set[int] = set()
        boot_guests = {id(g) for g in self.guests.values() if not g.autostart}
        while not ended.wait(GUEST_POLL_S):
            for guest in list(self.guests.values()):
                if id(guest) in started or id(guest) in boot_guests:
                    continue
                leader = cgroups.leader(self.cgroup)
                if leader and Path(f"/proc/{leader}/root/sys/class/net/{guest.bridge}").exists():
                    started.add(id(guest))
                    guest.start(leader)


def new_identity(name: str, address: str, folder: Path, authorized_key: str) -> files.Identity:
    """A new host's own things; its ed25519 key pair is made in `folder`, which must exist."""
    key = folder / f"host-key-{name}"
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(key))
    public = " ".join(key.with_suffix(".pub").read_text().split()[:2])
    return files.Identity(name, address, uuid.uuid4().hex, key.read_text(), public, authorized_key)
