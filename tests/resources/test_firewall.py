"""The firewall's table: what is changed by hand in the kernel or in the file is seen, and what is unmanaged is not."""

from dataclasses import replace

import pytest

from service.model.changes import Difference
from service.model.facts import Step
from service.model.observed import HostObserved
from service.model.states import Absent, Json, Seen, Unknown
from service.plan.make import make_plan
from service.resources.desired import Desired, LastApplied
from service.resources.firewall import FIREWALL_FILE, TABLE_FACT, FirewallTable
from service.resources.resource import compare
from tests.firewall.host_specs import FLEET, Section, firewall_of
from tests.laws.host import after_plan, bare_host, file_fact
from tests.laws.specs import desired_of

SECTION: Section = {
    "rules": [
        {"type": "in", "action": "accept", "macro": "SSH"},
        {"type": "in", "action": "drop", "source": "+bad"},
        {"type": "in", "action": "accept", "macro": "Web"},
    ]
}
TABLE = FirewallTable("firewall", firewall_of(SECTION, FLEET))


def settled(table: FirewallTable = TABLE) -> HostObserved:
    """A host on which the table is in force."""
    desired = Desired.of("pve1", [table])
    host = bare_host(desired.watch)
    return after_plan(host, make_plan(desired, LastApplied(), host))


def normal_of(host: HostObserved) -> list[dict[str, Json]]:
    seen = host.fact(TABLE_FACT)
    assert isinstance(seen, Seen)
    assert isinstance(seen.value, dict)
    listed = seen.value["normal"]
    assert isinstance(listed, list)
    return [item for item in listed if isinstance(item, dict)]


def changed(host: HostObserved, normal: list[dict[str, Json]]) -> HostObserved:
    listed: list[Json] = [*normal]
    return replace(host, facts={**host.facts, TABLE_FACT: Seen({"normal": listed})})


def found(table: FirewallTable, host: HostObserved) -> set[tuple[str, str, str, str]]:
    def row(difference: Difference) -> tuple[str, str, str, str]:
        return difference.resource, difference.field, difference.where, difference.op

    return set(map(row, table.differences(host)))


def steps_of(tables: list[FirewallTable], host: HostObserved) -> tuple[tuple[int, Step], ...]:
    return FirewallTable.steps(compare(tables, host), host).steps


def test_a_table_in_force_has_no_difference() -> None:
    assert found(TABLE, settled()) == set()


@pytest.mark.parametrize("index", range(4))
def test_a_rule_deleted_in_the_kernel_is_seen(index: int) -> None:
    host = settled()
    rules = [item for item in normal_of(host) if "rule" in item and item["rule"]["chain"] == "input"]  # type: ignore[index,call-overload]
    gone = rules[-1 - index]
    assert found(TABLE, changed(host, [item for item in normal_of(host) if item is not gone])) == {
        ("inet passerelle input", "rules", "live", "changed")
    }


def test_another_policy_another_order_and_another_set_are_seen() -> None:
    host = settled()
    normal = normal_of(host)
    policy: list[dict[str, Json]] = [
        {"chain": {**item["chain"], "policy": "accept"}} if "chain" in item and "policy" in item["chain"] else item  # type: ignore[dict-item,operator]
        for item in normal
    ]
    assert ("inet passerelle input", "hook", "live", "changed") in found(TABLE, changed(host, policy))
    swapped = [*normal[:-1]]
    swapped[-1], swapped[-2] = swapped[-2], swapped[-1]
    assert {row[:3] for row in found(TABLE, changed(host, swapped))} != set()
    fewer = [*FLEET["ipsets"]["bad"]][1:]
    other = FirewallTable("firewall", firewall_of(SECTION, {**FLEET, "ipsets": {**FLEET["ipsets"], "bad": fewer}}))
    assert ("inet passerelle input", "rules", "live", "changed") in found(other, host)


def test_what_somebody_put_into_our_table_is_seen() -> None:
    host = settled()
    place: dict[str, Json] = {"family": "inet", "table": "passerelle"}
    extra: list[dict[str, Json]] = [{"chain": {**place, "name": "mine"}}, {"set": {**place, "name": "x"}}]
    assert found(TABLE, changed(host, [*normal_of(host), *extra])) == {
        ("inet passerelle mine", "chain", "live", "extra"),
        ("inet passerelle", "others", "live", "extra"),
    }


