"""What a hostile host makes of its shell's answer: each takes the true answer and the nonce, and gives another.

ANSWERS[name](answer, nonce, turn) -> bytes         `turn` counts how often it was asked
"""

import re
from collections.abc import Callable

from tests.observe.growth import big, ip

Made = Callable[[bytes, bytes, int], bytes]
MIB = 1 << 20


def body(section: str, make: Callable[[int], bytes], status: bytes = b"0") -> Made:
    """Another body in one section; all else is as it is."""

    def made(answer: bytes, nonce: bytes, turn: int) -> bytes:
        found = re.compile(
            rb"(@@%b begin %b\n).*?(\n@@%b words\n.*?@@%b end %b) \w+\n"
            % (nonce, section.encode(), nonce, nonce, section.encode()),
            re.DOTALL,
        ).search(answer)
        if found is None:
            return answer
        return (
            answer[: found.start()] + found[1] + make(turn) + found[2] + b" " + status + b"\n" + answer[found.end() :]
        )

    return made


def many(section: str, count: int) -> Made:
    return body(section, lambda _turn: big(section, count))


def links(*entries: bytes) -> Made:
    return body("ip", lambda _turn: b"[" + b", ".join(entries) + b"]\n[]")


def named(name: bytes) -> Made:
    good = b'{"ifname": "lo", "flags": ["UP"], "mtu": 65536}'
    return links(good, b'{"ifname": "%b", "flags": ["UP"], "mtu": 1500, "addr_info": []}' % name)


def table(value: bytes) -> Made:
    head = b'{"table": {"family": "inet", "name": "passerelle_nat", "x": %b}}'
    return body("nft", lambda _turn: b'{"nftables": [%b]}' % (head % value))


def own_tables(_turn: int) -> bytes:
    """As many tables of ours as there is room for."""
    each = b",".join(b'{"table": {"family": "inet", "name": "passerelle_%d"}}' % n for n in range(40_000))
    return b'{"nftables": [%b]}' % each


def changing(turn: int) -> bytes:
    """Another ruleset at each look, large and within the limits: nothing of it is known from before."""
    return big("nft", 6_500).replace(b"10.0.", b"10.%d." % (turn % 250))


def replaced(pattern: bytes, by: bytes) -> Made:
    return lambda answer, nonce, _turn: re.sub(pattern.replace(b"NONCE", nonce), by, answer)


def dnat(_turn: int) -> bytes:
    rules = (f"-A PREROUTING -d {ip(n)}/32 -p tcp --dport 80 -j DNAT --to {ip(n)}\n" for n in range(19_000))
    return ("*nat\n" + "".join(rules) + "COMMIT\n").encode()


def not_alike(_turn: int) -> bytes:
    """Masquerades whose words take long to split: quotes in quotes."""
    words = '-m comment --comment "' + 'a\\"' * 40 + '"'
    rules = (f"-A POSTROUTING -s {ip(n)}/32 -o eth0 {words} -j MASQUERADE\n" for n in range(8_000))
    return ("*nat\n" + "".join(rules)[: 2 * MIB - 4096] + "\nCOMMIT\n").encode()


ANSWERS: dict[str, Made] = {
    "nat rules: 140,000": many("iptables", 140_000),
    "nat rules: 19,000 masquerades": many("iptables", 19_000),
    "nat rules: 19,000 of another kind": body("iptables", dnat),
    "nat rules: words that are slow to split": body("iptables", not_alike),
    "legacy nat rules: 140,000": many("iptables_legacy", 140_000),
    "nft: 2 MiB of our own table": many("nft", 6_500),
    "nft: 40,000 tables of ours": body("nft", own_tables),
    "nft: another large ruleset at each look": body("nft", changing),
    "nft: 8 MB": body("nft", lambda _turn: b'{"nftables": [' + b" " * (7 * MIB) + b"]}"),
    "nft: 100,000 lists in each other": body("nft", lambda _turn: b'{"nftables": ' + b"[" * 100_000 + b"]" * 100_000),
    "nft: 300 lists in each other": table(b"[" * 300 + b"]" * 300),
    "nft: NaN": table(b"NaN"),
    "nft: a number of 4,000 digits": table(b"9" * 4_000),
    "nft: a number of 400,000 digits": table(b"9" * 400_000),
    "nft: 1e999": table(b"1e999"),
    "nft: keys twice": table(b"{" + b", ".join([b'"a": 1'] * 10_000) + b"}"),
    "nft: half a character": table(b'"\\ud800"'),
    "links: 5,000": many("ip", 5_000),
    "links: 900, 900 routes": many("ip", 900),
    "links: an escape sequence for a name": named(b"\x1b]0;owned\x07"),
    "links: a line end in a name": named(b"eth0\\n@@x"),
    "links: half a character for a name": named(b"\\ud83d"),
    "links: bytes that are not text": named(b"\xff\xfe\xc0"),
    "links: a name of 1 MB": named(b"a" * MIB),
    "links: values of other types": links(b'{"ifname": "lo", "flags": 7, "mtu": [], "master": {}}'),
    "links: 100,000 addresses": links(
        b'{"ifname": "lo", "addr_info": [' + b",".join(
            b'{"family":"inet","local":"%b","prefixlen":24,"scope":"global"}' % ip(n).encode() for n in range(100_000)
        ) + b"]}"
    ),
    "units: 40,000": many("units", 40_000),
    "bans: 30,000": many("bans", 30_000),
    "bans: lists in each other": body("bans", lambda _turn: b"[" * 50_000 + b"]" * 50_000),
    "listeners: 100,000": many("listeners", 100_000),
    "listeners: 1,900": many("listeners", 1_900),
    "packages: 100,000": many("packages", 100_000),
    "files: 5,000 looks": many("stat", 5_000),
    "left-overs: 5,000": many("marks", 5_000),
    "frames: a section twice": lambda answer, _nonce, _turn: answer + answer,
    "frames: sections that are missing": replaced(rb"@@NONCE begin (nft|stat|ip)\n", b""),
    "frames: another nonce": lambda answer, nonce, _turn: answer.replace(nonce, b"0" * len(nonce)),
    "frames: 300,000 marks": lambda answer, nonce, _turn: answer + b"@@%b begin nft\n" % nonce * 150_000,
    "frames: cut in the middle": lambda answer, _nonce, _turn: answer[: len(answer) // 2],
    "frames: exit codes that lie": replaced(rb"end (\w+) \w+\n", rb"end \1 0\n"),
    "frames: no such program anywhere": replaced(rb"end (\w+) \w+\n", rb"end \1 missing\n"),
    "frames: nothing at all": lambda _answer, _nonce, _turn: b"",
    "clock: 1970": replaced(rb"now \d+", b"now 100000000"),
    "clock: the year 2286": replaced(rb"now \d+", b"now 99999999999"),
    "clock: another boot at each look": lambda answer, _nonce, turn: re.sub(
        rb"\nuptime [0-9.]+", b"\nuptime %d.00" % (turn * 997 % 9_999_999), answer
    ),
    "answer: 8 MB of zeros": lambda answer, _nonce, _turn: answer + bytes(8 * MIB - len(answer)),
    "answer: 9 MB": lambda answer, _nonce, _turn: answer + b"x" * (9 * MIB),
}  # fmt: skip
