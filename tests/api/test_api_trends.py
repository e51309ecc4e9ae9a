"""/trends: numbers of each day, of the hosts that a token sees."""

from datetime import timedelta

from service.model.guests import PoolFill
from service.model.trends import MAX_DAYS
from tests.api.world import NOW, World, get, problem_of

URL = "/api/v1/trends"
DAY = timedelta(days=1)


async def test_each_day_is_there_and_those_of_which_nothing_is_known_have_no_numbers(world: World) -> None:
    store = world.history.store
    store.seen_pools("pve1", [PoolFill("pve1", "vmbr1", "10.10.10.10", "10.10.10.19", 10, 6, 1)], at=NOW)
    world.clock.pass_time(2 * 86_400)
    store.set_drift("pve1", [], at=NOW + 2 * DAY)
    store.seen_hosts({"pve1": NOW + 2 * DAY})
    found = await get(world, "trends?days=4")
    before, first, gap, today = found["items"]
    unknown = dict.fromkeys(
        ("drift_found", "drift_cleared", "drift_open", "applies", "waited", "pool_fill"),
    )
    assert before == {"day": "2026-02-28", "is_over": True, "hosts_seen": 0, **unknown}
    assert gap == {"day": "2026-03-02", "is_over": True, "hosts_seen": 0, **unknown}
    assert (first["hosts_seen"], first["drift_found"], first["drift_open"], first["pool_fill"]) == (2, 4, 4, 0.7)
    assert (today["is_over"], today["hosts_seen"], today["drift_cleared"], today["drift_open"]) == (False, 1, 2, 2)
    assert today["pool_fill"] == 0.7
    assert found["pools"] == []
    assert len((await get(world, "trends"))["items"]) == 30


async def test_of_one_host_there_are_its_ranges(world: World) -> None:
    store = world.history.store
    for host in ("pve1", "pve2"):
        store.seen_pools(host, [PoolFill(host, "vmbr1", "10.10.10.10", "10.10.10.19", 10, 6, 1)], at=NOW)
    found = await get(world, "trends?days=1&host=pve2")
    assert found["pools"] == [{
        "day": "2026-03-01", "interface": "vmbr1", "start": "10.10.10.10", "end": "10.10.10.19", "size": 10,
        "leased": 6, "reserved": 1, "free": 3,
    }]  # fmt: skip
    assert found["items"][0]["hosts_seen"] == 1


async def test_a_token_sees_the_numbers_of_its_hosts(world: World) -> None:
    answer = await world.ask("GET", f"{URL}?days=1", token=world.token("read", hosts=("pve2",)))
    (today,) = answer.json()["items"]
    assert (today["hosts_seen"], today["drift_open"]) == (1, 2)
    refused = await world.ask("GET", f"{URL}?host=pve1", token=world.token("read", hosts=("pve2",)))
    assert refused.status_code == 404


async def test_how_many_days_is_bounded(world: World) -> None:
    for days in (0, -1, MAX_DAYS + 1, "x"):
        answer = await world.ask("GET", f"{URL}?days={days}")
        assert (answer.status_code, problem_of(answer)["status"]) == (422, 422)
    assert len((await get(world, f"trends?days={MAX_DAYS}"))["items"]) == MAX_DAYS
