"""Probes: questions to the network around the host."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import socket
import ssl
import struct
import threading
import time
from typing import Callable

from service.hostside.canonical import default_routes_from_json
from service.hostside.capture import HostLook
from service.hostside.commands import json_output, run_command, safe_line
from service.hostside.errors import Json, Trouble, need
from service.hostside.facts import is_ip, is_of
from service.hostside.host import Host, read_text
from service.hostside.lines import read_input

PROBES_AT_MOST = 64
PROBE_TIMEOUT_S = 10.0
_PROBE_KINDS = ("tcp", "http", "icmp", "dns", "server", "tls")
_PROBE = {
    "kind": str,
    "name": str,
    "address": str,
    "port": int,
    "path": str,
    "status": int,
    "asked": str,
    "timeout_s": float,
}
_QUERY_TYPES = {"A": 1, "NS": 2, "TXT": 16, "AAAA": 28}
_INTERNET, _CHAOS = 1, 3
_REPLY_CODES = {1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN", 4: "NOTIMP", 5: "REFUSED"}
_NETWORK_ERRORS = {
    errno.ECONNREFUSED: "connection refused",
    errno.EHOSTUNREACH: "no answer",
    errno.ENETUNREACH: "no route",
    errno.ETIMEDOUT: "no answer",
}
Probe = dict[str, Json]


def check_probes(probes: Json) -> list[Probe]:
    """BadInput unless these are probes, each with all keys. `port` is for tcp, http and dns (0: 53), `path` for http,
    `status` too (0: 200 to 399). `asked` is the Host header of http, the name of dns and tls, the program of server.
    """
    need(isinstance(probes, list) and len(probes) <= PROBES_AT_MOST, f"probes: a list of at most {PROBES_AT_MOST}")
    for number, probe in enumerate(probes):
        where = f"probes[{number}]"
        need(isinstance(probe, dict) and set(probe) == set(_PROBE), f"{where}: keys {', '.join(_PROBE)}")
        for key, kind in _PROBE.items():
            need(
                is_of(probe[key], kind) or (kind is float and is_of(probe[key], int)), f"{where}.{key}: {kind.__name__}"
            )
        need(probe["kind"] in _PROBE_KINDS, f"{where}.kind: one of {', '.join(_PROBE_KINDS)}")
        need(is_ip(probe["address"]), f"{where}.address: an IP address")
        need(0 <= probe["port"] <= 65535 and 0 <= probe["status"] <= 599, f"{where}: port or status out of bounds")
        need(0 < probe["timeout_s"] <= PROBE_TIMEOUT_S, f"{where}.timeout_s: above 0, at most {PROBE_TIMEOUT_S:.0f}")
        need(bool(re.fullmatch(r"[\x20-\x7e]{1,400}", probe["name"])), f"{where}.name: printable characters")
        need(bool(re.fullmatch(r"(/[\x21-\x7e]*)?", probe["path"])), f"{where}.path: begins with /")
        need(bool(re.fullmatch(r"[A-Za-z0-9._-]{0,253}", probe["asked"])), f"{where}.asked: a name")
    return list(probes)


def usual_probes(host: Host) -> list[Probe]:
    """The probes of every host. The default gateway of each family answers as a neighbour. Each resolver of
    /etc/resolv.conf (resolv.conf(5): the first three) answers for the root's name servers.
    """
    probes: list[Probe] = []
    seen = HostLook(host)
    for route in default_routes_from_json(seen.routes(4), seen.routes(6)):
        name = f"gateway IPv{route['family']}"
        if route["via"] and name not in [probe["name"] for probe in probes]:
            probes.append({"kind": "gateway", "name": name, "address": route["via"], "dev": route["dev"]})
    lines = read_text(host.path("/etc/resolv.conf"), 1 << 16).splitlines()
    words = [line.split() for line in lines]
    resolvers = [found[1] for found in words if len(found) > 1 and found[0] == "nameserver"]
    for resolver in list(dict.fromkeys(resolvers))[:3]:
        if re.fullmatch(r"[0-9a-fA-F.:]{2,45}(%[A-Za-z0-9_.-]{1,15})?", resolver):
            probes.append({"kind": "resolver", "name": f"dns {resolver}", "address": resolver, "asked": "", "port": 53})
    return [{"timeout_s": 4.0, **probe} for probe in probes]


def ask_all(probes: list[Probe], host: Host) -> list[Probe]:
    """Ask all at once: [{`name`, `ok`, `told`}]. Ends with the slowest; `told` says why one is not ok."""
    answers: list[Probe] = [{"name": probe["name"], "ok": False, "told": "no answer"} for probe in probes]

    def ask(number: int) -> None:
        probe = probes[number]
        try:
            told = _ASKED[probe["kind"]](probe, host)
        except OSError as error:
            told = in_words(error)
        except (Trouble, ValueError, struct.error) as error:
            told = safe_line(str(error), 200)
        answers[number].update(ok=not told, told=told)

    asking = [threading.Thread(target=ask, args=(number,), daemon=True) for number in range(len(probes))]
    for thread in asking:
        thread.start()
    for thread in asking:
        thread.join(PROBE_TIMEOUT_S + 5)
    return [dict(answer) for answer in answers]


def in_words(error: BaseException) -> str:
    """An error of a connection."""
    if isinstance(error, (socket.timeout, TimeoutError)) or not isinstance(error, OSError):
        return "no answer"
    return _NETWORK_ERRORS.get(error.errno or 0, os.strerror(error.errno or 0))


def _left_s(ends_s: float) -> float:
    left_s = ends_s - time.monotonic()
    if left_s <= 0:
        raise socket.timeout()
    return left_s


def _ask_tcp(probe: Probe, _host: Host) -> str:
    socket.create_connection((probe["address"], probe["port"]), timeout=probe["timeout_s"]).close()
    return ""


def _ask_http(probe: Probe, _host: Host) -> str:
    """One GET; the first line of the answer is read, the rest is not, and no redirection is followed."""
    ends_s = time.monotonic() + probe["timeout_s"]
    address = probe["address"]
    name = probe["asked"] or (f"[{address}]" if ":" in address else address)
    with socket.create_connection((address, probe["port"]), timeout=probe["timeout_s"]) as sock:
        request = f"GET {probe['path'] or '/'} HTTP/1.0\r\nHost: {name}\r\nUser-Agent: passerelle\r\n\r\n"
        sock.sendall(request.encode("ascii"))
        answer = b""
        while b"\n" not in answer and len(answer) < 1024:
            sock.settimeout(_left_s(ends_s))
            chunk = sock.recv(256)
            if not chunk:
                break
            answer += chunk
    found = re.fullmatch(rb"HTTP/1\.[01] ([0-9]{3})(?: [^\r\n]*)?\r?", answer.partition(b"\n")[0])
    if found is None:
        return "the answer is not HTTP"
    status = int(found.group(1))
    fine = status == probe["status"] if probe["status"] else 200 <= status <= 399
    return "" if fine else f"status {status}"


def _ask_tls(probe: Probe, _host: Host) -> str:
    """A handshake for a server's name (RFC 6066 §3), whatever certificate it shows; nothing is requested."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection((probe["address"], probe["port"]), timeout=probe["timeout_s"]) as sock:
        try:
            context.wrap_socket(sock, server_hostname=probe["asked"] or None).close()
        except ssl.SSLError as error:
            return f"no TLS for this name: {safe_line(str(error.reason or error), 80)}"
    return ""


