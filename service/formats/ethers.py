"""/etc/ethers (ethers(5)), which dnsmasq reads with `read-ethers`: a MAC and an address or a name a line.

parse(data, path) -> EthersFile(entries, problems)
"""

import re
from dataclasses import dataclass
from ipaddress import IPv4Address

from service.formats.read_once import read_once

PATH = "/etc/ethers"
MAX_BYTES = 1 << 20
MAX_LINES = 20_000
MAX_PROBLEMS = 100

_MAC = re.compile(r"[0-9A-Fa-f]{1,2}(?::[0-9A-Fa-f]{1,2}){5}")
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,253}[A-Za-z0-9])?")


@dataclass(frozen=True, slots=True)
class EthersEntry:
    """One line: MAC in lower case, and either an address or a name."""

    mac: str
    address: str
    name: str
    line: int


@dataclass(frozen=True, slots=True)
class EthersFile:
    """The entries in order. Problems are `path:line: what`."""

    entries: tuple[EthersEntry, ...] = ()
    problems: tuple[str, ...] = ()


@read_once
def parse(data: bytes, path: str = PATH) -> EthersFile:
    """Read the file. Never raises."""
    entries: list[EthersEntry] = []
    problems: list[str] = []
    if len(data) > MAX_BYTES:
        return EthersFile((), (f"{path}:1: larger than {MAX_BYTES} bytes: not read",))
    for number, raw in enumerate(data.decode("utf-8", "replace").split("\n")[:MAX_LINES], 1):
        words = raw.partition("#")[0].split()
        if not words:
            continue
        if len(words) < 2 or not _MAC.fullmatch(words[0]):
            problems.append(f"{path}:{number}: is not a MAC with an address or a name")
            continue
        mac = ":".join(byte.zfill(2) for byte in words[0].lower().split(":"))
        try:
            entries.append(EthersEntry(mac, str(IPv4Address(words[1])), "", number))
        except ValueError:
            if _NAME.fullmatch(words[1]):
                entries.append(EthersEntry(mac, "", words[1].lower(), number))
            else:
                problems.append(f"{path}:{number}: is not a MAC with an address or a name")
    return EthersFile(tuple(entries), tuple(problems[:MAX_PROBLEMS]))
