"""A kernel that is asked: run as a child; for each line {"load", "packets"} on stdin a line of verdicts on stdout.

Every line gets a network namespace of its own with the links enp1s0 and vmbr0, whose far ends are here, too. Packets
are written as frames into the far end; one that a later chain of a table of the test's own counts was accepted, one
that is answered was rejected, the rest was dropped. It imports nothing of the program that it judges.
"""

import ctypes
import ipaddress
import json
import os
import select
import socket
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

NEW_NETWORK = 0x40000000
HOST_MAC, FAR_MAC = "02:00:00:00:00:01", "02:00:00:00:00:02"
QUIET_ROUNDS = 2
"""What was neither counted nor answered is sent again, until so many rounds in a row bring nothing new."""
QUESTIONS = 50
OPTIONAL = ("net/ipv4/icmp_msgs_per_sec=100000", "net/ipv4/icmp_msgs_burst=10000")
"""The limit of ICMP errors at once belongs to the namespace in new kernels only; an older one has it for all."""
LINKS = ("enp1s0", "vmbr0", "far0", "far1")
ARP = b"\x08\x06"
SETUP = f"""
link set lo up
link add enp1s0 address {HOST_MAC} type veth peer name far0 address {FAR_MAC}
link add vmbr0 address {HOST_MAC} type veth peer name far1 address {FAR_MAC}
link set enp1s0 up
link set vmbr0 up
link set far0 up
link set far1 up
address add 198.51.100.11/24 dev enp1s0
address add 10.10.10.1/24 dev vmbr0
address add 2001:db8:ffff::11/64 dev enp1s0 nodad
route add 172.16.0.0/24 via 10.10.10.50 dev vmbr0
route add default via 198.51.100.1 dev enp1s0
neigh add 198.51.100.1 lladdr {FAR_MAC} dev enp1s0
neigh add 198.51.100.130 lladdr {FAR_MAC} dev enp1s0
neigh add 10.10.10.50 lladdr {FAR_MAC} dev vmbr0
neigh add 2001:db8:ffff::1 lladdr {FAR_MAC} dev enp1s0
route add default via 2001:db8:ffff::1 dev enp1s0
"""
SYSCTLS = (
    "net/ipv4/ip_forward=1", "net/ipv4/icmp_ratelimit=0", "net/ipv6/icmp/ratelimit=0",
    "net/ipv6/conf/far0/disable_ipv6=1",
    "net/ipv4/conf/all/rp_filter=0", "net/ipv4/conf/enp1s0/rp_filter=0", "net/ipv4/conf/vmbr0/rp_filter=0",
    "net/ipv6/conf/far1/disable_ipv6=1", "net/ipv4/conf/all/accept_local=1",
)  # fmt: skip


def checksum(data: bytes) -> int:
    """RFC 1071."""
    padded = data + b"\0" * (len(data) % 2)
    total: int = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return 0xFFFF - total


def frame(packet: dict[str, Any], number: int) -> bytes:
    """Ethernet, IP and what is above, with checksums that conntrack takes. `number` is the ID or the flow label."""
    family, proto = packet["family"], packet["number"]
    source, dest = (ipaddress.ip_address(packet[key]).packed for key in ("source", "dest"))
    body = payload(packet)
    pseudo = (
        source
        + dest
        + (struct.pack("!BBH", 0, proto, len(body)) if family == 4 else struct.pack("!II", len(body), proto))
    )
    at = {6: 16, 17: 6, 58: 2}.get(proto)
    if at is not None:
        body = body[:at] + struct.pack("!H", checksum(pseudo + body)) + body[at + 2 :]
    elif proto == 1:
        body = body[:2] + struct.pack("!H", checksum(body)) + body[4:]
    if family == 4:
        head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), number, 0, 64, proto, 0) + source + dest
        head = head[:10] + struct.pack("!H", checksum(head)) + head[12:]
    else:
        head = struct.pack("!IHBB", 6 << 28 | number, len(body), proto, 64) + source + dest
    macs = bytes.fromhex((HOST_MAC + FAR_MAC).replace(":", ""))
    return macs + (b"\x08\x00" if family == 4 else b"\x86\xdd") + head + body


def who_has(own: str, far: str) -> bytes:
    """A question that the kernel answers after all that was sent before it (RFC 826)."""
    macs = [bytes.fromhex(mac.replace(":", "")) for mac in (HOST_MAC, FAR_MAC)]
    ends = macs[1] + ipaddress.ip_address(far).packed + bytes(6) + ipaddress.ip_address(own).packed
    return macs[0] + macs[1] + ARP + struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1) + ends


def payload(packet: dict[str, Any]) -> bytes:
    """The packet above IP, checksum 0."""
    if packet["number"] == 6:
        return struct.pack("!HHIIBBHHH", packet["sport"], packet["dport"], 1, 0, 5 << 4, 2, 1024, 0, 0)
    if packet["number"] == 17:
        return struct.pack("!HHHH", packet["sport"], packet["dport"], 12, 0) + b"ping"
    if packet["number"] in (1, 58):
        return struct.pack("!BBHHH", packet["icmp"], 0, 0, 7, 1) + b"ping"
    return b"\0" * 8


