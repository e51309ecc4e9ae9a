"""The network cards of guests, from the net lines of their configuration (qm.conf(5), pct.conf(5)).

    parse_guests(data) -> {vmid: Guest}      data: {"qemu": {VMID: {"net0": "…"}}, "lxc": {…}} as JSON

A card with `firewall=1` hangs behind a bridge of its own (fwbrVMIDiN), where the guest's rules act.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv6Address
from typing import Literal

from service.errors import InputError
from service.firewall.terms.addresses import mask_of, split_cidr

MAX_GUESTS = 10_000
_CARD = re.compile(r"net(0|[1-9][0-9]{0,2})")
_VMID = re.compile(r"[1-9][0-9]{0,8}")
_MAC = re.compile(r"[0-9a-fA-F]{2}(?::[0-9a-fA-F]{2}){5}")
_TRUE = ("1", "on", "yes", "true")


@dataclass(frozen=True, slots=True)
class Card:
    """One network card. `addresses` are the fixed ones of a container, without prefix; `mac` is upper case or ""."""

    vmid: str
    key: str
    bridge: str
    mac: str
    firewall: bool
    addresses: tuple[str, ...] = ()

    @property
    def port(self) -> str:
        """vm200i0: the name of the card in messages."""
        return f"{self.vmid}i{self.key[3:]}"


@dataclass(frozen=True, slots=True)
class GuestCards:
    """A virtual machine (`vm`) or container (`ct`) with its cards by key (net0, net1 …)."""

    vmid: str
    env: Literal["vm", "ct"]
    cards: Mapping[str, Card]


def parse_guests(data: bytes, file: str = "guests.json") -> dict[str, GuestCards]:
    """All guests, virtual machines first. Raises InputError where the data has another shape."""
    try:
        table = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{file} is not JSON: {error}") from error
    if not isinstance(table, dict) or not all(isinstance(table.get(key, {}), dict) for key in ("qemu", "lxc")):
        raise InputError(f'{file} is not of the form {{"qemu": {{VMID: {{}}}}, "lxc": {{}}}}')
    guests: dict[str, GuestCards] = {}
    for key, env in (("qemu", "vm"), ("lxc", "ct")):
        lines: Mapping[str, object] = table.get(key, {})
        for vmid in sorted(lines, key=lambda text: (len(text), text)):
            config = lines[vmid]
            if not _VMID.fullmatch(vmid) or not isinstance(config, dict) or len(guests) >= MAX_GUESTS:
                raise InputError(f"{file}: {key}.{vmid[:20]} is not a guest")
            guests[vmid] = GuestCards(vmid, "vm" if env == "vm" else "ct", _cards(vmid, config))
    return guests


def _cards(vmid: str, config: Mapping[str, object]) -> dict[str, Card]:
    cards: dict[str, Card] = {}
    for key in sorted(config):
        line = config[key]
        if _CARD.fullmatch(key) and isinstance(line, str):
            cards[key] = _card(vmid, key, line)
    return cards


def _card(vmid: str, key: str, line: str) -> Card:
    parts = dict(part.partition("=")[::2] for part in line.split(","))
    macs = [value for value in parts.values() if _MAC.fullmatch(value)]
    found = (split_cidr(parts.get(name, "")) for name in ("ip", "ip6"))
    return Card(
        vmid=vmid,
        key=key,
        bridge=parts.get("bridge", ""),
        mac=macs[0].upper() if macs else "",
        firewall=parts.get("firewall", "").lower() in _TRUE,
        addresses=tuple(address[0] for address in found if address),
    )


def link_local(mac: str) -> str:
    """The link-local address that a card gives itself from its MAC (RFC 4291, appendix A)."""
    octets = bytes.fromhex(mac.replace(":", ""))
    interface = bytes([octets[0] ^ 2]) + octets[1:3] + b"\xff\xfe" + octets[3:]
    network = 0xFE80 << 112 & mask_of(64, 6)
    return str(IPv6Address(network | int.from_bytes(interface)))
