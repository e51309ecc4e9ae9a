"""The laws that every kind obeys, over every spec in tests/laws/hosts. A new kind only adds a spec there."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from service.model.observed import HostObserved
from service.model.plans import Plan
from service.model.states import Unknown
from service.plan.make import make_plan
from service.resources.desired import Desired, LastApplied
from tests.laws.host import after_plan, bare_host, differing, done, kept_bytes, printed, undone
from tests.laws.specs import changed, desired_from, desired_of, names, without

BASE = LastApplied()


def plan_of(desired: Desired) -> Plan:
    return make_plan(desired, BASE, bare_host(desired.watch))


@pytest.mark.parametrize("name", names())
def test_the_same_wish_and_host_give_the_same_plan(name: str) -> None:
    assert plan_of(desired_of(name)) == plan_of(desired_of(name))
    assert plan_of(desired_of(name)).digest == plan_of(desired_of(name)).digest


@pytest.mark.parametrize("name", names())
def test_after_its_plan_the_host_is_as_wanted(name: str) -> None:
    desired = desired_of(name)
    host = bare_host(desired.watch)
    plan = make_plan(desired, BASE, host)
    assert not plan.refusals, plan.refusals
    again = make_plan(desired, LastApplied.from_json(desired.as_json()), after_plan(host, plan))
    assert (again.drifts, again.steps, again.packages, again.guests) == ((), (), (), ())


def wrongly_undone(host: HostObserved, plan: Plan) -> Iterator[str]:
    """Where a plan was cut and reverted by its own steps' `before`, and the host was not as before: `after N steps`."""
    wanted = printed(host)
    for cut in range(len(plan.steps) + 1):
        half = done(host, plan.steps[:cut], plan.blobs)
        try:
            back = undone(half, plan.steps, kept_bytes(host))
        except KeyError as unknown:  # bytes that the host never had
            yield f"after {cut} steps: no bytes {unknown}"
            continue
        known = {fact: seen for fact, seen in back.facts.items() if fact in host.facts or "Absent" not in str(seen)}
        gone = {f"addresses:{f.removeprefix('link:')}" for f, s in back.facts.items() if "Absent" in str(s)}
        facts = {fact: seen for fact, seen in known.items() if fact not in gone}
        if printed(replace(back, facts=facts, bans=host.bans)) != wanted:
            yield f"after {cut} steps"


@pytest.mark.parametrize("name", names())
def test_undoing_every_step_gives_the_host_as_it_was_wherever_it_was_cut(name: str) -> None:
    desired = desired_of(name)
    host = bare_host(desired.watch)
    assert list(wrongly_undone(host, make_plan(desired, BASE, host))) == []


@pytest.mark.parametrize("name", names())
def test_a_step_that_says_something_else_was_there_before_breaks_that_law(name: str) -> None:
    desired = desired_of(name)
    host = bare_host(desired.watch)
    plan = make_plan(desired, BASE, host)
    made = {step.fact for step in plan.steps if step.before is None}
    for number, step in enumerate(plan.steps):
        if step.fact.startswith("leases:") or step.before == step.after:
            continue  # a file that daemons write all the time; a restart
        kind, _, of = step.fact.partition(":")
        if {"addresses": f"link:{of}", "unit": f"file:/etc/systemd/system/{of}"}.get(kind) in made:
            continue  # addresses go with their link, a unit with its file
        wrong = (*plan.steps[:number], replace(step, before=step.after), *plan.steps[number + 1 :])
        blind = replace(plan, steps=wrong)
        assert any(wrongly_undone(host, blind)), f"{step.fact} with a wrong `before`"


