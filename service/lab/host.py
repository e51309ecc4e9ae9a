"""One host of the lab as tests, the demo and the console hold it."""

import socket
from collections.abc import Mapping, Sequence

from service.errors import LabError
from service.lab import addresses, cgroups, enter
from service.lab.faults import Faults
from service.lab.files import Content, given, packed
from service.lab.guest import Guest
from service.lab.running import RunningLab
from service.lab.waiting import grown_s, wait_for

BOOT_TIMEOUT_S = 120.0
BANNER_TIMEOUT_S = 3.0


class Host:
    """A Debian host with systemd as PID 1. `host_key` is its public ed25519 line, `address` that of its uplink."""

    port = addresses.SSH_PORT

    def __init__(self, lab: RunningLab, name: str, address: str, host_key: str) -> None:
        self.lab = lab
        self.name = name
        self.address = address
        self.host_key = host_key
        self.cgroup = lab.cgroup / name
        self.faults = Faults(self)

    @property
    def console_pid(self) -> int:
        """The host's systemd as the machine numbers it; LabError while the host is off."""
        if (pid := cgroups.leader(self.cgroup)) is None:
            raise LabError(f"{self.name} is not running", hint="passerelle lab status")
        return pid

    def exec(
        self,
        argv: Sequence[str],
        *,
        input: str | bytes | None = None,  # noqa: A002 (subprocess.run's word)
        timeout_s: float = 30,
        check: bool = False,
    ) -> enter.Completed:
        """Run a command at the console, which works when SSH does not; `check` raises LabError on a non-zero exit."""
        what = f"`{' '.join(argv)}` on {self.name}"
        wrapped = enter.whole(self.console_pid, argv)
        return enter.run(wrapped, stdin=input, timeout_s=timeout_s, check=check, what=what)

    def sh(self, script: str, *, timeout_s: float = 30, check: bool = True) -> str:
        """What a shell script prints at the console; LabError when it fails, unless reported not to check."""
        return self.exec(["sh", "-c", script], timeout_s=timeout_s, check=check).stdout

    def read(self, path: str) -> bytes:
        """The content of a file on the host, byte for byte; OSError as from open(2)."""
        return enter.inside_root(self.console_pid, path).read_bytes()

    def write(self, path: str, content: Content, mode: int = 0o644) -> None:
        """Put a file on the running host, as somebody at the console would."""
        self.exec(["sh", "-c", 'cat > "$1" && chmod "$2" "$1"', "sh", path, f"{mode:o}"], input=content, check=True)

    def boot_id(self) -> str:
        """The kernel's name for this boot: another after every reboot; empty while the host is off."""
        try:
            return self.exec(["cat", "/proc/sys/kernel/random/boot_id"]).stdout.strip()
        except LabError:
            return ""

    def ssh_answers(self, timeout_s: float = BANNER_TIMEOUT_S) -> bool:
        """Whether a new connection from the controller's network gets sshd's banner, each step within the limit."""
        try:
            with self.lab.dial(self.address, self.port, timeout_s=timeout_s) as connection:
                connection.settimeout(grown_s(timeout_s))
                return connection.recv(8) == b"SSH-2.0-"
        except OSError:
            return False

    def wait_for_ssh(self, timeout_s: float = BOOT_TIMEOUT_S) -> None:
        """Return when SSH answers; LabError with the end of the console's log after the limit."""
        try:
            wait_for(self.ssh_answers, f"SSH on {self.name}", timeout_s)
        except LabError as failure:
            raise LabError(f"{failure}; its console said: {self.console_log()[-1500:]}") from None

    def wait_until_up(self, timeout_s: float = BOOT_TIMEOUT_S) -> str:
        """Return when SSH answers and systemd is done booting: `running`, or `degraded` when a unit failed."""
        self.wait_for_ssh(timeout_s)
        return wait_for(self._system_state, f"{self.name} to be done booting", timeout_s)

    def failed_units(self) -> list[str]:
        """The names of the units that systemd counts as failed."""
        shown = self.exec(["systemctl", "list-units", "--failed", "--plain", "--no-legend"], check=True).stdout
        return [line.split()[0] for line in shown.splitlines() if line.strip()]

    def _system_state(self) -> str:
        try:
            said = self.exec(["systemctl", "is-system-running", "--wait"]).stdout.strip()
        except LabError:
            return ""
        return said if said in ("running", "degraded", "maintenance") else ""

    def console_log(self) -> str:
        """What the host has printed on its console over all its boots."""
        path = self.lab.folder / f"console-{self.name}.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def reboot(self, *, wait: bool = True, timeout_s: float = BOOT_TIMEOUT_S) -> None:
        """Reboot as an operator does (`systemctl reboot`)."""
        before = self._boot()
        self.exec(["systemctl", "reboot", "--no-block"], check=True)
        if wait:
            self._wait_for_new_boot(before, timeout_s)

    def power_cut(self, *, wait: bool = True, timeout_s: float = BOOT_TIMEOUT_S) -> None:
        """Pull the plug and restore it: SIGKILL to all of the host at once, then a boot. The disk stays as it was."""
        before = self._boot()
        self._power("cut")
        if wait:
            self._wait_for_new_boot(before, timeout_s)

    def power_off(self) -> None:
        """Pull the plug; returns when nothing of the host runs."""
        self._power("off")
        wait_for(lambda: not cgroups.populated(self.cgroup), f"{self.name} to be off", timeout_s=20)

    def power_on(self, *, wait: bool = True, timeout_s: float = BOOT_TIMEOUT_S) -> None:
        """Boot a host that is off."""
        self._power("on")
        if wait:
            self.wait_until_up(timeout_s)

    def fresh(
        self,
        files: Mapping[str, Content] | None = None,
        *,
        disk: str = "",
        suite: str = "",
        wait: bool = True,
        timeout_s: float = BOOT_TIMEOUT_S,
    ) -> None:
        """Start over: a new disk with these files on it, no guests, a new boot. Same name, address and keys.

        The new disk is the image's, or a copy of the one that was kept as `disk`. `suite` is the Debian release,
        the host's present one unless said.
        """
        self.lab.use_suite(suite)
        before = self._boot()
        self._power("fresh", files, disk, suite)
        if wait:
            self._wait_for_new_boot(before, timeout_s)

    def keep_disk(self, disk: str) -> None:
        """Switch the host off and keep a copy of its disk, for `fresh` and `add_host` of any host of the lab."""
        self.power_off()
        self.lab.ask("host_keep", host=self.name, disk=disk)

    def _power(self, to: str, files: Mapping[str, Content] | None = None, disk: str = "", suite: str = "") -> None:
        self.lab.ask("host_power", host=self.name, to=to, given=packed(given(files or {})), disk=disk, suite=suite)

    @property
    def suite(self) -> str:
        """The Debian release on its disk, by code name."""
        return next(str(known["suite"]) for known in self.lab.status() if known["name"] == self.name)

    def _wait_for_new_boot(self, before: int | None, timeout_s: float) -> None:
        # The command comes from outside: a command at the console while the host goes down is not a child of its init.
        # Init would wait for the end of that command until systemd-shutdown's 90 s are over.
        wait_for(lambda: self._boot() not in (None, before), f"{self.name} to boot again", timeout_s)
        self.wait_until_up(timeout_s)

    def _boot(self) -> int | None:
        """A process that this boot has and no other; None while the host is off."""
        return cgroups.leader(self.cgroup)

    def freeze(self) -> None:
        """Hang the host: connections are accepted by its kernel, nothing answers."""
        cgroups.freeze(self.cgroup / "payload", frozen=True)

    def thaw(self) -> None:
        """End the hang."""
        cgroups.freeze(self.cgroup / "payload", frozen=False)

    def guest_add(
        self,
        name: str,
        *,
        sort: str = "named",
        mac: str | None = None,
        address: str = "",
        gateway: str = "10.10.10.1",
        bridge: str = "vmbr0",
        autostart: bool = True,
    ) -> Guest:
        """Declare a guest. It starts as soon as its bridge exists, and after every boot of the host if `autostart`.

        `sort`: named = DHCP, sends its name; silent = DHCP without a name, like Alpine; static = `address` (CIDR)
        and `gateway`, no DHCP. Without `mac` it gets one that follows from the two names.
        """
        if (sort == "static") != bool(address):
            raise LabError("a static guest needs an address (10.10.10.50/24), the other sorts take none")
        guest = Guest(self, name, mac or Guest.mac_of(self.name, name))
        self.lab.ask(
            "guest_add",
            host=self.name,
            name=name,
            sort=sort,
            mac=guest.mac,
            address=address,
            gateway=gateway,
            bridge=bridge,
            autostart=autostart,
        )
        return guest

    def guest(self, name: str) -> Guest:
        """A guest that was declared before; LabError when the host has none of this name."""
        known = [g for described in self.lab.status() if described["name"] == self.name for g in described["guests"]]
        for guest in known:
            if guest["name"] == name:
                return Guest(self, name, str(guest["mac"]))
        names = ", ".join(str(guest["name"]) for guest in known)
        raise LabError(f"{self.name} has no guest {name}", hint=f"it has {names or 'none'}")

    def dial(self, port: int | None = None, timeout_s: float = 10) -> socket.socket:
        """A TCP connection from the controller's network to this host; OSError as from connect(2)."""
        return self.lab.dial(self.address, port or self.port, timeout_s=timeout_s)
