"""What a shell line of a stanza (`up`, `post-up`, …) does, where that is one of a few well-known things.

A small strict grammar, no shell: words, quotes, `;`, `&&`, `||`, output sent to /dev/null. Anything else is `Opaque`,
which says nothing about what the line does.

    effects(command) -> tuple[Effect, ...]

| written | effect |
|---|---|
| `echo 1 > /proc/sys/net/ipv4/ip_forward`, `sysctl -w net.ipv4.ip_forward=1` | `Forwarding(True)` |
| `iptables -t nat -A POSTROUTING -s NET -o IF -j MASQUERADE` | `MasqueradeLine(NET, IF, "add")` |
| the same after `iptables … -C … \\|\\|` | `MasqueradeLine(NET, IF, "add")` |
| the same with `-D` | `MasqueradeLine(NET, IF, "delete")` |
| `ip route add default via A dev IF`, `route add default gw A` | `DefaultRouteLine(A, IF)` |
| `ip route add NET via A dev IF`, `route add -net NET gw A` | `StaticRoute(NET, A, IF)` |
| `ip addr add A/N dev IF` | `AddressLine(A/N, IF)` |
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address, ip_interface, ip_network
from typing import Literal

from service.formats.sysctl_files import slashed

Action = Literal["add", "delete"]

MAX_COMMAND = 2000


@dataclass(frozen=True, slots=True)
class Forwarding:
    """IPv4 forwarding is set for the whole host (net.ipv4.ip_forward, or conf.all.forwarding, which is the same)."""

    on: bool


@dataclass(frozen=True, slots=True)
class LinkForwarding:
    """IPv4 forwarding of one interface only: what comes in there is forwarded, answers from elsewhere are not."""

    on: bool
    dev: str


@dataclass(frozen=True, slots=True)
class MasqueradeLine:
    """A MASQUERADE rule is added or deleted. `source` is a network, `out` empty where the rule names no interface."""

    source: str
    out: str
    action: Action


@dataclass(frozen=True, slots=True)
class DefaultRouteLine:
    """A default route is added or deleted; `via` or `dev` may be empty where the line names none."""

    via: str
    dev: str = ""
    action: Action = "add"


@dataclass(frozen=True, slots=True)
class StaticRoute:
    """A route to one network of the main table is added or deleted; `via` or `dev` may be empty."""

    network: str
    via: str
    dev: str = ""
    action: Action = "add"


@dataclass(frozen=True, slots=True)
class AddressLine:
    """An address is added or deleted next to the stanza's own."""

    cidr: str
    dev: str
    action: Action = "add"


@dataclass(frozen=True, slots=True)
class Opaque:
    """A command that is not understood: it may do anything."""

    text: str


Effect = Forwarding | LinkForwarding | MasqueradeLine | DefaultRouteLine | StaticRoute | AddressLine | Opaque

_TOKEN = re.compile(
    r"\s+|(?P<op>\|\||&&|;)|(?P<sink>(?:1|2|&)?>{1,2}\s*/dev/null(?![\w./-])|2>&1(?![\w./-]))|(?P<to>>{1,2})"
    r"|(?P<word>(?:[\w./:=@%+,!-]|'[\w./:=@%+,! -]*'|\"[\w./:=@%+,! -]*\")+)",
    re.ASCII,
)
_NAME = re.compile(r"[A-Za-z0-9_.:-]{1,15}")
_FORWARD_KEY = re.compile(r"net/ipv4/(?:ip_forward|conf/([A-Za-z0-9_.:-]{1,15})/forwarding)")


def effects(command: str) -> tuple[Effect, ...]:
    """What a command line does, in order. Never raises."""
    tokens = _tokens(command) if len(command) <= MAX_COMMAND else None
    if tokens is None:
        return (Opaque(command),)
    out: list[Effect] = []
    for part in _split(tokens, ";"):
        if part:
            found = _and_or(part)
            if found is None:
                return (Opaque(command),)
            out += found
    return tuple(out) or (Opaque(command),)


def _tokens(command: str) -> list[str] | None:
    """Words without quotes, operators as they are; output to /dev/null is dropped. None if not understood."""
    out: list[str] = []
    position = 0
    while position < len(command):
        match = _TOKEN.match(command, position)
        if match is None:
            return None
        position = match.end()
        if match["word"]:
            out.append(match["word"].replace("'", "").replace('"', ""))
        elif match["op"] or match["to"]:
            out.append((match["op"] or match["to"]).strip())
    return out


