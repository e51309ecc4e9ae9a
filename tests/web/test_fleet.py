"""The fleet's page and the host's, as their HTML says it."""

from service.model.runs import HostStatus
from tests.api.world import NOW, World
from tests.web.visitor import Visitor


async def test_the_fleet_says_which_hosts_need_somebody_and_why(visitor: Visitor) -> None:
    page = await visitor.look("/")
    assert page.faults == []
    assert page.h1 == "Fleet"
    hosts = page.table("2 of 2 hosts")
    assert [row["Host"] for row in hosts.rows] == ["pve1", "pve2"]
    assert "≠ Out of sync" in hosts.row(Host="pve1")["Git"]
    assert "2 things on the host are not as Git wants." in page.text
    assert "Read the plan" in page.links


async def test_a_count_is_a_filter(visitor: Visitor, world: World) -> None:
    seen = HostStatus("pve3", sync="Synced", reachability="Reachable", observed_at=NOW)
    world.history.store.set_host_status(seen, at=NOW)
    page = await visitor.look("/?show=in-sync")
    assert [row["Host"] for row in page.table("1 of 3 hosts").rows] == ["pve3"]


async def test_an_empty_service_says_how_to_begin(empty: World) -> None:
    page = await Visitor(empty).look("/")
    assert page.faults == []
    assert "passerelle demo" in page.text and "passerelle adopt root@pve1" in page.text


async def test_a_host_shows_its_drift_side_by_side(visitor: Visitor) -> None:
    page = await visitor.look("/hosts/pve1")
    assert page.faults == []
    rows = page.table("What is not as Git wants, 2 items").rows
    assert rows[0]["What"] == "bridges vmbr0 up"
    assert (rows[0]["Git wants"], rows[0]["The host has"]) == ("true", "false")


async def test_a_suspension_with_a_reason_is_shown_and_ended(visitor: Visitor, world: World) -> None:
    at = "/hosts/pve1/suspend"
    assert await visitor.press(at, on=at, reason="moving house") == "/hosts/pve1"
    page = await visitor.look("/hosts/pve1")
    assert "Suspended by tester: moving house." in page.text
    assert await visitor.press("/hosts/pve1/resume", on="/hosts/pve1") == "/hosts/pve1"
    assert "Suspended by" not in (await visitor.look("/hosts/pve1")).text


async def test_who_may_only_read_is_told_what_is_missing(world: World) -> None:
    page = await Visitor(world, ("read",)).look("/hosts/pve1/suspend")
    assert "This needs the scope approve." in page.text
    assert "/hosts/pve1/suspend" not in [form.action for form in page.forms]


async def test_an_unknown_host_is_a_page_that_says_so(visitor: Visitor) -> None:
    page = await visitor.look("/hosts/pve9", status=404)
    assert page.faults == []
    assert page.h1 == "There is no such page"


async def test_a_host_that_nobody_reaches_is_never_said_to_be_as_git_wants(visitor: Visitor, world: World) -> None:
    gone = HostStatus("pve3", sync="Unknown", reachability="Unreachable", observed_at=NOW)
    world.history.store.set_host_status(gone, at=NOW)
    hosts = (await visitor.look("/")).table("3 of 3 hosts")
    assert hosts.row(Host="pve3")["Drift"] == "unknown"
    page = await visitor.look("/hosts/pve3")
    assert "Nobody knows now whether the host differs from Git." in page.text
    assert "Nothing differs" not in page.text
