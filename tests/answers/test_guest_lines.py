"""The table of everybody behind the hosts: kinds, conflicts, where a guest is declared, order, filters."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from itertools import pairwise
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.answers.guest_lines import GuestLines
from service.history.columns import ip_order, microseconds
from service.model.guest_lines import (
    MOST_FACTS,
    GuestLine,
    LeaseFact,
    LinesAsked,
    LineSort,
    chosen,
    is_cut,
    offered,
)
from service.model.states import Unknown
from tests.answers.test_guest_views import LEASES, LXC, SPEC, looked_at
from tests.reconcile.test_control import Desk

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
HOUR_US = 3_600_000_000
NOW_US = microseconds(NOW)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path / "desk")


def fact(
    mac: str, ip: str, name: str = "", end: int | None = None, *, host: str = "pve1", held: bool = True
) -> LeaseFact:
    return (host, mac, ip, ip_order(ip), name, NOW_US - 2 * HOUR_US, NOW_US - HOUR_US, end, held)


FACTS = [fact(one.mac, one.address, one.name, 1 if one.expires else None) for one in LEASES]


def short(line: GuestLine) -> tuple[Any, ...]:
    return (line.ip, line.name, line.kind, line.bridge, f"{line.file}:{line.line}" if line.file else "", line.conflict)


async def test_every_line_says_who_it_is_and_where_that_is_declared(desk: Desk) -> None:
    await looked_at(desk)
    lines = chosen(await desk.answers.guest_lines(FACTS, is_past=False), LinesAsked()).lines
    at = {
        name: number
        for number, text in enumerate(SPEC.splitlines(), 1)
        for name in ("dev", "web")
        if f"{name}: {{mac" in text
    }
    assert [short(line) for line in lines] == [
        ("10.10.10.9", "", "foreign", "vmbr0", "", None),
        ("10.10.10.100", "dev", "dynamic", "vmbr0", f"hosts/pve1.yaml:{at['dev']}", None),
        ("10.10.10.101", "alpine", "dynamic", "vmbr0", f"{LXC}:0", None),
        ("10.10.10.102", "web", "waiting", "vmbr0", f"hosts/pve1.yaml:{at['web']}", None),
        ("10.10.10.105", "Stranger", "foreign", "vmbr0", "", None),
        ("10.10.10.106", "old", "expired", "vmbr0", "", None),
    ]


async def test_who_knows_a_guest_is_told(desk: Desk) -> None:
    await looked_at(desk, SPEC.replace("  dev:", "  other:"))
    lines = await desk.answers.guest_lines(FACTS, is_past=False)
    assert {one.name: one.source for one in lines if one.kind == "dynamic"} == {"alpine": "settings", "other": "spec"}


async def test_a_guest_at_its_own_address_is_fixed_and_one_elsewhere_is_in_conflict(desk: Desk) -> None:
    await looked_at(desk)
    lines = await desk.answers.guest_lines([fact("bc:24:11:00:00:02", "10.10.10.102")], is_past=False)
    (line,) = [one for one in lines if one.name == "web"]
    assert (line.kind, line.in_pool, line.conflict) == ("fixed", True, None)
    lines = await desk.answers.guest_lines([fact("bc:24:11:00:00:77", "10.10.10.102")], is_past=False)
    taken = [one for one in lines if one.ip == "10.10.10.102"]
    assert [(one.kind, one.conflict) for one in taken] == [
        ("foreign", "reserved-for-another"), ("waiting", "reserved-for-another"),
    ]  # fmt: skip
    two = [fact(f"bc:24:11:00:00:{n}", "10.10.10.105") for n in (77, 78)]
    lines = await desk.answers.guest_lines(two, is_past=False)
    assert [one.conflict for one in lines if one.kind == "foreign"] == ["address-twice"] * 2
    assert "bc:24:11:00:00:77 and bc:24:11:00:00:78" in lines[0].text


async def test_unknown_is_never_foreign_and_never_waiting(desk: Desk) -> None:
    await looked_at(desk)
    standing = desk.rounds.standing("pve1")
    assert standing.observed is not None
    standing.observed = replace(standing.observed, leases=Unknown("no such file"))
    lines = await desk.answers.guest_lines([], is_past=False)
    assert {one.kind for one in lines} == {"unknown"}
    of_others = [fact("bc:24:11:00:00:77", "10.10.10.9", host="elsewhere"), fact("", "fd00::9", "six")]
    lines = await desk.answers.guest_lines(of_others, is_past=False)
    assert {one.kind for one in lines if one.name in ("", "six")} == {"unknown"}


async def test_where_not_all_leases_were_read_nobody_is_known_to_have_none(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    await looked_at(desk)
    lines = await desk.answers.guest_lines(FACTS, is_past=False)
    assert [one.kind for one in lines if one.name == "web"] == ["waiting"]
    monkeypatch.setattr("service.model.guest_lines.MOST_FACTS", sum(fact[-1] for fact in FACTS))
    assert is_cut(FACTS, held=True) and not is_cut(FACTS, held=False)
    lines = await desk.answers.guest_lines(FACTS, is_past=False)
    assert [one.kind for one in lines if one.name == "web"] == ["unknown"]


def test_leases_of_the_past_and_of_now_are_limited_each_for_itself() -> None:
    many = [fact("", "10.0.0.1", held=held) for held in (True, False)] * (MOST_FACTS // 2)
    assert not any(is_cut(many, held=held) for held in (True, False))
    assert is_cut([*many, *many], held=True)


async def test_a_past_time_has_who_held_a_lease_and_nobody_who_waits(desk: Desk) -> None:
    await looked_at(desk)
    lines = await desk.answers.guest_lines(FACTS, is_past=True)
    assert {one.ip: one.kind for one in lines} == {
        "10.10.10.9": "foreign", "10.10.10.100": "dynamic", "10.10.10.101": "dynamic", "10.10.10.105": "foreign",
        "10.10.10.106": "foreign",
    }  # fmt: skip


def test_lines_are_made_again_only_where_something_is_another() -> None:
    made = GuestLines(lambda spec: ())
    facts = [fact(f"bc:24:11:00:00:0{n}", f"10.10.10.{n}", host=f"pve{n}", end=NOW_US + n * HOUR_US) for n in (1, 2)]
    first = made.now(facts, {}, NOW)
    assert made.now([*facts], {}, NOW + timedelta(minutes=59)) is first
    later = made.now(facts, {}, NOW + timedelta(minutes=61))
    assert [one.kind for one in later] == ["expired", "unknown"]
    assert later[1] is first[1]
    changed = made.now([facts[0], fact("bc:24:11:00:00:02", "10.10.10.2", "new", host="pve2")], {}, NOW)
    assert [one.name for one in changed] == ["", "new"]
    assert [one.name for one in made.now(facts[:1], {}, NOW)] == [""]


ADDRESSES = st.one_of(st.ip_addresses(v=4).map(str), st.ip_addresses(v=6).map(str))
LINES = st.builds(
    lambda ip, name, number, kind: GuestLine(
        f"pve{number % 3}", ip, ip_order(ip) if ip else "", name, f"bc:24:11:00:00:{number:02x}",
        f"vmbr{number % 2}", kind, None, "", False, "", 0, number or None, number or None, None, None, "",
    ),
    st.one_of(st.just(""), ADDRESSES), st.text(max_size=8), st.integers(0, 99),
    st.sampled_from(["fixed", "dynamic", "foreign", "waiting", "expired", "unknown"]),
)  # fmt: skip


@given(st.lists(LINES), st.sampled_from(get_args(LineSort)))
def test_an_order_loses_nothing_and_addresses_are_numbers(lines: list[GuestLine], sort: LineSort) -> None:
    found = chosen(lines, LinesAsked(sort=sort, limit=10_000))
    assert sorted(map(repr, found.lines)) == sorted(map(repr, lines))
    if sort.removeprefix("-") == "ip":
        numbers = [(ip_address(one.ip).version, int(ip_address(one.ip))) for one in found.lines if one.ip]
        assert numbers == sorted(numbers, reverse=sort == "-ip")
        assert all(before.ip or not after.ip for before, after in pairwise(found.lines))


@given(st.lists(LINES), st.integers(1, 5), st.sampled_from(["pve1", ""]), st.sampled_from(["", "VMBR1 pve2", "ff:"]))
def test_filters_are_what_they_say_and_the_rest_is_counted(
    lines: list[GuestLine], limit: int, host: str, q: str
) -> None:
    found = chosen(lines, LinesAsked(host=host, q=q, limit=limit))
    words = q.casefold().split()
    fits = [
        one for one in lines
        if one.host == (host or one.host) and all(any(w in str(v).casefold() for v in one[:8]) for w in words)
    ]  # fmt: skip
    assert found.total == len(fits)
    assert len(found.lines) == min(limit, len(fits))
    assert set(map(repr, found.lines)) <= set(map(repr, fits))
    offers = offered(lines)
    assert sum(offers.kinds.values()) == len(lines)
    assert offers.hosts == sorted({one.host for one in lines})
