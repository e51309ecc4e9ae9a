"""What is not known of a host is a typed problem with its reason: never an empty list, never an old plan."""

import pytest

from service.errors import InputError, LeftGit, NeverSeen, NotKnown
from service.model.guests import PoolFill
from service.model.runs import HostStatus
from tests.api.world import NOW, World, get, problem_of

WHY = "pve1 was never seen: authentication failed since 11:57 UTC (3 min ago)"
FIX = "add the service's key on the host"
KINDS = [(NeverSeen, 404, "host-never-seen"), (NotKnown, 409, "host-not-compared"), (LeftGit, 409, "host-left-git")]
VIEWS = (
    "hosts/pve1/plan", "hosts/pve1/drift", "hosts/pve1/drift/patch", "hosts/pve1/guests", "hosts/pve1/pools",
    "hosts/pve1/leases/10.10.10.9/patch", "drift?host=pve1",
)  # fmt: skip


@pytest.mark.parametrize("path", VIEWS)
@pytest.mark.parametrize(("kind", "status", "code"), KINDS, ids=[code for _, _, code in KINDS])
async def test_what_was_not_compared_with_what_git_wants_is_a_problem_with_its_reason(
    world: World, path: str, kind: type[InputError], status: int, code: str
) -> None:
    world.desk.unknown["pve1"] = kind(WHY, hint=FIX)
    answer = await world.ask("GET", f"/api/v1/{path}")
    problem = problem_of(answer)
    assert (answer.status_code, problem["code"], problem["detail"], problem["hint"]) == (status, code, WHY, FIX)
    other = path.replace("pve1", "pve2")
    if path not in ("hosts/pve1/drift/patch", "hosts/pve1/guests", "hosts/pve1/pools", VIEWS[5]):  # pve1's alone here
        assert (await world.ask("GET", f"/api/v1/{other}")).status_code == 200


async def test_a_host_of_others_does_not_exist_whatever_is_known_of_it(world: World) -> None:
    world.desk.unknown["pve1"] = NeverSeen(WHY)
    token = world.token("read", hosts=("pve2",))
    for path in VIEWS:
        answer = await world.ask("GET", f"/api/v1/{path}", token=token)
        assert (answer.status_code, problem_of(answer)["detail"]) == (404, "no host pve1"), path
    assert (await get(world, "drift"))["not_compared"] == ["pve1"]
    seen = (await world.ask("GET", "/api/v1/drift", token=token)).json()
    assert (seen["not_compared"], {item["host"] for item in seen["items"]}) == ([], {"pve2"})


async def test_the_fleets_list_names_the_hosts_that_it_says_nothing_of(world: World) -> None:
    before = await get(world, "drift")
    assert ({item["host"] for item in before["items"]}, before["not_compared"]) == ({"pve1", "pve2"}, [])
    world.desk.unknown["pve1"] = NotKnown(WHY)
    after = await get(world, "drift")
    assert ({item["host"] for item in after["items"]}, after["not_compared"]) == ({"pve2"}, ["pve1"])
    past = await get(world, "drift?resolved=true")
    assert (past["items"], past["not_compared"]) == ([], [])
    assert (await get(world, "hosts/pve1/drift?resolved=true"))["items"] == []


async def test_who_never_was_seen_has_leases_that_nobody_knows(world: World) -> None:
    world.history.store.set_host_status(HostStatus("pve3", reachability="AuthFailed"), at=NOW)
    world.desk.unknown["pve3"] = NeverSeen(WHY)
    for path in ("leases?host=pve3", "leases/history?host=pve3"):
        answer = await world.ask("GET", f"/api/v1/{path}")
        assert (answer.status_code, problem_of(answer)["code"]) == (404, "host-never-seen"), path
    world.desk.unknown["pve1"] = NotKnown(WHY)
    assert len((await get(world, "leases?host=pve1"))["items"]) == 2  # what was read of its lease file holds


async def test_a_host_is_shown_from_the_moment_it_is_in_git(world: World) -> None:
    world.desk.held["pve3"] = HostStatus("pve3", message="not looked at yet")
    shown = await get(world, "hosts/pve3")
    assert (shown["reachability"], shown["observed_at"], shown["stale"]) == ("Unknown", None, True)
    assert (await get(world, "hosts/pve3/latches"))["items"] == []
    asked = await world.ask("POST", "/api/v1/hosts/pve3/reconcile")
    assert asked.status_code == 202


