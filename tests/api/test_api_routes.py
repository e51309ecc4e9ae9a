"""What the routes answer."""

import json
import re
from dataclasses import replace
from datetime import timedelta

import pytest

from service.api.create import create_app
from service.model.events import ReconcileAsked
from service.model.runs import HostStatus, ProbeRecord, Proof
from service.model.trees import Commit
from tests.api.world import COMMIT, NOW, World, get, problem_of


async def test_a_host_shows_each_axis_and_whether_it_is_stale(world: World) -> None:
    host = await get(world, "hosts/pve1")
    shown = {
        key: host[key] for key in ("host", "sync", "reason", "health", "reachability", "phase", "stale", "drift_items")
    }
    assert shown == {
        "host": "pve1",
        "sync": "OutOfSync",
        "reason": "Drifted",
        "health": "Unknown",
        "reachability": "Reachable",
        "phase": "Idle",
        "stale": False,
        "drift_items": 2,
    }
    assert host["observed_at"] == "2026-03-01T12:00:00Z"
    world.clock.pass_time(301)
    assert (await get(world, "hosts/pve1"))["stale"] is True


@pytest.mark.parametrize(("started_s", "is_before"), [(-1, False), (0, False), (1, True)])
async def test_what_was_seen_before_the_service_started_is_told_as_such(
    world: World, started_s: int, *, is_before: bool
) -> None:
    world.app = create_app(replace(world.parts, started_at=NOW + timedelta(seconds=started_s)))
    for path in ("hosts/pve1", "hosts/pve1/observed", "hosts/pve1/guests"):
        assert (await get(world, path))["before_restart"] is is_before, path
    assert (await get(world, "hosts/pve1/desired"))["before_restart"] is False
    assert [host["before_restart"] for host in (await get(world, "hosts"))["items"]] == [is_before] * 2


async def test_a_question_about_a_packet_reaches_whoever_answers_it(world: World) -> None:
    said = await get(world, "hosts/pve1/trace?from=outside&to=10.10.10.20&proto=tcp&dport=80&flags=SA")
    assert said == {
        "host": "pve1", "commit": COMMIT, "verdict": "DROP", "rule": "hosts/pve1.yaml:3", "id": "in:host:1", "nat": [],
        "why": "dport=80 flags=SA from=outside proto=tcp to=10.10.10.20",
    }  # fmt: skip
    for query, status in [
        ("from=outside&to=host", 422),
        ("from=out%0Aside&to=host&proto=tcp", 422),
        ("from=outside&to=host&proto=tcp&dports=80", 400),
        ("from=outside&to=host&proto=tcp&source=localhost", 422),
    ]:
        answer = await world.ask("GET", f"/api/v1/hosts/pve1/trace?{query}")
        assert answer.status_code == status, query
    assert (await world.ask("GET", "/api/v1/hosts/pve9/trace?from=a&to=b&proto=tcp")).status_code == 404


async def test_a_host_that_did_not_change_is_not_sent_again(world: World) -> None:
    first = await world.ask("GET", "/api/v1/hosts/pve1")
    etag = first.headers["etag"]
    for known in (etag, f"W/{etag}", f'"x", {etag}', "*"):
        again = await world.ask("GET", "/api/v1/hosts/pve1", headers={"If-None-Match": known})
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", etag)
    world.history.store.set_host_status(HostStatus("pve1", sync="Synced", observed_at=NOW), at=NOW)
    after = await world.ask("GET", "/api/v1/hosts/pve1", headers={"If-None-Match": etag})
    assert (after.status_code, after.json()["sync"]) == (200, "Synced")
    assert after.headers["etag"] != etag


async def test_hosts_are_filtered_by_their_axes(world: World) -> None:
    world.history.store.set_host_status(HostStatus("pve2", sync="Synced", health="Healthy"), at=NOW)
    for query, names in [
        ("sync=Synced", ["pve2"]),
        ("sync=OutOfSync&health=Unknown", ["pve1"]),
        ("phase=Idle", ["pve1", "pve2"]),
        ("reachability=Reachable", ["pve1"]),
    ]:
        found = await get(world, f"hosts?{query}")
        assert [host["host"] for host in found["items"]] == names, query


