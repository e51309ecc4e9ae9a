"""The table of everybody behind the hosts, as the API answers it: filters, times, CSV, who sees what."""

from datetime import datetime, timedelta
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from service.api.guest_schemas import FleetGuests
from service.formats import csv_cells
from service.model.observed import Lease
from tests.api.world import NOW, World, get, problem_of


def macs(found: dict[str, Any]) -> list[tuple[str, str]]:
    return [(one["ip"], one["host"]) for one in found["items"]]


async def test_the_whole_fleet_is_one_table_sorted_by_number(world: World) -> None:
    found = await get(world, "guests")
    assert macs(found) == [(ip, host) for ip in ("10.10.10.9", "10.10.10.100") for host in ("pve1", "pve2")]
    assert found["total"] == 4
    assert found["offered"] == {"hosts": ["pve1", "pve2"], "bridges": [], "kinds": {"unknown": 4}, "conflicts": 0}
    shown = FleetGuests.model_validate(found).model_dump(mode="json")
    assert shown == found


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("host=pve1", 2), ("name=g9", 2), ("mac=BC:24:11:00:00:09", 2), ("ip=10.10.10.100&host=pve2", 1),
        ("q=PVE2 g9", 1),
        ("kind=foreign", 0), ("kind=unknown", 4), ("conflict=true", 0), ("conflict=false", 4), ("bridge=vmbr0", 0),
    ],
)  # fmt: skip
async def test_filters_are_the_servers(world: World, query: str, found: int) -> None:
    answer = await get(world, f"guests?{query}&limit=1")
    assert (answer["total"], len(answer["items"])) == (found, min(found, 1))
    assert len(answer["offered"]["hosts"]) == 2, "what may be chosen does not depend on what was chosen"


@pytest.mark.parametrize("query", ["sort=nope", "limit=10001", "kind=x", "ip=9", "at=yesterday", "format=xml"])
async def test_what_nobody_can_answer_is_refused(world: World, query: str) -> None:
    assert (await world.ask("GET", f"/api/v1/guests?{query}")).status_code == 422


async def test_a_token_for_some_hosts_sees_their_guests_only(world: World) -> None:
    token = world.token("read", hosts=("pve2",))
    world.desk.unknown = {"pve1": None, "pve2": None}  # type: ignore[dict-item]
    found = (await world.ask("GET", "/api/v1/guests", token=token)).json()
    assert {one["host"] for one in found["items"]} == {"pve2"} == {*found["offered"]["hosts"]} == {*found["not_known"]}
    assert (await get(world, "guests"))["total"] == 4, "what was kept for one is not another's"
    answer = await world.ask("GET", "/api/v1/guests?host=pve1", token=token)
    assert (answer.status_code, problem_of(answer)["status"]) == (404, 404)


async def test_a_new_lease_is_there_at_once_and_an_old_one_runs_out_by_the_clock(world: World) -> None:
    before = await get(world, "guests?host=pve1")
    assert await get(world, "guests?host=pve1") == before
    end_s = int((NOW + timedelta(hours=1)).timestamp())
    world.history.store.seen_leases("pve1", [Lease("bc:24:11:00:00:0a", "10.10.10.10", "new", end_s)], at=NOW)
    assert {one["name"]: one["kind"] for one in (await get(world, "guests?host=pve1"))["items"]} == {
        "g9": "expired", "g100": "expired", "new": "unknown",
    }  # fmt: skip
    world.clock.pass_time(3601)
    assert {one["kind"] for one in (await get(world, "guests?host=pve1"))["items"]} == {"expired"}


HOSTILE = ["=1+1", "@x", "a,b\"c'd", "<script>alert(1)</script>", "\u202etxt.exe", "\x1b[31mred", "'quoted", "\ud800"]


async def test_csv_has_the_same_rows_and_no_formula(world: World) -> None:
    leases = [Lease(f"bc:24:11:00:00:{n:02x}", f"10.10.10.{n}", name, 0) for n, name in enumerate(HOSTILE, 20)]
    world.history.store.seen_leases("pve1", leases, at=NOW)
    answer = await world.ask("GET", "/api/v1/guests?format=csv&limit=1000")
    assert answer.headers["content-type"].startswith("text/csv")
    assert answer.headers["content-disposition"] == 'attachment; filename="guests.csv"'
    header, rows = csv_cells.read(answer.text)
    items = (await get(world, "guests?limit=1000"))["items"]
    assert [row[0] for row in rows] == [one["ip"] for one in items]
    for row, one in zip(rows, items, strict=True):
        told = dict(zip(header, row, strict=True))
        for column in ("mac", "host", "kind", "first_seen", "last_seen"):
            assert told[column] == (one[column] or "")
        assert told["name"] == csv_cells.harmless(one["name"]).removeprefix("'")
    assert (await world.ask("GET", "/api/v1/guests", headers={"Accept": "text/csv"})).text.startswith("ip,name,mac,")
    cut = await world.ask("GET", "/api/v1/guests?format=csv&limit=1&at=2026-11-17T03:00:00Z")
    assert cut.headers["content-disposition"] == 'attachment; filename="guests-20261117T0300.csv"'


SEEN = st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(0, 90))
STEPS = st.lists(st.tuples(st.integers(1, 50), st.lists(SEEN, max_size=4)), min_size=1, max_size=6)
"""Looks: so many minutes after the one before, and what each saw: MAC, address, how many minutes the lease lasts."""
FRESH = count()


Ends = dict[tuple[int, int], datetime | None]
"""(MAC, address) of leases, and when each runs out."""


def held_then(looks: list[tuple[datetime, Ends]], then: datetime) -> Ends:
    """What the last look before saw, each with the end that the last look in a row saw which still had it."""
    before = [leases for at, leases in looks if at <= then]
    held = dict(before[-1]) if before else {}
    going_on = set(held)
    for _, leases in looks[len(before) :]:
        going_on &= leases.keys()
        held |= {lease: leases[lease] for lease in going_on}
    return held


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(steps=STEPS, asked_min=st.integers(0, 200))
@example(steps=[(80, [(1, 1, 1)]), (2, [(1, 1, 0)])], asked_min=81).via("renewed at its end, between two looks")
async def test_who_had_an_address_then_is_as_a_model_says(world: World, steps: list[Any], asked_min: int) -> None:
    """The model: a lease is held from the first look that saw it until the look that missed it, or until its end. One
    that two looks in a row saw was there in between, so the end that the last of them saw is the one that counts.
    """
    host, at, looks = f"random{next(FRESH)}-", NOW, []
    for minutes, seen in steps:
        at += timedelta(minutes=minutes)
        leases = {(mac, ip): at + timedelta(minutes=lasts) if lasts else None for mac, ip, lasts in seen}
        looks.append((at, {lease: end for lease, end in leases.items() if end is None or end > at}))
        rows = [
            Lease(f"bc:24:11:00:00:0{mac}", f"10.10.10.{ip}", "", int(end.timestamp()) if end else 0)
            for (mac, ip), end in leases.items()
        ]
        world.history.store.seen_leases(host, rows, at=at)
    then = NOW + timedelta(minutes=asked_min, seconds=30)
    expected = {
        (f"bc:24:11:00:00:0{mac}", f"10.10.10.{ip}")
        for (mac, ip), end in held_then(looks, then).items() if end is None or end > then
    }  # fmt: skip
    query = f"guests?at={then:%Y-%m-%dT%H:%M:%SZ}&q={host}&limit=1000"
    found = {(one["mac"], one["ip"]) for one in (await get(world, query))["items"]}
    assert found == expected
