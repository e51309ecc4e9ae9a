"""A host under load while its tables are loaded again and again: run as a child, {"loads", "times"} on stdin.

A client and a server depend on a bridge of the host and on its uplink, each in a network namespace of its own. All the
while the client streams to the host and through the host to the server, and pings the host. Another process tries to
connect to a port that is never open, as fast as it can: a window is some microseconds wide. The child prints what
became of all that as one JSON object. It imports nothing of the program it judges.
"""

import contextlib
import ctypes
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

from tests.firewall.packet_frames import checksum

NEW_NETWORK = 0x40000000
LIBC = ctypes.CDLL(None, use_errno=True)
STREAM, CLOSED = 9000, 9999
SETUP = """
link set lo up
link add vmbr0 type bridge forward_delay 0
link set vmbr0 up
link set p0 master vmbr0 up
link set enp1s0 up
address add 10.10.10.1/24 dev vmbr0
address add 198.51.100.11/24 dev enp1s0
"""
INSIDE = {
    "client": ("eth0", "address add 10.10.10.10/24 dev eth0", "route add default via 10.10.10.1"),
    "server": ("eth0", "address add 198.51.100.80/24 dev eth0", "route add 10.10.10.0/24 via 198.51.100.11"),
}


class Load:
    """What runs all the while, and what became of it."""

    def __init__(self) -> None:
        self.told: dict[str, int] = {}
        self.problems: list[str] = []
        self.ends = threading.Event()
        self.guard = threading.Lock()

    def count(self, what: str, number: int = 1) -> None:
        with self.guard:
            self.told[what] = self.told.get(what, 0) + number


def run(*words: str, text: str = "") -> None:
    subprocess.run(words, input=text, check=True, capture_output=True, text=True)


def enter(pid: int) -> None:
    """Put this thread into the network namespace of a process."""
    with Path(f"/proc/{pid}/ns/net").open() as space:
        if LIBC.setns(space.fileno(), NEW_NETWORK) != 0:
            raise OSError(ctypes.get_errno(), "setns")


def echo(listening: socket.socket) -> None:
    peer, _ = listening.accept()
    with peer, contextlib.suppress(ConnectionError):
        while data := peer.recv(65536):
            peer.sendall(data)


def stream(load: Load, name: str, address: str) -> None:
    """One connection: a number is sent and must come back, again and again, in order."""
    with socket.create_connection((address, STREAM), timeout=5) as sock:
        while not load.ends.is_set():
            load.count(name)
            sent = struct.pack("!Q", load.told[name]) * 16
            sock.sendall(sent)
            got = b""
            while len(got) < len(sent):
                part = sock.recv(65536)
                if not part:
                    raise OSError(f"{name} ended")
                got += part
            if got != sent:
                raise OSError(f"{name} is garbled")


def ping(load: Load) -> None:
    """Echo requests, each of a flow of its own: new ones have to come through at any time, too."""
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as sock:
        sock.settimeout(2)
        number = 0
        while not load.ends.is_set():
            number = number % 60000 + 1
            body = struct.pack("!BBHHH", 8, 0, 0, number, 1)
            sock.sendto(body[:2] + struct.pack("!H", checksum(body)) + body[4:], ("10.10.10.1", 0))
            load.count("pings")
            while True:
                kind, identity = struct.unpack("!B3xH", sock.recv(2048)[20:26])
                if (kind, identity) == (0, number):
                    load.count("pongs")
                    break


KNOCKS = """
import signal
import socket
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it, as do their children
to = [("10.10.10.1", {port}), ("198.51.100.80", {port})]
knocks = 0
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
    try:
        while True:
            for place in to:
                sock.sendto(b"knock", place)
                knocks += 1
            if knocks == len(to):
                print("knocking", flush=True)
    except KeyboardInterrupt:
        print(knocks)
"""


