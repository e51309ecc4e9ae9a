"""What the operator lets a commit ask for on its own: settings of the controller, never of the repository.

    Ceilings.parse(max_sync="auto,pve-prod-*=approve", raises="approve", max_open="tcp/80,tcp/443,any@192.0.2.0/24")
        .sync("pve1", "auto") -> "approve"        the mode that counts
        .raises_wait("pve1") -> bool              whether what a commit raises waits for an approval
        .may_open -> (Opening, …) | None          what a commit may open on its own; None = anything
        .stop_hosts, .stop_rules -> per cent      what a commit may change of the hosts, and remove of one's rules

Errors are ValueError in words for the operator.
"""

import ipaddress
import re
from dataclasses import dataclass
from fnmatch import fnmatchcase

from service.model.access import is_selector
from service.model.runs import SyncMode

MODES: tuple[SyncMode, ...] = ("observe", "approve", "auto")
RAISES = ("commit", "approve")
PROTOCOLS = {"icmp": 1, "tcp": 6, "udp": 17, "icmpv6": 58}
ANY = "any"
NONE = "none"
_ENTRY = re.compile(r"(?P<proto>[a-z0-9]+)(?:/(?P<first>[0-9]{1,5})(?:-(?P<last>[0-9]{1,5}))?)?(?:@(?P<source>\S+))?")


@dataclass(frozen=True, slots=True)
class Opening:
    """Packets that a commit may allow. `proto` None = every protocol, `ports` None = all, `source` None = anybody;
    `source` is first and last address as numbers, of IP version `version`."""

    proto: int | None = None
    ports: tuple[int, int] | None = None
    version: int = 0
    source: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class PerHost:
    """A word for all hosts, and others for hosts by pattern. Where several match, the strictest counts: `words` are in
    order, the strictest first."""

    words: tuple[str, ...]
    usual: str
    patterns: tuple[tuple[str, str], ...] = ()

    @classmethod
    def parse(cls, text: str, words: tuple[str, ...], usual: str) -> "PerHost":
        """`auto,pve-prod-*=approve`: at most one word without a pattern."""
        patterns: list[tuple[str, str]] = []
        plain: list[str] = []
        for part in (piece.strip() for piece in text.split(",")):
            pattern, equals, word = part.rpartition("=")
            if word not in words:
                raise ValueError(f"{word or part!r} is none of {', '.join(words)}")
            if equals and not is_selector(pattern):
                raise ValueError(f"{pattern!r} is not a pattern of host names, as in pve-prod-*")
            if equals:
                patterns.append((pattern, word))
            else:
                plain.append(word)
        if len(plain) > 1:
            raise ValueError(f"{' and '.join(plain)} both have no pattern. Fix: say which hosts each is for")
        return cls(words, plain[0] if plain else usual, tuple(patterns))

    def of(self, host: str) -> str:
        """The word for a host."""
        found = [word for pattern, word in self.patterns if fnmatchcase(host, pattern)] or [self.usual]
        return min(found, key=self.words.index)

    def __str__(self) -> str:
        return ", ".join([self.usual, *(f"{pattern}={word}" for pattern, word in self.patterns)])


@dataclass(frozen=True, slots=True)
class Ceilings:
    """All of them."""

    max_sync: PerHost = PerHost(MODES, "auto")
    raises: PerHost = PerHost(RAISES[::-1], "commit")
    may_open: tuple[Opening, ...] | None = None
    stop_hosts: int = 20
    stop_rules: int = 50

    @classmethod
    def parse(
        cls, *, max_sync: str = "auto", raises: str = "commit", max_open: str = ANY, stop_hosts: str = "20%",
        stop_rules: str = "50%",
    ) -> "Ceilings":  # fmt: skip
        """From the settings' texts."""
        return cls(
            parse_max_sync(max_sync), parse_raises(raises), parse_max_open(max_open), parse_percent(stop_hosts),
            parse_percent(stop_rules),
        )  # fmt: skip

    def sync(self, host: str, asked: SyncMode) -> SyncMode:
        """The mode that counts: what the spec asks for, at most what the operator allows."""
        allowed = self.max_sync.of(host)
        return min(asked, next(mode for mode in MODES if mode == allowed), key=MODES.index)

    def why_capped(self, host: str, asked: SyncMode, mode: SyncMode) -> str:
        """Why a host's mode is not that of its spec; empty where it is."""
        if mode == asked:
            return ""
        allowed = self.sync(host, asked)
        if allowed != asked:
            return f"the spec says sync: {asked}, PASSERELLE_MAX_SYNC allows {allowed}"
        return f"sync was raised to {asked}. It takes effect when a plan is applied with a token of scope approve"

    def raises_wait(self, host: str) -> bool:
        """Whether what a commit raises waits for an approval."""
        return self.raises.of(host) == "approve"


def parse_max_sync(text: str) -> PerHost:
    """`PASSERELLE_MAX_SYNC`."""
    return PerHost.parse(text, MODES, "auto")


def parse_raises(text: str) -> PerHost:
    """`PASSERELLE_RAISES`."""
    return PerHost.parse(text, RAISES[::-1], "commit")


def parse_max_open(text: str) -> tuple[Opening, ...] | None:
    """`PASSERELLE_MAX_OPEN`: any, none, or entries as in `tcp/443`, `udp/5000-5100@192.0.2.0/24`, `any@10.0.0.0/8`."""
    if text.strip() == ANY:
        return None
    if text.strip() == NONE:
        return ()
    return tuple(_opening(piece.strip()) for piece in text.split(","))


def parse_percent(text: str) -> int:
    """`PASSERELLE_STOP_HOSTS` and `PASSERELLE_STOP_RULES`: more than so many per cent wait for an approval."""
    if not re.fullmatch(r"[0-9]{1,2}%|100%", text.strip()):
        raise ValueError(f"{text!r} is not a percentage. Fix: write one such as 20%; with 100% nothing waits")
    return int(text.strip().removesuffix("%"))


def _opening(text: str) -> Opening:
    match = _ENTRY.fullmatch(text)
    if match is None or match["proto"] not in (ANY, *PROTOCOLS):
        known = ", ".join([*PROTOCOLS, ANY])
        raise ValueError(
            f"{text!r} is not an opening. Fix: write PROTOCOL/PORT@SOURCE, such as tcp/443, with a protocol of {known}"
        )
    ports = None
    if match["first"] is not None:
        ports = (int(match["first"]), int(match["last"] or match["first"]))
        if match["proto"] not in ("tcp", "udp") or not 0 <= ports[0] <= ports[1] <= 65535:
            raise ValueError(f"{text!r}: ports are those of tcp or udp, from 0 to 65535, the lower one first")
    proto = PROTOCOLS.get(match["proto"])
    if match["source"] is None:
        return Opening(proto, ports)
    try:
        network = ipaddress.ip_network(match["source"])
    except ValueError as error:
        raise ValueError(f"{text!r}: {error}") from None
    return Opening(proto, ports, network.version, (int(network[0]), int(network[-1])))
