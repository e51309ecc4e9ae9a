"""The page of trends, as its HTML says it."""

from datetime import timedelta

from service.model.guests import PoolFill
from tests.api.world import NOW, World
from tests.web.visitor import Visitor

DAY = timedelta(days=1)


async def test_each_day_is_a_row_and_a_day_without_a_look_is_not_zero(world: World) -> None:
    world.history.store.finish_apply(world.apply_id(), "RolledBack", at=NOW)
    world.clock.pass_time(2 * 86_400)
    world.history.store.seen_hosts({"pve1": NOW + 2 * DAY})
    visitor = Visitor(world)  # whose session of two days ago would be over
    page = await visitor.look("/trends?days=7")
    assert page.faults == []
    table = page.table("7 days, the newest first; 2 of them are known").element
    rows = {row.all("th")[0].text: [cell.text for cell in row.all("td")] for row in table.all("tr") if row.all("td")}
    assert rows["2026-03-03 (today)"] == ["1", "0", "0", "4", "0", "–", "–", "–"]
    assert rows["2026-03-02"] == ["not known"]
    assert rows["2026-03-01"][:5] == ["2", "4", "0", "4", "1"]
    assert page.states == ["Rolled back"]
    pictures = page.main.all("svg")
    assert [one["aria-label"] for one in pictures] == [
        "Differences open at the end of each day", "Applies that ended", "From a commit to the host",
        "Addresses in use at most",
    ]  # fmt: skip
    assert "5 not known" in pictures[0].first("desc").text


async def test_of_one_host_each_range_is_shown(visitor: Visitor, world: World) -> None:
    hostile = PoolFill("pve1", "vm\u202e<b>1", "10.10.10.10", "10.10.10.19", 10, 6, 1)
    world.history.store.seen_pools("pve1", [hostile], at=NOW)
    page = await visitor.look("/trends?host=pve1&days=7")
    assert page.faults == []
    (row,) = page.table("Ranges of addresses of pve1").rows
    assert (row["Free"], row["Size"], row["Range"]) == ("3", "10", "10.10.10.10 – 10.10.10.19")
    assert "\u202e" not in visitor.answer.text
    assert "<b>1" not in visitor.answer.text
    assert page.form("/trends").fields == {"host": "pve1", "days": "7"}


async def test_a_host_that_is_not_there_and_days_that_are_none(visitor: Visitor) -> None:
    assert (await visitor.look("/trends?host=pve9", status=404)).faults == []
    assert (await visitor.look("/trends?days=soon", status=422)).faults == []


async def test_nothing_is_known_of_an_empty_service(visitor: Visitor, empty: World) -> None:
    page = await Visitor(empty).look("/trends")
    assert page.faults == []
    assert "Nothing is known of these days yet." in page.text