def _ask_icmp(probe: Probe, _host: Host) -> str:
    """One echo request (RFC 792, RFC 4443), sent again after half the time. A datagram socket where the kernel lets us
    (icmp(7), ping_group_range), else a raw one."""
    six = ":" in probe["address"]
    family, protocol = (socket.AF_INET6, socket.IPPROTO_ICMPV6) if six else (socket.AF_INET, socket.IPPROTO_ICMP)
    try:
        sock = socket.socket(family, socket.SOCK_DGRAM, protocol)
    except PermissionError:
        sock = socket.socket(family, socket.SOCK_RAW, protocol)
    token = os.urandom(16)
    body = struct.pack("!BBHHH", 128 if six else 8, 0, 0, os.getpid() & 0xFFFF, 1) + token
    if not six:  # the kernel fills in the checksum of ICMPv6 itself
        total = sum(struct.unpack(f"!{len(body) // 2}H", body))
        total = (total & 0xFFFF) + (total >> 16)
        body = body[:2] + struct.pack("!H", ~(total + (total >> 16)) & 0xFFFF) + body[4:]
    with sock:
        ends_s = time.monotonic() + probe["timeout_s"]
        for part in (0.5, 1.0):
            sock.sendto(body, (probe["address"], 0))
            turn_s = ends_s - probe["timeout_s"] * (1 - part)
            while time.monotonic() < turn_s:
                sock.settimeout(max(0.01, turn_s - time.monotonic()))
                with contextlib.suppress(socket.timeout):
                    answer = sock.recv(2048)
                    head = (answer[0] & 15) * 4 if sock.type == socket.SOCK_RAW and not six else 0
                    if answer[head + 8 :] == token and answer[head : head + 1] == (b"\x81" if six else b"\x00"):
                        return ""
    return "no answer"


