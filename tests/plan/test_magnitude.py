"""What removes most of a firewall waits for an approval; what ends a published port does not."""

from collections.abc import Mapping, Sequence

import pytest

from service.kinds import KINDS
from service.kinds.desire import desire
from service.kinds.packet_rules.written import Written, written_of
from service.model.facts import Step
from service.model.plans import Plan
from service.model.trees import BlobEntry, Tree
from service.plan.magnitude import FEW, too_many_rules, touches_rules, unknown_rules
from service.resources.desired import Desired
from service.spec.fleet import read_fleet
from service.spec.host import HostSpec
from service.spec.models import claims_of
from tests.laws.specs import head

NETWORK = """\
interfaces:
  enp1s0: {addresses: [198.51.100.11/24], gateway: 198.51.100.1}
bridges:
  vmbr0: {addresses: [10.10.10.1/24], ports: []}
nat:
  - {source: 10.10.10.0/24, out: enp1s0}
"""
FORWARDS = "forwards:\n" + "".join(
    f"  - {{in: enp1s0, ports: [{port}], to: 10.10.10.50}}\n" for port in range(8080, 8100)
)
DHCP = "dnsmasq:\n  dhcp:\n    - {interface: vmbr0, start: 10.10.10.100, end: 10.10.10.200}\n"
TABLE = Step("nft:inet passerelle", {}, {}, "firewall")


def accepted(count: int, more: str = "", first: int = 1000) -> list[str]:
    return [f"{{type: in, action: accept, proto: tcp, dport: {first + n}{more}}}" for n in range(count)]


def listed(rules: Sequence[str], depth: int = 4) -> str:
    return "".join(f"{' ' * depth}- {rule}\n" for rule in rules) or f"{' ' * depth}[]\n"


def firewall(rules: Sequence[str]) -> str:
    return f"firewall:\n  policy_in: drop\n  rules:\n{listed(rules)}"


def guest(rules: Sequence[str], keys: str = "") -> str:
    return (
        'guests:\n  dev:\n    mac: "BC:24:11:00:00:01"\n    address: 10.10.10.10\n    port: veth-dev\n'
        f"    firewall:\n{keys}      rules:\n{listed(rules, 8)}"
    )


def spec(sections: str, files: Mapping[str, str] | None = None, platform: str = "debian") -> HostSpec:
    text = head().replace("connection:\n", "connection:\n  console: https://192.0.2.1/\n")
    host = text.replace("platform: debian", f"platform: {platform}") + NETWORK + sections
    contents = {"fleet.yaml": "passerelle: 1\n", "hosts/pve1.yaml": host, **(files or {})}
    fleet = read_fleet(
        Tree({name: BlobEntry(name, f"{name} {text}", text.encode()) for name, text in contents.items()}), KINDS
    )
    assert not fleet.has_errors, "\n".join(map(str, fleet.findings))
    return fleet.hosts["pve1"]


def written(one: HostSpec) -> Written:
    return written_of(one, claims_of(one, KINDS))


def judged(before: HostSpec, now: HostSpec, most: int = 50) -> tuple[str, ...]:
    return too_many_rules(written(before), written(now), most)


def removes(gone: int, every: int) -> tuple[str, ...]:
    return (f"it removes {gone} of {every} firewall rules, more than 50 % (PASSERELLE_STOP_RULES)",)


@pytest.mark.parametrize("more", ["", FORWARDS, DHCP, FORWARDS + DHCP])
@pytest.mark.parametrize(
    ("before", "now", "is_stopped"),
    [(60, 2, True), (10, 4, True), (10, 5, False), (20, 19, False), (FEW, 0, False), (FEW + 1, 0, True)],
)
def test_the_rules_that_people_wrote_are_counted(before: int, now: int, is_stopped: bool, more: str) -> None:
    """Those that follow from other sections, and some twenty that every firewall has, hide nothing."""
    said = judged(spec(firewall(accepted(before)) + more), spec(firewall(accepted(now)) + more))
    assert said == (removes(before - now, before) if is_stopped else ())


def test_published_ports_may_end_all_at_once() -> None:
    for rules in (0, 2, 10):
        assert judged(spec(firewall(accepted(rules)) + FORWARDS), spec(firewall(accepted(rules)))) == ()


@pytest.mark.parametrize("rules", [0, 1, 10])
def test_a_firewall_that_goes_as_a_whole_needs_an_approval_however_few_rules_it_has(rules: int) -> None:
    said = judged(spec(firewall(accepted(rules))), spec(""))
    assert said == ("it removes the whole firewall (PASSERELLE_STOP_RULES)",)
    assert judged(spec(""), spec(firewall(accepted(rules)))) == ()


def test_who_wants_no_limit_has_none() -> None:
    assert judged(spec(firewall(accepted(60))), spec(firewall(accepted(2))), most=100) == ()
    assert judged(spec(firewall(accepted(60))), spec(""), most=100) == ()


def test_rules_of_a_guest_count() -> None:
    host = firewall(accepted(2))
    assert judged(spec(host + guest(accepted(8))), spec(host + guest(accepted(1)))) == removes(7, 10)
    assert judged(spec(host + guest(accepted(8))), spec(host + guest(accepted(4)))) == ()


