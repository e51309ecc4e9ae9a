"""How much of each section of a host's answer is read. Pure.

    excess(name, body, words) -> str        why a section is not read, in words; empty where it is

Bytes and lines are counted before anything is parsed. A section beyond its limit is Unknown as a whole: what is read
of a part of a list would make the rest look as if it were not there.
"""

from dataclasses import dataclass

KIB = 1 << 10
MIB = 1 << 20
WORDS_BYTES = 64 * KIB


@dataclass(frozen=True, slots=True)
class Limit:
    """At most so many bytes and lines."""

    size: int
    lines: int


LIMITS = {
    "session": Limit(4 * KIB, 16),
    "values": Limit(512 * KIB, 14_000),  # 1,000 bridges, 3 lines for each of two values, 1,000 VLANs
    "ip": Limit(4 * MIB, 8),
    "addresses": Limit(2 * MIB, 1),
    "routes4": Limit(256 * KIB, 1),
    "ip6": Limit(256 * KIB, 8),
    "nft": Limit(2 * MIB, 100_000),
    "iptables": Limit(2 * MIB, 20_000),
    "iptables_legacy": Limit(2 * MIB, 20_000),
    "units": Limit(512 * KIB, 8_000),
    "bans": Limit(MIB, 16),
    "guests": Limit(4 * MIB, 1_000),  # base64 of what a few guests keep of 100 sites each
    "listeners": Limit(512 * KIB, 2_000),
    "packages": Limit(512 * KIB, 8_000),
    "stat": Limit(MIB, 6_000),  # 2,000 files in watched folders, and those watched by name
    "body": Limit(6 * MIB, 1_000_000),
    "again": Limit(MIB, 6_000),
    "marks": Limit(512 * KIB, 6_000),
}
"""Some times what the biggest hosts have: an ordinary answer has 60 KiB in all."""
OTHERS = Limit(64 * KIB, 1_000)


def excess(name: str, body: bytes, words: bytes) -> str:
    """Why the section is not read. `words` is what its program said on stderr."""
    limit = LIMITS.get(name, OTHERS)
    if len(body) > limit.size:
        return f"the host printed {shown(len(body))}; at most {shown(limit.size)} are read"
    lines = body.count(b"\n")
    if lines > limit.lines:
        return f"the host printed {lines} lines; at most {limit.lines} are read"
    if len(words) > WORDS_BYTES:
        return f"the host complained in {shown(len(words))}; at most {shown(WORDS_BYTES)} are read"
    return ""


def shown(size: int) -> str:
    """A number of bytes for people."""
    return f"{size} bytes" if size < KIB else f"{size / KIB:.0f} KiB" if size < MIB else f"{size / MIB:.1f} MiB"