def _split(tokens: list[str], operator: str) -> list[list[str]]:
    parts: list[list[str]] = [[]]
    for token in tokens:
        if token == operator:
            parts.append([])
        else:
            parts[-1].append(token)
    return parts


def _and_or(tokens: list[str]) -> list[Effect] | None:
    """`A && B` does both; `A || true` does A; `iptables -C … || iptables -A …` adds, `-C … && … -D` deletes."""
    alternatives = _split(tokens, "||")
    if len(alternatives) == 2 and alternatives[1] in (["true"], [":"], ["/bin/true"]):
        alternatives = alternatives[:1]
    if len(alternatives) == 2:
        checked = _masquerade(alternatives[0], checks=True)
        added = _masquerade(alternatives[1])
        same = checked is not None and added is not None and added.action == "add"
        return [added] if same and added and checked and _rule(added) == _rule(checked) else None
    if len(alternatives) != 1:
        return None
    commands = _split(alternatives[0], "&&")
    if len(commands) == 2:
        checked, deleted = _masquerade(commands[0], checks=True), _masquerade(commands[1])
        if checked and deleted and deleted.action == "delete" and _rule(deleted) == _rule(checked):
            return [deleted]
    out: list[Effect] = []
    for words in commands:
        effect = next((found for read in _READERS if (found := read(words)) is not None), None)
        if effect is None:
            return None
        out.append(effect)
    return out


def _rule(line: MasqueradeLine) -> tuple[str, str]:
    return line.source, line.out


def _program(words: list[str]) -> str:
    """The command's name without the folder of the system that it is in."""
    match = re.fullmatch(r"(?:/usr)?(?:/s?bin/)?([\w-]+)", words[0], re.ASCII) if words else None
    return match[1] if match else ""


def _forwarding_key(key: str) -> str | None:
    """The interface of a forwarding key, empty for all of them; None for any other key."""
    match = _FORWARD_KEY.fullmatch(slashed(key))
    if match is None or match[1] == "default":
        return None
    return "" if match[1] in (None, "all") else match[1]


def _forwarding(words: list[str]) -> Forwarding | LinkForwarding | None:
    if len(words) == 4 and _program(words) == "echo" and words[2] in (">", ">>"):
        key, value = words[3].removeprefix("/proc/sys/"), words[1]
        if key == words[3]:
            return None
    elif _program(words) == "sysctl":
        pairs = [word for word in words[1:] if word not in ("-w", "--write", "-q", "--quiet", "-qw", "-wq")]
        if len(pairs) != 1:
            return None
        key, _, value = pairs[0].partition("=")
    else:
        return None
    dev = _forwarding_key(key)
    if dev is None or value not in ("0", "1"):
        return None
    return LinkForwarding(value == "1", dev) if dev else Forwarding(value == "1")


_LONG = {
    "--table": "-t", "--append": "-A", "--insert": "-I", "--delete": "-D", "--check": "-C", "--source": "-s",
    "--src": "-s", "--out-interface": "-o", "--jump": "-j", "--match": "-m", "--wait": "-w",
}  # fmt: skip


def _masquerade(words: list[str], *, checks: bool = False) -> MasqueradeLine | None:
    """A rule of nat POSTROUTING that masquerades by source network and outgoing interface and by nothing else."""
    if _program(words) not in ("iptables", "iptables-nft", "iptables-legacy"):
        return None
    seen: dict[str, str] = {}
    rest = words[1:]
    while rest:
        flag = _LONG.get(rest[0], rest[0])
        rest = rest[1:]
        if flag == "-w":
            rest = rest[1:] if rest and rest[0].isdigit() else rest
        elif flag in ("-A", "-I", "-D", "-C") and rest and "verb" not in seen:
            seen |= {"verb": flag, "chain": rest[0]}
            rest = rest[2:] if flag == "-I" and rest[1:] and rest[1].isdigit() else rest[1:]
        elif flag == "-m" and rest[:1] == ["comment"] and rest[1:2] == ["--comment"] and rest[2:]:
            rest = rest[3:]
        elif flag in ("-t", "-s", "-o", "-j") and rest and flag not in seen:
            seen[flag] = rest[0]
            rest = rest[1:]
        else:
            return None
    source, out = network(seen.get("-s", "0.0.0.0/0")), seen.get("-o", "")
    right = seen.get("-t") == "nat" and seen.get("chain") == "POSTROUTING" and seen.get("-j") == "MASQUERADE"
    if not right or source is None or (out and not _NAME.fullmatch(out)) or (seen["verb"] == "-C") != checks:
        return None
    return MasqueradeLine(source, out, "delete" if seen["verb"] == "-D" else "add")


