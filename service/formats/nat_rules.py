"""Source NAT to the outgoing interface's address: what some table makes now, and our own table's text and file.

    masquerades(iptables_save, nft_objects) -> tuple[Masquerade, ...]   each rule counted once, whoever lists it
    render_nat_table(rules) -> (load text, normal form)                 what `nft -f` takes, what `nft -j` gives back
    render_nat_file(rules) -> bytes          parse_nat_file(data) -> tuple[Rule, ...] | None
    file_tokens(data) -> tuple[str, ...]     an nft file without comments and blanks

A rule is (source network, outgoing interface). `iptables` on Debian writes into nft's own table `ip nat`, so `nft -j
list ruleset` shows its rules too. That table is read from iptables-save if it could list it: its text has `*nat` and
comes from the nf_tables variant. Otherwise it is read from nft: iptables-save says "Table `nat' is incompatible" if
native rules are mixed in. Only rules that match source and outgoing interface and nothing else are masquerades here, as
`-s`, `-o` and `-j` alone. nft's JSON lists iptables' parts (`xt`) by name and leaves out their options (seen with nft
1.0.6 and 1.1.3). The names are enough: `comment` matches everything, each other match narrows the rule, and what
MASQUERADE may have without a match on ports only chooses them (iptables-extensions(8)). A part without a name says
nothing: `Unsaid`.
"""

import re
import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from ipaddress import AddressValueError, IPv4Address, IPv4Network, NetmaskValueError, summarize_address_range

from service.errors import InputError
from service.formats.read_once import read_once
from service.model.observed import MasqueradeInForce
from service.model.states import Json
from service.model.trees import quoted

TABLE = "passerelle_nat"
FAMILY = "inet"
CHAIN = "postrouting"
SRCNAT_PRIORITY = 100
"""What nft calls `srcnat` in the families ip, ip6 and inet (libnftables-json(5) shows the number)."""

MAX_PRODUCTS = 64


class Unsaid(ValueError):  # noqa: N818 (an answer: nobody knows)
    """nft's JSON leaves out what would say whether a rule masquerades."""


Rule = tuple[str, str]
"""(source network in CIDR form, outgoing interface)."""

_INTERFACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,14}")


def masquerades(iptables_save: str, nft_objects: Sequence[Mapping[str, Json]]) -> tuple[MasqueradeInForce, ...]:
    """Every masquerade of the host: `iptables-save -t nat`, and what is below "nftables" in `nft -j list ruleset`.

    Raises Unsaid."""
    listed = re.search(r"^\*nat$", iptables_save, re.MULTILINE) and "(nf_tables)" in iptables_save
    skip = {("ip", "nat")} if listed else set()
    found = from_iptables_save(iptables_save) + from_nft(nft_objects, skip)
    return tuple(sorted(found, key=lambda m: (m.source, m.out, m.table)))


def from_iptables_save(text: str) -> list[MasqueradeInForce]:
    """The masquerades of nat POSTROUTING, by meaning: quotes, order of options and comments do not count."""
    counts: Counter[Rule] = Counter()
    for line in text.splitlines():
        if line.startswith("-A POSTROUTING ") and line.find("MASQUERADE") > 0:
            rule = _iptables_rule(line)
            if rule is not None:
                counts[rule] += 1
    return [MasqueradeInForce(source, out, "iptables nat", count) for (source, out), count in counts.items()]


def _iptables_rule(line: str) -> Rule | None:
    try:
        rest = shlex.split(line)[2:]
    except ValueError:
        return None
    options: dict[str, str] = {}
    while rest:
        if rest[:3] == ["-m", "comment", "--comment"]:
            rest = rest[4:]
        elif len(rest) > 1 and rest[0] in ("-s", "-o", "-j") and rest[0] not in options:
            options[rest[0]] = rest[1]
            rest = rest[2:]
        else:
            return None
    source = _network(options.get("-s", "0.0.0.0/0"))
    return (source, options.get("-o", "")) if options.get("-j") == "MASQUERADE" and source else None