async def test_desired_and_observed_come_from_the_loop(world: World) -> None:
    assert (await get(world, "hosts/pve1/desired"))["content"] == {"nat": True}
    assert (await get(world, "hosts/pve1/observed"))["at"] == "2026-03-01T12:00:00Z"
    for path in ("desired", "observed"):
        answer = await world.ask("GET", f"/api/v1/hosts/pve2/{path}")
        assert (answer.status_code, problem_of(answer)["code"]) == (404, "not-found")


async def test_a_drift_item_has_all_its_fields(world: World) -> None:
    wanted = {
        "host": "pve1",
        "kind": "bridges",
        "resource": "vmbr0",
        "field": "up",
        "op": "changed",
        "want": True,
        "have": False,
        "where": "live",
        "moved": "host",
        "first_seen": "2026-03-01T12:00:00Z",
    }
    for path in ("drift?host=pve1&limit=1", "hosts/pve1/drift?limit=1"):
        [item] = (await get(world, path))["items"]
        assert {key: item[key] for key in wanted} == wanted


async def test_resolved_drift_is_the_past(world: World) -> None:
    world.history.store.set_drift("pve1", [], at=NOW + timedelta(seconds=5), resolved_by="01A")
    assert [item["host"] for item in (await get(world, "drift"))["items"]] == ["pve2", "pve2"]
    past = (await get(world, "hosts/pve1/drift?resolved=true"))["items"]
    assert [item["resolved_by"] for item in past] == ["01A", "01A"]


async def test_an_apply_is_asked_for_by_plan_or_digest_and_can_be_followed(world: World) -> None:
    found = await get(world, "hosts/pve1/plan")
    for names in (
        {"plan_id": found["id"]},
        {"digest": found["digest"]},
        {"plan_id": found["id"], "digest": found["digest"]},
    ):
        answer = await world.ask("POST", "/api/v1/applies", json={"host": "pve1"} | names)
        assert answer.status_code == 202, answer.text
        followed = await world.ask("GET", answer.headers["location"])
        assert followed.json() == answer.json()
        assert followed.json()["phase"] == "Pending"
        assert followed.json()["requested_by"] == "tester"
        assert followed.json()["author_name"] == "Ann"
        second = await world.ask("POST", "/api/v1/applies", json={"host": "pve1"} | names)
        assert (second.status_code, problem_of(second)["code"]) == (409, "waits-already")
        world.history.store.finish_apply(answer.json()["id"], "Refused", at=NOW)
    assert len(world.desk.asked) == 6


async def test_an_apply_tells_its_steps_and_times(world: World) -> None:
    store = world.history.store
    apply_id = world.apply_id()
    store.start_apply(apply_id, generation=1, planned=[("sysctl:net.ipv4.ip_forward", "nat needs it")], at=NOW)
    store.move_step(apply_id, 0, "doing", at=NOW)
    store.move_step(apply_id, 0, "done", at=NOW + timedelta(milliseconds=250))
    store.finish_apply(apply_id, "Succeeded", at=NOW + timedelta(seconds=1))
    found = await get(world, f"applies/{apply_id}")
    assert found["steps"] == [
        {
            "position": 0,
            "fact": "sysctl:net.ipv4.ip_forward",
            "why": "nat needs it",
            "state": "done",
            "started_at": "2026-03-01T12:00:00Z",
            "ended_at": "2026-03-01T12:00:00.250000Z",
            "error": "",
        }
    ]
    assert (found["commit"], found["subject"], found["ended_at"]) == (COMMIT, "first", "2026-03-01T12:00:01Z")


