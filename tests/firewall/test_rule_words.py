"""A rule of nft in words: the same before and after it was loaded, and other words for whatever differs."""

import json
import subprocess
from collections import defaultdict
from collections.abc import Sequence

import pytest
from hypothesis import given, settings

from service.firewall.nft.guests import render_bridge_table
from service.firewall.nft.table import Table, render_table
from service.firewall.nft.words import chain_words, rule_words, table_words, thing_words
from service.hostside.canonical import nft_normal
from service.kinds.claims import Masquerades, Serves
from service.lab.waiting import grown_s
from service.model.states import Json
from tests.firewall.host_specs import FLEET, Section, firewall_of, guest_sections, sections
from tests.firewall.nft_words import kept

KEPT = kept()
CLAIMS = (Serves("dns", "vmbr0"), Masquerades("10.10.10.0/24", "enp1s0"))
PORT: Json = {"payload": {"protocol": "tcp", "field": "dport"}}
MAC = "02:00:00:00:00:0"
SAID = {
    "tcp dport { 80, 443, 8000-8010 }": {
        "match": {"op": "==", "left": PORT, "right": {"set": [443, {"range": [8000, 8010]}, 80]}}
    },
    'iifname != "vmbr0"': {"match": {"op": "!=", "left": {"meta": {"key": "iifname"}}, "right": "vmbr0"}},
    "ip6 saddr 2001:db8::/32": {
        "match": {
            "op": "==",
            "left": {"payload": {"protocol": "ip6", "field": "saddr"}},
            "right": {"prefix": {"addr": "2001:db8::", "len": 32}},
        }
    },
    "ct state established,related": {
        "match": {"op": "in", "left": {"ct": {"key": "state"}}, "right": ["established", "related"]}
    },
    "ether saddr vmap { 02:00:00:00:00:01 : jump a, 02:00:00:00:00:02 : goto b }": {
        "vmap": {
            "key": {"payload": {"protocol": "ether", "field": "saddr"}},
            "data": {"set": [[f"{MAC}2", {"goto": {"target": "b"}}], [f"{MAC}1", {"jump": {"target": "a"}}]]},
        }
    },
    "dnat ip to 10.10.10.20:8080": {"dnat": {"family": "ip", "addr": "10.10.10.20", "port": 8080}},
    "dnat ip6 to [2001:db8::1]:80": {"dnat": {"family": "ip6", "addr": "2001:db8::1", "port": 80}},
    'log prefix "x y" level info': {"log": {"prefix": "x y", "level": "info"}},
    '{"xt": null}': {"xt": None},
    '{"match": {"left": {"unheard": 1}, "op": "==", "right": 2}}': {
        "match": {"op": "==", "left": {"unheard": 1}, "right": 2}
    },
}


def normal_rules(expressions: Sequence[Json]) -> list[Json]:
    return [item["rule"] for item in nft_normal([{"rule": {"expr": expr}} for expr in expressions])]


@pytest.mark.parametrize("words", SAID)
def test_a_statement_in_words(words: str) -> None:
    assert rule_words({"expr": [SAID[words], {"accept": None}]}) == f"{words} accept"  # type: ignore[dict-item,list-item]


def test_what_has_no_words_stands_whole_and_says_nothing_else() -> None:
    assert rule_words({"expr": [{"drop": None}], "comment": 'a "b"'}) == 'drop comment "a \\"b\\""'
    assert rule_words({"expr": [{"drop": None}], "new": 1}) == 'drop {"new": 1}'
    assert chain_words({"name": "x", "type": "filter", "hook": "input", "prio": -5, "policy": "drop"}) == (
        "type filter hook input priority -5; policy drop"
    )
    assert chain_words({"name": "x", "family": "inet", "table": "t", "comment": "c"}) == '{"comment": "c"}'
    assert thing_words("table", {"family": "inet", "name": "t", "flags": ["x"]}) == 'table t {"flags": ["x"]}'
    assert rule_words({"expr": [{"match": {"op": "==", "left": PORT, "right": "22"}}]}) == 'tcp dport "22"'


@pytest.mark.parametrize("version", KEPT)
def test_rules_that_differ_never_have_the_same_words(version: str) -> None:
    by_words: dict[str, set[str]] = defaultdict(set)
    for said in KEPT[version].values():
        if isinstance(said, list):
            [body] = normal_rules([said])
            by_words[rule_words(body)].add(json.dumps(body, sort_keys=True))
    assert len(by_words) > 2600
    assert [found for found in by_words.values() if len(found) > 1] == []
    as_json = [words for words in by_words if '{"' in words]
    assert len(as_json) < 90, "most of what people write has words"


def tables(made: tuple[Section, Section], guests: Section) -> list[Table]:
    firewall = firewall_of(*made, CLAIMS, guests)
    return [table for table in (render_table(firewall), render_bridge_table(firewall)) if table is not None]


@given(sections(), guest_sections())
def test_whatever_we_write_has_words(made: tuple[Section, Section], guests: Section) -> None:
    for table in tables(made, guests):
        normal: list[Json] = [*nft_normal([item for item in table.normal if isinstance(item, dict)])]
        assert [line for line in table_words(normal) if '{"' in str(line)] == []


def in_words(table: Table) -> str:
    """The table's text with each rule in its words."""
    lines = [f"table {table.name} {{"]
    for chain in table.chains:
        lines.append(f"chain {chain.name} {{")
        head = chain_words(chain.head())
        lines += [f"{head};"] if head else []
        lines += map(rule_words, normal_rules([line.expr for line in chain.lines]))
        lines.append("}")
    return "\n".join([*lines, "}", ""])


@pytest.mark.host
@settings(max_examples=25, deadline=None)
@given(sections(), guest_sections())
def test_nft_takes_the_words_for_the_rules_that_they_stand_for(made: tuple[Section, Section], guests: Section) -> None:
    for table in tables(made, guests):
        done = subprocess.run(
            ["unshare", "-n", "sh", "-c", f"nft -f - && nft -s -j list table {table.name}"],
            input=in_words(table),
            capture_output=True,
            text=True,
            timeout=grown_s(30),
            check=False,
        )
        assert done.returncode == 0, f"{done.stderr}\n{in_words(table)}"
        wanted = nft_normal([item for item in table.normal if isinstance(item, dict)])
        assert nft_normal(json.loads(done.stdout)["nftables"]) == wanted


def test_the_sets_of_a_fleet_keep_the_order_of_people() -> None:
    section: Section = {"rules": [{"type": "in", "action": "drop", "source": "+bad"}]}
    [chain] = [chain for chain in render_table(firewall_of(section, FLEET)).chains if chain.name == "input"]
    said = [*map(rule_words, normal_rules([line.expr for line in chain.lines]))]
    assert "ip saddr { 10.0.0.0/16, 10.1.2.3, 10.2.0.0-10.255.255.255, 192.0.2.0/24, 203.0.113.5 } drop" in said