def from_nft(objects: Sequence[Mapping[str, Json]], skip: set[tuple[str, str]]) -> list[MasqueradeInForce]:
    """The masquerades in nft's nat chains at postrouting, but those of the tables in `skip` (family, name)."""
    chains: set[tuple[str, str, str]] = set()
    counts: Counter[tuple[str, Rule]] = Counter()
    for item in objects:
        chain, rule = item.get("chain"), item.get("rule")
        if isinstance(chain, dict) and (chain.get("type"), chain.get("hook")) == ("nat", "postrouting"):
            chains.add((str(chain.get("family")), str(chain.get("table")), str(chain.get("name"))))
        elif isinstance(rule, dict):
            family, table = str(rule.get("family")), str(rule.get("table"))
            if (family, table, str(rule.get("chain"))) in chains and (family, table) not in skip:
                for made in _nft_rules(rule.get("expr")):
                    counts[(f"nft {family} {table}", made)] += 1
    return [MasqueradeInForce(source, out, table, count) for (table, (source, out)), count in counts.items()]


def _nft_rules(expressions: Json) -> list[Rule]:
    """The (source, interface) pairs that a rule masquerades; none if it is not such a rule or asks for more."""
    sources, outs, made = ["0.0.0.0/0"], [""], False
    for expression in expressions if isinstance(expressions, list) else []:
        if not isinstance(expression, dict) or len(expression) != 1:
            return []
        kind, body = next(iter(expression.items()))
        if kind == "match" and isinstance(body, dict) and body.get("op") == "==":
            read = _match(body.get("left"), body.get("right"))
            if read is None:
                return []
            sources, outs = (read[0] or sources), (read[1] or outs)
        elif kind == "xt" and not (isinstance(body, dict) and body.get("name")):
            raise Unsaid("nft lists a part of iptables in a nat table without saying which one")
        elif kind == "masquerade" or body == {"type": "target", "name": "MASQUERADE"}:
            made = True
        elif kind != "counter" and body != {"type": "match", "name": "comment"}:
            return []
    pairs = [(source, out) for source in sources for out in outs]
    return pairs if made and len(pairs) <= MAX_PRODUCTS else []


def _match(left: Json, right: Json) -> tuple[list[str], list[str]] | None:
    """What a match says: (sources, []), ([], interfaces) or, if nothing more, ([], []). None if not understood."""
    if left == {"payload": {"protocol": "ip", "field": "saddr"}}:
        sources = [source for item in _items(right) for source in _sources(item)]
        return (sources, []) if sources and len(sources) <= MAX_PRODUCTS else None
    if left in ({"meta": {"key": "oifname"}}, {"meta": {"key": "oif"}}):
        outs = [item for item in _items(right) if isinstance(item, str)]
        return ([], outs) if outs and len(outs) == len(_items(right)) else None
    if left == {"meta": {"key": "nfproto"}} and right == "ipv4":
        return [], []
    return None


def _items(right: Json) -> list[Json]:
    inner = right.get("set") if isinstance(right, dict) else None
    return inner if isinstance(inner, list) else [right]


def _sources(item: Json) -> list[str]:
    """An address, a prefix or a range of nft's JSON as networks; empty if it is none."""
    try:
        match item:
            case str():
                return [str(IPv4Network(item))]
            case {"prefix": {"addr": str(address), "len": int(length)}}:
                return [str(IPv4Network((address, length)))]
            case {"range": [str(first), str(last)]}:
                return [str(n) for n in summarize_address_range(IPv4Address(first), IPv4Address(last))]
    except ValueError:
        pass
    return []


def _network(text: str) -> str | None:
    try:
        return str(IPv4Network(text, strict=False))
    except ValueError:
        return None


def check_rules(rules: Sequence[Rule]) -> list[Rule]:
    """The rules sorted, each once. InputError for what is not an IPv4 network in CIDR form or not an interface name."""
    for source, out in rules:
        try:
            right = re.fullmatch(r"[0-9./]{9,18}", source) and str(IPv4Network(source)) == source
        except (AddressValueError, NetmaskValueError, ValueError):
            right = False
        if not right:
            raise InputError(f"{quoted(source)} is not an IPv4 network such as 10.10.10.0/24")
        if not _INTERFACE.fullmatch(out):
            raise InputError(f"{quoted(out)} is not an interface name")
    return sorted(set(rules), key=lambda rule: (IPv4Network(rule[0]), rule[1]))