@pytest.mark.parametrize("now", ["", guest(accepted(8), "      enable: false\n")])
def test_all_rules_of_a_guests_firewall_go_with_it(now: str) -> None:
    host = firewall(accepted(2))
    assert judged(spec(host + guest(accepted(8))), spec(host + now)) == removes(8, 10)


def test_rules_that_are_switched_off_are_gone() -> None:
    assert judged(spec(firewall(accepted(10))), spec(firewall(accepted(10, ", enable: false")))) == removes(10, 10)


def test_a_comment_or_a_log_level_is_no_other_rule() -> None:
    now = firewall(accepted(10, ", comment: for people, log: info"))
    assert judged(spec(firewall(accepted(10))), spec(now)) == ()


def group(rules: Sequence[str]) -> dict[str, str]:
    return {"groups/web.yaml": f"group: web\nrules:\n{listed(rules, 2)}"}


USES = "{type: group, action: web}"


def test_rules_of_a_group_count_where_it_is_used() -> None:
    host = firewall([USES, *accepted(2, first=2000)])
    assert judged(spec(host, group(accepted(8))), spec(host, group(accepted(1)))) == removes(7, 10)
    unused = firewall(accepted(2, first=2000))
    assert judged(spec(host, group(accepted(8))), spec(unused, group(accepted(8)))) == removes(8, 10)
    assert judged(spec(unused, group(accepted(8))), spec(unused, group(accepted(1)))) == ()


def test_an_unused_group_hides_nothing() -> None:
    named = group(accepted(50))
    assert judged(spec(firewall(accepted(10)), named), spec(firewall(accepted(4)), named)) == removes(6, 10)


def test_rules_that_move_to_another_level_are_not_gone() -> None:
    own = spec(firewall(accepted(10)))
    assert judged(own, spec(firewall([USES]), group(accepted(10)))) == ()
    fleet = {"fleet.yaml": f"passerelle: 1\nfirewall:\n  rules:\n{listed(accepted(10))}"}
    everywhere = spec(firewall([]), fleet)
    assert judged(own, everywhere) == ()
    assert judged(everywhere, spec(firewall([]))) == removes(10, 10)


def named_set(*entries: str) -> dict[str, str]:
    return {"fleet.yaml": f"passerelle: 1\nfirewall:\n  ipsets:\n    office: [{', '.join(entries)}]\n"}


OFFICE = [f"203.0.113.{n}" for n in range(1, 11)]


def test_a_rule_that_names_an_emptied_set_is_gone() -> None:
    host = firewall([*accepted(6, ", source: +office"), *accepted(4, first=2000)])
    assert judged(spec(host, named_set(*OFFICE[:2])), spec(host, named_set())) == removes(6, 10)
    assert judged(spec(host, named_set(*OFFICE[:2])), spec(host, named_set(*OFFICE[:1]))) == ()


def test_most_entries_of_a_set_need_an_approval() -> None:
    host = firewall([*accepted(1, ", source: +office"), *accepted(9, first=2000)])
    entries = "entries of the firewall's set office, more than 50 % (PASSERELLE_STOP_RULES)"
    for left, said in ((0, (f"it removes 10 of 10 {entries}",)), (4, (f"it removes 6 of 10 {entries}",)), (5, ())):
        assert judged(spec(host, named_set(*OFFICE)), spec(host, named_set(*OFFICE[:left]))) == said


def test_a_set_that_no_rule_names_any_more_is_not_counted() -> None:
    before = firewall([*accepted(1, ", source: +office"), *accepted(9, first=2000)])
    assert judged(spec(before, named_set(*OFFICE)), spec(firewall(accepted(9, first=2000)))) == ()


def test_proxmox_blocks_the_set_blacklist_without_a_rule() -> None:
    host = firewall(accepted(2))
    shared = {"fleet.yaml": named_set(*OFFICE)["fleet.yaml"].replace("office", "blacklist")}
    said = judged(spec(host, shared, platform="proxmox"), spec(host, platform="proxmox"))
    assert said == (
        "it removes 10 of 10 entries of the firewall's set blacklist, more than 50 % (PASSERELLE_STOP_RULES)",
    )


def test_a_plan_without_a_step_of_a_firewall_removes_nothing_of_it() -> None:
    other = Step("file:/etc/dnsmasq.d/passerelle.conf", None, {}, "dnsmasq")
    ours = Step("file:/etc/pve/firewall/cluster.fw", None, {}, "firewall")
    plans = [Plan("pve1", "c" * 40, "d", steps=steps) for steps in ((), (other,), (other, TABLE), (ours,))]
    assert [touches_rules(plan) for plan in plans] == [False, False, True, True]


def wanted(sections: str) -> Desired:
    return desire(spec(sections), KINDS)


def test_where_the_last_commit_cannot_be_read_all_rules_on_the_host_count() -> None:
    before = wanted(firewall(accepted(60))).as_json()
    (said,) = unknown_rules(before, wanted(firewall(accepted(50))), 50)
    assert said.startswith("it removes 10 firewall rules, and the commit of the last apply cannot be read")
    assert unknown_rules(before, wanted(firewall(accepted(50))), 100) == ()
    assert unknown_rules(before, wanted(firewall(accepted(60 - FEW))), 50) == ()
