"""500 payloads in every string of a firewall: what is taken never becomes another word of nft or another line of a
file of Proxmox's."""

import re
from collections.abc import Iterator
from functools import cache

import pytest
from pydantic import ValidationError

from service.errors import InputError
from service.firewall.nft.guests import render_bridge_table
from service.firewall.nft.table import render_table
from service.firewall.pve.files import read_cluster
from service.firewall.pve.render import canonical, render
from service.firewall.terms.model import Alias, IPSet, IPSetEntry, Level, Rule, SecurityGroup
from tests.firewall.host_specs import FLEET, GUESTS, Section, firewall_of

BAD = [
    "", " ", "\n", "\r", "\t", "\0", "\x1b[2J", '"', "'", "`", "\\", ";", "#", "{", "}", "$(reboot)", "${IFS}",
    "|", "&&", "@set", "; drop", "\naccept", "\n}\n", "} chain x {", "accept", "drop", "jump refuse",
    "goto to_guests", "flush ruleset", "delete table inet passerelle", 'include "/etc/shadow"', "define x = 1",
    "$x", "0", "00", "-1", "65536", "99999999999", "*", "!", "!=", "-", "--", "/", "/0", "/33", ":", "::", ",",
    ",,", "+", "+dc/", "dc/", "guest/x", "any", "[RULES]", "[OPTIONS]\nenable: 0", "IN ACCEPT", "|IN ACCEPT",
    "-p tcp", "-dport 22", "# x", "é", "ß", "\u202e", "\u2028", "\ufeff", "𝟙", "１", "%s", "{0}",
    "../../etc/passwd", "a" * 300, "a" * 5000, "1" * 40, "\ud800",
]  # fmt: skip
pytestmark = pytest.mark.long

GOOD = ["22", "192.0.2.1", "web", "tcp", "vmbr0", "SSH", "+bad"]
RULE: Section = {"type": "in", "action": "accept", "proto": "tcp", "dport": "22", "source": "192.0.2.1"}
RULE_FIELDS = [
    "type", "action", "macro", "source", "dest", "proto", "dport", "sport", "icmp_type", "iface", "log", "comment",
]  # fmt: skip
OTHER_FIELDS = [
    "policy_in", "policy_out", "group", "alias", "cidr", "set", "entry", "guest", "mac", "address", "address6", "port",
    "guest policy", "guest rule",
]  # fmt: skip
WORDS = frozenset(
    """table chain type filter hook priority policy accept drop return jump goto reject with tcp reset meta pkttype
    l4proto nfproto ipv4 ipv6 iifname oifname ether saddr daddr arp ip ip6 icmp icmpv6 code udp sctp dport sport
    ct state established related invalid vmap limit rate 1/second burst 5 packets log prefix level inet
    bridge passerelle input
    output forward prerouting refuse raw broadcast multicast { } : != emerg alert crit err warn notice info debug guests
    to_guests -300""".split()  # noqa: SIM905 (a list of words reads best as words)
)
NAME = re.compile(r'"[a-z][A-Za-z0-9_-]{0,14}"|"passerelle: "|(in|out|own|from|to)_[a-z0-9-]{1,63}')
NUMBER = re.compile(r"[0-9a-f.:]+(/[0-9]+)?(-[0-9a-f.:]+)?")


