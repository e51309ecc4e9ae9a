"""Source NAT as iptables and nft tell of it, and our own table."""

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import InputError
from service.formats.nat_rules import (
    Unsaid,
    file_tokens,
    masquerades,
    parse_nat_file,
    render_nat_file,
    render_nat_table,
)
from service.hostside.canonical import masquerade_counts, nft_normal
from service.model.observed import MasqueradeInForce

HERE = Path(__file__).parent / "nat"
RULES = [("10.10.10.0/24", "enp1s0"), ("10.20.0.0/20", "vmbr0.5"), ("10.1.1.1/32", "a-b_c"), ("0.0.0.0/0", "e1")]


def recorded(case: str) -> tuple[str, list[dict[str, object]]]:
    """(iptables-save text, nft objects) as a Debian 12 kernel gave them."""
    nft = json.loads((HERE / f"{case}.nft.json").read_text())["nftables"]
    return (HERE / f"{case}.iptables-save").read_text(), nft


def test_rules_of_iptables_nft_are_counted_once_though_both_programs_list_them() -> None:
    save, objects = recorded("mixed")
    made = masquerades(save, objects)  # type: ignore[arg-type]  # JSON as json.loads types it
    assert [m for m in made if m.table == "iptables nat"] == [
        MasqueradeInForce("0.0.0.0/0", "enp1s0", "iptables nat"),
        MasqueradeInForce("10.10.10.0/24", "enp1s0", "iptables nat", 2),
    ]
    assert not any(m.table == "nft ip nat" for m in made)


def test_a_table_that_iptables_cannot_list_is_read_from_nft() -> None:
    save, objects = recorded("incompatible")
    made = masquerades(save, objects)  # type: ignore[arg-type]  # JSON as json.loads types it
    assert [(m.source, m.out, m.count) for m in made if m.table == "nft ip nat"] == [
        ("0.0.0.0/0", "enp1s0", 1),
        ("10.10.10.0/24", "enp1s0", 2),
        ("10.10.12.0/24", "enp1s0", 1),
        ("10.77.0.0/16", "enp1s0", 1),
    ]


def test_a_part_of_iptables_counts_by_its_name_and_one_without_a_name_is_unknown() -> None:
    """What `nft -j` 1.0.6 and 1.1.3 list for rules of iptables-nft: names without options."""
    chain = {"chain": {"family": "ip", "table": "nat", "name": "P", "type": "nat", "hook": "postrouting"}}

    def made(*parts: object) -> list[tuple[str, str]]:
        out = {"match": {"op": "==", "left": {"meta": {"key": "oifname"}}, "right": "e1"}}
        rule = {"rule": {"family": "ip", "table": "nat", "chain": "P", "expr": [out, {"counter": None}, *parts]}}
        return [(m.source, m.out) for m in masquerades("", [chain, rule])]  # type: ignore[list-item]

    target = {"xt": {"type": "target", "name": "MASQUERADE"}}
    assert made(target) == made({"xt": {"type": "match", "name": "comment"}}, target) == [("0.0.0.0/0", "e1")]
    assert made({"xt": {"type": "match", "name": "addrtype"}}, target) == []
    assert made({"xt": {"type": "target", "name": "SNAT"}}) == []
    for body in (None, {"type": "match"}):
        with pytest.raises(Unsaid, match="without saying which one"):
            made({"xt": body}, target)


def test_rules_in_nft_count_by_meaning_and_narrower_ones_do_not() -> None:
    save, objects = recorded("mixed")
    made = masquerades(save, objects)  # type: ignore[arg-type]  # JSON as json.loads types it
    assert [(m.source, m.out, m.count) for m in made if m.table == "nft ip x"] == [
        ("0.0.0.0/0", "", 2),
        ("10.0.0.0/8", "lo", 1),
        ("10.1.0.0/16", "a", 1),
        ("10.1.0.0/16", "b", 1),
        ("10.2.0.0/16", "a", 1),
        ("10.2.0.0/16", "b", 1),
        ("10.3.0.0/16", "en*", 1),
        *[(n, "en", 1) for n in ("10.3.0.1/32", "10.3.0.2/31", "10.3.0.4/30", "10.3.0.8/31")],
        ("10.9.9.0/24", "en", 1),
    ]
    assert [m for m in made if m.table == "nft inet passerelle_nat"] == [
        MasqueradeInForce("10.10.10.0/24", "enp1s0", "nft inet passerelle_nat"),
        MasqueradeInForce("10.10.11.1/32", "enp1s0", "nft inet passerelle_nat"),
    ]


