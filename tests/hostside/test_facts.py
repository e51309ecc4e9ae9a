"""Each type of fact is one row with all its columns; service, host and the host that tests play mean the same by it."""

from typing import Any

import pytest

import service.hostside
import service.model.facts
from service.hostside.errors import BadInput
from service.hostside.facts import FACTS, NETWORK, RESTORE_ORDER, FactType, implied_facts, same, split_fact
from service.model.observed import Watch
from service.plan.make import make_plan
from service.resources.desired import LastApplied
from tests.hostside.scratch import CONF, OLD_CONF, Scratch, fact_of
from tests.laws.host import bare_host, plan_steps, set_fact
from tests.laws.specs import desired_of, names

ROUTE = {"family": 4, "via": "198.51.100.1", "dev": "enp1s0"}
EXAMPLES: dict[str, tuple[str, Any, Any]] = {
    "file": (CONF, fact_of(OLD_CONF), fact_of(b"other")),
    "link": ("vmbr0", {"type": "bridge", "up": True, "ports": [{"name": "veth1", "up": True}]}, {"up": False}),
    "addresses": ("vmbr0", ["10.10.10.1/24"], ["10.10.10.2/24"]),
    "routes": ("default", [ROUTE], []),
    "sysctl": ("net.ipv4.ip_forward", "0", "1"),
    "nft": ("inet passerelle_nat", {"normal": [], "load": "x"}, {"normal": [{"rule": {}}]}),
    "masquerade": ("10.10.10.0/24>enp1s0", 2, 1),
    "unit": ("named.service", {"enabled": "enabled", "active": True}, {"active": False}),
    "leases": ("/var/lib/misc/dnsmasq.leases", {"unnamed": ["bc:24:11:00:00:01 web"]}, None),
    "proxy": (
        "proxy@bc:24:11:00:00:02", {"active": True, "loaded": "0" * 64}, {"active": True, "loaded": "1" * 64}
    ),
    "package": ("bind9", {"version": "1:9.18"}, {"version": "1:9.20"}),
}  # fmt: skip
"""Of each type a name and two values that are not the same."""
IN_WAYS_OF_THEIR_OWN = {"leases": "tests/hostside/test_leases.py", "package": "tests/hostside/test_packages.py"}
NO_VALUES = (12.5, object(), {"nope": 1}, [{"nope": 1}], "\x00", True)


def test_every_type_has_an_example_here_and_is_told_in_both_references() -> None:
    assert set(EXAMPLES) == set(FACTS)
    for reference in (service.hostside.__doc__, service.model.facts.__doc__):
        assert reference is not None
        assert {kind for kind in FACTS if f"    {kind}:" not in reference} == set()


def test_a_row_without_a_column_is_none() -> None:
    assert {"names", "fits", "same", "capture", "put", "order"} == set(FactType._fields) - set(FactType._field_defaults)
    with pytest.raises(TypeError, match="missing"):
        FactType(names="x", fits=bool, same=bool, capture=bool)  # type: ignore[call-arg,arg-type]


@pytest.mark.parametrize("kind", FACTS)
def test_names_and_values_are_told_from_what_is_none(kind: str) -> None:
    name, value, another = EXAMPLES[kind]
    assert split_fact(f"{kind}:{name}") == (kind, name)
    for wrong in ("", "../x", "a b c", "\n", "x" * 1100, name + "\n"):
        with pytest.raises(BadInput):
            split_fact(f"{kind}:{wrong}")
    assert FACTS[kind].fits(value)
    assert another is None or FACTS[kind].fits(another)
    assert [wrong for wrong in NO_VALUES if FACTS[kind].fits(wrong)] == []


@pytest.mark.parametrize("kind", FACTS)
def test_a_value_is_the_same_as_itself_and_no_other(kind: str) -> None:
    name, value, another = EXAMPLES[kind]
    fact = f"{kind}:{name}"
    captured = {"named": []} if kind == "leases" else value
    assert same(fact, value, captured)
    assert same(fact, None, None)
    if kind == "leases":
        assert not same(fact, value, {"named": ["bc:24:11:00:00:01 web"]})
    else:
        assert not same(fact, another, value)
        assert not same(fact, value, None)


@pytest.mark.parametrize("kind", FACTS)
def test_a_step_takes_along_facts_of_known_types_only(kind: str) -> None:
    name, value, another = EXAMPLES[kind]
    implied = implied_facts([{"fact": f"{kind}:{name}", "before": value, "after": another}])
    assert all(split_fact(fact) for fact in implied)
    assert bool(implied) == (kind in ("link", "addresses", "routes"))


def test_a_restore_sets_files_first_then_the_network_then_units_and_guests_last() -> None:
    ordered = [row.order for row in FACTS.values() if row.order is not None]
    assert len(ordered) == len(set(ordered))
    assert (RESTORE_ORDER[0], RESTORE_ORDER[1:-2], RESTORE_ORDER[-2:]) == ("file", NETWORK, ("unit", "proxy"))
    assert set(FACTS) - set(RESTORE_ORDER) == set(IN_WAYS_OF_THEIR_OWN)


@pytest.mark.host
def test_a_host_captures_each_type_and_the_transaction_of_the_crash_tests_sets_each(scratch: Scratch) -> None:
    facts = [f"{kind}:{name}" for kind, (name, _, _) in EXAMPLES.items()]
    assert sorted(scratch.call("capture", give=facts)["facts"]) == sorted(facts)
    touched = {step["fact"].partition(":")[0] for step in (*scratch.document()["steps"], *scratch.document()["keep"])}
    assert touched == set(RESTORE_ORDER)


@pytest.mark.parametrize("kind", FACTS)
def test_the_host_that_tests_play_has_each_type(kind: str) -> None:
    name, value, _ = EXAMPLES[kind]
    set_fact(bare_host(Watch()), f"{kind}:{name}", value, {fact_of(OLD_CONF)["sha256"]: OLD_CONF})


@pytest.mark.parametrize("name", names())
def test_what_the_service_plans_are_values_that_the_host_takes(name: str) -> None:
    desired = desired_of(name)
    plan = make_plan(desired, LastApplied(), bare_host(desired.watch))
    for step in (*plan_steps(plan), *plan.keep):
        kind, _ = split_fact(step.fact)
        assert all(value is None or FACTS[kind].fits(value) for value in (step.before, step.after)), step