def _ask_dns(probe: Probe, _host: Host) -> str:
    """A query over UDP (RFC 1035 §4). With a name: it has an address. Without: a resolver that does its work."""
    address, name = probe["address"], probe["asked"]
    kinds = ("A", "AAAA") if name else ("NS",)
    told = "no answer"
    for kind in kinds:
        code, count = _dns_query(address, probe["port"] or 53, name, kind, probe["timeout_s"] / len(kinds))
        told = _REPLY_CODES.get(code, f"code {code}") if code else f"{name} has no address"
        if (code == 0 and count) if name else code != 2:
            return ""
        if code:
            break
    return told


def _dns_query(address: str, port: int, name: str, kind: str, timeout_s: float) -> tuple[int, int]:
    """(reply code, number of answers)."""
    answer = _dns_exchange(address, port, name, (_QUERY_TYPES[kind], _INTERNET), timeout_s)
    return answer[3] & 15, int(struct.unpack("!H", answer[6:8])[0])


def _dns_exchange(address: str, port: int, name: str, kind: tuple[int, int], timeout_s: float) -> bytes:
    """The answer to a query of a type and class. Sent again after half the time."""
    labels = [label.encode("ascii") for label in name.strip(".").split(".") if label]
    question = b"".join(bytes([len(label)]) + label for label in labels) + b"\0"
    ident = os.urandom(2)
    query = ident + struct.pack("!HHHHH", 0x0100, 1, 0, 0, 0) + question + struct.pack("!HH", *kind)
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as sock:
        info = socket.getaddrinfo(address, port, type=socket.SOCK_DGRAM, flags=socket.AI_NUMERICHOST)
        sock.connect(info[0][4])
        began_s = time.monotonic()
        for part in (0.5, 1.0):
            sock.send(query)
            while time.monotonic() < began_s + timeout_s * part:
                sock.settimeout(max(0.01, began_s + timeout_s * part - time.monotonic()))
                with contextlib.suppress(socket.timeout):
                    answer = sock.recv(4096)
                    if len(answer) >= 12 and answer[:2] == ident and answer[2] & 0x80:
                        return answer
    raise socket.timeout()