def test_both_sides_count_iptables_rules_alike() -> None:
    save, _ = recorded("mixed")
    counted = {f"{m.source}>{m.out}": m.count for m in masquerades(save, []) if m.source != "0.0.0.0/0"}
    assert counted == {name: count for name, count in masquerade_counts(save).items() if "+" not in name}


def test_our_table_is_what_the_kernel_gives_back() -> None:
    objects = json.loads((HERE / "own.nft.json").read_text())["nftables"]
    assert nft_normal(objects) == render_nat_table(RULES)[1]


def test_the_file_of_a_table_is_read_back_as_its_rules() -> None:
    assert set(parse_nat_file(render_nat_file(RULES))) == set(RULES)
    assert parse_nat_file(render_nat_file([])) == ()


@pytest.mark.parametrize(
    "edit",
    [
        (b"\t", b"    "),
        (b"; policy", b"\n\t\tpolicy"),
        (b'"enp1s0"', b"enp1s0"),
        (b"srcnat", b"100"),
        (b"# written by passerelle\n", b"\n\n# other words\n"),
    ],
)
def test_an_edit_that_changes_no_rule_changes_no_meaning_of_the_file(edit: tuple[bytes, bytes]) -> None:
    data = render_nat_file(RULES)
    changed = data.replace(*edit)
    assert changed != data
    assert parse_nat_file(changed) == parse_nat_file(data)


@pytest.mark.parametrize(
    "edit", [(b"masquerade\n", b"accept\n"), (b"chain", b"chian"), (b"}\n}", b"}"), (b"nat hook", b"x")]
)
def test_a_file_that_nft_or_we_would_read_otherwise_makes_no_rule(edit: tuple[bytes, bytes]) -> None:
    assert parse_nat_file(render_nat_file(RULES).replace(*edit)) == ()


def test_blanks_and_comments_are_no_difference_and_a_word_is() -> None:
    data = render_nat_file(RULES)
    spaced = re.sub(rb"[ \t]+", b"  ", data).replace(b"\n", b" # c\n")
    assert file_tokens(spaced) == file_tokens(data)
    assert file_tokens(data.replace(b"10.1.1.1", b"10.1.1.2")) != file_tokens(data)


@pytest.mark.parametrize(
    "rule",
    [
        ("10.10.10.1/24", "enp1s0"),
        ("10.10.10.0", "enp1s0"),
        ("fd00::/64", "enp1s0"),
        ("10.10.10.0/24\n", "enp1s0"),
        ("10.10.10.0/24", 'enp1s0" accept; "'),
        ("10.10.10.0/24", "enp*"),
        ("10.10.10.0/24", ""),
        ("", "enp1s0"),
    ],
)
def test_a_rule_that_cannot_be_written_is_refused(rule: tuple[str, str]) -> None:
    with pytest.raises(InputError):
        render_nat_table([rule])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=10,
)


@given(st.lists(JSON, max_size=4), st.text(max_size=100))
def test_no_rule_of_a_hostile_host_stops_the_reader(expressions: list[object], save: str) -> None:
    place = {"family": "ip", "table": "x", "chain": "p"}
    objects = [
        {"chain": {"family": "ip", "table": "x", "name": "p", "type": "nat", "hook": "postrouting"}},
        {"rule": place | {"expr": expressions}},
        {"rule": place | {"expr": [{"match": {"op": "==", "left": x, "right": x}} for x in expressions]}},
    ]
    assert masquerades("-A POSTROUTING -j MASQUERADE " + save, objects) is not None  # type: ignore[arg-type]