def run(*words: str, text: str = "") -> str:
    return subprocess.run(words, input=text, check=True, capture_output=True, text=True).stdout


def probe(packets: list[dict[str, Any]]) -> str:
    """A table that counts, after the filter, every packet by itself."""
    lines = []
    for hook in ("input", "forward"):
        lines.append(f"chain {hook} {{ type filter hook {hook} priority 100;")
        for number, packet in enumerate(packets, 1):
            mark = "ip id" if packet["family"] == 4 else "ip6 flowlabel"
            lines.append(f"{mark} {number} counter")
        lines.append("}")
    return "table inet probe {\n" + "\n".join(lines) + "\n}\n"


def answered(asked: dict[socket.socket, bytes], packets: list[dict[str, Any]]) -> set[int]:
    """The packets (by place) that got a reset or an ICMP error. `asked` is the ARP question that each sniffer puts
    after the packets: when it is answered, and nothing more comes, they have been worked off."""
    found: set[int] = set()
    waiting = set(asked)
    for _ in range(QUESTIONS):
        for sniffer in waiting:
            sniffer.send(asked[sniffer])
        found |= heard(list(asked), waiting, packets)
        if not waiting:
            return found
    raise OSError("the kernel does not answer ARP")


def heard(sniffers: list[socket.socket], waiting: set[socket.socket], packets: list[dict[str, Any]]) -> set[int]:
    """As `answered`, until 0.1 s are quiet; who got its ARP answer leaves `waiting`."""
    found: set[int] = set()
    while ready := select.select(sniffers, [], [], 0.1)[0]:
        for sniffer in ready:
            data = sniffer.recv(2048)
            if data[12:14] == ARP and data[21] == 2:
                waiting.discard(sniffer)
            for place, packet in enumerate(packets):
                source, dest = (ipaddress.ip_address(packet[key]).packed for key in ("source", "dest"))
                wire = data[14:]
                four = packet["family"] == 4
                size, at = (20, 12) if four else (40, 8)
                if wire[:1] not in ((b"\x45",) if four else (b"\x60",)):
                    continue
                width = len(source)
                is_back = wire[at : at + 2 * width] == dest + source
                is_reset = is_back and wire[9 if four else 6] == 6 == packet["number"]
                ports = struct.pack("!HH", packet.get("dport", 0), packet.get("sport", 0))
                quoted = wire[size + 8 :]
                same = quoted[:size] == frame(packet, place + 1)[14 : 14 + size] or (
                    quoted[at : at + 2 * width] == source + dest
                    and (
                        struct.unpack("!H", quoted[4:6])[0] == place + 1
                        if four
                        else struct.unpack("!I", quoted[:4])[0] & 0xFFFFF == place + 1
                    )
                )
                if (is_reset and wire[size : size + 4] == ports) or (
                    wire[9 if four else 6] == (1 if four else 58) and same
                ):
                    found.add(place)
    return found


def verdicts(load: str, packets: list[dict[str, Any]]) -> list[str]:
    """What the kernel does with each packet."""
    if ctypes.CDLL(None, use_errno=True).unshare(NEW_NETWORK) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    Path("/proc/sys/net/ipv6/conf/default/accept_dad").write_text("0")  # nobody else has these addresses: no wait
    run("ip", "-batch", "-", text=SETUP)
    for line in SYSCTLS:
        key, _, value = line.partition("=")
        Path("/proc/sys", key).write_text(value)
    for line in OPTIONAL:
        key, _, value = line.partition("=")
        if Path("/proc/sys", key).exists():
            Path("/proc/sys", key).write_text(value)
    while run("ip", "-o", "link").count("state UP") < len(LINKS) or run("ip", "-6", "-o", "addr", "show", "tentative"):
        select.select([], [], [], 0.01)
    run("nft", "-f", "-", text=load + probe(packets))
    far = {name: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)) for name in ("far0", "far1")}
    for name, sock in far.items():
        sock.bind((name, 0))
    passed: set[int] = set()
    seen: set[int] = set()
    asked = {far["far0"]: who_has("198.51.100.11", "198.51.100.1"), far["far1"]: who_has("10.10.10.1", "10.10.10.50")}
    quiet = 0
    while quiet < QUIET_ROUNDS:
        known = passed | seen
        for place, packet in enumerate(packets):
            if place not in known:
                far["far0" if packet["from"] == "enp1s0" else "far1"].send(frame(packet, place + 1))
        seen |= answered(asked, packets)
        passed |= counted(len(packets))
        quiet = quiet + 1 if passed | seen == known else 0
    for sock in far.values():
        sock.close()
    return ["ACCEPT" if p in passed else "REJECT" if p in seen else "DROP" for p in range(len(packets))]


def counted(count: int) -> set[int]:
    """The packets (by place) that came through."""
    rules = json.loads(run("nft", "-j", "list", "table", "inet", "probe"))["nftables"]
    hits = [item["rule"]["expr"][-1]["counter"]["packets"] for item in rules if "rule" in item]
    return {place for place in range(count) if hits[place] + hits[place + count] > 0}


if __name__ == "__main__":
    # on one CPU frames are taken in the order in which they were sent
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    for asked in sys.stdin:
        question = json.loads(asked)
        print(json.dumps(verdicts(question["load"], question["packets"])), flush=True)
