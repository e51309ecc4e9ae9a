"""NAT that files of somebody else make at boot: nft scripts, what iptables-save wrote, shell lines.

    of_nft_script(files, path) -> tuple[NatFound, …]       a script and what it includes, out of {path: bytes}
    of_iptables_rules(data, path) -> tuple[NatFound, …]    a file for iptables-restore(8)
    of_command(command, path, line) -> tuple[NatFound, …]  the iptables commands of one shell line
    is_about_nat(command) -> bool                           whether it also deletes or checks there
    nft_rules(files, path), iptables_rules(data, path) -> tuple[FilterRule, …]     all rules of any table, by chain

A rule is understood if its value describes all of it: a masquerade by source and outgoing interface, a forward by
protocol, ports and incoming interface. Everything else of a nat chain is `OtherRule`.
"""

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network

from service.formats.interfaces.sources import sourced
from service.formats.nat_found import FilterRule, ForwardRule, MasqueradeRule, NatFound, OtherRule

NFT_FILES = ("/etc/nftables.conf", "/etc/nftables.d/*")
NFT_MAIN = NFT_FILES[0]
IPTABLES_FILE = "/etc/iptables/rules.v4"
MAX_BYTES = 1 << 20
MAX_TOKENS = 200_000
MAX_PRODUCTS = 64
MAX_INCLUDES = 64

Words = tuple[str, ...]
Word = str | Words


_TOKEN = re.compile(r'#[^\n]*|"[^"\n]*"|[{};,]|\n|[^\s{};,"#]+')
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,14}")
_PORTS = re.compile(r"[0-9]{1,5}(?:[-:][0-9]{1,5})?")
_TO = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,3}){3})(?::([0-9]{1,5}))?")
_COUNTERS = re.compile(r"\[[0-9]{1,20}:[0-9]{1,20}\]\s*")
_BLOCKS = ("table", "chain", "set", "map", "flowtable", "counter", "quota", "limit", "ct", "secmark", "synproxy")


def of_iptables_rules(data: bytes, path: str) -> tuple[NatFound, ...]:
    """The rules of table nat. Never raises."""
    found: list[NatFound] = []
    for number, table, line in _restored(data):
        if table == "nat":
            found += _iptables(_split(line), path, number, line)
    return tuple(found)


def iptables_rules(data: bytes, path: str) -> tuple[FilterRule, ...]:
    """Every rule of a file for iptables-restore. Never raises."""
    return tuple(
        FilterRule(f"{table[:40]} {line.split()[1][:40]}", line[:400], path, number)
        for number, table, line in _restored(data)
        if len(line.split()) > 1
    )


def _restored(data: bytes) -> Iterator[tuple[int, str, str]]:
    """(line number, table, rule without its counters) of a file for iptables-restore. `iptables-save -c` writes the
    counters of a rule in front of it, and iptables-restore takes both forms (iptables-save(8))."""
    table = ""
    for number, raw in enumerate(data[:MAX_BYTES].decode("utf-8", "replace").split("\n"), 1):
        line = _COUNTERS.sub("", raw.strip(), count=1) if raw.lstrip().startswith("[") else raw.strip()
        if line.startswith("*"):
            table = line[1:]
        elif line.startswith(("-A ", "-I ", "--append ", "--insert ")):
            yield number, table, line


def of_command(command: str, path: str, line: int) -> tuple[NatFound, ...]:
    """What the iptables commands of a shell line add to table nat; nothing for any other command."""
    found: list[NatFound] = []
    for part in re.split(r"&&|\|\||;", command[:2000]):
        words = _split(re.sub(r"(?:[12&])?>{1,2}\s*/dev/null|2>&1", "", part))
        if words and re.fullmatch(r"(?:/usr)?(?:/s?bin/)?iptables(?:-nft|-legacy)?", words[0]):
            table = next((words[n + 1] for n, w in enumerate(words[:-1]) if w in ("-t", "--table")), "filter")
            if table == "nat":
                found += _iptables(words[1:], path, line, part.strip())
    return tuple(dict.fromkeys(found))