@cache
def payloads() -> tuple[str, ...]:
    """500: each bad thing alone, before, behind and within good ones."""
    made = [*BAD]
    for good in GOOD:
        for bad in BAD:
            made += [bad + good, good + bad, good[:1] + bad + good[1:]]
    return tuple(dict.fromkeys(made))[:: max(1, len(made) // 500)][:500]


def section_with(field: str, text: str) -> tuple[Section, Section, Section]:
    """Host, fleet and guests with the text in one place."""
    host: Section = {"rules": [RULE]}
    fleet: Section = {"aliases": FLEET["aliases"], "ipsets": {"bad": FLEET["ipsets"]["bad"]}}
    guests: Section = {"dev": {**GUESTS["dev"], "port": "veth-dev", "firewall": {"rules": [RULE]}}}
    dev = guests["dev"]
    if field in RULE_FIELDS:
        host["rules"] = [{**RULE, field: text}]
    elif field.startswith("policy"):
        host[field] = text
    elif field == "group":
        fleet["groups"] = {text: [RULE]}
        host["rules"] = [{"type": "group", "action": text}]
    elif field in ("alias", "cidr"):
        fleet["aliases"] = {text: "192.0.2.9"} if field == "alias" else {**FLEET["aliases"], "it": text}
        host["rules"] = [{**RULE, "source": text if field == "alias" else "it"}]
    elif field in ("set", "entry"):
        fleet["ipsets"] = {text: ["192.0.2.9"]} if field == "set" else {**fleet["ipsets"], "it": [text]}
        host["rules"] = [{**RULE, "source": f"+{text}" if field == "set" else "+it"}]
    elif field == "guest":
        guests = {text: dev}
    elif field == "guest policy":
        dev["firewall"]["policy_in"] = text
    elif field == "guest rule":
        dev["firewall"]["rules"] = [{**RULE, "dest": text}]
    else:
        dev[field] = text
    return host, fleet, guests


def tables(field: str, text: str) -> Iterator[str]:
    """The text of the tables; nothing where the value is refused."""
    host, fleet, guests = section_with(field, text)
    try:
        firewall = firewall_of(host, fleet, (), guests)
    except (ValidationError, AssertionError):
        return
    for table in (render_table(firewall), render_bridge_table(firewall)):
        if table is not None:
            yield table.load


def strange(load: str) -> list[str]:
    """The words of a table's text that are not words of nft, numbers, addresses or plain names."""
    found = []
    for line in load.split("\n"):
        plain = re.sub(r'"[^"\n]*"', lambda name: "" if NAME.fullmatch(name[0]) else name[0], line)
        found += [
            word
            for word in plain.replace("established,related", "").split()
            if (bare := word.rstrip(",;")) not in WORDS and not NAME.fullmatch(bare) and not NUMBER.fullmatch(bare)
        ]
    return found


@pytest.mark.parametrize("field", [*RULE_FIELDS, *OTHER_FIELDS])
def test_nothing_in_a_field_becomes_another_word_of_nft(field: str) -> None:
    plain = [load.count("\n") for load in tables("comment", "fine")]
    taken = 0
    for text in payloads():
        for number, load in enumerate(tables(field, text)):
            taken += 1
            assert strange(load) == [], (field, text)
            assert load.count("table ") == 1, (field, text)
            assert abs(load.count("\n") - plain[number]) < 8, (field, text)
    assert taken < 2 * len(payloads()) or field == "comment"


def test_there_are_five_hundred_payloads_and_the_judge_sees_strange_words() -> None:
    assert len(payloads()) == 500
    [inet, bridge] = tables("comment", "fine")
    assert strange(inet) == strange(bridge) == []
    assert strange(inet.replace("tcp dport 22 accept", "tcp dport 22 accept; flush ruleset", 1))
    assert strange(inet.replace("192.0.2.1", "$(reboot)", 1))


LEVEL_FIELDS = [
    *[name for name in RULE_FIELDS if name != "comment"],
    "comment",
    "alias",
    "cidr",
    "set",
    "entry",
    "group",
]


@pytest.mark.parametrize("field", LEVEL_FIELDS)
def test_nothing_in_a_field_becomes_another_line_of_a_file_of_proxmox(field: str) -> None:
    rule = Rule("in", "ACCEPT", proto="tcp", dport="22", source="192.0.2.1", family=4)
    written = 0
    for text in payloads():
        level = Level("cluster", "cluster.fw", rules=(rule,))
        if field in ("alias", "cidr"):
            name, cidr = (text, "192.0.2.9") if field == "alias" else ("it", text)
            level = Level("cluster", "cluster.fw", aliases={name.lower(): Alias(name, cidr, 4)}, rules=(rule,))
        elif field in ("set", "entry"):
            name, cidr = (text, "192.0.2.9") if field == "set" else ("it", text)
            level = Level("cluster", "cluster.fw", ipsets={name: IPSet(name, (IPSetEntry(cidr),))}, rules=(rule,))
        elif field == "group":
            level = Level("cluster", "cluster.fw", groups={text: SecurityGroup(text, (rule,))}, rules=(rule,))
        else:
            values = {name: getattr(rule, name) for name in RULE_FIELDS} | {field: text}
            level = Level("cluster", "cluster.fw", rules=(Rule(**values, family=4), rule))
        try:
            data = render(level)
        except InputError:
            continue
        written += 1
        again = read_cluster(data).level
        assert (again.rules, again.aliases, again.groups) == (level.rules, level.aliases, level.groups), text
        assert again.ipsets == canonical(level).ipsets, text
    assert written < len(payloads())
