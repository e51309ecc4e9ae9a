"""The lab's network: a provider router between the hosts' uplinks, the controller and an internet.

The lab's own namespace is the router. `inet` knows no way to a guest's network: whatever answers a guest from
there has seen a translated address.
"""

import ctypes
import os
import socket
import subprocess
import threading
from pathlib import Path

from service.errors import LabError
from service.lab import addresses
from service.lab.waiting import grown_s

CLONE_NEWNET = 0x40000000
NETNS_FOLDER = Path("/run/netns")
OUTSIDE = {"ctl": addresses.CONTROLLER, "inet": addresses.INTERNET}


def run(*argv: str, check: bool = True, timeout_s: float = 20) -> str:
    """Run one command of the lab's plumbing; its output, or LabError with what it said."""
    done = subprocess.run(
        argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=grown_s(timeout_s), check=False
    )
    if check and done.returncode != 0:
        raise LabError(f"{' '.join(argv)}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def build() -> None:
    """Make the router's links, the two namespaces outside and their routes."""
    run("ip", "link", "set", "lo", "up")
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
    _bridge("prov0", f"{addresses.PROVIDER}/24")
    _bridge("inet0", f"{addresses.OUTSIDE_GATEWAY}/24")
    # Bridged frames must not pass the router's forward chain: faults are put there and count packets once.
    for switch in Path("/proc/sys/net/bridge").glob("bridge-nf-call-*"):
        switch.write_text("0")
    for name, address in OUTSIDE.items():
        run("ip", "netns", "add", name)
        run("ip", "link", "add", f"to-{name}", "type", "veth", "peer", "name", "eth0", "netns", name)
        run("ip", "link", "set", f"to-{name}", "master", "inet0", "up")
        run("ip", "-n", name, "link", "set", "lo", "up")
        run("ip", "-n", name, "link", "set", "eth0", "up")
        run("ip", "-n", name, "addr", "add", f"{address}/24", "dev", "eth0")
    run("ip", "-n", "ctl", "route", "add", "default", "via", addresses.OUTSIDE_GATEWAY)
    run("ip", "-n", "inet", "route", "add", addresses.UPLINK_NETWORK, "via", addresses.OUTSIDE_GATEWAY)


def _bridge(name: str, address: str) -> None:
    run("ip", "link", "add", name, "type", "bridge", "forward_delay", "0")
    run("ip", "addr", "add", address, "dev", name)
    run("ip", "link", "set", name, "up")


def socket_in(netns: str, family: int, kind: int) -> socket.socket:
    """A fresh socket that lives in the named namespace, whoever uses it later."""
    made: list[socket.socket | OSError] = []

    def make() -> None:
        # setns(2) moves the calling thread only, and this thread ends here.
        libc = ctypes.CDLL(None, use_errno=True)
        fd = os.open(NETNS_FOLDER / netns, os.O_RDONLY | os.O_CLOEXEC)
        try:
            if libc.setns(fd, CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), "setns")
            made.append(socket.socket(family, kind))
        except OSError as error:
            made.append(error)
        finally:
            os.close(fd)

    if netns not in OUTSIDE:
        raise LabError(f"the lab has no namespace {netns!r}", hint="it has ctl and inet")
    thread = threading.Thread(target=make)
    thread.start()
    thread.join()
    if isinstance(made[0], OSError):
        raise made[0]
    return made[0]