async def test_numbers_of_what_was_not_compared_are_left_out(world: World) -> None:
    world.parts.metrics.filled("pve1", [PoolFill("pve1", "vmbr0", "10.10.10.100", "10.10.10.200", 101, 2, 1)])
    before = (await world.ask("GET", "/metrics")).text
    assert 'passerelle_host_drift_items{host="pve1",kind="bridges"} 2.0' in before
    assert 'passerelle_host_compared{host="pve1"} 1.0' in before
    world.desk.unknown["pve1"] = NotKnown(WHY)
    after = (await world.ask("GET", "/metrics")).text
    assert 'passerelle_host_compared{host="pve1"} 0.0' in after
    assert 'passerelle_host_compared{host="pve2"} 1.0' in after
    assert 'passerelle_host_drift_items{host="pve1"' not in after
    assert 'passerelle_pool_addresses{bridge="vmbr0",host="pve1"' not in after
    assert 'passerelle_host_drift_items{host="pve2",kind="bridges"} 2.0' in after


async def test_a_host_that_left_git_leaves_the_numbers(world: World) -> None:
    world.history.store.orphan_host("pve1", at=NOW)
    assert '"pve1"' not in (await world.ask("GET", "/metrics")).text
    shown = await get(world, "hosts/pve1")
    assert (shown["reason"], shown["health"], shown["reachability"]) == ("Orphaned", "Unknown", "Unknown")


async def test_no_number_of_differences_is_given_of_a_host_that_was_not_compared(world: World) -> None:
    assert [one["drift_items"] for one in (await get(world, "hosts"))["items"]] == [2, 2]
    world.desk.unknown["pve1"] = NotKnown(WHY)
    assert [one["drift_items"] for one in (await get(world, "hosts"))["items"]] == [None, 2]
    assert (await get(world, "hosts/pve1"))["drift_items"] is None


async def test_before_the_repository_was_read_nothing_is_known_to_differ_or_not(world: World) -> None:
    why = "the repository was not read yet, so no host was compared: it cannot be reached"
    world.desk.unread_why = NotKnown(why)
    answer = await world.ask("GET", "/api/v1/drift")
    problem = problem_of(answer)
    assert (answer.status_code, problem["code"], problem["detail"]) == (409, "host-not-compared", why)
    assert (await world.ask("GET", "/api/v1/drift?resolved=true")).status_code == 200
    assert [one["drift_items"] for one in (await get(world, "hosts"))["items"]] == [None, None]
    numbers = (await world.ask("GET", "/metrics")).text
    assert 'passerelle_host_compared{host="pve1"} 0.0' in numbers
    assert "passerelle_host_drift_items{" not in numbers


@pytest.mark.parametrize(
    "path", ["applies?host=pve9", "drills?host=pve9", "events?host=pve9", "leases?host=pve9", "drift?host=pve9",
             "leases/history?host=pve9", "hosts/pve9/drift", "hosts/pve9/latches"],
)  # fmt: skip
async def test_a_list_of_a_host_that_does_not_exist_is_a_problem_and_not_empty(world: World, path: str) -> None:
    answer = await world.ask("GET", f"/api/v1/{path}")
    assert (answer.status_code, problem_of(answer)["detail"]) == (404, "no host pve9")
    hidden = await world.ask("GET", f"/api/v1/{path.replace('pve9', 'pve1')}", token=world.token("read", hosts=("x",)))
    assert (hidden.status_code, problem_of(hidden)["detail"]) == (404, "no host pve1")
    assert (await world.ask("GET", f"/api/v1/{path.replace('pve9', 'pve1')}")).status_code == 200


async def test_a_name_of_before_is_answered_with_the_present_one(world: World) -> None:
    world.history.store.rename_host("pve1", "pve9", at=NOW)
    for path in (*VIEWS, "hosts/pve1", "applies?host=pve1", "leases/history?host=pve1"):
        problem = problem_of(await world.ask("GET", f"/api/v1/{path}"))
        assert (problem["status"], problem["detail"]) == (404, "pve1 is now called pve9"), path
        assert problem["hint"] == "write pve9 instead of pve1"
    asked = await world.ask("POST", "/api/v1/hosts/pve1/reconcile")
    assert (asked.status_code, problem_of(asked)["detail"]) == (404, "pve1 is now called pve9")
    for sees, said in (("pve9", "pve1 is now called pve9"), ("pve1", "no host pve1"), ("pve2", "no host pve1")):
        answer = await world.ask("GET", "/api/v1/hosts/pve1", token=world.token("read", hosts=(sees,)))
        assert (answer.status_code, problem_of(answer)["detail"]) == (404, said), sees


async def test_who_follows_the_events_of_a_host_goes_on_when_it_is_forgotten(world: World) -> None:
    assert (await get(world, "events?host=pve9&after=1"))["items"] == []


async def test_a_host_that_left_git_has_past_leases_only(world: World) -> None:
    world.desk.unknown["pve1"] = LeftGit("pve1 is no longer in Git")
    answer = await world.ask("GET", "/api/v1/leases?host=pve1")
    assert (answer.status_code, problem_of(answer)["code"]) == (409, "host-left-git")
    assert len((await get(world, "leases/history?host=pve1"))["items"]) == 2
    assert (await world.ask("GET", "/api/v1/leases?host=pve1&at=2026-03-01T12:00:00Z")).status_code == 200