async def test_an_apply_says_what_it_came_to_and_when_its_host_rolls_back(world: World) -> None:
    store, apply_id = world.history.store, world.apply_id()
    store.start_apply(apply_id, generation=1, planned=[], at=NOW)
    store.reach(apply_id, "locked", at=NOW)
    found = await get(world, f"applies/{apply_id}")
    assert (found["reverts_at"], found["reverts_in_s"]) == (None, None)
    store.reach(apply_id, "armed", at=NOW, reverts_at=NOW + timedelta(seconds=60.5))
    found = await get(world, f"applies/{apply_id}")
    assert (found["reverts_at"], found["reverts_in_s"]) == ("2026-03-01T12:01:00.500000Z", 61)
    assert [one["name"] for one in found["moments"]] == ["locked", "armed"]
    assert found["moments"][0]["at"] == "2026-03-01T12:00:00Z"
    (listed,) = (await get(world, "applies"))["items"]
    assert listed["reverts_at"] == found["reverts_at"]
    store.finish_apply(apply_id, "RolledBack", at=NOW + timedelta(seconds=61), cause="deadline")
    found = await get(world, f"applies/{apply_id}")
    assert (found["reverts_at"], found["reverts_in_s"]) == ("2026-03-01T12:01:00.500000Z", None)


@pytest.mark.parametrize("kind", ["hosts", "applies", "drills", "revisions"])
async def test_what_a_list_shows_of_something_is_what_it_is(world: World, kind: str) -> None:
    """A list may leave a key out. The keys that it shows are as in the single item, never empty instead."""
    store, apply_id, drill_id = world.history.store, world.apply_id(), world.drill_id()
    store.start_apply(apply_id, generation=1, planned=[("sysctl:net.ipv4.ip_forward", "nat needs it")], at=NOW)
    store.set_probes(apply_id, [ProbeRecord("ssh", "ok")])
    store.reach(apply_id, "armed", at=NOW, reverts_at=NOW + timedelta(seconds=60))
    store.start_drill(drill_id, generation=1, at=NOW)
    store.finish_drill(drill_id, proofs=[Proof("armed", ok=True, told="it is")], error="", at=NOW)
    names = {"hosts": "pve1", "applies": apply_id, "drills": drill_id, "revisions": COMMIT}
    one = await get(world, f"{kind}/{names[kind]}")
    (listed,) = [item for item in (await get(world, kind))["items"] if names[kind] in item.values()]
    assert listed == {key: one[key] for key in listed}
    assert one.keys() - listed.keys() == (
        {"steps", "probes", "moments", "reverts_in_s"} if kind == "applies" else set()
    )
    assert not any(one[key] in ([], {}) for key in one.keys() - listed.keys())


async def test_applies_come_newest_first_and_by_filter(world: World) -> None:
    one, two, three = world.apply_id(), world.apply_id("pve2"), world.apply_id()
    world.history.store.finish_apply(one, "RolledBack", at=NOW)
    for query, ids in [
        ("", [three, two, one]),
        ("?host=pve1", [three, one]),
        ("?phase=RolledBack", [one]),
        (f"?commit={'d' * 40}", []),
    ]:
        assert [apply["id"] for apply in (await get(world, f"applies{query}"))["items"]] == ids, query


async def test_a_look_that_was_asked_for_is_told_from_one_before(world: World) -> None:
    world.desk.tried_at["pve1"] = NOW - timedelta(seconds=1)
    asked = (await world.ask("POST", "/api/v1/hosts/pve1/reconcile")).json()
    assert (asked["host"], asked["at"]) == ("pve1", "2026-03-01T12:00:00Z")
    assert (await get(world, "hosts/pve1"))["tried_at"] == "2026-03-01T11:59:59Z"
    assert [one["tried_at"] for one in (await get(world, "hosts"))["items"]] == ["2026-03-01T11:59:59Z", None]


async def test_the_newest_events_come_first_where_that_is_asked(world: World) -> None:
    told = [one["id"] for one in (await get(world, "events"))["items"]]
    page = await get(world, "events?newest=true&limit=2")
    assert [one["id"] for one in page["items"]] == told[:-3:-1]
    rest = await get(world, f"events?newest=true&cursor={page['next_cursor']}")
    assert [one["id"] for one in rest["items"]] == told[-3::-1]
    assert [one["id"] for one in (await get(world, f"events?newest=true&after={told[1]}"))["items"]] == told[:1:-1]
    assert [one["id"] for one in (await get(world, f"events?after={told[1]}&limit=2"))["items"]] == told[2:4]