def is_about_nat(command: str) -> bool:
    """Whether a shell line adds, checks or deletes something of iptables' table nat, or such a rule of nft."""
    text = command[:2000]
    if re.search(r"\bip6?tables\S*\s(?:.*\s)?(?:-t|--table)\s+nat\b", text):
        return True
    return re.search(r"\bnft\s(?:.*\s)?(?:masquerade|snat|dnat|redirect)\b", text) is not None


def _split(line: str) -> list[str]:
    try:
        return shlex.split(line)
    except ValueError:
        return []


_LONG = {
    "--table": "-t", "--append": "-A", "--insert": "-I", "--source": "-s", "--src": "-s", "--destination": "-d",
    "--dst": "-d", "--out-interface": "-o", "--in-interface": "-i", "--protocol": "-p", "--proto": "-p", "--jump": "-j",
    "--match": "-m", "--destination-port": "--dport", "--destination-ports": "--dports", "--to": "--to-destination",
}  # fmt: skip
_MATCHES = ("tcp", "udp", "multiport", "comment")
_TAKEN = ("-t", "-s", "-d", "-o", "-i", "-p", "-j", "--dport", "--dports", "--to-destination")


def _iptables(words: Sequence[str], path: str, line: int, text: str) -> Iterator[NatFound]:
    """One rule that is added; checks and deletions are none."""
    options: dict[str, str] = {}
    chain, rest = "", list(words)
    while rest:
        flag = _LONG.get(rest[0], rest[0])
        rest = rest[1:]
        if flag in ("-A", "-I") and rest and not chain:
            chain = rest[0]
            rest = rest[2:] if flag == "-I" and rest[1:] and rest[1].isdigit() else rest[1:]
        elif flag in ("-w", "--wait"):
            rest = rest[1:] if rest and rest[0].isdigit() else rest
        elif rest and (flag == "--comment" or (flag == "-m" and rest[0] in _MATCHES)):
            rest = rest[1:]
        elif flag in _TAKEN and rest and flag not in options:
            options[flag] = rest[0]
            rest = rest[1:]
        elif flag in ("-D", "-C", "--delete", "--check"):
            return
        else:
            chain = chain or next((w for n, w in enumerate(words) if n and words[n - 1] in ("-A", "-I")), "")
            options["odd"] = flag
            rest = rest[1:]
    made = None if "odd" in options or not chain else _iptables_rule(chain, options, path, line)
    if chain:
        yield made or OtherRule(text[:400], path, line)


def _iptables_rule(chain: str, options: Mapping[str, str], path: str, line: int) -> NatFound | None:
    keys = options.keys() - {"-t"}
    if chain == "POSTROUTING" and options.get("-j") == "MASQUERADE" and keys <= {"-s", "-o", "-j"}:
        source, out = _network(options.get("-s", "0.0.0.0/0")), options.get("-o", "")
        return MasqueradeRule(source, out, path, line) if source and (not out or _NAME.fullmatch(out)) else None
    if chain != "PREROUTING" or options.get("-j") != "DNAT" or not keys <= {*_TAKEN} - {"-o", "-s"}:
        return None
    ports = (options.get("--dport") or options.get("--dports") or "").split(",")
    return _forward(
        options.get("-p", ""), ports, options.get("--to-destination", ""), options.get("-i", ""),
        options.get("-d", "").removesuffix("/32"), path, line,
    )  # fmt: skip


def _forward(
    proto: str, ports: Sequence[str], to: str, iface: str, address: str, path: str, line: int
) -> ForwardRule | None:
    target = _TO.fullmatch(to)
    spelled = tuple(port.replace("-", ":") for port in ports)
    right = proto in ("tcp", "udp") and target and all(_PORTS.fullmatch(port) for port in spelled)
    if not right or target is None or (iface and not _NAME.fullmatch(iface)) or (address and not _address(address)):
        return None
    return ForwardRule(proto, spelled, target[1], target[2] or "", iface, address, path, line)


def _network(text: str) -> str:
    try:
        return str(IPv4Network(text, strict=False))
    except ValueError:
        return ""


def _address(text: str) -> str:
    try:
        return str(IPv4Address(text))
    except ValueError:
        return ""