@pytest.mark.parametrize("name", names())
def test_no_step_touches_what_the_spec_does_not_name(name: str) -> None:
    desired = desired_of(name)
    foreign = {
        "/etc/network/interfaces.d/vpn": b"auto tun0\niface tun0 inet manual\n",
        "/etc/dnsmasq.d/mine": b"log-dhcp\n",
    }
    host = bare_host(desired.watch, foreign)
    plan = make_plan(desired, BASE, host)
    touched = {step.fact for step in plan.steps}
    assert not touched & {f"file:{path}" for path in foreign}
    changed = done(host, plan.steps, plan.blobs)
    assert {p: changed.texts[p] for p in foreign} == {p: host.texts[p] for p in foreign}


@pytest.mark.parametrize("name", names())
def test_what_cannot_be_read_is_neither_written_nor_removed(name: str) -> None:
    desired = desired_of(name)
    host = bare_host(desired.watch)
    usual = make_plan(desired, BASE, host)
    for step in usual.steps:
        if step.fact not in host.facts:
            continue
        path = step.fact.removeprefix("file:")
        texts = {**host.texts, path: Unknown("garbled")} if path in host.texts else host.texts
        blind = replace(host, facts={**host.facts, step.fact: Unknown("garbled")}, texts=texts)
        plan = make_plan(desired, BASE, blind)
        assert step.fact not in {s.fact for s in plan.steps}
        assert "unknown" in {refusal.rule for refusal in plan.refusals}


@pytest.mark.parametrize("name", names())
def test_a_host_that_could_not_be_read_at_all_gets_no_step(name: str) -> None:
    desired = desired_of(name)
    host = bare_host(desired.watch)
    blind = replace(
        host,
        facts={fact: Unknown("cut off") for fact in host.facts},
        texts={path: Unknown("cut off") for path in host.texts},
        packages={package: Unknown("cut off") for package in host.packages},
        masquerades=Unknown("cut off"),
        unlisted={prefix: Unknown("cut off") for prefix in host.unlisted},
    )
    plan = make_plan(desired, BASE, blind)
    assert (plan.steps, plan.packages, plan.guests) == ((), (), ())
    assert plan.refusals


@pytest.mark.parametrize("name", names())
def test_what_leaves_the_spec_leaves_the_host_or_is_named(name: str) -> None:
    whole = desired_of(name)
    base = LastApplied.from_json(whole.as_json())
    host = bare_host(whole.watch)
    applied = after_plan(host, make_plan(whole, BASE, host))
    for gone, text in without(name):
        less = desired_from(text)
        plan = make_plan(less, base, applied)
        assert not plan.refusals, (gone, plan.refusals)
        left = after_plan(applied, plan)
        never = after_plan(host, make_plan(less, BASE, host))
        named = {thing.fact for thing in plan.left_behind}
        assert differing(left, never) <= named, f"without {gone}: {differing(left, never) - named}"
        assert all(thing.what and thing.hint for thing in plan.left_behind)
        again = make_plan(less, LastApplied.from_json(less.as_json()), left)
        assert (again.drifts, again.steps, again.left_behind) == ((), (), ()), f"without {gone}"


def applied_from(host: HostObserved, desired: Desired) -> HostObserved:
    return after_plan(host, make_plan(desired, BASE, host))


def only_gits(name: str, most: int | None = None) -> None:
    """Both ways: what the old spec has and the new one lacks, and the other way round."""
    whole = desired_of(name)
    wrong, seen = [], 0
    for what, text in changed(name, most):
        other = desired_from(text)
        host = bare_host(whole.watch | other.watch)
        for before, after in ((whole, other), (other, whole)):
            applied = LastApplied.from_json(before.as_json())
            plan = make_plan(after, applied, applied_from(host, before))
            seen += len(plan.drifts)
            wrong += [(what, drift.moved, drift.difference) for drift in plan.drifts if drift.moved != "git"]
    assert wrong == []
    assert seen, "no change makes a difference"


@pytest.mark.parametrize("name", names())
def test_where_only_git_changed_every_difference_is_gits(name: str) -> None:
    only_gits(name, 12)


@pytest.mark.long
@pytest.mark.parametrize("name", names())
def test_where_only_git_changed_every_difference_is_gits_whatever_it_was(name: str) -> None:
    only_gits(name)
