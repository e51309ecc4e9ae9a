"""Plans, applies and rollouts, as the HTML of their pages says it."""

from dataclasses import replace
from datetime import timedelta

import pytest

from service.model.facts import Step
from service.model.plans import FileChange, Plan, Refusal
from service.model.runs import HostStatus
from tests.api.world import COMMIT, NOW, World
from tests.web.visitor import Visitor

PLAN = Plan(
    "pve1", COMMIT, "sha256:d",
    steps=(Step("link:vmbr0", None, None, "the bridge changes", risk="whoever is behind its 2 ports loses the link"),),
    cut=("tap100i0",),
    files=(FileChange("/etc/x", 5, ("@@ -1 +1 @@", "-old line", "+new line")), FileChange("/key", is_secret=True)),
)  # fmt: skip
RISKY = replace(PLAN, overridden=(Refusal("management-path", "vmbr0, which carries 10.0.0.1, would go down"),))


def planned(world: World, plan: Plan) -> str:
    return world.history.store.record_plan(plan, at=NOW + timedelta(minutes=1))


async def test_a_plan_says_its_risk_its_commit_and_each_line_that_changes(visitor: Visitor, world: World) -> None:
    plan_id = planned(world, PLAN)
    for path in (f"/plans/{plan_id}", "/hosts/pve1/plan"):
        page = await visitor.look(path)
        assert page.faults == []
        assert "Checked: the way by which the service reaches the host stays." in page.text
        assert "vmbr0: whoever is behind its 2 ports loses the link" in page.text
        assert "tap100i0 loses its bridge." in page.text
        assert "removed: -old line" in page.text and "added: +new line" in page.text
        assert "It is a secret, so its lines are not shown." in page.text
        assert PLAN.digest in page.text and "first" in page.text and "Ann" in page.text
        assert page.links["Apply …"] == f"/plans/{plan_id}/apply"


async def test_a_host_without_a_plan_says_so(visitor: Visitor, world: World) -> None:
    world.history.store.set_host_status(HostStatus("pve3"), at=NOW)
    page = await visitor.look("/hosts/pve3/plan")
    assert page.faults == []
    assert "There is no plan for this host now." in page.text


async def test_a_plan_is_applied_by_its_digest_and_its_page_follows_it(visitor: Visitor, world: World) -> None:
    plan_id = planned(world, PLAN)
    at = f"/plans/{plan_id}/apply"
    page = await visitor.look(at)
    assert page.faults == []
    assert page.form(at).fields["digest"] == PLAN.digest
    assert "confirm" not in page.form(at).names
    led_to = await visitor.press(at, on=at)
    apply_id = led_to.removeprefix("/applies/")
    found = world.history.queries.apply(apply_id)
    assert found is not None
    assert (found.host, found.phase) == ("pve1", "Pending")
    assert "Nothing is armed on the host yet." in (await visitor.look(led_to)).text


async def test_a_change_of_the_management_path_needs_the_typed_name_of_the_host(visitor: Visitor, world: World) -> None:
    plan_id = planned(world, RISKY)
    at = f"/plans/{plan_id}/apply"
    page = await visitor.look(at)
    assert "vmbr0, which carries 10.0.0.1, would go down" in page.text
    answer = await visitor.send("POST", at, page.form(at).filled(confirm="pve2"))
    assert answer.status_code == 422
    assert world.desk.asked == []
    assert (await visitor.press(at, on=at, confirm="pve1")).startswith("/applies/")


async def test_a_plan_that_another_followed_is_not_offered(visitor: Visitor, world: World) -> None:
    old = planned(world, PLAN)
    planned(world, replace(PLAN, steps=()))
    page = await visitor.look(f"/plans/{old}/apply")
    assert "This plan is superseded." in page.text
    assert "/plans" not in "".join(form.action for form in page.forms)


@pytest.mark.parametrize("path", ["", "/apply"])
async def test_who_may_only_read_is_shown_what_is_missing(world: World, path: str) -> None:
    page = await Visitor(world, ("read",)).look(f"/plans/{planned(world, PLAN)}{path}")
    assert "scope apply" in page.text
    assert not any(form.action.startswith("/plans") for form in page.forms)


async def test_a_running_apply_says_when_the_host_rolls_back_and_an_ended_one_why(
    visitor: Visitor, world: World
) -> None:
    store, apply_id = world.history.store, world.apply_id()
    store.start_apply(apply_id, generation=1, planned=[("link:vmbr0", "it changes")], at=NOW)
    store.reach(apply_id, "locked", at=NOW)
    store.reach(apply_id, "armed", at=NOW, reverts_at=NOW + timedelta(seconds=60))
    store.set_apply_phase(apply_id, "AwaitingConfirmation")
    page = await visitor.look(f"/applies/{apply_id}")
    assert page.faults == []
    assert "60 seconds left by the clock of the service" in page.text
    assert "rolls back at 2026-03-01 12:01:00 UTC" in page.text
    assert "The automatic rollback is armed" in page.text
    assert page.by_id("run")["hx-get"] == f"/applies/{apply_id}"
    banner = (await visitor.look("/")).text
    assert "pve1 waits for the confirmation of its change, and rolls back at 2026-03-01 12:01:00 UTC" in banner
    store.finish_apply(apply_id, "RolledBack", at=NOW, cause="deadline", error="nobody confirmed in time")
    page = await visitor.look(f"/applies/{apply_id}")
    assert page.faults == []
    assert "nobody confirmed in time" in page.text
    assert page.links["Let it be tried again …"] == "/hosts/pve1/latch"
    assert page.by_id("run")["hx-get"] == ""
    assert "waits for the confirmation" not in (await visitor.look("/")).text


async def test_the_filters_of_the_applies_are_in_the_address(visitor: Visitor, world: World) -> None:
    one, _ = world.apply_id(), world.apply_id("pve2")
    world.history.store.finish_apply(one, "Refused", at=NOW, cause="stale", error="the plan is stale")
    assert [row["Host"] for row in (await visitor.look("/applies")).table("2 applies").rows] == ["pve2", "pve1"]
    page = await visitor.look("/applies?phase=Refused&host=pve1")
    assert [row["Why"] for row in page.table("1 applies").rows] == ["the plan is stale"]
    assert page.form("/applies").fields["phase"] == "Refused"
    assert "There is no such apply." in (await visitor.look("/applies?host=pve1&phase=Failed")).text


async def test_a_rollout_is_halted_and_aborted_with_a_reason(visitor: Visitor, world: World) -> None:
    rollout = world.rollout_id()
    at = f"/rollouts/{rollout}"
    page = await visitor.look("/rollouts")
    assert page.faults == []
    assert not {"No lease now", "waiting"} & set(page.states)
    assert at in [link.href for link in page.all_links]
    assert await visitor.press(f"{at}/abort", on=at, reason="the wrong commit") == at
    page = await visitor.look(at)
    assert page.faults == []
    assert "the wrong commit" in page.text
    assert f"{at}/abort" not in [form.action for form in page.forms]
