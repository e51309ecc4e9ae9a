"""Frames as they go over a wire: made with a number by which they are known again wherever they turn up."""

import ipaddress
import struct
from typing import Any

ARP, IPV4, IPV6 = b"\x08\x06", b"\x08\x00", b"\x86\xdd"
MAX_NUMBER = 0xFFFF
"""The number is the ID of IPv4 and the flow label of IPv6."""

Packet = dict[str, Any]
"""family, number (protocol), source, dest, mac and dest_mac ("": sent by the host); sport, dport or icmp."""


def checksum(data: bytes) -> int:
    """RFC 1071."""
    padded = data + b"\0" * (len(data) % 2)
    total: int = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return 0xFFFF - total


def mac_bytes(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


def frame(packet: Packet, number: int) -> bytes:
    """Ethernet and what is above."""
    kind = IPV4 if packet["family"] == 4 else IPV6
    return mac_bytes(packet["dest_mac"]) + mac_bytes(packet["mac"]) + kind + datagram(packet, number)


def datagram(packet: Packet, number: int) -> bytes:
    """IP and what is above, with checksums that conntrack takes."""
    family, proto = packet["family"], packet["number"]
    source, dest = (ipaddress.ip_address(packet[key]).packed for key in ("source", "dest"))
    body = payload(packet)
    size = len(body)
    pseudo = source + dest + (struct.pack("!BBH", 0, proto, size) if family == 4 else struct.pack("!II", size, proto))
    at = {6: 16, 17: 6, 58: 2}.get(proto)
    if at is not None:
        body = body[:at] + struct.pack("!H", checksum(pseudo + body)) + body[at + 2 :]
    elif proto == 1:
        body = body[:2] + struct.pack("!H", checksum(body)) + body[4:]
    if family == 6:
        return struct.pack("!IHBB", 6 << 28 | number, size, proto, 64) + source + dest + body
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + size, number, 0, 64, proto, 0) + source + dest
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + body


def payload(packet: Packet) -> bytes:
    """The packet above IP, checksum 0."""
    if packet["number"] == 6:
        return struct.pack("!HHIIBBHHH", packet["sport"], packet["dport"], 1, 0, 5 << 4, 2, 1024, 0, 0)
    if packet["number"] == 17:
        return struct.pack("!HHHH", packet["sport"], packet["dport"], 12, 0) + b"ping"
    if packet["number"] in (1, 58):
        return struct.pack("!BBHHH", packet["icmp"], 0, 0, 7, 1) + b"ping"
    return b"\0" * 8


def who_has(own: str, asker: str, mac: str) -> bytes:
    """An ARP question to everybody (RFC 826)."""
    ends = mac_bytes(mac) + ipaddress.ip_address(asker).packed + bytes(6) + ipaddress.ip_address(own).packed
    return b"\xff" * 6 + mac_bytes(mac) + ARP + struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1) + ends


def number_of(wire: bytes) -> tuple[int, int]:
    """(family, number) of a datagram; (0, 0) of anything else."""
    if wire[:1] == b"\x45" and len(wire) >= 20:
        return 4, int.from_bytes(wire[4:6])
    if wire[:1] and wire[0] >> 4 == 6 and len(wire) >= 40:
        return 6, int.from_bytes(wire[:4]) & 0xFFFFF
    return 0, 0


def is_that(wire: bytes, packet: Packet) -> bool:
    """Whether a datagram of the packet's number is that packet, and not an answer that happens to bear the number."""
    family = number_of(wire)[0]
    proto = wire[9] if family == 4 else wire[6] if family == 6 else 0
    return (family, proto) == (packet["family"], packet["number"]) and reset_of(wire) is None


def quoted_number(wire: bytes) -> tuple[int, int]:
    """(family, number) of the datagram that an ICMP error is about."""
    family, _ = number_of(wire)
    if family == 4 and wire[9] == 1 and wire[20:21] in (b"\x03", b"\x0b"):
        return number_of(wire[28:])
    if family == 6 and wire[6] == 58 and wire[40:41] == b"\x01":
        return number_of(wire[48:])
    return 0, 0


def reset_of(wire: bytes) -> tuple[bytes, bytes] | None:
    """(addresses, ports) of the packet that a TCP reset answers."""
    family, _ = number_of(wire)
    proto, at, head = (wire[9], 12, 20) if family == 4 else (wire[6], 8, 40) if family == 6 else (0, 0, 0)
    if proto != 6 or len(wire) < head + 20 or not wire[head + 13] & 4:
        return None
    width = 4 if family == 4 else 16
    ends, ports = wire[at : at + 2 * width], wire[head : head + 4]
    return ends[width:] + ends[:width], ports[2:] + ports[:2]


def asked_by(packet: Packet) -> tuple[bytes, bytes]:
    """What `reset_of` gives of a reset that answers this packet."""
    ends = b"".join(ipaddress.ip_address(packet[key]).packed for key in ("source", "dest"))
    return ends, struct.pack("!HH", packet["sport"], packet["dport"])
