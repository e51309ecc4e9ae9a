"""One guest behind a host's bridge: a process tree with its own network, mounts, host name and root file system.

Its veth is made in the host's network namespace and put into the bridge, as LXC would do it. It lives in the
lab's pid namespace, not in the host's: the lab plays the part of the container engine.
"""

import shutil
import subprocess
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from service.errors import LabError
from service.lab import cgroups
from service.lab.inside.topology import run
from service.lab.waiting import grown_s, wait_for

HOLDER = r"""
set -e
echo $$ > "$1/cgroup.procs"
exec unshare --net --mount --uts --pid --fork --kill-child --propagation private sh -ec '
mkdir -p "$2/upper" "$2/work" "$2/root"
mount -t overlay -o "lowerdir=$3,upperdir=$2/upper,workdir=$2/work" overlay "$2/root"
cd "$2/root"
mount -t proc proc proc
mount -t sysfs -o ro sysfs sys
mount -t tmpfs tmpfs run
mount -t tmpfs tmpfs dev
for node in null zero full random urandom; do touch dev/$node; mount --bind /dev/$node dev/$node; done
ln -s /proc/self/fd dev/fd
echo "$4" > etc/hostname
printf "127.0.0.1\tlocalhost\n127.0.1.1\t%s\n" "$4" > etc/hosts
: > etc/resolv.conf
hostname "$4"
echo ready
read -r go
shift 4
exec chroot . /bin/busybox sh -c "$@" > run/guest.log 2>&1
' sh "$@"
"""

DHCP_EVENT = r"""#!/bin/busybox sh
# udhcpc runs this with what the server said; every event is counted so that a renewal can be waited for.
alias ip="busybox ip"
case "$1" in
deconfig)
    ip -4 addr flush dev "$interface"
    ip link set "$interface" up
    ;;
bound|renew)
    ip addr replace "$ip/$mask" broadcast "${broadcast:-+}" dev "$interface"
    for gateway in $router; do ip route replace default via "$gateway" dev "$interface"; break; done
    {
        [ -z "$domain" ] || echo "search $domain"
        for server in $dns; do echo "nameserver $server"; done
    } > /etc/resolv.conf
    count=$(cat /run/dhcp-count 2>/dev/null || echo 0)
    echo $((count + 1)) > /run/dhcp-count.new
    mv /run/dhcp-count.new /run/dhcp-count
    ;;
esac
"""

INIT = r"""
ip link set lo up
ip link set eth0 up
if [ -n "$1" ]; then
    ip addr add "$1" dev eth0
    ip route add default via "$2"
    echo "nameserver $2" > /etc/resolv.conf
else
    shift 2
    busybox udhcpc -f -i eth0 -t 5 -T 4 -A 1 -s /usr/local/lib/lab/dhcp-event -p /run/udhcpc.pid "$@" &
fi
while :; do sleep 3600 & wait $!; done
"""


@dataclass
class Guest:
    """A declared guest. `sort` is named (sends its name), silent (does not, like Alpine) or static (`address`/CIDR)."""

    name: str
    host: str
    sort: str
    mac: str
    bridge: str
    address: str
    gateway: str
    autostart: bool
    scratch: Path
    image_root: Path
    cgroup: Path
    state: str = "waiting for its bridge"
    gone: bool = False
    _holder: "subprocess.Popen[str] | None" = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def described(self) -> dict[str, Any]:
        """What `status` says about this guest."""
        shown = ("name", "sort", "mac", "bridge", "autostart", "state")
        return {key: getattr(self, key) for key in shown}

    def start(self, host_leader: int) -> None:
        """Boot the guest and plug it into the host that this pid leads; failures end in `state`."""
        try:
            with self._lock:
                if self.gone or self._holder is not None:
                    return
                self._start(host_leader)
            self.state = "running"
        except (LabError, OSError) as error:
            self.state = f"failed: {error}"

    def _start(self, host_leader: int) -> None:
        self.cgroup.mkdir(parents=True, exist_ok=True)
        events = self.scratch / "upper/usr/local/lib/lab/dhcp-event"
        events.parent.mkdir(parents=True, exist_ok=True)
        events.write_text(DHCP_EVENT)
        events.chmod(0o755)
        name_option = [f"-xhostname:{self.name}"] if self.sort == "named" else []
        places = (str(self.cgroup), str(self.scratch), str(self.image_root))
        holder = subprocess.Popen(
            ["sh", "-c", HOLDER, "sh", *places, self.name, INIT, "init", self.address, self.gateway, *name_option],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._holder = holder
        assert holder.stdin is not None
        assert holder.stdout is not None
        if (said := holder.stdout.readline()) != "ready\n":
            raise LabError(f"guest {self.name} did not start: {said}{holder.stdout.read()}")
        veth = f"veth-{self.name}"
        enter = ("nsenter", "-t", str(host_leader), "-n", "--")
        run(*enter, "ip", "link", "del", veth, check=False)
        peer = ("peer", "name", "eth0", "address", self.mac, "netns", str(holder.pid))
        # The bridge has the lowest address of its ports. With another address at each start, its neighbours would keep
        # an old one. So the port's address is as LXC gives it (fe:…), and is always the same for the guest.
        run(*enter, "ip", "link", "add", veth, "address", f"fe{self.mac[2:]}", "type", "veth", *peer)
        run(*enter, "ip", "link", "set", veth, "master", self.bridge, "up")
        holder.stdin.write("go\n")
        holder.stdin.close()
        holder.stdout.close()

    def plug(self, host_leader: int, *, into_bridge: bool) -> None:
        """Put the guest's cable into its bridge again, or pull it out of it."""
        where = ("master", self.bridge, "up") if into_bridge else ("nomaster",)
        run("nsenter", "-t", str(host_leader), "-n", "--", "ip", "link", "set", f"veth-{self.name}", *where)

    def kill(self, *, for_good: bool = False) -> None:
        """End the guest at once; its disk stays for the next start, unless it ends for good."""
        with self._lock:
            self.gone |= for_good
            cgroups.kill(self.cgroup)
            if self._holder is not None:
                for pipe in (self._holder.stdin, self._holder.stdout):
                    if pipe is not None and not pipe.closed:
                        pipe.close()
                self._holder.wait(timeout=grown_s(20))
                self._holder = None
                wait_for(lambda: not cgroups.populated(self.cgroup), f"the end of guest {self.name}", timeout_s=20)
            self.state = "waiting for its bridge"
            if self.gone:
                shutil.rmtree(self.scratch, ignore_errors=True)