def test_a_rule_added_by_hand_is_shown_in_nfts_words_and_is_the_hosts() -> None:
    """Also one that only the last spec had: it reads as it did when it was applied."""
    host = settled()
    rule: dict[str, Json] = {"family": "inet", "table": "passerelle", "chain": "input"}
    port: Json = {"payload": {"protocol": "udp", "field": "dport"}}
    expr: list[Json] = [{"match": {"op": "==", "left": port, "right": 5353}}, {"counter": None}, {"accept": None}]
    added = changed(host, [*normal_of(host), {"rule": {**rule, "expr": expr, "comment": "mine"}}])
    [difference] = TABLE.differences(added)
    assert isinstance(difference.have, list)
    assert difference.have[-1] == 'udp dport 5353 counter accept comment "mine"'
    assert difference.have[:-1] == difference.want
    fewer = {"rules": SECTION["rules"][:1]}
    less = FirewallTable("firewall", firewall_of(fewer, FLEET))
    for difference in (one for one in less.differences(host) if one.where == "live"):
        assert difference.have == TABLE.wishes()[difference.resource, difference.field, "live"]


def test_a_table_that_is_switched_off_is_drift_and_loaded_again() -> None:
    host = settled()
    dormant = [
        {"table": {**item["table"], "flags": ["dormant"]}} if "table" in item else item  # type: ignore[dict-item,operator]
        for item in normal_of(host)
    ]
    assert found(TABLE, changed(host, dormant)) == {("inet passerelle", "others", "live", "extra")}
    [(_, step)] = steps_of([TABLE], changed(host, dormant))
    assert isinstance(step.after, dict)
    assert step.after["normal"] == normal_of(host)


def test_a_table_that_is_gone_is_loaded_again_as_a_whole() -> None:
    host = settled()
    gone = replace(host, facts={**host.facts, TABLE_FACT: Absent()})
    assert found(TABLE, gone) == {("inet passerelle", "table", "live", "missing")}
    [(_, step)] = steps_of([TABLE], gone)
    assert (step.fact, step.before) == (TABLE_FACT, None)
    assert isinstance(step.after, dict)
    assert TABLE.table is not None
    assert step.after["load"] == TABLE.table.load


def test_an_edited_file_is_seen_though_the_kernel_is_right() -> None:
    host = settled()
    text = host.text(FIREWALL_FILE)
    assert isinstance(text, Seen)
    edited = text.value.replace(b"tcp dport 22 accept", b"tcp dport 2222 accept")
    facts = {**host.facts, f"file:{FIREWALL_FILE}": Seen(file_fact(edited))}
    host = replace(host, facts=facts, texts={**host.texts, FIREWALL_FILE: Seen(edited)})
    assert {(r, w) for r, _, w, _ in found(TABLE, host)} == {(FIREWALL_FILE, "file")}
    steps = steps_of([TABLE], host)
    assert [(step.fact, step.on_confirm) for _, step in steps] == [(f"file:{FIREWALL_FILE}", True)]


def test_a_table_that_cannot_be_read_is_left_alone() -> None:
    host = settled()
    blind = replace(host, facts={**host.facts, TABLE_FACT: Unknown("garbled")})
    assert steps_of([TABLE], blind) == ()
    assert steps_of([FirewallTable("firewall", None)], blind) == ()


def test_without_the_section_table_and_file_go_and_the_nat_keeps_its_loader() -> None:
    both, nat = desired_of("firewall"), desired_of("seed")
    host = bare_host(both.watch)
    host = after_plan(host, make_plan(both, LastApplied(), host))
    plan = make_plan(nat, LastApplied.from_json(both.as_json()), host)
    assert {(step.fact, step.after) for step in plan.steps} == {(TABLE_FACT, None), (f"file:{FIREWALL_FILE}", None)}
    assert {drift.moved for drift in plan.drifts} == {"git"}


def test_without_nat_the_firewall_keeps_the_loader() -> None:
    desired = desired_of("firewall")
    wanted = [resource for resource in desired.resources if resource.id != "nat:masquerade"]
    assert any(isinstance(resource, FirewallTable) for resource in wanted)
    host = settled(TABLE)
    assert found(TABLE, host) == set()
    assert isinstance(host.fact("file:/etc/systemd/system/passerelle-nft.service"), Seen)


def test_what_is_derived_is_shown_with_its_cause() -> None:
    shown = dict(desired_of("firewall").derived())
    assert shown["IN ACCEPT -i vmbr0 -p udp -dport 67"] == "dnsmasq serves DHCP on vmbr0"
    assert shown["IN ACCEPT -i vmbr0 -p tcp -dport 53"] == "dnsmasq answers DNS on vmbr0"
    assert shown["OUT ACCEPT -i vmbr0 -p udp -dport 68 -sport 67"] == "dnsmasq serves DHCP on vmbr0"
    assert "DROP 10.10.10.0/24 from enp1s0" in shown