def _ask_server(probe: Probe, _host: Host) -> str:
    """Which program answers: name servers say so of `version.bind` in class CHAOS (RFC 4892), dnsmasq by its name.

    The address is one of the host. At one that it does not have yet nobody answers, so nothing is sent. An IPv6
    address may be tentative (RFC 4862): it is not yet one of the host's for bind(2), so the query is sent."""
    if ":" not in probe["address"] and not _has(probe["address"]):
        return "the host does not have this address"
    answer = _dns_exchange(
        probe["address"], probe["port"] or 53, "version.bind", (_QUERY_TYPES["TXT"], _CHAOS), probe["timeout_s"]
    )
    said = _first_text(answer)
    if said.startswith(probe["asked"]):
        return ""
    return f"another name server answers: {safe_line(said, 60)}" if said else "another name server answers"


def _has(address: str) -> bool:
    """Whether an IPv4 address is one of this machine: only such a one can be bound to (ip(7))."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.bind((address, 0))
        except OSError as error:
            return error.errno != errno.EADDRNOTAVAIL
    return True


def _first_text(answer: bytes) -> str:
    """The text of the first record after one question; empty where there is none."""
    code, questions, records = answer[3] & 15, answer[4:6], answer[6:8]
    at = 12
    while at < len(answer) and answer[at] not in (0, *range(0xC0, 0x100)):
        at += answer[at] + 1
    at += 1 + 4  # the end of the name, then type and class
    if code or questions != b"\0\1" or records == b"\0\0" or at >= len(answer):
        return ""
    while at < len(answer) and answer[at] not in (0, *range(0xC0, 0x100)):
        at += answer[at] + 1
    at += (2 if answer[at : at + 1] >= b"\xc0" else 1) + 10  # a pointer or the end; type, class, lifetime, length
    return answer[at + 1 : at + 1 + answer[at]].decode("ascii", "replace") if at < len(answer) else ""


def _ask_gateway(probe: Probe, host: Host) -> str:
    """Does the gateway answer as a neighbour now (ip-neighbour(8))? Neighbours that the kernel already knows are
    checked again.
    """
    via, dev = probe["address"], probe["dev"]
    where = ["to", via, "dev", dev]
    ends_s = time.monotonic() + probe["timeout_s"]
    asked = False
    while True:
        found = json_output(host, ["ip", "-j", "neigh", "show", *where])
        entry = found[0] if found else {}
        states = entry.get("state") or []
        if "PERMANENT" in states or "NOARP" in states or (asked and "REACHABLE" in states):
            return ""
        if asked and "FAILED" in states:
            return f"{via} on {dev} does not answer"
        if not asked:
            known = entry.get("lladdr")
            probed = known and run_command(
                host, ["ip", "neigh", "change", via, "lladdr", str(known), "dev", dev, "nud", "probe"]
            )
            if not probed or probed.code != 0:
                _wake_neighbour(via, dev)
            asked = True
        if time.monotonic() > ends_s:
            return f"{via} on {dev} does not answer"
        time.sleep(0.05)


def _wake_neighbour(via: str, dev: str) -> None:
    """A datagram to the discard port (RFC 863): the kernel has to ask for the neighbour first."""
    family = socket.AF_INET6 if ":" in via else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock, contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, dev.encode() + b"\0")
        zone = socket.if_nametoindex(dev) if family == socket.AF_INET6 else 0
        sock.sendto(b"", (via, 9, 0, zone) if family == socket.AF_INET6 else (via, 9))


_ASKED: dict[str, Callable[[Probe, Host], str]] = {
    "tcp": _ask_tcp,
    "http": _ask_http,
    "icmp": _ask_icmp,
    "dns": _ask_dns,
    "server": _ask_server,
    "tls": _ask_tls,
    "resolver": _ask_dns,
    "gateway": _ask_gateway,
}


def verb_probe(host: Host) -> dict[str, Json]:
    """Ask around from here: the usual ones, and those given. Nothing is changed."""
    probes = check_probes(read_input())
    return {"state": "ok", "probes": ask_all([*usual_probes(host), *probes], host)}
