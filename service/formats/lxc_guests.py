"""A container's own settings with plain LXC: /var/lib/lxc/NAME/config (lxc.container.conf(5)).

    parse(data, path) -> LxcGuest

`key = value` lines, values in quotes or not, the last of equal keys counts, `#` starts a comment. Includes are not
followed. A MAC with `x` is a pattern from which each start makes another address: it names nobody.
"""

import re
from dataclasses import dataclass
from ipaddress import IPv4Interface

MAX_BYTES = 1 << 20
MAX_CARDS = 32

_PATH = re.compile(r"/var/lib/lxc/([A-Za-z0-9][A-Za-z0-9_.-]{0,63})/config")
_LINE = re.compile(r"(lxc\.[A-Za-z0-9_.]{1,100})\s*=\s*(.*)")
_CARD = re.compile(r"lxc\.(?:net|network)\.(?:([0-9]{1,2})\.)?(link|hwaddr|ipv4\.address|ipv4)")
_MAC = re.compile(r"[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){5}")
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class LxcCard:
    """One network card: `mac` in lower case, the bridge that it is in, its address where one is fixed."""

    mac: str
    bridge: str = ""
    address: str = ""


@dataclass(frozen=True, slots=True)
class LxcGuest:
    """One container; `name` is empty if its host name is not valid in DNS."""

    path: str
    name: str = ""
    cards: tuple[LxcCard, ...] = ()


def is_guest_file(path: str) -> bool:
    """Whether the path is that of a container's settings."""
    return _PATH.fullmatch(path) is not None


def parse(data: bytes, path: str) -> LxcGuest:
    """Read one container's file. Never raises."""
    match = _PATH.fullmatch(path)
    name = match[1] if match else ""
    cards: dict[str, dict[str, str]] = {}
    for key, value in pairs(data):
        card = _CARD.fullmatch(key)
        if card is not None and len(cards) < MAX_CARDS:
            cards.setdefault(card[1] or "0", {})[card[2].removesuffix(".address")] = value
        elif key in ("lxc.uts.name", "lxc.utsname"):
            name = value
    label = name.split(".")[0].lower()
    found = (_card(cards[number]) for number in sorted(cards, key=int))
    return LxcGuest(path, label if _NAME.fullmatch(label) else "", tuple(card for card in found if card is not None))


def pairs(data: bytes) -> list[tuple[str, str]]:
    """Each setting in the order of the file, without quotes."""
    lines = data[:MAX_BYTES].decode("utf-8", "replace").split("\n")
    found = (_LINE.fullmatch(line.strip()) for line in lines)
    return [(pair[1], _unquoted(pair[2])) for pair in found if pair is not None]


def _unquoted(value: str) -> str:
    """The templates write values in quotes, too."""
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'" else value


def _card(said: dict[str, str]) -> LxcCard | None:
    if not _MAC.fullmatch(said.get("hwaddr", "")):
        return None
    try:
        address = str(IPv4Interface(said.get("ipv4", "").split()[0]).ip)
    except (ValueError, IndexError):
        address = ""
    return LxcCard(said["hwaddr"].lower(), said.get("link", "")[:15], address)