def network(text: str) -> str | None:
    """A source as iptables takes it: host bits cut off, masks as a prefix. None if it is not an IPv4 network."""
    if not re.fullmatch(r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}(?:/[0-9.]{1,15})?", text):
        return None
    try:
        return str(ip_network(text, strict=False))
    except ValueError:
        return None


def _address(text: str) -> str:
    try:
        return "" if "%" in text else str(ip_address(text))
    except ValueError:
        return ""


_VERBS: dict[str, Action] = {"add": "add", "append": "add", "replace": "add", "del": "delete", "delete": "delete"}


def _ip(words: list[str]) -> DefaultRouteLine | StaticRoute | AddressLine | None:
    if _program(words) != "ip":
        return None
    rest = [word for word in words[1:3] if word not in ("-4", "-6", "-f", "inet")] + words[3:]
    if len(rest) < 3 or rest[1] not in _VERBS:
        return None
    if rest[0] in ("r", "ro", "route"):
        return _ip_route(rest[2:], _VERBS[rest[1]])
    if rest[0] in ("a", "addr", "address"):
        return _ip_address(rest[2:], _VERBS[rest[1]])
    return None


def _pairs(words: list[str], keys: tuple[str, ...], flags: tuple[str, ...] = ()) -> dict[str, str] | None:
    """`key value` pairs of known keys and lone flags, in any order; None if there is anything else."""
    out: dict[str, str] = {}
    rest = words
    while rest:
        if rest[0] in flags:
            rest = rest[1:]
        elif rest[0] in keys and len(rest) > 1:
            out[rest[0]] = rest[1]
            rest = rest[2:]
        else:
            return None
    return out


def _ip_route(words: list[str], action: Action) -> DefaultRouteLine | StaticRoute | None:
    to = "default" if words[0] in ("default", "0.0.0.0/0", "0/0", "::/0") else _network(words[0])
    if not to:
        return None
    pairs = _pairs(words[1:], ("via", "dev", "metric", "proto", "src"), ("onlink",))
    if pairs is None:
        return None
    via, dev = _address(pairs.get("via", "")), pairs.get("dev", "")
    if ("via" in pairs and not via) or (dev and not _NAME.fullmatch(dev)):
        return None
    if not (via or dev or action == "delete"):
        return None
    return DefaultRouteLine(via, dev, action) if to == "default" else StaticRoute(to, via, dev, action)


def _network(text: str, netmask: str = "") -> str:
    """A network or a single address, in CIDR form; empty for anything else."""
    if not re.fullmatch(r"[0-9A-Fa-f.:]{2,45}(?:/[0-9]{1,3})?", text) or (netmask and "/" in text):
        return ""
    try:
        return str(ip_network(f"{text}/{netmask}" if netmask else text))
    except ValueError:
        return ""


def _ip_address(words: list[str], action: Action) -> AddressLine | None:
    pairs = _pairs(words[1:], ("dev", "brd", "broadcast", "label", "scope"))
    if pairs is None or not _NAME.fullmatch(pairs.get("dev", "")) or "%" in words[0]:
        return None
    try:
        return AddressLine(ip_interface(words[0]).with_prefixlen, pairs["dev"], action)
    except ValueError:
        return None


def _route(words: list[str]) -> DefaultRouteLine | StaticRoute | None:
    """`route add default gw A [dev IF]`, `route add -net NET [netmask M] gw A`, `route add -host A dev IF`."""
    if _program(words) != "route" or len(words) < 3 or words[1] not in ("add", "del"):
        return None
    rest = words[3:] if words[2] in ("-net", "-host") else words[2:]
    pairs = _pairs(rest[1:], ("gw", "dev", "metric", "netmask")) if rest else None
    if pairs is None:
        return None
    netmask = pairs.get("netmask", "")
    is_default = rest[0] in ("default", "0.0.0.0/0", "0.0.0.0") and netmask in ("", "0.0.0.0")  # noqa: S104 (a route)
    to = "default" if is_default else _network(rest[0], netmask)
    via, dev = _address(pairs.get("gw", "")), pairs.get("dev", "")
    if not to or ("gw" in pairs and not via) or (dev and not _NAME.fullmatch(dev)):
        return None
    action = _VERBS[words[1]]
    if not (via or dev or action == "delete"):
        return None
    return DefaultRouteLine(via, dev, action) if is_default else StaticRoute(to, via, dev, action)


_READERS: tuple[Callable[[list[str]], Effect | None], ...] = (_forwarding, _masquerade, _ip, _route)
