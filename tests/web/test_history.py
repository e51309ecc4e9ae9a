"""The timeline, the audit log, and both as files."""

import csv
import io
import json
from datetime import timedelta

from service.model.events import SourceTrouble
from service.web.pages.history import cell
from tests.api.world import NOW, World
from tests.web.visitor import Visitor

HOSTILE = "=cmd|' /C calc'!A0 <script>alert(1)</script> \u202e txt"


async def test_the_newest_is_first_and_each_filter_is_in_the_address(visitor: Visitor, world: World) -> None:
    world.history.store.add_event(SourceTrouble(why="the forge is away"), at=NOW + timedelta(hours=1))
    page = await visitor.look("/history")
    assert page.faults == []
    rows = page.table("").rows
    assert (rows[0]["When (UTC)"], rows[0]["Kind"]) == ("2026-03-01 13:00:00", "source.trouble")
    assert "the forge is away" in rows[0]["What"]
    page = await visitor.look("/history?host=pve1&type=drift.found")
    assert {(row["Host"], row["Kind"]) for row in page.table("").rows} == {("pve1", "drift.found")}
    form = page.form("/history")
    assert (form.fields["host"], form.fields["type"]) == ("pve1", "drift.found")
    assert page.links["CSV"] == "/history.csv?host=pve1&type=drift.found"


async def test_a_part_of_time_is_chosen(visitor: Visitor, world: World) -> None:
    for hours in range(1, 6):
        world.history.store.add_event(SourceTrouble(why=f"why {hours}"), at=NOW + timedelta(hours=hours))
    page = await visitor.look("/history?since=2026-03-01T14:00&until=2026-03-01T16:00")
    assert [row["When (UTC)"] for row in page.table("").rows] == ["2026-03-01 15:00:00", "2026-03-01 14:00:00"]
    assert (await visitor.look("/history?since=2026-03-02")).text.count("Nothing of this kind") == 1
    assert (await visitor.look("/history?since=soon", status=422)).faults == []


async def test_older_parts_are_links_and_miss_nothing(visitor: Visitor, world: World) -> None:
    for number in range(230):
        world.history.store.add_event(SourceTrouble(why=f"why {number}"), at=NOW)
    found, address = [], "/history?type=source.trouble"
    while address:
        page = await visitor.look(address)
        assert page.faults == []
        found += [row["What"] for row in page.table("").rows]
        address = page.links.get("Earlier", "")
    assert len(found) == len(set(found)) == 230
    assert "why 229" in found[0]
    assert "The newest" in page.links


async def test_the_files_have_everything_that_the_filters_choose(visitor: Visitor, world: World) -> None:
    for number in range(410):
        world.history.store.add_event(SourceTrouble(why=f"why {number}"), at=NOW)
    answer = await visitor.send("GET", "/history.jsonl?type=source.trouble")
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert [one["text"].rpartition("why ")[2] for one in lines] == [str(number) for number in range(410)]
    assert "attachment" in answer.headers["content-disposition"]
    answer = await visitor.send("GET", "/history.csv?type=source.trouble")
    head, *rows = csv.reader(io.StringIO(answer.text))
    assert head == ["id", "at", "type", "host", "text", "detail"]
    assert len(rows) == 410
    refused = await visitor.send("GET", "/history.csv?host=pve9")
    assert refused.status_code == 404


async def test_nothing_that_somebody_wrote_becomes_markup_or_a_formula(visitor: Visitor, world: World) -> None:
    world.history.store.add_event(SourceTrouble(why=HOSTILE), at=NOW)
    page = await visitor.look("/history?type=source.trouble")
    assert page.faults == []
    assert "<script>alert(1)</script>" in page.table("").rows[0]["What"]
    for address in ("/history", "/history.csv", "/history.jsonl"):
        assert "\u202e" not in (await visitor.send("GET", address)).text
    assert "<script>alert" not in (await visitor.send("GET", "/history")).text
    assert [cell(one) for one in ("=1", "+1", "-1", "@x", "a=1", 7)] == ["'=1", "'+1", "'-1", "'@x", "a=1", "7"]


async def test_a_host_s_own_history_is_that_of_the_host(visitor: Visitor) -> None:
    page = await visitor.look("/hosts/pve2/history")
    assert page.h1 == "History of pve2"
    assert {row["Host"] for row in page.table("").rows} == {"pve2"}
    assert (await visitor.look("/hosts/pve9/history", status=404)).faults == []


async def test_who_requested_what_is_the_audit_log(visitor: Visitor, world: World) -> None:
    await visitor.press("/hosts/pve1/suspend", on="/hosts/pve1/suspend", reason="moving house")
    page = await visitor.look("/history/actions?by=tester&host=pve1")
    assert page.faults == []
    (row,) = [row for row in page.table("").rows if "moving house" in row["Detail"]]
    assert (row["Who"], row["Host"], row["Action"]) == ("tester", "pve1", "create_suspension")
    other = await Visitor(world, ("read",), ("pve2",)).look("/history/actions")
    assert "pve1" not in other.text


async def test_two_points_of_a_host_are_compared_and_are_in_the_address(visitor: Visitor) -> None:
    page = await visitor.look("/hosts/pve1/history?from=cccccccc&to=2026-03-01T12:00")
    assert page.faults == []
    form = page.form("/hosts/pve1/history")
    assert (form.fields["from"], form.fields["to"]) == ("cccccccc", "2026-03-01T12:00")
    assert "from cccccccc to 2026-03-01 12:00:00+00:00" in page.text
    assert "removed: -mtu: 1500" in page.text
    assert "added: +mtu: 9000" in page.text
    assert "added: +++" not in page.text
    assert page.links["0" * 26] == "/applies/" + "0" * 26
    assert "to now" in (await visitor.look("/hosts/pve1/history?from=cccccccc")).text
    assert "Compare" not in (await visitor.look("/history")).text


async def test_a_point_that_names_nothing_is_said_on_the_page(visitor: Visitor) -> None:
    page = await visitor.look("/hosts/pve1/history?from=yesterday")
    assert page.faults == []
    assert "A point is a commit, the id of an apply, or a time" in page.text
    assert "no accepted commit is called 0000000" in (await visitor.look("/hosts/pve1/history?from=0000000")).text
