"""The pages about leases: the table with its filters, one address, the leases of a host, a lease made fixed."""

from datetime import timedelta

from service.model.observed import Lease
from tests.api.world import NOW, World
from tests.web.visitor import Visitor

COLUMNS = ("Address", "Name", "Kind", "Host", "Network", "MAC", "Declared in", "First seen", "Last seen", "Expires")


async def test_the_whole_fleet_is_one_table_by_number(visitor: Visitor) -> None:
    page = await visitor.look("/leases")
    assert page.faults == []
    assert page.h1 == "Leases"
    table = page.table("4 of 4 lines")
    assert [column.rstrip(" ▲") for column in table.columns] == list(COLUMNS)
    assert [(row[table.columns[0]], row["Host"]) for row in table.rows] == [
        ("10.10.10.9", "pve1"), ("10.10.10.9", "pve2"), ("10.10.10.100", "pve1"), ("10.10.10.100", "pve2"),
    ]  # fmt: skip


async def test_filters_are_in_the_address_and_offer_what_there_is(visitor: Visitor) -> None:
    page = await visitor.look("/leases?host=pve1&q=g9&sort=-name")
    (row,) = page.table("1 of 1 line").rows
    assert row["Host"] == "pve1"
    fields = page.form("/leases").fields
    assert (fields["host"], fields["q"], fields["sort"], fields["at"]) == ("pve1", "g9", "-name", "")
    assert [one.href for one in page.all_links if one.text in ("CSV", "JSON")] == [
        f"/api/v1/guests?q=g9&host=pve1&sort=-name&limit=10000&format={form}" for form in ("csv", "json")
    ]
    assert "Nobody fits." in (await visitor.look("/leases?q=nothing")).text


async def test_a_past_time_is_shown_as_one(visitor: Visitor, world: World) -> None:
    later = NOW + timedelta(hours=1)
    world.history.store.seen_leases("pve1", [Lease("bc:24:11:00:00:77", "10.10.10.9", "new", 0)], at=later)
    world.clock.pass_time(7200)
    page = await visitor.look(f"/leases?host=pve1&at={NOW:%Y-%m-%dT%H:%M}")
    assert page.faults == []
    assert "Leases that were held at" in page.text
    assert {row["Name"] for row in page.table("2 of 2 lines").rows} == {"g9", "g100"}
    page = await visitor.look("/leases?at=tuesday", status=422)
    assert "write it as in" in page.text


async def test_an_address_has_its_past_and_a_way_to_be_fixed(visitor: Visitor, world: World) -> None:
    page = await visitor.look("/leases/10.10.10.9")
    assert page.faults == []
    assert [row["Name"] for row in page.table("Who has the address, 2 lines").rows] == ["g9", "g9"]
    assert len(page.table("Who had the address, newest first").rows) == 2
    at = "/hosts/pve1/leases/10.10.10.9/fix"
    page = await visitor.look(at)
    assert page.faults == []
    assert "--- a/hosts/pve1.yaml" in page.text
    answer = await visitor.send("GET", f"{at}?format=patch")
    assert answer.text == "--- a/hosts/pve1.yaml\n"
    assert answer.headers["content-disposition"] == 'attachment; filename="pve1-fixed.patch"'


async def test_a_host_has_its_leases_and_pools(visitor: Visitor) -> None:
    page = await visitor.look("/hosts/pve1/leases")
    assert page.faults == []
    assert {row["Host"] for row in page.table("2 lines").rows} == {"pve1"}
    assert "2 leased, 1 reserved, 98 free of 101" in page.text


async def test_who_may_see_one_host_finds_nobody_elsewhere(world: World) -> None:
    other = Visitor(world, ("read",), ("pve2",))
    assert {row["Host"] for row in (await other.look("/leases")).table("2 of 2 lines").rows} == {"pve2"}
    await other.look("/hosts/pve1/leases", status=404)


async def test_a_row_changes_when_its_lease_does(visitor: Visitor, world: World) -> None:
    await visitor.look("/leases?host=pve1")
    world.history.store.seen_leases("pve1", [Lease("bc:24:11:00:00:09", "10.10.10.9", "<b>&amp;", 0)], at=NOW)
    page = await visitor.look("/leases?host=pve1")
    rows = {row["Name"]: row["Kind"] for row in page.table("2 of 2 lines").rows}
    assert rows == {"<b>&amp;": "? Unknown", "g100": "– Expired"}
