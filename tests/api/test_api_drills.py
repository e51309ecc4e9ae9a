"""Drills, quarantines and latches over the API."""

from dataclasses import replace
from datetime import timedelta

from service.model.runs import Proof
from tests.api.world import NOW, World, problem_of


async def test_a_drill_is_asked_for_and_followed_to_its_proofs(world: World) -> None:
    asked = await world.ask("POST", "/api/v1/drills", json={"host": "pve1"}, headers={"Idempotency-Key": "one"})
    assert asked.status_code == 202
    drill = asked.json()
    assert (drill["host"], drill["state"], drill["proofs"]) == ("pve1", "Pending", [])
    assert asked.headers["location"] == f"/api/v1/drills/{drill['id']}"
    again = await world.ask("POST", "/api/v1/drills", json={"host": "pve1"}, headers={"Idempotency-Key": "one"})
    assert again.json() == drill
    assert world.desk.asked == [("drill", "pve1", "tester")]
    world.history.store.start_drill(drill["id"], generation=3, at=NOW)
    proofs = (Proof("timer fired", ok=True, told="0.1 s after the deadline"),)
    world.history.store.finish_drill(drill["id"], proofs=proofs, error="", at=NOW)
    found = (await world.ask("GET", asked.headers["location"])).json()
    assert (found["state"], found["error"]) == ("Passed", "")
    assert found["proofs"] == [{"name": "timer fired", "ok": True, "told": "0.1 s after the deadline"}]
    listed = (await world.ask("GET", "/api/v1/drills?host=pve1")).json()["items"]
    assert [item["id"] for item in listed] == [drill["id"]]
    assert (await world.ask("GET", "/api/v1/hosts/pve1")).json()["proven_at"] == "2026-03-01T12:00:00Z"


async def test_the_age_of_the_last_proof_is_a_number(world: World) -> None:
    page = (await world.ask("GET", "/metrics")).text
    assert "proven_rollback_age_seconds{" not in page
    world.history.store.finish_drill(world.drill_id(), proofs=(), error="", at=NOW)
    world.clock.pass_time(90)
    page = (await world.ask("GET", "/metrics")).text
    assert 'passerelle_host_proven_rollback_age_seconds{host="pve1"} 90.0' in page
    assert 'passerelle_host_last_proven_rollback_timestamp_seconds{host="pve1"} 1.7723664e+09' in page
    assert 'passerelle_host_quarantined{host="pve1"} 0.0' in page


async def test_a_drill_of_a_host_that_is_not_there_is_not_begun(world: World) -> None:
    answer = await world.ask("POST", "/api/v1/drills", json={"host": "pve9"})
    assert answer.status_code == 404
    assert (await world.ask("GET", "/api/v1/drills/" + "0" * 26)).status_code == 404
    assert world.desk.asked == []


async def test_a_quarantine_is_shown_and_lifted_with_a_reason(world: World) -> None:
    status = world.history.queries.host("pve1")
    assert status is not None
    held = replace(status, phase="RollbackFailed", quarantined="01A", console="https://c.example.net", message="look")
    world.history.store.set_host_status(held, at=NOW)
    shown = (await world.ask("GET", "/api/v1/hosts/pve1")).json()
    assert (shown["quarantined"], shown["console"], shown["phase"]) == (
        "01A", "https://c.example.net", "RollbackFailed"
    )  # fmt: skip
    assert 'passerelle_host_quarantined{host="pve1"} 1.0' in (await world.ask("GET", "/metrics")).text
    for body in ({}, {"reason": ""}, {"reason": "x\u0000y"}):
        assert (await world.ask("POST", "/api/v1/hosts/pve1/release", json=body)).status_code == 422
    answer = await world.ask("POST", "/api/v1/hosts/pve1/release", json={"reason": "the cable was out"})
    assert (answer.status_code, answer.json()["location"]) == (202, "/api/v1/hosts/pve1")
    assert world.desk.asked == [("release", "pve1", "the cable was out", "tester")]


async def test_a_latch_says_what_since_when_and_why(world: World) -> None:
    apply_id = world.apply_id()
    world.history.store.finish_apply(apply_id, "RolledBack", at=NOW, cause="deadline", error="nobody confirmed")
    world.history.store.latch("pve1", "sha256:other", apply_id=apply_id, at=NOW + timedelta(seconds=1))
    latches = (await world.ask("GET", "/api/v1/hosts/pve1/latches")).json()["items"]
    assert (latches[1]["desired_digest"], latches[1]["cause"], latches[1]["error"]) == (
        "sha256:other", "deadline", "nobody confirmed"
    )  # fmt: skip
    assert latches[1]["since"] == "2026-03-01T12:00:01Z"


async def test_who_may_only_read_lets_nothing_happen(world: World) -> None:
    for path, body in (("drills", {"host": "pve1"}), ("hosts/pve1/release", {"reason": "because"})):
        answer = await world.ask("POST", f"/api/v1/{path}", json=body, token=world.token("read"))
        assert answer.status_code == 403
        problem_of(answer)
    assert world.desk.asked == []


async def test_a_reboot_needs_the_name_of_the_host_once_more(world: World) -> None:
    for confirm in ("", "pve2"):
        refused = await world.ask("POST", "/api/v1/drills", json={"host": "pve1", "reboot": True, "confirm": confirm})
        assert refused.status_code == 422
        assert "interrupts all its guests" in refused.text
        assert world.desk.asked == []
    asked = await world.ask("POST", "/api/v1/drills", json={"host": "pve1", "reboot": True, "confirm": "pve1"})
    assert asked.status_code == 202
    assert world.desk.asked == [("drill", "pve1", "tester", "reboot")]
