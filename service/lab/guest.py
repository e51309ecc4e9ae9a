"""One guest behind a host's bridge as its user holds it."""

import hashlib
import json
from collections.abc import Sequence

from service.errors import LabError
from service.lab import cgroups, enter
from service.lab.running import RunningHost
from service.lab.waiting import wait_for

LEASE_TIMEOUT_S = 45.0  # dnsmasq looks for another user of the address first: about 3 s


class Guest:
    """A guest: its own network, mounts and host name, on the lab's image, with udhcpc running unless static."""

    def __init__(self, host: RunningHost, name: str, mac: str) -> None:
        self.host = host
        self.name = name
        self.mac = mac
        self.veth = f"veth-{name}"  # its link in the host, a port of the bridge
        self.cgroup = host.lab.cgroup / f"{host.name}+{name}"

    @staticmethod
    def mac_of(host: str, name: str) -> str:
        """A MAC address in the range that Proxmox gives its guests (BC:24:11), the same for the same two names."""
        tail = hashlib.sha256(f"{host}/{name}".encode()).hexdigest()[:6].upper()
        return f"BC:24:11:{tail[:2]}:{tail[2:4]}:{tail[4:]}"

    @property
    def pid(self) -> int:
        """The guest's PID 1 as the machine numbers it; LabError while it does not run."""
        if (pid := cgroups.leader(self.cgroup)) is None:
            raise LabError(f"guest {self.name} of {self.host.name} does not run: {self.state()}")
        return pid

    def state(self) -> str:
        """`running`, `waiting for its bridge`, `stopped`, or `failed: why`."""
        for described in self.host.lab.status():
            for guest in described["guests"] if described["name"] == self.host.name else ():
                if guest["name"] == self.name:
                    return str(guest["state"])
        return "removed"

    def exec(
        self,
        argv: Sequence[str],
        *,
        input: str | bytes | None = None,  # noqa: A002 (subprocess.run's word)
        timeout_s: float = 30,
        check: bool = False,
    ) -> enter.Completed:
        """Run a command in the guest; `check` raises LabError on a non-zero exit."""
        what = f"`{' '.join(argv)}` in guest {self.name}"
        wrapped = enter.whole(self.pid, argv)
        return enter.run(wrapped, stdin=input, timeout_s=timeout_s, check=check, what=what)

    def address(self) -> str:
        """Its IPv4 address now, without prefix length; empty while it has none or does not run."""
        try:
            shown = self.exec(["ip", "-4", "-j", "addr", "show", "dev", "eth0"]).stdout
        except LabError:
            return ""
        for link in json.loads(shown or "[]"):
            for address in link.get("addr_info", ()):
                return str(address["local"])
        return ""

    def wait_for_address(self, timeout_s: float = LEASE_TIMEOUT_S) -> str:
        """Its address as soon as it has one; LabError after the limit."""
        return wait_for(self.address, f"an address of guest {self.name} ({self.state()})", timeout_s, poll_s=0.1)

    def renew(self, timeout_s: float = LEASE_TIMEOUT_S) -> str:
        """Ask the DHCP server for the lease again and wait for its answer; the address then."""
        before = self._leases_seen()
        self.exec(["sh", "-c", "kill -USR1 $(cat /run/udhcpc.pid)"], check=True)
        wait_for(lambda: self._leases_seen() > before, f"the DHCP server to answer {self.name}", timeout_s, 0.1)
        return self.address()

    def _leases_seen(self) -> int:
        return int(self.exec(["cat", "/run/dhcp-count"]).stdout.strip() or 0)

    def is_plugged(self) -> bool:
        """Whether its cable is in a bridge of the host and up."""
        shown = self.host.exec(["ip", "-j", "link", "show", "dev", self.veth]).stdout
        return any("master" in link and "UP" in link.get("flags", ()) for link in json.loads(shown or "[]"))

    def plug(self) -> None:
        """Put its cable into its bridge again."""
        self._do("plug")

    def unplug(self) -> None:
        """Pull its cable out of the bridge; the guest keeps what it has configured."""
        self._do("unplug")

    def stop(self) -> None:
        """End the guest at once."""
        self._do("stop")

    def start(self) -> None:
        """Boot a guest that was stopped."""
        self._do("start")
        if self.state() != "running":
            raise LabError(f"guest {self.name}: {self.state()}")

    def remove(self) -> None:
        """End the guest and forget it, with its disk."""
        self._do("remove")

    def _do(self, what: str) -> None:
        self.host.lab.ask("guest_do", host=self.host.name, name=self.name, what=what)