class Knocking:
    """Datagrams to a port that no rule opens, from a process of the client's: threads would wait for each other."""

    def __init__(self, pid: int) -> None:
        script = KNOCKS.format(port=CLOSED)
        command = ["nsenter", "-t", str(pid), "-n", sys.executable, "-c", script]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "knocking\n"

    def ended(self) -> int:
        """End it; how often it knocked."""
        self.process.send_signal(signal.SIGINT)
        return int(self.process.communicate(timeout=20)[0])


def came_in(sockets: list[socket.socket]) -> int:
    """How many datagrams were received, or are on their way for less than a moment."""
    count = 0
    while ready := select.select(sockets, [], [], 0.3)[0]:
        for sock in ready:
            sock.recv(64)
            count += 1
    return count


def inside(load: Load, pid: int, work: object, *arguments: object) -> threading.Thread:
    """A thread in another namespace; what it raises is a problem, after the end it is not."""

    def body() -> None:
        try:
            enter(pid)
            work(*arguments)  # type: ignore[operator]
        except OSError as error:
            if not load.ends.is_set():
                load.problems.append(f"{getattr(work, '__name__', work)}: {error}")

    thread = threading.Thread(target=body, daemon=True)
    thread.start()
    return thread


def main() -> dict[str, object]:
    asked = json.loads(sys.stdin.readline())
    if LIBC.unshare(NEW_NETWORK) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    spaces = {name: subprocess.Popen(["unshare", "-n", "sleep", "300"]) for name in INSIDE}
    own = Path("/proc/self/ns/net").stat().st_ino
    while any(Path(f"/proc/{s.pid}/ns/net").stat().st_ino == own for s in spaces.values()):
        time.sleep(0.01)
    try:
        return judged(asked, {name: space.pid for name, space in spaces.items()})
    finally:
        for space in spaces.values():
            space.kill()
            space.wait()


def judged(asked: dict[str, object], pids: dict[str, int]) -> dict[str, object]:
    for near, name in (("p0", "client"), ("enp1s0", "server")):
        run("ip", "link", "add", near, "type", "veth", "peer", "name", "eth0", "netns", str(pids[name]))
    run("ip", "-batch", "-", text=SETUP)
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
    for name, (_, *lines) in INSIDE.items():
        text = "\n".join(["link set lo up", "link set eth0 up", *lines])
        run("nsenter", "-t", str(pids[name]), "-n", "ip", "-batch", "-", text=text)
    load = Load()
    listening = {}
    for name, space in (("host", os.getpid()), ("server", pids["server"])):
        made: list[socket.socket] = []

        def listen(made: list[socket.socket] = made) -> None:
            tcp = socket.create_server(("", STREAM))
            udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            udp.bind(("", CLOSED))
            made += [tcp, udp]

        inside(load, space, listen).join()
        listening[name] = made
        threading.Thread(target=echo, args=(made[0],), daemon=True).start()
    texts = [str(text) for text in asked["loads"]]  # type: ignore[union-attr]
    run("nft", "-f", "-", text=texts[0])
    workers = [
        inside(load, pids["client"], stream, load, "to the host", "10.10.10.1"),
        inside(load, pids["client"], stream, load, "through the host", "198.51.100.80"),
        inside(load, pids["client"], ping, load),
    ]
    knocking = Knocking(pids["client"])
    began = time.monotonic()
    while len(load.told) < 4 and not load.problems and time.monotonic() < began + 20:
        time.sleep(0.01)
    for number in range(int(str(asked["times"]))):
        run("nft", "-f", "-", text=texts[number % len(texts)])
    seconds = time.monotonic() - began
    load.ends.set()
    load.count("knocks", knocking.ended())
    for worker in workers:
        worker.join(10)
    heard = {name: came_in([pair[1]]) for name, pair in listening.items()}
    return {"told": load.told, "problems": load.problems, "heard": heard, "seconds": round(seconds, 2)}


if __name__ == "__main__":
    print(json.dumps(main()))
