"""What the routes answer about leases: now, at a past time, and who has them."""

from datetime import datetime, timedelta

from service.api import schemas
from service.model.observed import Lease
from tests.api.world import NOW, World, get


async def test_leases_are_filtered_and_sorted_by_number(world: World) -> None:
    world.history.store.seen_leases("pve1", [Lease("bc:24:11:00:00:09", "10.10.10.9", "g9", 0)], at=NOW)
    for query, found in [
        ("", [("10.10.10.9", "pve1"), ("10.10.10.9", "pve2"), ("10.10.10.100", "pve1"), ("10.10.10.100", "pve2")]),
        ("?host=pve1&active=true", [("10.10.10.9", "pve1")]),
        ("?active=false", [("10.10.10.100", "pve1")]),
        ("?name=g100&host=pve2", [("10.10.10.100", "pve2")]),
        ("?mac=BC:24:11:00:00:09", [("10.10.10.9", "pve1"), ("10.10.10.9", "pve2")]),
        ("?ip=10.10.10.100&host=pve2", [("10.10.10.100", "pve2")]),
    ]:
        items = (await get(world, f"leases{query}"))["items"]
        assert [(lease["ip"], lease["host"]) for lease in items] == found, query


async def test_leases_are_told_as_they_were_at_a_past_time_and_with_their_history(world: World) -> None:
    later = NOW + timedelta(hours=1)
    world.history.store.seen_leases("pve1", [Lease("bc:24:11:00:00:09", "10.10.10.100", "g9", 0)], at=later)

    async def held(at: datetime) -> list[tuple[str, str]]:
        query = f"leases?host=pve1&at={at.isoformat().replace('+00:00', 'Z')}"
        return [(lease["ip"], lease["name"]) for lease in (await get(world, query))["items"]]

    assert await held(NOW - timedelta(seconds=1)) == []
    assert await held(NOW) == [("10.10.10.9", "g9"), ("10.10.10.100", "g100")]
    assert await held(later) == [("10.10.10.100", "g9")]
    items = (await get(world, "leases/history?host=pve1&ip=10.10.10.100"))["items"]
    assert [(one["name"], one["until_at"] is None) for one in items] == [("g9", True), ("g100", False)]
    for bad in ("yesterday", "2026-01-01T00:00:00", "2026-13-01T00:00:00Z"):
        assert (await world.ask("GET", f"/api/v1/leases?at={bad}")).status_code == 422


async def test_the_list_of_leases_is_as_the_description_says(world: World) -> None:
    found = await get(world, "leases?limit=3")
    assert schemas.ListOf[schemas.Lease].model_validate(found).model_dump(mode="json") == found


async def test_guests_pools_and_a_fixed_lease_are_told_of_hosts_that_one_may_see(world: World) -> None:
    assert (await get(world, "hosts/pve1/guests"))["items"] == []
    (pool,) = (await get(world, "hosts/pve1/pools"))["items"]
    assert (pool["size"], pool["leased"], pool["reserved"], pool["free"]) == (101, 2, 1, 98)
    assert (await get(world, "hosts/pve1/leases/10.10.10.9/patch"))["file"] == "hosts/pve1.yaml"
    for path, status in [("pve2/guests", 404), ("pve1/leases/10.10.10.8/patch", 404), ("pve1/leases/x.y/patch", 422)]:
        assert (await world.ask("GET", f"/api/v1/hosts/{path}")).status_code == status
