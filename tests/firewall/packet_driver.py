"""Questions to a kernel. Run as a child: for each line {"load", "packets"} on stdin there is a line of verdicts on
stdout.

It is in a network namespace of its own, a small host: the uplink enp1s0, and the bridge vmbr0 with a neighbour and two
guests. The far ends of all cables are here, too. Packets are written into the far end where they come from, or sent by
the host itself. A packet was accepted if it arrives somewhere, or if a later chain of the test's own table counts it on
its way into the host. It was rejected if there is an answer. All others were dropped. It imports nothing of the program
that it judges.
"""

import contextlib
import ctypes
import json
import os
import select
import socket
import struct
import subprocess
import sys
from pathlib import Path

from tests.firewall import packet_frames as wire
from tests.firewall.packet_frames import Packet

NEW_NETWORK = 0x40000000
HOST_MAC, FAR_MAC = "02:00:00:00:00:01", "02:00:00:00:00:02"
GUEST_MACS = {"dev": "bc:24:11:00:00:01", "web": "bc:24:11:00:00:02"}
CABLES = {"enp1s0": "far0", "p0": "far1", "veth-dev": "far-dev", "veth-web": "far-web"}
PLACES = {"outside": "far0", "neighbour": "far1", "dev": "far-dev", "web": "far-web"}
QUIET_ROUNDS = 1
"""What neither arrived nor was answered is sent again, until so many rounds in a row bring nothing new."""
QUESTIONS = 50
SETUP = f"""
link set lo up
link add vmbr0 address {HOST_MAC} type bridge forward_delay 0 stp_state 0 mcast_snooping 0
{chr(10).join(f"link add {near} type veth peer name {far}" for near, far in CABLES.items())}
link set enp1s0 address {HOST_MAC}
link set p0 master vmbr0
link set veth-dev master vmbr0
link set veth-web master vmbr0
{chr(10).join(f"link set {name} up" for pair in CABLES.items() for name in pair)}
link set vmbr0 up
address add 198.51.100.11/24 dev enp1s0
address add 10.10.10.1/24 dev vmbr0
address add 2001:db8:ffff::11/64 dev enp1s0 nodad
address add 2001:db8:aaaa::1/64 dev vmbr0 nodad
neigh add 198.51.100.1 lladdr {FAR_MAC} dev enp1s0
neigh add 198.51.100.130 lladdr {FAR_MAC} dev enp1s0
neigh add 10.10.10.50 lladdr {FAR_MAC} dev vmbr0
neigh add 10.10.10.10 lladdr {GUEST_MACS["dev"]} dev vmbr0
neigh add 10.10.10.20 lladdr {GUEST_MACS["web"]} dev vmbr0
neigh add 10.10.10.66 lladdr {GUEST_MACS["web"]} dev vmbr0
neigh add 2001:db8:ffff::1 lladdr {FAR_MAC} dev enp1s0
neigh add 2001:db8:aaaa::50 lladdr {FAR_MAC} dev vmbr0
neigh add 2001:db8:aaaa::20 lladdr {GUEST_MACS["web"]} dev vmbr0
neigh add 2001:db8:aaaa::10 lladdr {GUEST_MACS["dev"]} dev vmbr0
neigh add 2001:db8:aaaa::66 lladdr {GUEST_MACS["web"]} dev vmbr0
route add 172.16.0.0/24 via 10.10.10.50 dev vmbr0
route add default via 198.51.100.1 dev enp1s0
route add default via 2001:db8:ffff::1 dev enp1s0
"""
FORWARDING = f"""
fdb replace {FAR_MAC} dev p0 master sticky static
fdb replace {GUEST_MACS["dev"]} dev veth-dev master sticky static
fdb replace {GUEST_MACS["web"]} dev veth-web master sticky static
"""
BEFORE = {
    "net/ipv6/conf/default/accept_dad": "0",  # nobody else has these addresses: no wait
    "net/ipv6/conf/default/router_solicitations": "0",
}
SYSCTLS = {
    "net/ipv4/ip_forward": "1",
    "net/ipv6/conf/all/forwarding": "1",
    "net/ipv4/icmp_ratelimit": "0",
    "net/ipv6/icmp/ratelimit": "0",
    "net/ipv4/conf/all/rp_filter": "0",
    "net/ipv4/conf/enp1s0/rp_filter": "0",
    "net/ipv4/conf/vmbr0/rp_filter": "0",
    "net/ipv4/conf/all/accept_local": "1",
    "net/ipv4/conf/all/send_redirects": "0",
    "net/ipv4/conf/vmbr0/send_redirects": "0",
    "net/bridge/bridge-nf-call-iptables": "1",
    "net/bridge/bridge-nf-call-ip6tables": "1",
    **{f"net/ipv6/conf/{far}/disable_ipv6": "1" for far in CABLES.values()},
}
OPTIONAL = {"net/ipv4/icmp_msgs_per_sec": "100000", "net/ipv4/icmp_msgs_burst": "10000"}
"""The limit of ICMP errors at once belongs to the namespace in new kernels only; an older one has it for all."""
CT_FLUSH = struct.pack("=IHHII", 20, 1 << 8 | 2, 5, 1, 0) + struct.pack("=BBH", 0, 0, 0)
"""nfnetlink: delete all of conntrack (IPCTNL_MSG_CT_DELETE without a tuple), with acknowledgement."""


