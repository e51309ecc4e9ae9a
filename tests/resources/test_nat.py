"""Source NAT is recognised in any file, never made twice, and only ours is removed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import pytest

from service.formats import nat_rules
from service.kinds import KINDS
from service.kinds.desire import desire
from service.model.observed import HostObserved, MasqueradeInForce
from service.model.plans import Plan
from service.model.states import Absent, Json, Observed, Seen, Unknown
from service.plan.make import make_plan
from service.resources.desired import Desired, LastApplied
from service.resources.nat import LOADER, LOADER_FILE, LOADER_TEXT, NAT_FILE, TABLE_FACT, Rule, SourceNat
from tests.laws.host import INTERFACES, after_plan, bare_host
from tests.laws.specs import head, spec_of

RULE: Rule = ("10.10.10.0/24", "enp1s0")
OTHER: Rule = ("10.20.0.0/16", "enp1s0")
LINE = b"\tpost-up iptables -t nat -A POSTROUTING -s '10.10.10.0/24' -o enp1s0 -j MASQUERADE\n"
LOADED = {"unit:" + LOADER: Seen({"enabled": "enabled", "active": True})}
TABLE_NAME = "nft inet passerelle_nat"


def own(*rules: Rule) -> dict[str, Observed[Json]]:
    return {TABLE_FACT: Seen({"normal": nat_rules.render_nat_table(rules)[1]})}


def ours(*rules: Rule) -> tuple[MasqueradeInForce, ...]:
    return tuple(MasqueradeInForce(source, out, TABLE_NAME) for source, out in rules)


def iptables(count: int = 1) -> tuple[MasqueradeInForce, ...]:
    return (MasqueradeInForce(*RULE, "iptables nat", count),)


@dataclass(frozen=True)
class Row:
    """A host with some NAT, the rules wanted, the facts that a plan would set and to what."""

    name: str
    wanted: tuple[Rule, ...]
    steps: Mapping[str, object]
    made: tuple[MasqueradeInForce, ...] = ()
    lines: bytes = b""
    file: tuple[Rule, ...] = ()
    table: tuple[Rule, ...] = ()
    facts: Mapping[str, Observed[Json]] = field(default_factory=dict)


ALL_OURS = [f"file:{LOADER_FILE}", TABLE_FACT, f"unit:{LOADER}", f"file:{NAT_FILE}"]
ROWS = [
    Row("nothing there", (RULE,), dict.fromkeys(ALL_OURS, "set")),
    Row("all there as we make it", (RULE,), {}, made=ours(RULE), file=(RULE,), table=(RULE,), facts=LOADED),
    Row("a post-up line makes it", (RULE,), {}, made=iptables(), lines=LINE),
    Row("a post-up line makes it, deleted in the kernel", (RULE,), {"masquerade:10.10.10.0/24>enp1s0": 1}, lines=LINE),
    Row("made twice in the kernel", (RULE,), {"masquerade:10.10.10.0/24>enp1s0": 1}, made=iptables(2), lines=LINE),
    Row(
        "made by us and by hand",
        (RULE,),
        {"masquerade:10.10.10.0/24>enp1s0": 0},
        made=(*ours(RULE), *iptables(3)),
        file=(RULE,),
        table=(RULE,),
        facts=LOADED,
    ),
    Row(
        "made in the kernel alone, by hand",
        (RULE,),
        dict.fromkeys([n for n in ALL_OURS if n != TABLE_FACT], "set"),
        made=iptables(),
    ),
    Row("deleted in the kernel", (RULE,), {TABLE_FACT: "set"}, file=(RULE,), facts=LOADED),
    Row(
        "flushed in the kernel",
        (RULE,),
        {TABLE_FACT: "set"},
        file=(RULE,),
        facts={**LOADED, TABLE_FACT: Seen({"normal": []})},
    ),
    Row("deleted in the file", (RULE,), {f"file:{NAT_FILE}": "set"}, made=ours(RULE), table=(RULE,), facts=LOADED),
    Row(
        "its loader disabled",
        (RULE,),
        {f"unit:{LOADER}": "set"},
        made=ours(RULE),
        file=(RULE,),
        table=(RULE,),
        facts={"unit:" + LOADER: Seen({"enabled": "disabled", "active": True})},
    ),
    Row(
        "one rule more is wanted",
        (RULE, OTHER),
        {TABLE_FACT: "set", f"file:{NAT_FILE}": "set"},
        made=ours(RULE),
        file=(RULE,),
        table=(RULE,),
        facts=LOADED,
    ),
    Row(
        "one rule less is wanted",
        (RULE,),
        {TABLE_FACT: "set", f"file:{NAT_FILE}": "set"},
        made=ours(RULE, OTHER),
        file=(RULE, OTHER),
        table=(RULE, OTHER),
        facts=LOADED,
    ),
    Row(
        "none is wanted any more",
        (),
        {TABLE_FACT: None, f"unit:{LOADER}": None, f"file:{NAT_FILE}": None, f"file:{LOADER_FILE}": None},
        made=ours(RULE),
        file=(RULE,),
        table=(RULE,),
        facts=LOADED,
    ),
    Row("none is wanted, somebody else's stays", (), {}, made=iptables(2), lines=LINE),
]


def host_of(row: Row) -> HostObserved:
    files = {"/etc/network/interfaces": INTERFACES + row.lines}
    if row.file:
        files |= {NAT_FILE: nat_rules.render_nat_file(row.file), LOADER_FILE: LOADER_TEXT}
    elif row.facts:
        files |= {LOADER_FILE: LOADER_TEXT}
    bare = bare_host(SourceNat("nat", row.wanted).watch(), files)
    table = own(*row.table) if row.table else {}
    return replace(bare, facts={**bare.facts, **table, **row.facts}, masquerades=Seen(row.made))


def plan_of(rules: Sequence[Rule], host: HostObserved) -> Plan:
    return make_plan(Desired.of("pve1", [SourceNat("nat", tuple(rules))]), LastApplied(), host)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_only_what_is_not_met_is_changed_and_then_each_rule_is_there_once(row: Row) -> None:
    host = host_of(row)
    plan = plan_of(row.wanted, host)
    assert plan.refusals == ()
    assert {step.fact for step in plan.steps} == set(row.steps)
    for step in plan.steps:
        if row.steps[step.fact] != "set":
            assert step.after == row.steps[step.fact]
    after = after_plan(host, plan)
    assert plan_of(row.wanted, after).steps == ()
    made = after.masquerades.value if isinstance(after.masquerades, Seen) else ()
    for rule in row.wanted:
        assert sum(m.count for m in made if (m.source, m.out) == rule) == 1


def test_the_table_is_loaded_first_and_its_file_written_when_confirmed() -> None:
    steps = plan_of([RULE], host_of(Row("", (RULE,), {}))).steps
    assert [step.fact for step in steps] == ALL_OURS
    assert [step.on_confirm for step in steps] == [False, False, False, True]


def test_what_enabled_the_loader_goes_before_its_file() -> None:
    (row,) = [row for row in ROWS if row.name == "none is wanted any more"]
    steps = [step for step in plan_of((), host_of(row)).steps if LOADER in step.fact]
    assert [(step.fact, step.after) for step in steps] == [(f"unit:{LOADER}", None), (f"file:{LOADER_FILE}", None)]
    assert steps[0].before == {"enabled": "enabled"}


def test_what_makes_nat_and_could_not_be_read_is_left_alone() -> None:
    host = replace(host_of(ROWS[0]), masquerades=Unknown("`nft` is missing"))
    plan = plan_of([RULE], host)
    assert plan.steps == ()
    assert [refusal.rule for refusal in plan.refusals] == ["unknown"]


def test_forwarding_follows_from_nat_and_its_file_goes_with_it() -> None:
    uplink = "interfaces:\n  enp1s0: {addresses: [198.51.100.11/24], gateway: 198.51.100.1}\n"
    with_nat = desire(spec_of(head() + uplink + "nat:\n  - {source: 10.10.10.0/24, out: enp1s0}\n"), KINDS)
    bare = bare_host(with_nat.watch)
    host = after_plan(bare, make_plan(with_nat, LastApplied(), bare))
    assert host.facts["sysctl:net.ipv4.ip_forward"] == Seen("1")
    without = desire(spec_of(head() + uplink), KINDS)
    plan = make_plan(without, LastApplied.from_json(with_nat.as_json()), host)
    after = after_plan(host, plan)
    gone = ("file:/etc/sysctl.d/60-passerelle.conf", f"file:{NAT_FILE}", f"file:{LOADER_FILE}", TABLE_FACT)
    assert {after.facts[fact] for fact in gone} == {Absent()}