@dataclass(slots=True)
class _Script:
    """An nft script being read: where chains hook, and the rules by chain."""

    files: Mapping[str, bytes]
    variables: dict[str, Word] = field(default_factory=dict)
    hooks: dict[tuple[str, str, str], str] = field(default_factory=dict)
    rules: list[tuple[tuple[str, str, str], list[Word], str, int]] = field(default_factory=list)
    reads: int = 0

    def read(self, path: str) -> None:
        self.reads += 1
        if path not in self.files or self.reads > MAX_INCLUDES:
            return
        blocks: list[list[Word]] = []
        words: list[Word] = []
        line = 0
        tokens = list(_tokens(self.files[path]))
        position = 0
        while position < len(tokens):
            word, number = tokens[position]
            position += 1
            if word == "{" and not _opens(words):
                inner, position = _inline(tokens, position)
                words.append(inner)
            elif word == "{":
                blocks.append(words)
                words = []
            elif word in ("\n", ";", "}"):
                if words:
                    self.statement(blocks, words, path, line)
                words = []
                if word == "}" and blocks:
                    blocks.pop()
            else:
                line = line if words else number
                words.append(self.variables.get(word[1:], word) if word.startswith("$") else word)
        if words:
            self.statement(blocks, words, path, line)

    def statement(self, blocks: Sequence[list[Word]], words: list[Word], path: str, line: int) -> None:
        head = words[0]
        if head == "define" and len(words) >= 4 and words[2] == "=" and isinstance(words[1], str):
            self.variables[words[1]] = words[3]
        elif head == "include" and isinstance(words[-1], str):
            for found in sourced(words[-1], self.files):
                self.read(found)
        elif not blocks:
            self.command(words, path, line)
        elif (chain := _chain_of(blocks)) is not None:
            if head == "type":
                self.hook(chain, words)
            elif head not in ("policy", "comment"):
                self.rules.append((chain, words, path, line))

    def command(self, words: list[Word], path: str, line: int) -> None:
        """`add rule [family] table chain …` at the top."""
        plain = [word for word in words if isinstance(word, str)]
        if plain[:2] in (["add", "rule"], ["insert", "rule"]):
            rest = words[2:]
            family = rest[0] if rest and rest[0] in ("ip", "ip6", "inet", "arp", "bridge", "netdev") else "ip"
            rest = rest[1:] if rest and rest[0] == family else rest
            if len(rest) > 2:
                self.rules.append(((str(family), str(rest[0]), str(rest[1])), rest[2:], path, line))

    def hook(self, chain: tuple[str, str, str], words: Sequence[Word]) -> None:
        if words[1:3] == ["nat", "hook"] and len(words) > 3:
            self.hooks[chain] = str(words[3])


def of_nft_script(files: Mapping[str, bytes], path: str = NFT_MAIN) -> tuple[NatFound, ...]:
    """The nat rules of a script and of what it includes. Never raises."""
    script = _Script(files)
    script.read(path)
    found: list[NatFound] = []
    for chain, words, where, line in script.rules:
        hook = script.hooks.get(chain)
        if hook in ("postrouting", "prerouting") and chain[0] in ("ip", "inet"):
            made = _nft_masquerades(words, where, line) if hook == "postrouting" else _nft_forwards(words, where, line)
            found += made or [OtherRule(_text(words)[:400], where, line)]
    return tuple(found)


def nft_rules(files: Mapping[str, bytes], path: str = NFT_MAIN) -> tuple[FilterRule, ...]:
    """Every rule of a script and of what it includes. Never raises."""
    script = _Script(files)
    script.read(path)
    return tuple(FilterRule(" ".join(c), _text(words)[:400], where, line) for c, words, where, line in script.rules)


def _tokens(data: bytes) -> Iterator[tuple[str, int]]:
    text = data[:MAX_BYTES].decode("utf-8", "replace")
    line = 1
    for count, match in enumerate(_TOKEN.finditer(text.replace("\\\n", " \x00 "))):
        word = match[0]
        if count > MAX_TOKENS:
            return
        if word == "\x00":
            line += 1
        elif not word.startswith("#"):
            yield (word.strip('"') if word.startswith('"') else word), line
        line += word == "\n"