class Nft:
    """nft in this process (libnftables(3)): a program of its own for every set would be most of what a set costs."""

    def __init__(self) -> None:
        self.library = ctypes.CDLL("libnftables.so.1")
        self.library.nft_ctx_new.restype = ctypes.c_void_p
        for name in ("nft_ctx_get_output_buffer", "nft_ctx_get_error_buffer"):
            getattr(self.library, name).restype = ctypes.c_char_p
        self.context = ctypes.c_void_p(self.library.nft_ctx_new(0))
        self.library.nft_ctx_buffer_output(self.context)
        self.library.nft_ctx_buffer_error(self.context)
        self.library.nft_ctx_output_set_flags(self.context, 1 << 4)  # JSON

    def run(self, text: str) -> str:
        if self.library.nft_run_cmd_from_buffer(self.context, text.encode()) != 0:
            raise OSError(self.library.nft_ctx_get_error_buffer(self.context).decode())
        return str(self.library.nft_ctx_get_output_buffer(self.context).decode())


def run(*words: str, text: str = "") -> str:
    return subprocess.run(words, input=text, check=True, capture_output=True, text=True).stdout


class Host:
    """The namespace, its far ends, and the table that counts."""

    def __init__(self) -> None:
        if ctypes.CDLL(None, use_errno=True).unshare(NEW_NETWORK) != 0:
            raise OSError(ctypes.get_errno(), "unshare")
        write(BEFORE)
        run("ip", "-batch", "-", text=SETUP)
        run("bridge", "-batch", "-", text=FORWARDING)
        write(SYSCTLS)
        write({key: value for key, value in OPTIONAL.items() if Path("/proc/sys", key).exists()})
        links = 2 * len(CABLES) + 1
        while run("ip", "-o", "link").count("state UP") < links or run("ip", "-6", "-o", "addr", "show", "tentative"):
            select.select([], [], [], 0.01)
        self.nft = Nft()
        self.far = {name: self.sniffer(link) for name, link in PLACES.items()}
        self.back = self.sniffer("lo")  # where the host answers itself
        self.places = {sock: name for name, sock in self.far.items()}
        self.own = {
            4: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW),
            6: socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_RAW),
        }
        self.conntrack = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12)
        self.number = 0

    def sniffer(self, link: str) -> socket.socket:
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        sock.bind((link, 0))
        sock.setblocking(False)
        return sock

    def verdicts(self, load: str, packets: list[Packet]) -> list[str]:
        """What the kernel does with each packet under these tables."""
        self.nft.run(f"flush ruleset\n{load}{probe(packets)}")
        self.conntrack.send(CT_FLUSH)
        self.conntrack.recv(4096)
        passed: set[int] = set()
        seen: set[int] = set()
        quiet = 0
        while quiet <= QUIET_ROUNDS:
            known = passed | seen
            for place, packet in enumerate(packets):
                if place not in known:
                    self.send(packet, place + 1, seen)
            self.listen(packets, passed, seen)
            passed |= self.counted(len(packets))
            quiet = quiet + 1 if passed | seen == known else 0
        return ["ACCEPT" if p in passed else "REJECT" if p in seen else "DROP" for p in range(len(packets))]

    def send(self, packet: Packet, number: int, seen: set[int]) -> None:
        if packet["from"] != "host":
            self.far[packet["from"]].send(wire.frame(packet, number))
            return
        # what the filter refuses is instructed to the sender, too: EPERM, or the ICMP error's words
        with contextlib.suppress(OSError):
            self.own[packet["family"]].sendto(wire.datagram(packet, number), (packet["dest"], 0))

    def listen(self, packets: list[Packet], passed: set[int], seen: set[int]) -> None:
        """Take everything that comes until the host has answered an ARP question put after all packets: on one CPU
        everything before it has been worked off by then, answers included."""
        resets = {wire.asked_by(packet): place for place, packet in enumerate(packets) if packet["number"] == 6}
        for _ in range(QUESTIONS):
            self.far["outside"].send(wire.who_has("198.51.100.11", "198.51.100.1", FAR_MAC))
            while ready := select.select([*self.places, self.back], [], [], 0.1)[0]:
                answered = [self.take(sock, packets, resets, passed, seen) for sock in ready]
                if any(answered):
                    self.drain(packets, resets, passed, seen)
                    return
        raise OSError("the kernel does not answer ARP")

    def drain(
        self, packets: list[Packet], resets: dict[tuple[bytes, bytes], int], passed: set[int], seen: set[int]
    ) -> None:
        while ready := select.select([*self.places, self.back], [], [], 0)[0]:
            for sock in ready:
                self.take(sock, packets, resets, passed, seen)

    def take(
        self,
        sock: socket.socket,
        packets: list[Packet],
        resets: dict[tuple[bytes, bytes], int],
        passed: set[int],
        seen: set[int],
    ) -> bool:
        """One frame; true if it answers the ARP question."""
        data, origin = sock.recvfrom(2048)
        if origin[2] == socket.PACKET_OUTGOING:
            return False
        if data[12:14] == wire.ARP:
            return sock is self.far["outside"] and data[21] == 2
        datagram = data[14:]
        for numbers, found in ((wire.number_of(datagram), passed), (wire.quoted_number(datagram), seen)):
            family, number = numbers
            place = number - 1
            known = 0 <= place < len(packets) and packets[place]["family"] == family
            arrived = known and self.places.get(sock) == packets[place]["to"] and wire.is_that(datagram, packets[place])
            if arrived if found is passed else known:
                found.add(place)
        reset = wire.reset_of(datagram)
        if reset is not None and reset in resets:
            seen.add(resets[reset])
        return False

    def counted(self, count: int) -> set[int]:
        """The packets (by place) that came into the host."""
        rules = json.loads(self.nft.run("list table inet probe"))["nftables"]
        hits = [item["rule"]["expr"][-1]["counter"]["packets"] for item in rules if "rule" in item]
        return {place for place in range(count) if hits[place] > 0}


def write(values: dict[str, str]) -> None:
    for key, value in values.items():
        Path("/proc/sys", key).write_text(value)


def probe(packets: list[Packet]) -> str:
    """A table that counts, after the filter, every packet on its own."""
    marks = ("ip id" if packet["family"] == 4 else "ip6 flowlabel" for packet in packets)
    lines = [f"{mark} {number} counter" for number, mark in enumerate(marks, 1)]
    rules = "\n".join(lines)
    return f"table inet probe {{\nchain input {{ type filter hook input priority 100;\n{rules}\n}}\n}}\n"


if __name__ == "__main__":
    # on one CPU frames are taken in the order in which they were sent
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    host = Host()
    for asked in sys.stdin:
        question = json.loads(asked)
        print(json.dumps(host.verdicts(question["load"], question["packets"])), flush=True)