def render_nat_table(rules: Sequence[Rule]) -> tuple[str, list[Json]]:
    """Our table as nft reads it, and the normal form of what `nft -j list table` says of it afterwards."""
    checked = check_rules(rules)
    lines = [f'\t\tip saddr {_shown(source)} oifname "{out}" masquerade\n' for source, out in checked]
    head = f"table {FAMILY} {TABLE} {{\n\tchain {CHAIN} {{\n"
    hook = "\t\ttype nat hook postrouting priority srcnat; policy accept;\n"
    return head + hook + "".join(lines) + "\t}\n}\n", list(_normal(checked))


def _shown(source: str) -> str:
    """nft prints a network of one address without its prefix."""
    return source.removesuffix("/32")


def _normal(rules: Sequence[Rule]) -> Iterator[Json]:
    yield {"table": {"family": FAMILY, "name": TABLE}}
    hook: dict[str, Json] = {"type": "nat", "hook": "postrouting", "prio": SRCNAT_PRIORITY, "policy": "accept"}
    yield {"chain": {"family": FAMILY, "table": TABLE, "name": CHAIN, **hook}}
    for source, out in rules:
        network = IPv4Network(source)
        plain: Json = str(network.network_address)
        prefix: Json = {"prefix": {"addr": plain, "len": network.prefixlen}}
        expr: list[Json] = [
            _equals({"payload": {"protocol": "ip", "field": "saddr"}}, plain if network.prefixlen == 32 else prefix),
            _equals({"meta": {"key": "oifname"}}, out),
            {"masquerade": None},
        ]
        yield {"rule": {"family": FAMILY, "table": TABLE, "chain": CHAIN, "expr": expr}}


def _equals(left: Json, right: Json) -> Json:
    return {"match": {"op": "==", "left": left, "right": right}}


def render_nat_file(rules: Sequence[Rule]) -> bytes:
    """The file that the boot loads: it takes the place of a table that is already there."""
    table = f"table {FAMILY} {TABLE}\n"
    return f"# written by passerelle\n{table}delete {table}{render_nat_table(rules)[0]}".encode()


_TOKEN = re.compile(r'#[^\n]*|"[^"\n]*"|[{};,]|\n|[^\s{};,"#]+')


def file_tokens(data: bytes) -> tuple[str, ...]:
    """The words of an nft file: comments and blanks are gone, a line end or `;` is one `;`, quotes are taken off."""
    tokens: list[str] = []
    for match in _TOKEN.finditer(data.decode("utf-8", "replace").replace("\\\n", " ")):
        word = match[0]
        if word in ("\n", ";"):
            if tokens and tokens[-1] not in (";", "{", "}"):
                tokens.append(";")
        elif word == "}":
            if tokens and tokens[-1] == ";":
                tokens.pop()
            tokens.append(word)
        elif not word.startswith("#"):
            tokens.append(word.strip('"'))
    return tuple(tokens[:-1] if tokens and tokens[-1] == ";" else tokens)


@read_once
def parse_nat_file(data: bytes) -> tuple[Rule, ...]:
    """The rules that our own file makes at the next boot; none where it is not a file of ours any more."""
    text = " ".join(file_tokens(data))
    table = f"table {FAMILY} {TABLE}"
    match = re.fullmatch(
        rf"(?:(?:add )?{table} ; )?(?:(?:delete|flush) {table} ; )?{table} {{ chain {CHAIN} {{ "
        r"type nat hook postrouting priority (?:srcnat|100) ;(?: policy accept(?: ;|(?= })))?(?P<rules>[^{}]*) } }",
        text,
    )
    if match is None:
        return ()
    rules = [_file_rule(words) for words in match["rules"].split(";") if words.strip()]
    return tuple(rule for rule in rules if rule is not None) if None not in rules else ()


def _file_rule(text: str) -> Rule | None:
    words = [word for word in text.split() if word != "counter"]
    if len(words) != 6 or words[-1] != "masquerade":
        return None
    pairs = " ".join(words[:-1])
    match = re.fullmatch(r"ip saddr (\S+) (?:oifname|oif) (\S+)", pairs) or re.fullmatch(
        r"(?:oifname|oif) (?P<out>\S+) ip saddr (?P<source>\S+)", pairs
    )
    if match is None:
        return None
    named = match.groupdict()
    source, out = (named["source"], named["out"]) if named else (match[1], match[2])
    network = _network(source)
    return (network, out) if network and _INTERFACE.fullmatch(out) else None