def _opens(words: Sequence[Word]) -> bool:
    """Whether the brace opens a block, not a set within a rule."""
    heads = [word for word in words[:2] if isinstance(word, str)]
    return bool(heads) and (heads[0] in _BLOCKS or (heads[0] in ("add", "create") and heads[-1] in _BLOCKS))


def _inline(tokens: Sequence[tuple[str, int]], position: int) -> tuple[Words, int]:
    items: list[str] = []
    while position < len(tokens) and tokens[position][0] != "}":
        if tokens[position][0] not in (",", "\n"):
            items.append(tokens[position][0])
        position += 1
    return tuple(items), position + 1


def _chain_of(blocks: Sequence[Sequence[Word]]) -> tuple[str, str, str] | None:
    """(family, table, chain) of the block that a statement is in."""
    words = [str(word) for block in blocks for word in block if word not in ("add", "create")]
    match words:
        case ["table", family, table, "chain", chain] | ["chain", family, table, chain]:
            return family, table, chain
        case ["table", table, "chain", chain]:
            return "ip", table, chain
    return None


def _nft_options(words: Sequence[Word]) -> dict[str, Word] | None:
    """A rule as `key: value`, verdict included; None for anything that is not known here."""
    options: dict[str, Word] = {}
    rest = list(words)
    while rest:
        if rest[0] == "counter":
            rest = rest[5:] if rest[1:2] == ["packets"] else rest[1:]
        elif rest[0] == "comment":
            rest = rest[2:]
        elif rest[0] == "meta" and rest[1:2] != ["nfproto"]:
            rest = rest[1:]
        elif rest[0] == "masquerade":
            options["verdict"] = "masquerade"
            rest = rest[1:]
        elif rest[0] == "dnat":
            rest = [word for word in rest[1:] if word not in ("ip", "to")]
            options |= {"verdict": "dnat", "to": rest[0] if rest else ""}
            rest = rest[1:]
        elif len(rest) > 2 and rest[0] in ("ip", "tcp", "udp"):
            options[f"{rest[0]} {rest[1]}"] = rest[2]
            rest = rest[3:]
        elif len(rest) > 1 and rest[0] in ("oifname", "oif", "iifname", "iif"):
            options[str(rest[0]).replace("ifname", "if")] = rest[1]
            rest = rest[2:]
        else:
            return None
    return options


def _items(word: Word) -> Words:
    return (word,) if isinstance(word, str) else word


def _nft_masquerades(words: Sequence[Word], path: str, line: int) -> list[NatFound]:
    options = _nft_options(words)
    if options is None or options.get("verdict") != "masquerade" or options.keys() - {"verdict", "ip saddr", "oif"}:
        return []
    sources = [_network(item) for item in _items(options.get("ip saddr", "0.0.0.0/0"))]
    outs = _items(options.get("oif", ""))
    right = all(sources) and all(not out or _NAME.fullmatch(out) for out in outs)
    pairs = [(source, out) for source in sources for out in outs]
    return [MasqueradeRule(s, o, path, line) for s, o in pairs] if right and len(pairs) <= MAX_PRODUCTS else []


def _nft_forwards(words: Sequence[Word], path: str, line: int) -> list[NatFound]:
    options = _nft_options(words)
    known = {"verdict", "to", "ip daddr", "iif", "tcp dport", "udp dport"}
    if options is None or options.get("verdict") != "dnat" or options.keys() - known:
        return []
    made: list[NatFound] = []
    for proto in ("tcp", "udp"):
        if ports := _items(options.get(f"{proto} dport", ())):
            to, iface, address = (options.get(key, "") for key in ("to", "iif", "ip daddr"))
            if isinstance(to, str) and isinstance(iface, str) and isinstance(address, str):
                forward = _forward(proto, ports, to, iface, address, path, line)
                made += [forward] if forward else []
    return made


def _text(words: Sequence[Word]) -> str:
    return " ".join(word if isinstance(word, str) else "{ " + ", ".join(word) + " }" for word in words)
