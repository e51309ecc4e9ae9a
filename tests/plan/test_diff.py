"""Which side changed since the last apply, as a table; and over whole specs: what a person did, and what a commit
did.
"""

from dataclasses import dataclass, replace

import pytest

from service.kinds import KINDS
from service.kinds.desire import desire
from service.model.changes import Difference, Moved
from service.model.observed import MasqueradeInForce
from service.model.states import Absent, Json, Seen
from service.plan.diff import Sides, drift
from service.plan.make import make_plan
from service.resources.desired import Desired, LastApplied
from service.resources.resource import compare
from tests.laws.host import after_plan, bare_host, set_fact
from tests.laws.specs import FOLDER, desired_of, head, spec_of

UP = ("bridges", "vmbr0", "up", "live")
NEVER = "never wished"
"""In a row: the revision has no such wish at all, which is not the wish for nothing (None)."""


@dataclass(frozen=True)
class Row:
    """What was wished at the last apply, what is wished now, what the host has, and whose move the difference is."""

    applied: Json
    wished: Json
    have: Json
    whose: Moved
    unknown: str = ""


ROWS = [
    Row(True, True, False, "host"),
    Row(True, True, None, "host"),
    Row(None, None, "present", "host"),
    Row(1400, 1500, 1400, "git"),
    Row("present", None, "present", "git"),
    Row("present", NEVER, "present", "git"),
    Row(NEVER, True, None, "git"),
    Row(NEVER, True, False, "git"),
    Row(1400, 1500, 9000, "both"),
    Row("present", NEVER, "other", "both"),
    Row(True, True, None, "host", unknown="garbled"),
    Row(1400, 1500, None, "git", unknown="garbled"),
    Row(NEVER, NEVER, "left over", "host"),
]


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_whose_move_a_difference_is(row: Row) -> None:
    want = None if row.wished == NEVER else row.wished
    found = Difference(*UP, op="changed", want=want, have=row.have, unknown=row.unknown)
    base = LastApplied({} if row.applied == NEVER else {UP: row.applied}, exists=True)
    assert Sides(base, {} if row.wished == NEVER else {UP: row.wished}).moved(found) == row.whose


def test_before_the_first_apply_everything_is_gits_move() -> None:
    found = Difference(*UP, op="changed", want=True, have=False)
    assert Sides(LastApplied(), {UP: True}).moved(found) == "git"


def test_what_no_spec_names_is_gits_move_where_its_section_changed() -> None:
    left_over = Difference("nat", "/etc/x", "file", "file", "extra", None, "present")
    base = LastApplied({("nat", "a", "masquerade", "live"): 1}, exists=True)
    assert Sides(base, {}).moved(left_over) == "git"
    assert Sides(base, {("nat", "a", "masquerade", "live"): 1}).moved(left_over) == "host"
    assert Sides(base, {("nat", "a", "masquerade", "live"): 1, UP: True}).moved(left_over) == "host"


def test_what_another_section_wished_for_before_was_wished_for() -> None:
    """One file serves several sections, and the first of them names it."""
    file = ("/etc/sysctl.d/60-passerelle.conf", "net.ipv4.ip_forward", "file")
    base = LastApplied({("nat", *file): "1", ("sysctls", "x", "sysctl", "live"): "1"}, exists=True)
    found = Difference("sysctls", *file, op="extra", want=None, have="1")
    assert Sides(base, {("sysctls", "x", "sysctl", "live"): "1"}).moved(found) == "git"
    by_hand = Difference("sysctls", *file, op="changed", want="1", have="0")
    assert Sides(base, {("sysctls", *file): "1"}).moved(by_hand) == "host"


@pytest.mark.parametrize("gone", ["nat", "dnsmasq", "guests", "bridges", "packages", "services"])
def test_a_section_that_leaves_the_spec_is_gits_move_alone(gone: str) -> None:
    before = desired_of("seed")
    host = after_plan(bare_host(before.watch), make_plan(before, LastApplied(), bare_host(before.watch)))
    spec = spec_of(head() + (FOLDER / "seed.yaml").read_text())
    sections = {name: section for name, section in spec.sections.items() if name != gone}
    plan = make_plan(desire(replace(spec, sections=sections), KINDS), LastApplied.from_json(before.as_json()), host)
    assert {d.moved for d in plan.drifts} <= {"git"}
    assert plan.notes == ()


def seed_applied() -> tuple[Desired, LastApplied]:
    desired = desired_of("seed")
    return desired, LastApplied.from_json(desired.as_json())


EDITS = {
    "sysctl:net.ipv4.ip_forward": "0",
    "addresses:vmbr0": ["10.10.10.1/24", "10.99.0.1/24"],
    "addresses:enp1s0": [],
    "link:vmbr0": None,
    "routes:default": [],
    "unit:dnsmasq.service": {"enabled": "disabled", "active": False},
    "unit:named.service": {"enabled": "enabled", "active": True},
    "nft:inet passerelle_nat": None,
    "file:/etc/dnsmasq.d/passerelle.conf": None,
    "file:/etc/network/interfaces": None,
    "file:/etc/sysctl.d/60-passerelle.conf": None,
    "file:/etc/passerelle/nft.d/nat.nft": None,
    "masquerade:10.10.10.0/24>enp1s0": 2,
}


@pytest.mark.parametrize("fact", EDITS)
def test_what_is_done_by_hand_is_the_hosts_move_alone(fact: str) -> None:
    desired, base = seed_applied()
    host = after_plan(bare_host(desired.watch), make_plan(desired, LastApplied(), bare_host(desired.watch)))
    assert drift(desired, base, compare(desired.resources, host)) == ()
    sides = {d.moved for d in drift(desired, base, compare(desired.resources, set_fact(host, fact, EDITS[fact], {})))}
    assert sides == {"host"}


def test_one_rule_more_in_the_own_table_is_the_hosts_move() -> None:
    desired, base = seed_applied()
    host = after_plan(bare_host(desired.watch), make_plan(desired, LastApplied(), bare_host(desired.watch)))
    table = host.facts["nft:inet passerelle_nat"]
    assert isinstance(table, Seen)
    assert isinstance(table.value, dict)
    normal = table.value["normal"]
    assert isinstance(normal, list)
    facts = {**host.facts, "nft:inet passerelle_nat": Seen({"normal": [*normal, {"rule": "one more"}]})}
    more = MasqueradeInForce("10.99.0.0/24", "enp1s0", "nft inet passerelle_nat")
    usual = MasqueradeInForce("10.10.10.0/24", "enp1s0", "nft inet passerelle_nat")
    other = replace(host, facts=facts, masquerades=Seen((usual, more)))
    (found,) = drift(desired, base, compare(desired.resources, other))
    assert (found.difference.resource, found.moved) == ("inet passerelle_nat", "host")


def test_the_drifts_come_in_the_order_of_their_resources() -> None:
    desired = desired_of("seed")
    ids = [resource.id for resource in desired.resources]
    assert ids == sorted(ids)
    host = replace(bare_host(desired.watch), masquerades=Absent())
    found = drift(desired, LastApplied(), compare(desired.resources, host))
    assert [d.difference.kind for d in found][:2] == ["bridges", "dnsmasq"]