@pytest.mark.parametrize("way", ["sort=-id", "newest=true", "sort=id"])
async def test_the_link_keeps_where_the_events_begin(world: World, way: str) -> None:
    told = [one["id"] for one in (await get(world, "events"))["items"]]
    path, found = f"/api/v1/events?{way}&after={told[1]}&limit=2", list[int]()
    while path:
        answer = await world.ask("GET", path)
        found += [one["id"] for one in answer.json()["items"]]
        path = answer.headers.get("link", "").partition(">")[0].strip("<")
    assert sorted(found) == told[2:]


async def test_a_reconcile_is_asked_of_the_loop(world: World) -> None:
    answer = await world.ask("POST", "/api/v1/hosts/pve1/reconcile")
    assert (answer.status_code, answer.headers["location"]) == (202, "/api/v1/hosts/pve1")
    assert world.desk.asked == [("reconcile", "pve1", "tester")]
    assert (await world.ask("POST", "/api/v1/hosts/pve9/reconcile")).status_code == 404


async def test_a_latch_is_cleared_with_a_reason(world: World) -> None:
    assert [latch["desired_digest"] for latch in (await get(world, "hosts/pve1/latches"))["items"]] == ["sha256:bad"]
    for body in ({}, {"reason": ""}, {"reason": "ab"}, {"reason": "a\nb\x00c"}, {"reason": "x" * 501}):
        assert (await world.ask("POST", "/api/v1/hosts/pve1/latch/clear", json=body)).status_code == 422, body
    done = await world.ask("POST", "/api/v1/hosts/pve1/latch/clear", json={"reason": "the cable is back"})
    assert (done.status_code, done.json()) == (200, {"cleared": 1})
    assert (await get(world, "hosts/pve1/latches"))["items"] == []


async def test_revisions_and_findings_are_told(world: World) -> None:
    [found] = (await get(world, "revisions"))["items"]
    assert found == await get(world, f"revisions/{COMMIT}")
    assert (found["author_name"], found["state"], found["findings"]) == ("Ann", "accepted", [{"rule": "r"}])
    bad = Commit("d" * 40, "Bob", "b@example.org", NOW, "second")
    world.history.store.refuse_revision(bad, reason="2 errors", at=NOW + timedelta(seconds=1), findings=[{"rule": "e"}])
    newest = await get(world, "findings")
    assert newest == {"commit": "d" * 40, "state": "refused", "reason": "2 errors", "findings": [{"rule": "e"}]}
    assert (await world.ask("GET", f"/api/v1/revisions/{'e' * 40}")).status_code == 404


async def test_events_go_on_after_the_last_id(world: World) -> None:
    first = (await get(world, "events?limit=3"))["items"]
    last = first[-1]["id"]
    rest = (await get(world, f"events?limit=200&after={last}"))["items"]
    assert [e["id"] for e in rest] == list(range(last + 1, world.history.queries.newest_event_id() + 1))
    newest = rest[-1]["id"]
    assert (await get(world, f"events?after={newest}"))["items"] == []
    world.history.store.add_event(ReconcileAsked(host="pve1", by="ann"), at=NOW)
    [fresh] = (await get(world, f"events?after={newest}"))["items"]
    assert (fresh["id"], fresh["text"]) == (newest + 1, "ann requested a look at pve1")
    assert (fresh["detail"], fresh["from"]) == ({"by": "ann"}, {"part": "person", "was": {}})
    moved = HostStatus("pve1", sync="Synced", observed_at=NOW)
    world.history.store.set_host_status(moved, at=NOW)
    [state] = (await get(world, f"events?after={newest + 1}&type=host.state"))["items"]
    was = {"sync": "OutOfSync", "reason": "Drifted", "reachability": "Reachable"}
    assert state["from"] == {"part": "service", "was": was}
    kinds = {e["type"] for e in (await get(world, "events?type=drift.found&host=pve1"))["items"]}
    assert kinds == {"drift.found"}


@pytest.mark.parametrize("path", ["hosts", "drift", "applies", "revisions", "leases", "leases/history", "events"])
@pytest.mark.parametrize("limit", [1, 3])
async def test_pages_of_every_list_hold_each_item_once(world: World, path: str, limit: int) -> None:
    for number in range(5):
        world.apply_id("pve1" if number % 2 else "pve2")
        commit = Commit(f"{number:040x}", "Ann", "a@example.org", NOW, "more")
        world.history.store.record_revision(commit, at=NOW)
    whole = (await get(world, f"{path}?limit=200"))["items"]
    assert len(whole) > 1
    items: list[object] = []
    address = f"/api/v1/{path}?limit={limit}"
    while True:
        answer = await world.ask("GET", address)
        items += answer.json()["items"]
        link = answer.headers.get("link")
        assert (link is None) == (answer.json()["next_cursor"] is None)
        if link is None:
            break
        address = link.removeprefix("<").split(">")[0]
    assert items == whole


async def test_livez_and_readyz_tell_no_secret(world: World) -> None:
    assert (await world.ask("GET", "/livez", token="")).json() == {"status": "ok"}
    assert (await world.ask("GET", "/readyz", token="")).json() == {"status": "ready", "missing": []}
    world.desk.missing = {"source": "git said: password hunter2", "loop": ""}
    answer = await world.ask("GET", "/readyz", token="")
    assert (answer.status_code, answer.json()) == (503, {"status": "not ready", "missing": ["source"]})


async def test_the_description_and_its_page_are_behind_the_gate(world: World) -> None:
    described = (await world.ask("GET", "/openapi.json")).json()
    page = (await world.ask("GET", "/docs")).text
    assert all(path in page for path in described["paths"])
    assert "<script" not in page
    addresses = re.findall(r"https?://([^\s\"\\]+)", json.dumps(described))
    assert set(addresses) == {"dev:8080", "web:80"}  # in the examples, guests of a host: nothing leads out


async def test_drift_is_answered_as_a_patch_with_what_it_leaves_out(world: World) -> None:
    found = await get(world, "hosts/pve1/drift/patch")
    assert (found["file"], found["commit"]) == ("hosts/pve1.yaml", COMMIT)
    assert found["patch"].startswith("--- a/hosts/pve1.yaml\n")
    assert found["left"] == [{"what": "bridges vmbr0 up", "why": "no key"}]
    answer = await world.ask("GET", "/api/v1/hosts/pve2/drift/patch")
    assert (answer.status_code, problem_of(answer)["code"]) == (404, "not-found")


async def test_a_status_that_the_database_did_not_take_is_shown_in_the_place_of_its_own(world: World) -> None:
    lost = HostStatus("pve1", message="locked")
    world.desk.held["pve1"] = lost
    assert (await get(world, "hosts/pve1"))["message"] == "locked"
    assert next((host["host"], host["message"]) for host in (await get(world, "hosts"))["items"]) == ("pve1", "locked")
    assert "pve1" not in [host["host"] for host in (await get(world, "hosts?sync=OutOfSync"))["items"]]
    assert "pve1" not in [host["host"] for host in (await get(world, "hosts?sync=Synced"))["items"]]
    assert "pve1" in [host["host"] for host in (await get(world, "hosts?sync=Unknown"))["items"]]
    first = await get(world, "hosts?limit=1")
    assert [host["host"] for host in first["items"]] == ["pve1"]
    following = await get(world, f"hosts?limit=1&cursor={first['next_cursor']}")
    assert [host["host"] for host in following["items"]] == ["pve2"]
    text = (await world.ask("GET", "/metrics")).text
    (state,) = [
        line for line in text.splitlines() if line.startswith("passerelle_host_state{") and 'host="pve1"' in line
    ]
    assert 'sync="Unknown"' in state
